"""What a benchmark of the network needs: turns, variants, crowds, the hardware's limit, another's code."""
