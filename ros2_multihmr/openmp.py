"""PyTorch's OpenMP threads: how they wait, and whose they are. It reads its variables when PyTorch is loaded."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
_POLICY, _SPINS = "OMP_WAIT_POLICY", "GOMP_SPINCOUNT"


def wait_briefly(environ: MutableMapping[str, str]) -> None:
    """Lets threads that wait for more work look out for it for a moment, and then sleep; what the user has set stays.

    By default they look out for some milliseconds, and whoever shares the cores with them, starves: their own partners,
    too, so that a network beside one busy program takes ten times as long. If they sleep at once, to wake them for
    each of a network's many small products takes as long as the second core saves (docs/performance.md has figures).

    Args:
        environ: `os.environ`, or a copy of it for a process about to be started.
    """
    if _POLICY not in environ and _SPINS not in environ:
        environ[_POLICY] = "passive"  # for other OpenMPs
        environ[_SPINS] = "5000"  # for libgomp, instead: some tenths of a millisecond


def aside(work: Callable[[], T]) -> T:
    """Returns what `work` does, and raises what it raises, after it was done in a thread that has ended.

    Every thread that computes with PyTorch gets a set of OpenMP threads, which stay as long as it does. As soon as all
    sets together are more threads than cores, libgomp lets those who wait sleep sooner. So a program that computes in
    one thread loads its network aside of all others.
    """
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(work).result()
