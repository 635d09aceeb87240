"""How near people are to other things: distances to their skin, and capsules around their parts."""
