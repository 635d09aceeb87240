"""Tracks: who is who from image to image."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray


class TrackState(IntEnum):
    """State of a track; the values are those of `msg/Human.msg`."""

    NONE = 0
    NEW = 1
    OK = 2
    PREDICTED = 3
    LOST = 4


@dataclass(frozen=True)
class Tracks:
    """Identities of the N people of one `Humans`, in its order.

    Attributes:
        ids: (N,) uint32, 0 for none.
        states: (N,) uint8 `TrackState` values.
        ages_s: (N,) float64 time since the track began [s].
    """

    ids: NDArray[np.uint32]
    states: NDArray[np.uint8]
    ages_s: NDArray[np.float64]

    @staticmethod
    def untracked(count: int) -> Tracks:
        """Ids 1 to `count` in the order of the people: names for one image, not identities."""
        return Tracks(
            ids=np.arange(1, count + 1, dtype=np.uint32),
            states=np.full(count, TrackState.NONE, np.uint8),
            ages_s=np.zeros(count),
        )
