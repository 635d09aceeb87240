"""Measuring several things in one go, so that whatever slows the machine down slows all of them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch

Key = TypeVar("Key", bound=Hashable)
Stages = dict[str, float]
_BLOCK = 5


@dataclass(frozen=True)
class Latency:
    """How long something took, again and again.

    Attributes:
        median_ms, p95_ms, p99_ms: Percentiles [ms].
        per_second: Images done per second, one run after the other.
    """

    median_ms: float
    p95_ms: float
    p99_ms: float
    per_second: float

    @staticmethod
    def of(seconds: Sequence[float], images: int = 1) -> Latency:
        """Returns the percentiles of at least one run of `images` images [s]."""
        median, p95, p99 = (1e3 * float(value) for value in np.percentile(seconds, (50, 95, 99)))
        return Latency(median, p95, p99, images * len(seconds) / math.fsum(seconds))


def take_turns(
    runs: Mapping[Key, Callable[[], Stages]],
    repeats: int,
    *,
    block: int = _BLOCK,
    watched: Callable[[Sequence[int]], Iterable[int]] = iter,
) -> dict[Key, list[Stages]]:
    """Calls each of several functions so many times, in turns of a few calls.

    The first call of every turn does not count: it pays for what the others left in the caches, and shares the
    processor with their threads that still spin. The very first turn warms up and does not count at all.

    Args:
        runs: Functions that return seconds per stage, by what they are.
        repeats: Calls of each that count.
        block: Calls of a turn that count.
        watched: Passes the numbers of the turns on, for somebody who shows the progress.

    Returns:
        Seconds per stage of every call that counts.
    """
    results: dict[Key, list[Stages]] = {key: [] for key in runs}
    block = min(block, repeats)
    for turn in watched(range(1 + math.ceil(repeats / block))):
        for key, run in runs.items():
            calls = [run() for _ in range(1 + block)][1:]
            results[key] += calls if turn else []
    return {key: calls[:repeats] for key, calls in results.items()}


def now(device: torch.device) -> float:
    """Returns the time [s] once the device has done all that it was asked for."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
