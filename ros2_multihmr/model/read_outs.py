"""From the head's numbers to rotations, metres and pixels."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ros2_multihmr.model.config import PATCH

NOMINAL_HALF_FOV = math.radians(30.0)
MAX_DEPTH = 50.0


def rotation_from_6d(numbers: Tensor) -> Tensor:
    """Makes rotations of six numbers each by Gram-Schmidt (arXiv:1812.07035).

    Args:
        numbers: (..., 6) first and second column of a matrix, one after the other. Parallel columns give NaN.

    Returns:
        (..., 3, 3).
    """
    first, second = numbers[..., :3], numbers[..., 3:]
    x = first / first.norm(dim=-1, keepdim=True)
    y = second - (x * second).sum(-1, keepdim=True) * x
    y = y / y.norm(dim=-1, keepdim=True)
    return torch.stack([x, y, cross(x, y)], dim=-1)


def cross(a: Tensor, b: Tensor) -> Tensor:
    """Cross product of (..., 3) vectors, written out: every runtime has it."""
    ax, ay, az = a.unbind(-1)
    bx, by, bz = b.unbind(-1)
    return torch.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], dim=-1)


def nominal_focal(image_size: int) -> float:
    """Focal length of a 60 degree camera at the network's input [px]; depths are read relative to it."""
    return image_size / (2 * math.tan(NOMINAL_HALF_FOV))


def depth_from_nearness(eta: Tensor, k: Tensor, image_size: int) -> Tensor:
    """Depth law of our own networks: z = f / exp(eta), f in units of the nominal focal length (paper, section 3.3).

    Args:
        eta: (B, M) log of the inverse depth that a 60 degree camera would see.
        k: (B, 3, 3) intrinsics [px]. f is the geometric mean of fx and fy: what scales a person's area in the image.
        image_size: S [px].

    Returns:
        (B, M) depth along the optical axis [m].
    """
    focal = (k[:, 0, 0] * k[:, 1, 1]).sqrt() / nominal_focal(image_size)
    return focal[:, None] * torch.exp(-eta)


def depth_from_scaled_log(log_depth: Tensor, k: Tensor, image_size: int) -> Tensor:
    """Depth law of the official SMPL-X networks (`Quirks.focal_on_log_depth`).

    Args:
        log_depth: (B, M) the head's output.
        k: (B, 3, 3) intrinsics [px], of which fx counts.
        image_size: S [px].

    Returns:
        (B, M) depth along the optical axis [m].
    """
    focal = k[:, 0, 0] / nominal_focal(image_size)
    return torch.exp(log_depth * focal[:, None]) - 1e-10


def location(cells: Tensor, offset: Tensor) -> Tensor:
    """Places people in the image.

    Args:
        cells: (B, M, 2) row and column of their tokens.
        offset: (B, M, 2) x, y from the token's centre [tokens].

    Returns:
        (B, M, 2) x, y [px].
    """
    return (cells.flip(-1).to(offset.dtype) + 0.5 + offset) * PATCH
