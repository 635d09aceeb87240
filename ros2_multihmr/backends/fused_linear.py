"""What linear layers of blocks for a CPU have in common: each does what follows it, and is tried before it is used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ros2_multihmr.model.vit import LayerScale

TRIAL_WIDTH = 32


class FusedLinear(Protocol):
    """A linear layer from I to O numbers that does what follows it."""

    def __call__(self, x: Tensor) -> Tensor:
        """Maps (..., I) to (..., O)."""

    def gelu(self, x: Tensor) -> Tensor:
        """Maps (..., I) to (..., O) and through the exact GELU."""

    def added(self, x: Tensor, to: Tensor) -> Tensor:
        """Maps (..., I) to (..., O) and adds that to (..., O)."""


def scaled(linear: nn.Linear, scale: LayerScale) -> tuple[Tensor, Tensor]:
    """Returns weight (O, I) and bias (O,) of a layer with the factors after it in them."""
    return scale.gamma[:, None] * linear.weight, scale.gamma * linear.bias


def trial_numbers() -> tuple[Tensor, Tensor, Tensor]:
    """Returns x (5, `TRIAL_WIDTH`), and weight and bias of a layer as wide."""
    x, weight, bias = (torch.linspace(-1, 1, count * TRIAL_WIDTH) for count in (5, TRIAL_WIDTH, 1))
    return x.view(5, TRIAL_WIDTH), weight.view(TRIAL_WIDTH, TRIAL_WIDTH).sin(), bias


def layer_agrees(
    make: Callable[[Tensor, Tensor, torch.dtype], FusedLinear], dtype: torch.dtype, takes: torch.dtype
) -> bool:
    """Tries a kind of layer on a few numbers, against PyTorch's own.

    Args:
        make: Makes one of weight, bias and the precision of its products.
        dtype: That precision.
        takes: Of the numbers that it maps.
    """
    x, weight, bias = trial_numbers()
    layer, given, plain = make(weight, bias, dtype), x.to(takes), F.linear(x, weight, bias)
    pairs = ((layer(given), plain), (layer.gelu(given), F.gelu(plain)), (layer.added(given, given), plain + x))
    return all(near(ours, expected, dtype) for ours, expected in pairs)


def near(ours: Tensor, expected: Tensor, dtype: torch.dtype) -> bool:
    """Says whether numbers of the trial differ by no more than the rounding of a precision."""
    limit = 1e-5 if dtype == torch.float32 else 0.1
    return torch.allclose(ours.float(), expected, atol=limit, rtol=limit)
