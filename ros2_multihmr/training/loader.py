"""Loader: batches in an order that is a pure function of the seed and the step.

Samples come in a stream: every epoch is a permutation of the data set, drawn from (seed, epoch). Batch b is the
stream's positions from b times the batch's size on, and each rank takes its slice of it. What augments a sample is
drawn from (seed, position). So workers and ranks may be as many as they like, and to go on is to skip ahead.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TypeVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from ros2_multihmr.samples.sample import Sample
from ros2_multihmr.settings import Settings, setting
from ros2_multihmr.training.batches import Batch, collate
from ros2_multihmr.training.datasets import Dataset

Joined = TypeVar("Joined")
Change = Callable[[Sample, np.random.Generator], Sample]
_ORDER, _CHANGE = 0, 1  # what random numbers are for


@dataclass(frozen=True)
class LoaderConfig(Settings):
    """Settings of `batches`."""

    batch_size: int = setting(32, "Images in a batch, of all ranks together", low=1)
    image_size: int = setting(448, "Side of the network's input, a multiple of 14 [px]", low=14)
    max_people: int = setting(8, "Places for people per image; of more, the nearest are kept", low=1)
    seed: int = setting(0, "What order and augmentation are drawn from", low=0)
    shuffle: bool = setting(True, "False for the data set's own order")
    workers: int = setting(2, "Processes that load; 0 to load in this one", low=0)
    pin_memory: bool = setting(False, "Batches in page-locked memory, for a GPU")


@dataclass(frozen=True)
class Share:
    """Which part of a batch this process gets: rank of ranks."""

    rank: int = 0
    ranks: int = 1


@dataclass(frozen=True)
class _Place:
    """Where a sample stands in the stream, and which one it is."""

    position: int
    sample: int


def batches(
    dataset: Dataset,
    config: LoaderConfig,
    *,
    augment: Change | None = None,
    first_step: int = 0,
    epochs: int | None = None,
    share: Share = Share(),
) -> Iterator[Batch]:
    """Loads batches.

    Args:
        dataset: Where samples come from.
        config: Settings.
        augment: Changes each sample by random numbers of its own; None to leave them.
        first_step: Batches of the stream to skip, to go on after so many.
        epochs: How often each sample comes; the last batch may be smaller. None: without end.
        share: Which part of each batch to return. A last batch too small to go round is not returned to some.

    Raises:
        ValueError: An empty data set, or a batch that cannot be shared evenly.
    """
    join = partial(collate, image_size=config.image_size, max_people=config.max_people)
    return joined(dataset, config, join, augment=augment, first_step=first_step, epochs=epochs, share=share)


def joined(
    dataset: Dataset,
    config: LoaderConfig,
    join: Callable[[Sequence[Sample]], Joined],
    *,
    augment: Change | None = None,
    first_step: int = 0,
    epochs: int | None = None,
    share: Share = Share(),
) -> Iterator[Joined]:
    """Loads samples, joined by `join`, which goes along to the workers; all else as in `batches`.

    Raises:
        ValueError: An empty data set, or a batch that cannot be shared evenly.
    """
    if len(dataset) == 0 or first_step < 0:
        raise ValueError(f"batches: expected samples and a step from 0, got {len(dataset)} and {first_step}")
    if share.ranks < 1 or config.batch_size % share.ranks or not 0 <= share.rank < share.ranks:
        raise ValueError(f"batch_size: expected a multiple of the number of ranks, got {config.batch_size} for {share}")
    loader: DataLoader[Joined] = DataLoader(
        _Stream(dataset, config.seed, augment),  # type: ignore[arg-type]  # torch asks for its own base class
        batch_sampler=_Places(len(dataset), config, first_step, epochs, share),  # type: ignore[arg-type]
        num_workers=config.workers,
        collate_fn=join,
        pin_memory=config.pin_memory,
        worker_init_fn=_calm,
        generator=torch.Generator(),  # or it would draw from the global one at every start
    )
    return iter(loader)


def sample_at(position: int, count: int, seed: int, *, shuffle: bool = True) -> int:
    """Returns which of `count` samples stands at a position of the stream."""
    epoch, place = divmod(position, count)
    return int(_permutation(count, seed, epoch)[place]) if shuffle else place


@lru_cache(maxsize=2)
def _permutation(count: int, seed: int, epoch: int) -> NDArray[np.intp]:
    return np.random.default_rng([seed, _ORDER, epoch]).permutation(count)


class _Places:
    """Batches of places in the stream."""

    def __init__(self, count: int, config: LoaderConfig, first_step: int, epochs: int | None, share: Share) -> None:
        self._count, self._config, self._share = count, config, share
        self._first = first_step * config.batch_size
        self._end = None if epochs is None else epochs * count

    def __iter__(self) -> Iterator[list[_Place]]:
        size, part = self._config.batch_size, self._config.batch_size // self._share.ranks
        start = self._first
        while self._end is None or start < self._end:
            first = start + self._share.rank * part
            last = first + part if self._end is None else min(first + part, self._end)
            if places := [self._place(position) for position in range(first, last)]:
                yield places
            start += size

    def _place(self, position: int) -> _Place:
        config = self._config
        return _Place(position, sample_at(position, self._count, config.seed, shuffle=config.shuffle))


class _Stream:
    """The data set as the stream shows it."""

    def __init__(self, dataset: Dataset, seed: int, augment: Change | None) -> None:
        self._dataset, self._seed, self._augment = dataset, seed, augment

    def __getitem__(self, place: _Place) -> Sample:
        sample = self._dataset[place.sample]
        if self._augment is None:
            return sample
        return self._augment(sample, np.random.default_rng([self._seed, _CHANGE, place.position]))


def _calm(_: int) -> None:
    """Workers are many: each keeps to one core. A signal to the whole group is for the process that they work for."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
