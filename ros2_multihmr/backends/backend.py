"""The backend protocol: images and intrinsics in, raw detections out."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from ros2_multihmr.model.config import MultiHMRConfig
from ros2_multihmr.model.raw_outputs import RawOutputs


class Backend(Protocol):
    """A way to run the network."""

    @property
    def config(self) -> MultiHMRConfig:
        """The network's configuration, weights' name included."""

    @property
    def device(self) -> torch.device:
        """Where outputs lie; the body model should lie there, too."""

    def infer(self, pixels: Tensor, k: Tensor, threshold: float) -> RawOutputs:
        """Runs the network on B images.

        Args:
            pixels: (B, 3, S, S) float32 normalised images, on any device.
            k: (B, 3, 3) float32 intrinsics of these inputs [px], corner of the first pixel at 0.
            threshold: Score from which a token counts as a person.
        """
