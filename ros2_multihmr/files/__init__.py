"""Writing to the disk: where results go, one writer at a time, files that are whole or not there."""
