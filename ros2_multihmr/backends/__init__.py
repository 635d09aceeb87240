"""Ways to run the network: one protocol, one file per runtime."""
