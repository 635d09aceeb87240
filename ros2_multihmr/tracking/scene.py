"""Scene: the people of one image, as the tracker takes them in, and what becomes of known people who are among them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ros2_multihmr.tracking.association import Seen, associate, pair_costs
from ros2_multihmr.tracking.known_people import KnownPeople, Sighting
from ros2_multihmr.tracking.motion_filter import MotionFilter
from ros2_multihmr.tracking.tracker_config import TrackerConfig

Indices = NDArray[np.intp]


@dataclass(frozen=True)
class Scene:
    """N people seen in one image.

    Attributes:
        seen: The people.
        sightings: The same, one by one.
        stamp_s: When the image was taken [s].
        config: Settings of that time.
    """

    seen: Seen
    sightings: list[Sighting]
    stamp_s: float
    config: TrackerConfig

    def __len__(self) -> int:
        return len(self.seen)

    def unsure(self, people: Indices) -> Scene:
        """Returns the scene; of those people, every error may have changed since the last image."""
        if not len(people):
            return self
        which = np.zeros(len(self), bool)
        which[people] = True
        return dataclasses.replace(self, seen=self.seen.unsure(which))

    def begun(self, ids: list[int], people: Indices) -> KnownPeople:
        """Begins with people of whom nobody knows."""
        views = [self.sightings[i] for i in people]
        return KnownPeople.begin(ids, self.seen.select(people), views, self.stamp_s, self.config)

    def again(self, known: KnownPeople, people: Indices, *, restart: bool = False) -> KnownPeople:
        """Known people, seen again; `restart` for those of whose motion nothing is left."""
        here, config = self.seen.select(people), self.config
        if restart:
            start = MotionFilter.begin(here.position, here.covariance, config.track_agility)
            known = dataclasses.replace(known, filter=start)
        return known.updated(here, [self.sightings[i] for i in people], self.stamp_s, config.track_confirm_images)

    def pairs(self, known: KnownPeople, people: Indices) -> tuple[Indices, Indices, NDArray[np.bool_]]:
        """Finds known people among some of the image's, see `associate`."""
        unseen_s = self.stamp_s - known.seen_s
        who, which, jumped = associate(known.motion, known.looks, unseen_s, self.seen.select(people), self.config)
        return who, people[which], jumped

    def costs(self, known: KnownPeople, people: Indices) -> NDArray[np.float64]:
        """Returns what it costs to take known people for as many of the image's, pair by pair: see `pair_costs`."""
        unseen_s = self.stamp_s - known.seen_s
        return pair_costs(known.motion, known.looks, unseen_s, self.seen.select(people), self.config)


def others(count: int, these: Indices) -> Indices:
    """Returns the indices below `count` that are not among `these`."""
    left = np.ones(count, bool)
    left[these] = False
    return np.flatnonzero(left)
