"""Which network a name means: the trained one that comes with the package, the stand-in, or a file of the user's."""

from __future__ import annotations

from pathlib import Path

from ros2_multihmr.assets import asset
from ros2_multihmr.model.checkpoint import load_weights
from ros2_multihmr.model.network import Network
from ros2_multihmr.model.stand_in import STAND_IN, stand_in_model

# Small, for the Anny body, learned from synthetic pictures alone: docs/training.md says how.
EMBEDDED = "weights/embedded.safetensors"


def open_network(weights: str | Path, **overrides: int) -> Network:
    """Opens a network.

    Args:
        weights: Path of a weights file; "" for the network that comes with the package; "untrained" for the stand-in.
        **overrides: `max_humans` and `nms_kernel`.

    Raises:
        WeightsError: The weights file is missing, damaged, or not what was expected.
        ValueError: An override that no network can have.
    """
    if str(weights) == STAND_IN:
        return stand_in_model(**overrides)
    return load_weights(weights or asset(EMBEDDED), **overrides)
