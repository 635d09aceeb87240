"""Body parts by which meshes are dressed, labelled and learned."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

PARTS = (
    *("head", "torso", "hips", "left_upper_arm", "right_upper_arm", "left_forearm", "right_forearm"),
    *("left_hand", "right_hand", "left_thigh", "right_thigh", "left_shin", "right_shin", "left_foot", "right_foot"),
)


def mirrored_parts() -> NDArray[np.intp]:
    """(15,) index of each part's mirror image in `PARTS`."""
    return np.array([PARTS.index(_mirrored(name)) for name in PARTS])


def _mirrored(name: str) -> str:
    side, _, rest = name.partition("_")
    return {"left": f"right_{rest}", "right": f"left_{rest}"}.get(side, name)
