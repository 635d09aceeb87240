"""Pixels that stay where they are and look otherwise: colour, blur, noise, compression.

Images are (H, W, 3) uint8 RGB, in and out.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]

_LUMA = np.array([0.299, 0.587, 0.114])  # BT.601, as JPEG's


def recolor(image: Picture, brightness: float, contrast: float, saturation: float, *, hue_deg: float) -> Picture:
    """Changes colours linearly, in one product.

    Args:
        image: The image.
        brightness: Factor of every value.
        contrast: Factor of the differences from the image's mean brightness.
        saturation: Factor of the differences from each pixel's brightness; 0 for gray.
        hue_deg: Turn about the gray axis [degrees].
    """
    matrix = _hue_turn(np.radians(hue_deg))
    matrix = saturation * matrix + (1.0 - saturation) * _LUMA
    mean = float(_LUMA @ cv2.mean(image)[:3])
    offset = brightness * (1.0 - contrast) * mean
    affine = np.column_stack([brightness * contrast * matrix, np.full(3, offset)])
    return np.asarray(cv2.transform(image, affine), np.uint8)


def blur(image: Picture, sigma_px: float) -> Picture:
    """Blurs by a Gaussian of this standard deviation [px]; 0 changes nothing."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma_px), np.uint8) if sigma_px > 0.0 else image


def add_noise(image: Picture, level: float, rng: np.random.Generator) -> Picture:
    """Adds independent Gaussian noise of this standard deviation [levels of 255]."""
    noise = rng.standard_normal(image.shape, np.float32) * np.float32(level)
    return np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)


def as_jpeg(image: Picture, quality: int) -> Picture:
    """Returns what JPEG of this quality, 1 to 100, makes of the image."""
    _, packed = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.ascontiguousarray(np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8)[..., ::-1])


def _hue_turn(angle_rad: float) -> NDArray[np.float64]:
    """(3, 3) rotation of RGB about the gray axis."""
    axis = np.full((3, 1), np.sqrt(1.0 / 3.0))
    turned, _ = cv2.Rodrigues(axis * angle_rad)
    return np.asarray(turned, np.float64)
