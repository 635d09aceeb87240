"""The same people in messages of other packages, for those who already listen to these."""
