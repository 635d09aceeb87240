"""What is known of one frame: its parent and its place in it, by time."""

from __future__ import annotations

import bisect
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class TransformException(Exception):
    """There is no such transform."""


class LookupException(TransformException):
    """A frame is not known."""


class ConnectivityException(TransformException):
    """Nothing leads from one frame to the other."""


class ExtrapolationException(TransformException):
    """The time lies outside what is known."""


class InvalidArgumentException(TransformException):
    """A frame's name or a rotation is not allowed."""


@dataclass(frozen=True)
class Sample:
    """Where a frame is in its parent, at one time."""

    parent: str
    place: Array
    turn_xyzw: Array

    def same(self, other: Sample) -> bool:
        """True if the other says exactly the same."""
        return (
            self.parent == other.parent
            and np.array_equal(self.place, other.place)
            and np.array_equal(self.turn_xyzw, other.turn_xyzw)
        )

    def matrix(self) -> Array:
        """Returns (4, 4) what takes points of the frame to the parent."""
        x, y, z, w = self.turn_xyzw
        matrix = np.eye(4)
        matrix[:3, :3] = (
            (1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)),
            (2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)),
            (2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)),
        )
        matrix[:3, 3] = self.place
        return matrix


class StaticCache:
    """A frame that stands still in its parent: the last word holds for ever."""

    latest_ns = 0

    def insert(self, stamp_ns: int, sample: Sample) -> bool:
        """Take a sample; returns True."""
        self._sample = sample
        return True

    def at(self, stamp_ns: int) -> Sample:
        """Return the sample."""
        return self._sample

    def latest_parent(self) -> str:
        """Return the parent's name."""
        return self._sample.parent

    def clear(self) -> None:
        """Forget nothing: what holds for ever is not sent again."""


class TimeCache:
    """A frame that moves. The parent may change, too: each sample has its own."""

    def __init__(self, cache_ns: int) -> None:
        """Create it empty; `cache_ns` is for how long samples are kept."""
        self._cache_ns = cache_ns
        self._stamps: list[int] = []  # rising
        self._samples: list[Sample] = []

    @property
    def latest_ns(self) -> int:
        """Stamp of the newest sample, 0 if there is none."""
        return self._stamps[-1] if self._stamps else 0

    def insert(self, stamp_ns: int, sample: Sample) -> bool:
        """Take a sample. Returns False if it is too old.

        One that is there already is not taken again; one of the same stamp that says something else goes after it.
        """
        oldest = self.latest_ns - self._cache_ns
        del self._samples[: bisect.bisect_left(self._stamps, oldest)]
        del self._stamps[: len(self._stamps) - len(self._samples)]
        if self._stamps and stamp_ns < oldest:
            return False
        first, end = bisect.bisect_left(self._stamps, stamp_ns), bisect.bisect_right(self._stamps, stamp_ns)
        if not any(known.same(sample) for known in self._samples[first:end]):
            self._stamps.insert(end, stamp_ns)
            self._samples.insert(end, sample)
        return True

    def at(self, stamp_ns: int) -> Sample:
        """Return the sample of a time, between the two that enclose it; 0: the newest.

        Raises:
            ExtrapolationException: the time lies outside what is known.
        """
        if stamp_ns == 0 and self._stamps:
            return self._samples[-1]
        self._check(stamp_ns)
        before = bisect.bisect_right(self._stamps, stamp_ns) - 1
        if stamp_ns == self._stamps[-1]:
            return self._samples[-1]
        if stamp_ns == self._stamps[0]:
            return self._samples[0]
        older, newer = self._samples[before], self._samples[before + 1]
        if older.parent != newer.parent:
            return older
        part = (stamp_ns - self._stamps[before]) / (self._stamps[before + 1] - self._stamps[before])
        turn = _slerp(older.turn_xyzw, newer.turn_xyzw, part)
        return Sample(older.parent, older.place + part * (newer.place - older.place), turn)

    def latest_parent(self) -> str:
        """Return the parent's name in the newest sample; empty if there is none."""
        return self._samples[-1].parent if self._samples else ""

    def clear(self) -> None:
        """Forget all samples."""
        self._stamps, self._samples = [], []

    def _check(self, stamp_ns: int) -> None:
        wanted, known = stamp_ns * 1e-9, [stamp * 1e-9 for stamp in self._stamps]
        if len(known) < 2 and self._stamps != [stamp_ns]:
            raise ExtrapolationException(
                f"Lookup would require extrapolation at time {wanted:f}, but only time {sum(known):f} is in the buffer"
            )
        if stamp_ns > self._stamps[-1]:
            raise ExtrapolationException(
                f"Lookup would require extrapolation into the future.  Requested time {wanted:f} but the latest data "
                f"is at time {known[-1]:f}"
            )
        if stamp_ns < self._stamps[0]:
            raise ExtrapolationException(
                f"Lookup would require extrapolation into the past.  Requested time {wanted:f} but the earliest data "
                f"is at time {known[0]:f}"
            )


def _slerp(first: Array, last: Array, part: float) -> Array:
    cosine = float(first @ last)
    last, cosine = (last, cosine) if cosine >= 0.0 else (-last, -cosine)
    angle = float(np.arccos(min(cosine, 1.0)))
    if angle < 1e-6:
        turn = first + part * (last - first)
    else:
        turn = np.sin((1.0 - part) * angle) * first + np.sin(part * angle) * last
    return np.asarray(turn / np.linalg.norm(turn))
