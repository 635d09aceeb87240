"""Pillow's antialiased bicubic scaling on any device of PyTorch, bit for bit.

Pillow weighs bytes with whole numbers of 22 binary places and rounds to bytes after either pass, rows first. With the
same whole numbers, in whatever order they are added up, the same bytes come out: on a GPU, too.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_PLACES = 22  # 32 bits, less 8 for a byte, less 2 for sums and signs
_SUPPORT = 2.0  # of the cubic, to either side [pixels of the smaller image]
_SHARPNESS = -0.5
_MOST_PRODUCTS = 2**24  # at once: 64 MB


class Taps(NamedTuple):
    """What each pixel of a scaled line is made of.

    Attributes:
        places: (N, T) int64 pixels of the original line.
        weights: (N, T) int32 their weights, times 2^22; 0 where fewer than T count.
    """

    places: Tensor
    weights: Tensor

    def to(self, device: torch.device) -> Taps:
        """Returns them on a device."""
        return Taps(self.places.to(device), self.weights.to(device))


@lru_cache(maxsize=32)
def bicubic_taps(length: int, scaled: int) -> Taps:
    """Returns what `scaled` pixels are made of that a line of `length` pixels becomes, on the CPU.

    Every step repeats Pillow's in its order, so that the same numbers are rounded.
    """
    scale = length / scaled
    wider = max(scale, 1.0)  # antialiasing: the cubic is as wide as the pixels of the smaller image
    support = _SUPPORT * wider
    center = (np.arange(scaled) + 0.5) * scale
    first = np.maximum((center - support + 0.5).astype(np.int64), 0)
    behind = np.minimum((center + support + 0.5).astype(np.int64), length)
    steps = np.arange(int(np.ceil(support)) * 2 + 1)
    weights = _cubic((steps + first[:, None] - center[:, None] + 0.5) * (1.0 / wider))
    weights[steps >= (behind - first)[:, None]] = 0.0
    weights /= np.cumsum(weights, axis=1)[:, -1:]  # one after the other: np.sum adds in another order
    whole = np.trunc(weights * 2**_PLACES + np.copysign(0.5, weights)).astype(np.int32)
    index = np.minimum(first[:, None] + steps, length - 1)
    return Taps(torch.from_numpy(index), torch.from_numpy(whole))


def _cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    x, a = np.abs(x), _SHARPNESS
    inner, outer = ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0, (((x - 5.0) * x + 8.0) * x - 4.0) * a
    return np.where(x < 1.0, inner, np.where(x < _SUPPORT, outer, 0.0))


def scale_bicubic(image: Tensor, across: Taps | None, down: Taps | None) -> Tensor:
    """Scales an image as Pillow does.

    Args:
        image: (H, W, 3) uint8.
        across: Taps of the columns, on the image's device; None: as many columns as before.
        down: Taps of the rows; None: as many rows.

    Returns:
        (H', W', 3) uint8.
    """
    if across is not None:
        rows = max(1, _MOST_PRODUCTS // (across.places.numel() * image.shape[2]))
        image = torch.cat([_weigh(part, across, 1) for part in image.split(rows)])
    if down is not None:
        rows = max(1, _MOST_PRODUCTS // (down.places.shape[1] * image.shape[1] * image.shape[2]))
        parts = zip(down.places.split(rows), down.weights.split(rows), strict=True)
        image = torch.cat([_weigh(image, Taps(*part), 0) for part in parts])
    return image


def _weigh(image: Tensor, taps: Taps, dim: int) -> Tensor:
    """Replaces a dimension by weighted sums of it, rounded to bytes."""
    near = image.index_select(dim, taps.places.flatten()).unflatten(dim, taps.places.shape)
    weights = taps.weights.reshape(*taps.weights.shape, *(1,) * (image.dim() - 1 - dim))
    sums = (near * weights).sum(dim + 1, dtype=torch.int32) + (1 << (_PLACES - 1))
    return (sums >> _PLACES).clamp(0, 255).to(torch.uint8)
