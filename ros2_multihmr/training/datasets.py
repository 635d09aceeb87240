"""Data sets: samples by index. Whatever a sample is, it is a pure function of its index."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from ros2_multihmr.samples.sample import Sample
from ros2_multihmr.samples.shards import ShardReader


class Dataset(Protocol):
    """Samples by index; may be copied into other processes."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...


class ShardDataset:
    """All samples of some folders of shards, one folder after another."""

    def __init__(self, folders: Sequence[Path]) -> None:
        """Opens the folders.

        Raises:
            ValueError: None is given, or one is not whole; see `ShardReader.of_folder`.
        """
        if not folders:
            raise ValueError("ShardDataset: expected at least one folder of shards, got none")
        self._readers = MixedDataset([ShardReader.of_folder(Path(folder)) for folder in folders])

    def __len__(self) -> int:
        return len(self._readers)

    def __getitem__(self, index: int) -> Sample:
        return self._readers[index]


class SyntheticDataset:
    """Samples made when they are asked for, one seed each."""

    def __init__(self, make: Callable[[int], Sample], first_seed: int, count: int) -> None:
        """Notes what to make.

        Args:
            make: Makes the sample of a seed, for example `functools.partial(synthesize, config=config, body=body)`; a
                thing that can be pickled, for workers.
            first_seed: Seed of sample 0; sample i has the seed `first_seed` + i.
            count: How many samples there are.

        Raises:
            ValueError: There are none.
        """
        if count < 1 or first_seed < 0:
            raise ValueError(f"SyntheticDataset: expected a count from 1 and a seed from 0, got {count}, {first_seed}")
        self._make, self._first_seed, self._count = make, first_seed, count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Sample:
        return self._make(self._first_seed + _checked(index, self._count))


class MixedDataset:
    """Several data sets as one, each with its share; small ones are repeated until their share is full."""

    def __init__(self, datasets: Sequence[Dataset], shares: Sequence[float] | None = None) -> None:
        """Weighs the data sets.

        Args:
            datasets: At least one, none of them empty.
            shares: How many samples come of each, weighed against each other; each sample once if not given. The
                length is such that every sample of every data set comes at least once.

        Raises:
            ValueError: No or empty data sets, or shares that are missing or not positive.
        """
        _check_shares(datasets, shares)
        lengths = [len(dataset) for dataset in datasets]
        rounds = max(n / share for n, share in zip(lengths, shares, strict=True)) if shares else 1.0
        counts = [round(rounds * share) for share in shares] if shares else lengths
        self._ends = [sum(counts[: i + 1]) for i in range(len(counts))]
        self._datasets = tuple(datasets)

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, index: int) -> Sample:
        index = _checked(index, len(self))
        which = next(i for i, end in enumerate(self._ends) if index < end)
        dataset = self._datasets[which]
        return dataset[(index - (self._ends[which - 1] if which else 0)) % len(dataset)]


def _checked(index: int, count: int) -> int:
    if not 0 <= index < count:
        raise IndexError(f"expected an index from 0 to {count - 1}, got {index}")
    return index


def _check_shares(datasets: Sequence[Dataset], shares: Sequence[float] | None) -> None:
    empty = [i for i, dataset in enumerate(datasets) if len(dataset) == 0]
    if not datasets or empty:
        raise ValueError(f"MixedDataset: expected data sets with samples, got {len(datasets)}, of them empty: {empty}")
    if shares is not None and (len(shares) != len(datasets) or min(shares) <= 0.0):
        raise ValueError(f"MixedDataset: expected one positive share for each of {len(datasets)}, got {list(shares)}")
