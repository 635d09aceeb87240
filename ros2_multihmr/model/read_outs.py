"""From the head's numbers to rotations, metres and pixels."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ros2_multihmr.model.config import PATCH

NOMINAL_HALF_FOV = math.radians(30.0)
MAX_DEPTH = 50.0
MIN_INVERSE = 1e-5


class TokenReadOut(nn.Module):
    """Two layers on each token's features, with a ReLU between them."""

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, width)
        self.fc2 = nn.Linear(width, outputs)

    def hidden(self, tokens: Tensor) -> Tensor:
        """Maps (..., C) to (..., C), what the second layer reads."""
        return F.relu(self.fc1(tokens))

    def forward(self, tokens: Tensor) -> Tensor:
        """Maps (..., C) to (..., outputs)."""
        return self.fc2(self.hidden(tokens))


def filled(values: Tensor, mask: Tensor) -> Tensor:
    """Sets (B, M, ...) values of empty slots to zero; `mask` is (B, M)."""
    shaped = mask[(...,) + (None,) * (values.dim() - mask.dim())]
    return torch.where(shaped, values, torch.zeros_like(values))


def filled_rotations(rotmats: Tensor, mask: Tensor) -> Tensor:
    """Sets (B, M, R, 3, 3) rotations of empty slots to identity; `mask` is (B, M)."""
    identity = torch.eye(3, dtype=rotmats.dtype, device=rotmats.device)
    return torch.where(mask[..., None, None, None], rotmats, identity)


def rotation_from_6d(numbers: Tensor, *, interleaved: bool = False) -> Tensor:
    """Makes rotations of six numbers each by Gram-Schmidt (arXiv:1812.07035).

    Args:
        numbers: (..., 6) first and second column of a matrix, one after the other. Parallel columns give NaN.
        interleaved: True if the columns alternate instead (`Quirks.interleaved_6d`).

    Returns:
        (..., 3, 3).
    """
    first, second = (numbers[..., 0::2], numbers[..., 1::2]) if interleaved else numbers.split(3, dim=-1)
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


def depth_from_inverse(log_inverse: Tensor, k: Tensor) -> Tensor:
    """Depth law of the official Anny networks: z = fx / exp(d), in pixels of the network's input.

    Args:
        log_inverse: (B, M) the head's output d.
        k: (B, 3, 3) intrinsics [px], of which fx counts.

    Returns:
        (B, M) depth along the optical axis [m].
    """
    return k[:, 0, 0, None] / torch.exp(log_inverse).clamp(min=MIN_INVERSE)


def location(cells: Tensor, offset: Tensor) -> Tensor:
    """Places people in the image.

    Args:
        cells: (B, M, 2) row and column of their tokens.
        offset: (B, M, 2) x, y from the token's centre [tokens].

    Returns:
        (B, M, 2) x, y [px].
    """
    return (cells.flip(-1).to(offset.dtype) + 0.5 + offset) * PATCH
