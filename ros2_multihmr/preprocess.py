"""Preprocessing: image and camera to the network's square input and its intrinsics, and the way back for pixels.

The image is scaled to fit into a square, centred and padded with black. Of the square, a window of tokens may do: its
pixels alone are made then, and whatever counts pixels still counts the square's. In the network's pixels the *corner*
of the first pixel is (0, 0); in the image's (see `camera`) its *centre* is: pixel u of the image lies at
(u + .5) s + margin.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from torch import Tensor

from ros2_multihmr.camera import Camera
from ros2_multihmr.model.config import IMAGENET_MEAN, IMAGENET_STD, PATCH
from ros2_multihmr.model.token_window import TokenWindow, fitted


@dataclass(frozen=True)
class NetworkView:
    """Where one image lies in the network's square input.

    Attributes:
        size: Side S of the square [px].
        content: Width and height of the scaled image inside it [px].
        margin: Columns to its left and rows above it [px].
        scale: Its size over the original's, x and y.
        k: (3, 3) intrinsics of the input, float64, corner of the first pixel at 0 [px].
    """

    size: int
    content: tuple[int, int]
    margin: tuple[int, int]
    scale: tuple[float, float]
    k: NDArray[np.float64]

    def to_network(self, px: ArrayLike) -> NDArray[np.float64]:
        """Turns pixels (..., 2) of the image into pixels of the network's input."""
        return (np.asarray(px, np.float64) + 0.5) * self.scale + self.margin

    def to_image(self, px: ArrayLike) -> NDArray[np.float64]:
        """Turns pixels (..., 2) of the network's input into pixels of the image."""
        return (np.asarray(px, np.float64) - self.margin) / self.scale - 0.5

    def window(self, least: int = 1) -> TokenWindow:
        """Returns the smallest window of the square's tokens that holds the image, and at least so many tokens."""
        return TokenWindow.around(self.size // PATCH, self.margin, self.content, least)


class NetworkInput(NamedTuple):
    """What a backend wants, and how to come back.

    Attributes:
        pixels: (B, 3, S, S) float32, normalised by ImageNet's mean and deviation; or (B, 3, H, W), a window of that.
        k: (B, 3, 3) float32 intrinsics of the square inputs.
        views: B views.
    """

    pixels: Tensor
    k: Tensor
    views: tuple[NetworkView, ...]


def network_view(camera: Camera, size: int) -> NetworkView:
    """Returns where an image of this camera lies in a square of `size` pixels, see `fitted`."""
    content, margin = fitted(camera.width, camera.height, size)
    scale = (content[0] / camera.width, content[1] / camera.height)
    k = camera.k.copy()
    k[:2, 2] = (k[:2, 2] + 0.5) * scale + margin
    k[0, 0], k[1, 1] = camera.fx * scale[0], camera.fy * scale[1]
    return NetworkView(size, content, margin, scale, k)


def preprocess(
    images: Sequence[NDArray[np.uint8]], cameras: Sequence[Camera], size: int, window: TokenWindow | None = None
) -> NetworkInput:
    """Scales, pads and normalises images as the official demo does (PIL's antialiased bicubic), intrinsics moved along.

    Args:
        images: B images, (H, W, 3) uint8 RGB; their sizes may differ.
        cameras: Their B cameras.
        size: Side S of the network's input [px].
        window: The tokens whose pixels are wanted; None: the whole square.

    Raises:
        ValueError: An image is not uint8 (H, W, 3), its size is not its camera's, or it is not all in the window.
    """
    check_counts(images, cameras)
    views = tuple(network_view(camera, size) for camera in cameras)
    pixels = np.empty((len(images), 3, *(window.size_px if window else (size, size))), np.float32)
    for image, camera, view, out in zip(images, cameras, views, pixels, strict=True):
        check_image(image, camera)
        _normalise(_scaled(image, view.content), place_in_window(view, window), out)
    return NetworkInput(torch.from_numpy(pixels), stack_intrinsics(views), views)


def stack_intrinsics(views: Sequence[NetworkView]) -> Tensor:
    """Returns the (B, 3, 3) float32 intrinsics of B views."""
    k = np.stack([view.k for view in views]) if views else np.empty((0, 3, 3))
    return torch.from_numpy(k.astype(np.float32))


def check_counts(images: Sequence[object], cameras: Sequence[Camera]) -> None:
    """Raises ValueError if there is not one camera for every image."""
    if len(images) != len(cameras):
        raise ValueError(f"preprocess: expected as many cameras as images, got {len(images)} and {len(cameras)}")


def check_image(image: NDArray[np.uint8], camera: Camera) -> None:
    """Raises ValueError if `image` is not a uint8 RGB image of the camera's size."""
    got = f"got {getattr(image, 'dtype', type(image).__name__)} {getattr(image, 'shape', '')}"
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"image: expected a uint8 RGB array (height, width, 3), {got}")
    if image.shape[:2] != (camera.height, camera.width):
        raise ValueError(
            f"image: expected {camera.width} x {camera.height} pixels as its camera has, "
            f"got {image.shape[1]} x {image.shape[0]}; is this the calibration of another camera or resolution?"
        )


def _scaled(image: NDArray[np.uint8], content: tuple[int, int]) -> NDArray[np.uint8]:
    # No reducing_gap, no OpenCV, no PyTorch: their numbers differ from what the released networks were fed. Rows first,
    # then columns: from release 13 on, Pillow itself changes the order for some shapes, and with it the numbers.
    narrow = _resized(image, (content[0], len(image)))
    return _resized(narrow, content)


def _resized(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(np.ascontiguousarray(image)).resize(size, Image.Resampling.BICUBIC))


def place_in_window(view: NetworkView, window: TokenWindow | None) -> tuple[int, int]:
    """Returns column and row of the image's first pixel in a window of the square; None: in the square itself.

    Raises:
        ValueError: The image is not all in the window.
    """
    if window is None:
        return view.margin
    if not window.covers(view.window()):
        width, height = (round(size / scale) for size, scale in zip(view.content, view.scale, strict=True))
        raise ValueError(
            f"image: expected one that is {window.images}, the only shape that this network was exported for; "
            f"got {width} x {height} pixels. Give images of that shape, or export the weights again: with "
            f"`multihmr export --cut-for {width}x{height}` for these, without --cut-for for images of any shape"
        )
    return view.margin[0] - PATCH * window.left, view.margin[1] - PATCH * window.top


def _normalise(content: NDArray[np.uint8], place: tuple[int, int], out: NDArray[np.float32]) -> None:
    (x, y), (height, width) = place, content.shape[:2]
    for channel, table in enumerate(normalised_bytes()):
        out[channel] = table[0]
        out[channel, y : y + height, x : x + width] = cv2.LUT(np.ascontiguousarray(content[..., channel]), table)


@lru_cache(maxsize=1)
def normalised_bytes() -> NDArray[np.float32]:
    """Returns the (3, 256) normalised value of every byte; in float64 and rounded once, as the official code does."""
    values = np.arange(256, dtype=np.float32) / np.float32(255.0)
    tables: NDArray[np.float32] = (
        (values.astype(np.float64) - np.array(IMAGENET_MEAN)[:, None]) / np.array(IMAGENET_STD)[:, None]
    ).astype(np.float32)
    return tables
