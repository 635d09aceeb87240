"""Which network a name means: the trained one that comes with the package, the stand-in, or a file of the user's."""

from __future__ import annotations

from pathlib import Path

from ros2_multihmr.assets import asset
from ros2_multihmr.model.checkpoint import load_weights
from ros2_multihmr.model.multi_crop import MultiCrop
from ros2_multihmr.model.multi_crop_checkpoint import load_multi_crop
from ros2_multihmr.model.network import Network
from ros2_multihmr.model.stand_in import STAND_IN, stand_in_model
from ros2_multihmr.model.weights_error import WeightsError

# Small, for the Anny body, learned from synthetic pictures alone: docs/training.md says how.
EMBEDDED = "weights/embedded.safetensors"
# The second look at each person, see `model.multi_crop`.
EMBEDDED_REFINER = "weights/refiner.safetensors"


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


def open_multi_crop(weights: str | Path) -> MultiCrop:
    """Opens a network for the second look.

    Args:
        weights: Path of a file of `save_multi_crop`; "" for the network that comes with the package.

    Raises:
        WeightsError: The file is missing, damaged, or of another kind of network; says what to do.
        ImportError: Its encoder is one of `timm`, which is not installed.
    """
    if weights:
        return load_multi_crop(weights)
    try:
        return load_multi_crop(asset(EMBEDDED_REFINER))
    except FileNotFoundError as error:
        raise WeightsError(
            "second look: this installation has no weights for it. Train some (`multihmr train --recipe "
            "multi_crop_embedded --data ... --out ...`) and name the file in refiner_weights, or set refine to false"
        ) from error
