"""A tiny random network for tests."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor

from ros2_multihmr.model.config import MultiHMRConfig
from ros2_multihmr.model.initialisation import draw, draw_weights
from ros2_multihmr.model.multihmr import MultiHMR

SMALL = MultiHMRConfig(
    kind="multihmr",
    weights="small",
    body="anny",
    untrained=True,
    image_size=112,
    width=32,
    depth=2,
    heads=2,
    num_rotations=5,
    num_shape=3,
    num_expression=2,
    num_bands=4,
    hph_depth=1,
    hph_heads=2,
    hph_width=48,
    max_humans=10,
    shape_activation="sigmoid",
)


def small_network(seed: int = 0, **changes: Any) -> MultiHMR:
    """The network of `SMALL`, with fields replaced."""
    model = MultiHMR(dataclasses.replace(SMALL, **changes)).eval().requires_grad_(False)
    draw_weights(model, seed)
    model.head.init_pose.copy_(torch.tensor([1.0, 0, 0, 0, 1, 0]).repeat(model.config.num_rotations))
    return model


def small_inputs(count: int = 2, size: int = 112) -> tuple[Tensor, Tensor]:
    """Images of noise, (count, 3, S, S), and one camera each, (count, 3, 3)."""
    k = torch.tensor([[100.0, 0, 50], [0, 110, 60], [0, 0, 1]]).repeat(count, 1, 1)
    k[:, 0, 0] += 20 * torch.arange(count)
    return draw("pixels", (count, 3, size, size), 5), k
