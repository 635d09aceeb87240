"""Stand-in for launch.events: what happens to processes."""
