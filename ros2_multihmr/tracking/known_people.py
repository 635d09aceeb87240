"""Known people: what a tracker remembers of everybody, as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ros2_multihmr.camera import Camera
from ros2_multihmr.humans import Humans
from ros2_multihmr.tracking.association import Looks, Seen, remembered
from ros2_multihmr.tracking.existence import Existence
from ros2_multihmr.tracking.fixed_frame import inverse
from ros2_multihmr.tracking.motion_filter import MotionFilter
from ros2_multihmr.tracking.motion_state import Motion
from ros2_multihmr.tracking.reposing import moved
from ros2_multihmr.tracking.tracker_config import TrackerConfig

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
_SIZE_IMAGES = 30  # a person's size is averaged over so many images


class Sighting(NamedTuple):
    """When a person was seen last: the image's people, which of them, and (4, 4) T_fixed_camera of then."""

    humans: Humans
    person: int
    transform: Array


@dataclass(frozen=True)
class KnownPeople:
    """T people.

    Attributes:
        ids: (T,) their ids.
        filter: Their motion in the fixed frame.
        looks: Size, and the pose when they were seen last.
        began_s: (T,) stamp at which the track began.
        seen_s: (T,) stamp at which the person was seen last.
        existence: How likely each is still there.
        hits: (T,) number of images in which the person was seen.
        streak: (T,) the same since the person was last gone for a while.
        shown: (T,) True for who was ever told of.
        sightings: The last image of each.
        before: What was known of each when the person came back from being gone; None for who was never gone.
    """

    ids: NDArray[np.int64]
    filter: MotionFilter
    looks: Looks
    began_s: Array
    seen_s: Array
    existence: Existence
    hits: NDArray[np.int64]
    streak: NDArray[np.int64]
    shown: NDArray[np.bool_]
    sightings: tuple[Sighting, ...]
    before: tuple[KnownPeople | None, ...]

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def motion(self) -> Motion:
        """Motion in the fixed frame."""
        return self.filter.motion

    @staticmethod
    def begin(
        ids: Sequence[int], seen: Seen, sightings: Sequence[Sighting], stamp_s: float, config: TrackerConfig
    ) -> KnownPeople:
        """Begins with people who are seen for the first time."""
        stamps = np.full(len(ids), stamp_s)
        return KnownPeople(
            ids=np.array(ids, np.int64),
            filter=MotionFilter.begin(seen.position, seen.covariance, config.track_agility),
            looks=seen.looks,
            began_s=stamps,
            seen_s=stamps,
            existence=Existence.begin(seen.scores),
            hits=np.ones(len(ids), np.int64),
            streak=np.ones(len(ids), np.int64),
            shown=seen.scores >= config.track_show_score,
            sightings=tuple(sightings),
            before=(None,) * len(ids),
        )

    def predicted(self, dt_s: float, agility: float) -> KnownPeople:
        """Returns the people after some time; what is kept aside of them goes on, too."""
        before = tuple(one and one.predicted(dt_s, agility) for one in self.before)
        return replace(
            self,
            filter=replace(self.filter, agility=agility).predicted(dt_s),
            existence=self.existence.predicted(dt_s),
            before=before,
        )

    def missed(self) -> KnownPeople:
        """Returns the people after none of them was seen."""
        before = tuple(one and one.missed() for one in self.before)
        return replace(self, existence=self.existence.missed(), before=before)

    def updated(self, seen: Seen, sightings: Sequence[Sighting], stamp_s: float, confirm_images: int) -> KnownPeople:
        """Returns the people after all of them were seen."""
        hits, streak = self.hits + 1, self.streak + 1
        gain = 1.0 / np.minimum(hits, _SIZE_IMAGES)[:, None]
        size = self.looks.size + gain * (seen.looks.size - self.looks.size)
        return replace(
            self,
            filter=replace(self.filter.updated(seen.position, seen.covariance), valid=hits >= confirm_images),
            looks=Looks(size, seen.looks.pose, remembered(self.looks.appearance, seen.looks.appearance)),
            seen_s=np.full(len(self), stamp_s),
            existence=self.existence.seen(seen.scores),
            hits=hits,
            streak=streak,
            shown=np.ones(len(self), bool),
            sightings=tuple(sightings),
            before=tuple(None if s >= confirm_images else one for s, one in zip(streak.tolist(), self.before)),
        )

    def doubting(self, gone: NDArray[np.bool_]) -> KnownPeople:
        """Returns the people before those who were gone are taken to be back: what is known of them is kept aside."""
        kept = tuple(self.select(np.array([i])) if gone[i] else one for i, one in enumerate(self.before))
        return replace(self, before=kept, streak=np.where(gone, 0, self.streak))

    def select(self, keep: Indices) -> KnownPeople:
        """Returns the people with the indices `keep`."""
        if len(keep) == len(self) and (keep[:-1] < keep[1:]).all():  # everybody, as in most images
            return self
        which = keep if len(keep) else slice(0)
        return KnownPeople(
            filter=self.filter.select(which),
            looks=self.looks.select(which),
            existence=self.existence.select(which),
            sightings=tuple(self.sightings[i] for i in keep.tolist()),
            before=tuple(self.before[i] for i in keep.tolist()),
            **{name: getattr(self, name)[which] for name in _ARRAYS},
        )

    def join(self, *others: KnownPeople) -> KnownPeople:
        """Returns these people and then the others."""
        everybody = [part for part in (self, *others) if len(part)] or [self]
        if len(everybody) == 1:
            return everybody[0]
        first, rest = everybody[0], everybody[1:]
        return KnownPeople(
            filter=first.filter.join(*(one.filter for one in rest)),
            looks=Looks(*(np.concatenate(parts) for parts in zip(*(one.looks for one in everybody)))),
            existence=first.existence.join(*(one.existence for one in rest)),
            sightings=sum((one.sightings for one in everybody), ()),
            before=sum((one.before for one in everybody), ()),
            **{name: np.concatenate([getattr(one, name) for one in everybody]) for name in _ARRAYS},
        )

    def with_features(self, count: int) -> KnownPeople:
        """Returns the people without their appearances, if those do not have so many numbers."""
        if self.looks.appearance.shape[1] == count:
            return self
        before = tuple(one and one.with_features(count) for one in self.before)
        looks = self.looks._replace(appearance=np.zeros((len(self), count)))
        return replace(self, looks=looks, before=before)

    def ghosts(self, transform: Array, camera: Camera, *, vertices: bool) -> tuple[Humans, NDArray[np.bool_]]:
        """Puts people who are not seen where they should be: as they were, moved by their velocity; scores are 0.

        Args:
            transform: (4, 4) T_fixed_camera of now.
            camera: The camera of now.
            vertices: True if the full meshes are wanted, too.

        Returns:
            T' people, and (T,) True for those who are among them: all, but for those whose full mesh is wanted and was
            not computed when they were seen.
        """
        there = np.array([s.humans.has_vertices or not vertices for s in self.sightings], bool)
        if not there.any():
            return Humans.empty(self.sightings[0].humans.body), there
        some = self.select(np.flatnonzero(there))
        humans = _as_seen(some.sightings[0], vertices)
        for sighting in some.sightings[1:]:
            humans = humans.join(_as_seen(sighting, vertices))
        then = np.stack([s.transform[:3, :3] for s in some.sightings])
        motion = some.motion.in_frame(inverse(transform))
        humans = moved(humans, transform[:3, :3].T @ then, motion.position, camera)
        covariance = humans.covariance.copy()
        covariance[:, :3, :3] += motion.covariance[:, :3, :3]  # what was wrong stays wrong, and then it grows
        return replace(humans, covariance=covariance), there


_ARRAYS = ("ids", "began_s", "seen_s", "hits", "streak", "shown")


def _as_seen(sighting: Sighting, vertices: bool) -> Humans:
    one = sighting.humans.select(np.array([sighting.person]))
    nothing = np.zeros(1, np.float32)
    return replace(one, scores=nothing, vertices=one.vertices if vertices else one.vertices[:, :0])
