"""Sections of a recipe: what is set of the network, the data, the optimiser and the length of a run."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ros2_multihmr.model.config import PADDINGS
from ros2_multihmr.settings import Settings, setting

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
PRECISIONS = tuple(DTYPES)


@dataclass(frozen=True)
class NetworkSettings(Settings):
    """The network's sizes; see `MultiHMRConfig`."""

    body: str = setting("anny", "Body whose parameters come out; smplx needs the user's own file")
    image_size: int = setting(224, "Side of the square input [px], a multiple of 14", low=14)
    width: int = setting(192, "Backbone width", low=1)
    depth: int = setting(6, "Backbone blocks", low=1)
    heads: int = setting(3, "Backbone attention heads", low=1)
    stem: str = setting("conv", "What makes tokens of pixels", choices=("conv", "patch"))
    padding: str = setting(
        "square", "Images that are no squares: square, with the padding's tokens; cut, without them", choices=PADDINGS
    )
    hph_depth: int = setting(2, "Layers of the Human Perception Head", low=1)
    hph_heads: int = setting(4, "Its attention heads, each 32 wide", low=1)
    hph_width: int = setting(256, "Width of its tokens", low=1)
    weights: str = setting(
        "", "Start of everything: empty for random, a weights file of these sizes, or embedded for the package's own"
    )
    backbone: str = setting(
        "", "Start of the backbone: empty for random, a DINOv2 file, or dinov2 for the one in torch.hub's folder"
    )


@dataclass(frozen=True)
class DataSettings(Settings):
    """How samples become batches."""

    batch_size: int = setting(16, "Images per step, of all processes together", low=1)
    max_people: int = setting(10, "Most people per image that are learned from", low=1)
    workers: int = setting(1, "Processes that read and augment, per training process; 0 for none", low=0, high=256)
    augment: bool = setting(True, "Change the images at random: flip, crop, scale, colour")
    validation_images: int = setting(256, "Held-out images of a validation", low=1)


@dataclass(frozen=True)
class OptimiserSettings(Settings):
    """What is done with gradients."""

    kind: str = setting("adamw", "Update rule", choices=("adamw", "adam", "muon"))
    momentum: float = setting(0.95, "Memory of the gradient's mean, for matrices (muon)", low=0.0, high=0.9999)
    learning_rate: float = setting(5e-4, "Largest learning rate", low=0.0)
    final_fraction: float = setting(0.01, "Learning rate at the end, in parts of the largest", low=0.0, high=1.0)
    backbone_fraction: float = setting(1.0, "Learning rate of the backbone, in parts of the rest's", low=0.0)
    weight_decay: float = setting(0.05, "Weight decay of matrices (adamw)", low=0.0)
    beta1: float = setting(0.9, "Memory of the gradient's mean", low=0.0, high=0.9999)
    beta2: float = setting(0.98, "Memory of the gradient's square", low=0.0, high=0.99999)
    warm_up_steps: int = setting(500, "Steps in which the learning rate climbs from zero", low=0)
    clip_norm: float = setting(100.0, "Longest gradient; 0 for any", low=0.0)
    ema: float = setting(
        0.999, "Memory of the averaged weights, those that are kept; 0 for none", low=0.0, high=0.99999
    )
    precision: str = setting("float32", "Numbers of the backbone's and head's products", choices=PRECISIONS)
    most_skips: int = setting(20, "Give up after so many steps in a row without finite numbers", low=1)


@dataclass(frozen=True)
class LengthSettings(Settings):
    """How long a run takes, and what it leaves on the way."""

    steps: int = setting(0, "Steps; 0 for as many as the minutes allow", low=0)
    max_minutes: float = setting(0.0, "Minutes of training, interruptions not counted; 0 for any", low=0.0)
    validate_every: int = setting(500, "Steps from one validation to the next", low=1)
    checkpoint_every: int = setting(500, "Steps from one checkpoint to the next", low=1)
    keep: int = setting(2, "Checkpoints kept beside the best", low=1)
    log_every: int = setting(20, "Steps from one line of metrics to the next", low=1)
    half: bool = setting(False, "Write the weights that come out with 16 bits")
    pictures: int = setting(4, "Validation images drawn with the people found at every validation", low=0, high=64)

    def __post_init__(self) -> None:
        """Checks every value.

        Raises:
            ValueError: A value is not allowed, or the run would never end.
        """
        super().__post_init__()
        if not self.steps and not self.max_minutes:
            raise ValueError("steps: the run would never end; set length.steps or length.max_minutes")

    def part_done(self, steps: int, elapsed_s: float) -> float:
        """Part of a run that is over, 0 to 1: by its steps or its minutes, whichever is further."""
        by_steps = steps / self.steps if self.steps else 0.0
        by_minutes = elapsed_s / 60.0 / self.max_minutes if self.max_minutes else 0.0
        return min(1.0, max(by_steps, by_minutes))
