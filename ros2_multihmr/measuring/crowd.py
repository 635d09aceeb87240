"""As many people as are wanted in one picture: the best candidates, whatever their score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ros2_multihmr.camera import Camera
from ros2_multihmr.estimator import Estimator
from ros2_multihmr.model.raw_outputs import RawOutputs

_LOWEST = 1e-6  # suppressed candidates have the score 0


@dataclass(frozen=True)
class NetworkCall:
    """What an estimator hands to its backend for some images.

    Attributes:
        pixels: (B, 3, H, W) normalised.
        k: (B, 3, 3) intrinsics.
        raw: What came back.
    """

    pixels: Tensor
    k: Tensor
    raw: RawOutputs


class _Listening:
    """A backend that notes what it is asked."""

    def __init__(self, backend: object) -> None:
        self._backend, self.calls = backend, list[NetworkCall]()

    def __getattr__(self, name: str) -> object:
        return getattr(self._backend, name)

    def infer(self, pixels: Tensor, k: Tensor, threshold: float) -> RawOutputs:
        raw: RawOutputs = self._backend.infer(pixels, k, threshold)  # type: ignore[attr-defined]
        self.calls.append(NetworkCall(pixels, k, raw))
        return raw


def network_call(estimator: Estimator, images: Sequence[NDArray[np.uint8]], camera: Camera) -> NetworkCall:
    """Returns what the network gets and returns for images of one camera."""
    backend = _Listening(estimator.backend)
    listening = Estimator(backend, estimator.body, estimator.config)  # type: ignore[arg-type]
    listening.estimate_batch(images, [camera] * len(images))
    return backend.calls[0]


def with_people(estimator: Estimator, count: int, scores_map: Tensor) -> Estimator:
    """Returns an estimator with the threshold that so many candidates of the first image pass.

    Args:
        estimator: The estimator.
        count: People wanted.
        scores_map: (B, rows, columns) scores after suppression.

    Raises:
        ValueError: The image has fewer candidates, or the network has fewer slots; says what to do.
    """
    scores = torch.sort(scores_map[0].flatten().double().cpu(), descending=True).values
    candidates = int((scores > _LOWEST).sum())
    if count > candidates:
        raise ValueError(
            f"{count} people: the picture has {candidates} candidates; more come with --nms-kernel 1, with a larger "
            "network or another picture"
        )
    if count > estimator.backend.config.max_humans:
        raise ValueError(
            f"{count} people: {estimator.backend.config.weights} has {estimator.backend.config.max_humans} slots; "
            "write the export again with more, or ask for fewer people"
        )
    after = float(scores[count]) if count < len(scores) else 0.0
    threshold = 0.5 * (float(scores[count - 1]) + after)
    chosen = estimator.with_config(replace(estimator.config, detection_threshold=threshold))
    return chosen
