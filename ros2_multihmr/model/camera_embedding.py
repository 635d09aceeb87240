"""The camera in the features: a Fourier embedding of each token's viewing ray (paper, section 3.2)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ros2_multihmr.model.config import PATCH, MultiHMRConfig
from ros2_multihmr.model.token_window import TokenWindow


def token_rays(k: Tensor, grid: int, *, rows_as_x: bool, window: TokenWindow | None = None) -> Tensor:
    """Computes the rays through the tokens' centres, K^-1 (u, v, 1).

    Args:
        k: (B, 3, 3) intrinsics of the network's input [px], corner of the first pixel at 0, last row (0, 0, 1).
        grid: Tokens per side g.
        rows_as_x: Repeats the quirk `Quirks.rows_as_ray_x`.
        window: The tokens; None: the whole square's.

    Returns:
        (B, N, 3) rays with z = 1, row by row.
    """
    window = window or TokenWindow.whole(grid)
    centres = torch.arange(grid, device=k.device, dtype=k.dtype) * PATCH + PATCH // 2
    down, across = torch.meshgrid(window.of_rows(centres), window.of_columns(centres), indexing="ij")
    u, v = (down, across) if rows_as_x else (across, down)
    return unproject(k, torch.stack([u.flatten(), v.flatten()], dim=-1)[None])


def unproject(k: Tensor, points: Tensor) -> Tensor:
    """Computes K^-1 (u, v, 1).

    Args:
        k: (B, 3, 3) intrinsics [px] with last row (0, 0, 1).
        points: (B or 1, P, 2) points [px].

    Returns:
        (B, P, 3) rays with z = 1.
    """
    fx, skew, cx, fy, cy = (k[:, r, c, None] for r, c in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2)))
    y = (points[..., 1] - cy) / fy
    x = (points[..., 0] - cx - skew * y) / fx
    return torch.stack([x, y, torch.ones_like(x)], dim=-1)


def fourier(rays: Tensor, num_bands: int, max_resolution: float) -> Tensor:
    """Embeds rays: themselves, then sines, then cosines of pi * coordinate * frequency, coordinate by coordinate.

    Args:
        rays: (..., 3).
        num_bands: Frequencies, evenly spaced from 1 to half of `max_resolution`.
        max_resolution: See there.

    Returns:
        (..., 3 + 6 * num_bands).
    """
    frequencies = torch.linspace(1.0, max_resolution / 2, num_bands, device=rays.device, dtype=rays.dtype)
    angles = (rays[..., None] * frequencies).flatten(-2) * math.pi
    return torch.cat([rays, angles.sin(), angles.cos()], dim=-1)


def embed_camera(k: Tensor, config: MultiHMRConfig, window: TokenWindow | None = None) -> Tensor:
    """Computes the (B, N, 3 + 6 bands) ray embedding of a window's tokens for (B, 3, 3) intrinsics of the square."""
    rays = token_rays(k, config.grid, rows_as_x=config.quirks.rows_as_ray_x, window=window)
    return fourier(rays, config.num_bands, config.max_resolution)
