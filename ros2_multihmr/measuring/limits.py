"""How near the network comes to the hardware's limit, and what it keeps in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import torch

from ros2_multihmr.estimator_config import EstimatorConfig
from ros2_multihmr.measuring.roofline import Cost, Machine, count_cost
from ros2_multihmr.measuring.split import BACKBONE, HEAD
from ros2_multihmr.measuring.turns import Stages
from ros2_multihmr.model.config import MultiHMRConfig

HEADINGS = (
    *("what runs it", "GFLOP", "MB read", "least [ms]", "network [ms]", "of the limit"),
    *("backbone, plain [ms]", "head, plain [ms]", "memory kept [MB]", "in passing [MB]", "GPU, most [MB]"),
)
_UNKNOWN = "-"


@dataclass(frozen=True)
class NetworkLimit:
    """One variant's network against the hardware.

    Attributes:
        variant: What runs it.
        precision: At which the limit was taken; of an export, whose own is not known, float32.
        cost: What a run costs, counted.
        least_ms: No run can be faster than this on this machine [ms].
        network_ms: Median of the network's stage [ms].
        backbone_ms, head_ms: The same network's parts in plain PyTorch, medians [ms]; None for an export.
        kept_mb, passing_mb: Host memory of a fresh process after its first image, and the most in passing beyond that
            [MB]; None if that was not asked for.
        gpu_mb: Most GPU memory that PyTorch took for loading it and for its first image [MB]; None on a CPU.
    """

    variant: str
    precision: str
    cost: Cost
    least_ms: float
    network_ms: float
    backbone_ms: float | None
    head_ms: float | None
    kept_mb: float | None
    passing_mb: float | None
    gpu_mb: float | None

    @property
    def share(self) -> float:
        """The limit's time over the network's: 1 is as fast as the machine can be."""
        return self.least_ms / self.network_ms

    def cells(self) -> tuple[str, ...]:
        """Returns the row for `HEADINGS`."""
        numbers = (self.backbone_ms, self.head_ms, self.kept_mb, self.passing_mb, self.gpu_mb)
        layouts = (".2f", ".2f", ".0f", ".0f", ".0f")
        return (
            self.variant,
            f"{self.cost.flops / 1e9:.1f}",
            f"{self.cost.bytes / 1e6:.1f}",
            f"{self.least_ms:.2f}",
            f"{self.network_ms:.2f}",
            f"{self.share:.0%}",
            *(_UNKNOWN if value is None else f"{value:{layout}}" for value, layout in zip(numbers, layouts)),
        )

    def values(self) -> dict[str, object]:
        """Returns the same for JSON."""
        return {**asdict(self), "share": self.share}


def precision_of(config: EstimatorConfig) -> str:
    """Returns the precision that settings mean; float32 where a file decides."""
    return "float32" if config.precision == "auto" else config.precision


def network_limit(
    variant: str,
    config: EstimatorConfig,
    network: MultiHMRConfig,
    shape: tuple[int, ...],
    machine: Machine,
    network_s: Sequence[float],
    parts: Sequence[Stages],
    memory_mb: tuple[float, float] | None,
    gpu_mb: float | None,
) -> NetworkLimit:
    """Joins what was counted and measured of one variant.

    Args:
        variant: What runs it.
        config: Its settings.
        network: Its network's configuration.
        shape: Of its pixels.
        machine: The machine's rates, for `precision_of(config)` among others.
        network_s: Times of the network's stage [s].
        parts: Seconds of backbone and head, of some runs; empty if it cannot be taken apart.
        memory_mb: Kept and in passing, see `NetworkLimit`.
        gpu_mb: See there.
    """
    precision = precision_of(config)
    cost = count_cost(network, shape, precision)
    least_ms, median_ms = machine.least_ms(cost, precision), 1e3 * float(np.median(network_s))
    backbone, head = (_median_ms([run[name] for run in parts]) for name in (BACKBONE, HEAD))
    kept, passing = memory_mb or (None, None)
    return NetworkLimit(variant, precision, cost, least_ms, median_ms, backbone, head, kept, passing, gpu_mb)


def _median_ms(seconds: Sequence[float]) -> float | None:
    return 1e3 * float(np.median(seconds)) if seconds else None


def machine_text(machine: Machine) -> str:
    """Returns the machine's rates in a sentence."""
    rates = ", ".join(f"{rate / 1e9:.0f} GFLOP/s in {name}" for name, rate in machine.flops_per_s.items())
    return f"This machine multiplies matrices at {rates}, and copies {machine.bytes_per_s / 1e9:.1f} GB/s (in and out)."


def plain_settings(config: EstimatorConfig) -> dict[str, Any]:
    """Returns the estimator's own settings of any options that extend them."""
    return {field.name: getattr(config, field.name) for field in fields(EstimatorConfig)}


def peak_gpu_mb(device: torch.device, before: int) -> float | None:
    """Returns PyTorch's greatest GPU memory since the last reset beyond `before` bytes [MB]; None on a CPU."""
    return (torch.cuda.max_memory_allocated(device) - before) / 1e6 if device.type == "cuda" else None
