"""First pass: the features that an estimator's network had of its last image, and what they say of crops of it.

Reading crops from these instead of pixels costs no second encoder. The network is watched, not changed, and only while
somebody wants its features.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ros2_multihmr.backends.torch_backend import TorchBackend
from ros2_multihmr.camera import Camera
from ros2_multihmr.estimator import Estimator
from ros2_multihmr.model.config import PATCH
from ros2_multihmr.model.crop_cameras import CropBoxes
from ros2_multihmr.model.feature_bins import bin_samples, read_bins
from ros2_multihmr.model.multi_crop_config import MultiCropConfig
from ros2_multihmr.model.token_window import TokenWindow
from ros2_multihmr.preprocess import NetworkView, network_view


class FeatureMap(NamedTuple):
    """What a network saw of one image.

    Attributes:
        tokens: (1, C, rows, columns) features of the tokens of `window`.
        window: Which of the square's tokens these are.
        view: Where the image lies in the square.
    """

    tokens: Tensor
    window: TokenWindow
    view: NetworkView

    def cells(self, px: NDArray[np.float64]) -> NDArray[np.float64]:
        """Turns pixels (..., 2) of the image into places on the map: columns and rows, its corner at 0."""
        cells: NDArray[np.float64] = self.view.to_network(px) / PATCH - (self.window.left, self.window.top)
        return cells


class FirstPass:
    """Keeps the features of an estimator's last image until they are fetched."""

    def __init__(self, estimator: Estimator, config: MultiCropConfig) -> None:
        """Begins to watch.

        Args:
            estimator: Whose network it is.
            config: Of the network that wants its features.

        Raises:
            ValueError: An exported network, which shows no features, or one of another width.
        """
        backend = estimator.backend
        if not isinstance(backend, TorchBackend):
            raise ValueError(
                f"second look: {config.weights!r} reads the first network's features, which an exported network does "
                "not show; use weights with backend torch, or a refiner that reads pixels (encoder vit)"
            )
        if backend.config.width != config.width:
            raise ValueError(
                f"second look: {config.weights!r} reads features of width {config.width}, but those of "
                f"{backend.config.weights!r} have {backend.config.width}; use the weights it was trained with"
            )
        self._grid, self._size = backend.config.grid, backend.config.image_size
        self._seen: tuple[Tensor, Tensor] | None = None
        backend.watch_features(self._take)

    def features(self, camera: Camera) -> FeatureMap:
        """Returns the features of the image that the estimator saw last, once.

        Args:
            camera: The image's.

        Raises:
            RuntimeError: It saw none since they were fetched, or several at once.
        """
        seen, self._seen = self._seen, None
        if seen is None or len(seen[0]) != 1:
            raise RuntimeError(
                f"second look: expected that the first network saw one image just before, got "
                f"{0 if seen is None else len(seen[0])}; refine after each estimate"
            )
        pixels, tokens = seen
        window = TokenWindow.of_pixels(pixels, self._grid)
        tokens = tokens.transpose(1, 2).unflatten(2, (window.rows, window.columns))
        return FeatureMap(tokens, window, network_view(camera, self._size))

    def _take(self, pixels: Tensor, tokens: Tensor) -> None:
        self._seen = pixels, tokens


def roi_align(features: FeatureMap, boxes: CropBoxes, bins: tuple[int, int], camera: Camera, pinhole: Camera) -> Tensor:
    """Reads crops from a feature map, see `feature_bins`; also through a lens.

    Args:
        features: Of one image.
        boxes: P x N crops, in pixels of `pinhole`.
        bins: Rows and columns wanted of each.
        camera: The camera of the image.
        pinhole: The same without distortion of the lens, or `camera` itself.

    Returns:
        (P, N, C, rows, columns), on the map's device.
    """
    device = features.tokens.device
    px = bin_samples(CropBoxes(*(edges.cpu().double() for edges in boxes)), bins).numpy()
    if pinhole is not camera:
        px = camera.project(pinhole.unproject(px, np.ones(px.shape[:-1])))
    return read_bins(features.tokens, torch.from_numpy(features.cells(px)).to(device))
