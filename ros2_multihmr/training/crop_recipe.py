"""What a recipe says of a second look alone: its network, and what is known of people before it."""

from __future__ import annotations

from dataclasses import dataclass

from ros2_multihmr.model.multi_crop_config import CropSettings
from ros2_multihmr.settings import Settings, setting
from ros2_multihmr.training.crop_losses import CropLossWeights

SOURCES = ("first_pass", "truth")


@dataclass(frozen=True)
class CropNetworkSettings(CropSettings):
    """The network's kind and sizes, and where its weights start."""

    body: str = setting("anny", "Body whose parameters come out; smplx needs the user's own file")
    weights: str = setting(
        "", "Start of everything: empty for random; embedded or a file of multi-crop weights, of these sizes"
    )
    backbone: str = setting(
        "",
        "Start of the encoder: empty for random; a file of multi-crop weights, whose encoder it becomes; for vit "
        "embedded or a file of single-shot weights of these sizes, whose backbone it becomes; for timm's a file of its "
        "weights",
    )


@dataclass(frozen=True)
class EstimateSettings(Settings):
    """Where boxes, and the start first_pass, come from.

    The noise is what is added to the truth, as standard deviations of normal distributions; by default about as much as
    the package's single-shot weights are off by on validation images, root mean square.
    """

    source: str = setting(
        "first_pass",
        "first_pass: a single-shot network looks at the very images; truth: the truth, with noise",
        choices=SOURCES,
    )
    weights: str = setting("embedded", "The single-shot network: embedded, or a weights file (first_pass)")
    box_shift: float = setting(0.05, "Noise of a box's place [long sides]", low=0.0, high=1.0)
    box_scale: float = setting(0.1, "Noise of a box's size, of its logarithm", low=0.0, high=1.0)
    root_deg: float = setting(60.0, "Noise of the root's rotation [degrees] (truth)", low=0.0, high=180.0)
    joint_deg: float = setting(23.0, "Noise of every other rotation [degrees] (truth)", low=0.0, high=180.0)
    shape: float = setting(0.3, "Noise of shape parameters (truth)", low=0.0)
    expression: float = setting(0.1, "Noise of expression parameters (truth)", low=0.0)
    depth: float = setting(0.19, "Noise of the distance, of its logarithm (truth)", low=0.0, high=1.0)
    place: float = setting(0.03, "Noise of the head's place in the image [parts of the distance] (truth)", low=0.0)


def check_crop_losses(network: CropNetworkSettings, losses: CropLossWeights) -> None:
    """Checks that a network can have the losses that are wanted.

    Raises:
        ValueError: It has no head for the contrastive loss.
    """
    if losses.contrastive > 0 and not network.contrastive:
        raise ValueError(
            "losses.contrastive: expected 0 for a network without network.contrastive, got "
            f"{losses.contrastive}; set one or the other"
        )
