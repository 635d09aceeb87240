"""What the tracker tells of one image: its people, who they are, and how they move."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ros2_multihmr.humans import Humans
from ros2_multihmr.tracking.motion_state import Motion

Array = NDArray[np.float64]


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

    @property
    def seen(self) -> NDArray[np.bool_]:
        """(N,) True for who is seen in the image."""
        return np.asarray(self.states <= TrackState.OK)

    @property
    def predicted(self) -> NDArray[np.bool_]:
        """(N,) True for who is not seen, but predicted."""
        return np.asarray(self.states == TrackState.PREDICTED)

    @property
    def lost(self) -> NDArray[np.bool_]:
        """(N,) True for who is told of for the last time."""
        return np.asarray(self.states == TrackState.LOST)

    def select(self, keep: NDArray[np.bool_]) -> Tracks:
        """Returns the identities of those whom the mask `keep` names."""
        return Tracks(self.ids[keep], self.states[keep], self.ages_s[keep])

    @staticmethod
    def untracked(count: int) -> Tracks:
        """Ids 1 to `count` in the order of the people: names for one image, not identities."""
        return Tracks(
            ids=np.arange(1, count + 1, dtype=np.uint32),
            states=np.full(count, TrackState.NONE, np.uint8),
            ages_s=np.zeros(count),
        )


class Tracked(NamedTuple):
    """The people of one image, and those who were there before; N people.

    Attributes:
        humans: First those seen in the image, as they were given, then those predicted (score 0), then those just lost.
            Newcomers with a weak score are left out in their first image.
        tracks: Their identities.
        motion: Their motion, in the image's optical frame.
        transform: (4, 4) T_fixed_camera: the frame in which this tracker follows people.
    """

    humans: Humans
    tracks: Tracks
    motion: Motion
    transform: Array
