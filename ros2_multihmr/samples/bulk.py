"""Bulk: many shards, written by several processes; the same bytes for any number of them.

Each process gets shards over a pipe, one after another. Where the pipe ends, the other side is gone: processes whose
parent was killed end by themselves. Shards that are there already are left alone.
"""

from __future__ import annotations

import resource
import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple, cast

import cv2
import torch

from ros2_multihmr.samples.manifest import Manifest
from ros2_multihmr.samples.sample import Sample
from ros2_multihmr.samples.shards import write_shard

_WARM_UP = 50  # samples after which a process has loaded what it needs
_KIB = 1024  # what Linux counts the peak in

Make = Callable[[int], Sample]
Tell = Callable[["Done"], None]


@dataclass(frozen=True)
class Job:
    """What to write.

    Attributes:
        folder: Where; there, and with the manifest in it.
        manifest: Which shards.
        prepare: Loads what making needs, once in each process, and returns what makes the sample of an index; something
            that can be pickled.
        image_format: Of `codec.IMAGE_FORMATS`.
        quality: Of JPEG.
    """

    folder: Path
    manifest: Manifest
    prepare: Callable[[], Make]
    image_format: str = "jpg"
    quality: int = 92


class Done(NamedTuple):
    """What is told of each sample.

    Attributes:
        people: How many it has.
        growth_bytes: How much the process's peak of memory has grown since its first samples.
    """

    people: int
    growth_bytes: int


def produce(job: Job, workers: int, tell: Tell) -> None:
    """Writes the shards that are missing.

    Args:
        job: Which.
        workers: Processes; 1: this one alone.
        tell: Called for each sample when it is made; samples of several shards come in any order.

    Raises:
        ValueError, OSError: What making or writing raised.
        ChildProcessError: A process was killed.
        RuntimeError: Anything else that was raised in a process.
    """
    shards = job.manifest.unfinished(job.folder)
    if workers > 1 and len(shards) > 1:
        _produce_together(job, shards, min(workers, len(shards)), tell)
    elif shards:
        make, memory = job.prepare(), _Memory()
        for shard in shards:
            _write(job, shard, make, memory, tell)


def _produce_together(job: Job, shards: list[tuple[str, range]], workers: int, tell: Tell) -> None:
    waiting = iter(shards)
    team = dict(_start(job) for _ in range(workers))
    try:
        while team:
            for pipe in cast("list[Connection]", wait(list(team))):
                message = _receive(pipe, team[pipe])
                if isinstance(message, Done):
                    tell(message)
                    continue
                shard = next(waiting, None)
                with suppress(BrokenPipeError):  # what is received next says so
                    pipe.send(shard)
                if shard is None:
                    team.pop(pipe).join()
    finally:
        for process in team.values():
            process.terminate()
            process.join()


def _start(job: Job) -> tuple[Connection, BaseProcess]:
    # Not forked: the parent has threads of OpenMP and of the progress display.
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs, job), daemon=True)
    process.start()
    theirs.close()
    return ours, process


def _receive(pipe: Connection, process: BaseProcess) -> Any:
    try:
        message = pipe.recv()
    except EOFError as error:
        process.join()
        raise ChildProcessError(
            f"a process ended with code {process.exitcode} (-9: killed, often for want of memory); use fewer "
            "workers, and run the command again: it goes on where it stopped"
        ) from error
    if isinstance(message, Exception):
        raise message
    return message


def _work(pipe: Connection, job: Job) -> None:
    """A process: writes what it is told to until it is told None, or nobody is there any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    try:
        make, memory = job.prepare(), _Memory()
        pipe.send(None)  # ready for the first
        while (shard := pipe.recv()) is not None:
            _write(job, shard, make, memory, pipe.send)
            pipe.send(None)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return
    except (ValueError, OSError) as error:
        pipe.send(error)
    except Exception:
        pipe.send(RuntimeError(traceback.format_exc()))


def _write(job: Job, shard: tuple[str, range], make: Make, memory: _Memory, tell: Tell) -> None:
    name, indices = shard

    def samples() -> Iterator[Sample]:
        for index in indices:
            sample = make(index)
            tell(Done(len(sample.labels), memory.growth()))
            yield sample

    write_shard(job.folder / name, samples(), image_format=job.image_format, quality=job.quality)


class _Memory:
    """The peak of this process's memory."""

    def __init__(self) -> None:
        self._samples, self._first = 0, 0

    def growth(self) -> int:
        """Counts a sample; returns by how much the peak is above that of the first samples [bytes]."""
        self._samples += 1
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _KIB
        if self._samples <= _WARM_UP:
            self._first = peak
        return peak - self._first
