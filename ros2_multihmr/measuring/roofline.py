"""The roofline: no run can be faster than its arithmetic at the machine's rate, nor than reading its weights once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from ros2_multihmr.backends.torch_backend import PRECISIONS
from ros2_multihmr.measuring.turns import now
from ros2_multihmr.model.config import MultiHMRConfig
from ros2_multihmr.model.network import build_network

_SIDE = 2048  # of the matrices that measure the rate
_COPIED = 256 * 2**20
_LEAST_S = 0.5


@dataclass(frozen=True)
class Cost:
    """What one run of a network costs, counted, not measured.

    Attributes:
        flops: Multiplications and additions of matrices, convolutions and attention; two per multiply-add.
        backbone_flops: Those of the backbone alone.
        bytes: All weights at the run's precision, and the pixels: they are read at least once.
    """

    flops: int
    backbone_flops: int
    bytes: int


@dataclass(frozen=True)
class Machine:
    """What this machine reaches, measured.

    Attributes:
        flops_per_s: Rate of a matrix product, by precision.
        bytes_per_s: Reading and writing together, of a copy.
    """

    flops_per_s: dict[str, float]
    bytes_per_s: float

    def least_ms(self, cost: Cost, precision: str) -> float:
        """Returns the time that no run of this cost can beat [ms]."""
        return 1e3 * max(cost.flops / self.flops_per_s[precision], cost.bytes / self.bytes_per_s)


def count_cost(config: MultiHMRConfig, shape: tuple[int, ...], precision: str = "float32") -> Cost:
    """Counts what one run costs, without weights and without a run.

    Args:
        config: The network's.
        shape: Of its pixels, (B, 3, H, W).
        precision: Of its backbone.
    """
    with torch.device("meta"):
        model = build_network(config).eval().requires_grad_(False)
        model.backbone.set_precision(PRECISIONS[precision])
        inputs = torch.zeros(shape), torch.zeros(shape[0], 3, 3), torch.zeros(())
    read = sum(tensor.nbytes for tensor in (*model.parameters(), *model.buffers(), inputs[0]))
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        model(*inputs)
    name = f"{type(model).__name__}.backbone"
    in_backbone = sum(counter.get_flop_counts()[name].values())
    return Cost(counter.get_total_flops(), in_backbone, read)


def measure_machine(device: torch.device, precisions: Iterable[str], side: int = _SIDE) -> Machine:
    """Measures the rates of a device.

    Args:
        device: Which one.
        precisions: Of the matrices, names of `PRECISIONS`.
        side: Of the square matrices.
    """
    rates = {name: matmul_rate(device, PRECISIONS[name], side) for name in precisions}
    block = torch.zeros(_COPIED, dtype=torch.uint8, device=device)
    target = torch.empty_like(block)
    seconds = _fastest(lambda: target.copy_(block), device)
    return Machine(rates, 2 * _COPIED / seconds)


def matmul_rate(device: torch.device, dtype: torch.dtype, side: int = _SIDE) -> float:
    """Returns the best rate of a product of two square matrices [operations per second]."""
    a, b = (torch.full((side, side), 0.5, dtype=dtype, device=device) for _ in range(2))
    out = torch.empty_like(a)
    return 2 * side**3 / _fastest(lambda: torch.mm(a, b, out=out), device)


def _fastest(call: Callable[[], Any], device: torch.device) -> float:
    call()
    best, end = math.inf, now(device) + _LEAST_S
    while (start := now(device)) < end:
        call()
        best = min(best, now(device) - start)
    return best
