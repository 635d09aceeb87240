"""Rectifier: turns a raw image into the image of an ideal pinhole camera."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ros2_multihmr.camera import Camera

_OUTSIDE = -1e4  # a pixel that no image has: remap makes it black


class Rectifier:
    """Undoes lens distortion, and rotates the view as a stereo rig's calibration asks.

    Attributes:
        raw: Camera of the images that come in.
        camera: Camera of the images that go out; its optical frame is the rectified one.
    """

    def __init__(self, raw: Camera, k: ArrayLike, r: ArrayLike | None = None) -> None:
        """Computes the maps once; calls only look pixels up.

        Args:
            raw: Camera of the raw image, crop and binning applied.
            k: (3, 3) intrinsics of the rectified image: P[:3, :3] of sensor_msgs/CameraInfo, crop and binning applied.
            r: (3, 3) rotation from the raw to the rectified optical frame: R of sensor_msgs/CameraInfo; None for none.

        Raises:
            ValueError: k is no pinhole matrix, r is no rotation, or raw is rectified already.
        """
        if raw.rectified:
            raise ValueError("Rectifier: the camera is rectified already; give it the camera of the raw image")
        self.raw = raw
        self.camera = replace(raw, k=np.asarray(k, np.float64), distortion_model="", d=(), rectified=True)
        self._maps = _maps(raw, self.camera.k, _checked_rotation(np.eye(3) if r is None else r))

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Rectifies an image (H, W) or (H, W, C); pixels that the raw image does not show are black.

        Raises:
            ValueError: The image's size is not the raw camera's.
        """
        if image.shape[:2] != (self.raw.height, self.raw.width):
            raise ValueError(
                f"Rectifier: expected an image of {self.raw.width} x {self.raw.height} pixels, "
                f"got {image.shape[1]} x {image.shape[0]}"
            )
        return np.asarray(cv2.remap(image, *self._maps, interpolation=cv2.INTER_LINEAR), np.uint8)


def _maps(raw: Camera, k: NDArray[np.float64], r: NDArray[np.float64]) -> tuple[cv2.typing.MatLike, cv2.typing.MatLike]:
    """Where each rectified pixel lies in the raw image, by the camera's own projection: one formula for all models."""
    grid = np.stack(np.meshgrid(np.arange(raw.width), np.arange(raw.height)), axis=-1).astype(np.float64)
    rays = Camera(k, raw.width, raw.height).unproject(grid, np.ones(grid.shape[:2]))
    raw_px = raw.project(rays @ r)
    raw_px = np.where(np.isnan(raw_px), _OUTSIDE, raw_px).astype(np.float32)
    return cv2.convertMaps(raw_px[..., 0], raw_px[..., 1], cv2.CV_16SC2)


def _checked_rotation(r: ArrayLike) -> NDArray[np.float64]:
    r = np.asarray(r, np.float64)
    if r.shape != (3, 3) or not np.allclose(r @ r.T, np.eye(3), atol=1e-4) or np.linalg.det(r) < 0.0:
        raise ValueError(f"Rectifier: r must be a 3 x 3 rotation matrix, got {r.tolist()}")
    return r
