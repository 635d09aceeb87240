"""Tracker: who is who from image to image, how everybody moves, and where those are who are not seen.

Association is in 3D, in a fixed frame: the camera's own place at the start, or whatever frame `T_world_camera` counts
from, so that a camera that moves leaves people where they are.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ros2_multihmr.camera import Camera
from ros2_multihmr.humans import Humans
from ros2_multihmr.tracking.association import Seen, associate, returning, seen_people
from ros2_multihmr.tracking.detector_noise import DetectorNoise
from ros2_multihmr.tracking.fixed_frame import FixedFrame, inverse
from ros2_multihmr.tracking.identities import IdPool
from ros2_multihmr.tracking.known_people import KnownPeople, Sighting
from ros2_multihmr.tracking.motion_filter import MotionFilter
from ros2_multihmr.tracking.motion_state import Motion
from ros2_multihmr.tracking.tracker_config import TrackerConfig

_logger = logging.getLogger("ros2_multihmr")
Array = NDArray[np.float64]
Indices = NDArray[np.intp]
_HARDLY_KNOWN_S = 2.0  # for so long, somebody may be known again who was seen in too few images to be predicted
_KNOWN_WELL = 10  # sightings from which somebody's motion is as sure as the filter says
_SEEABLE = 0.25  # part of somebody's box that must be in the image for the person to be found
_BRIEF_S = 0.5  # who was gone for longer is taken to be back only after being seen in as many images again


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


class Tracker:
    """Follows people.

    Attributes:
        config: Settings; may be exchanged between two images, `track_max_ids` excepted.
    """

    def __init__(self, config: TrackerConfig) -> None:
        self.config = config
        self.reset()

    def reset(self) -> None:
        """Forgets everybody."""
        self._ids = IdPool(self.config.track_max_ids)
        self._frame = FixedFrame()
        self._stamp_s = -np.inf
        self._known: KnownPeople | None = None  # whom it follows
        self._away: KnownPeople | None = None  # whom it has lost, but would know again
        self._body = ""
        self._noise: DetectorNoise | None = None
        self._features = 0

    def update(
        self,
        humans: Humans,
        camera: Camera,
        stamp_s: float,
        T_world_camera: NDArray[np.floating] | None = None,
        *,
        appearance: NDArray[np.floating] | None = None,
    ) -> Tracked:
        """Takes in the people of one image.

        Args:
            humans: People found in it. Those without a finite place are left out.
            camera: Camera that took it.
            stamp_s: When [s]. Before the last one's, or people of another body: everything starts anew.
            T_world_camera: (4, 4) pose of the camera in a fixed frame; None: the camera has not moved since the last.
            appearance: (N, D) what the people look like, alike (by the cosine) for images of one person; rows of zeros
                or NaN for who has none; None: for nobody. It breaks ties.

        Raises:
            ValueError: The stamp is not finite, the pose no rigid transform, or appearances are not one row a person.
        """
        if not np.isfinite(stamp_s):
            raise ValueError(f"update: expected a finite stamp in seconds, got {stamp_s!r}")
        if stamp_s < self._stamp_s or humans.body.name != self._body:
            self.reset()
        config, transform = self.config, self._frame.follow(T_world_camera)
        features = self._appearance(appearance, len(humans))
        placed = _with_place(humans)
        humans, features = (humans, features) if placed.all() else (humans.select(placed), features[placed])
        noise = self._noise or DetectorNoise(config.track_jitter)
        seen = seen_people(humans, transform, noise, features)
        sightings = [Sighting(humans, index, transform) for index in range(len(humans))]
        known, late = self._followed(seen, humans.body.name, stamp_s)
        tracks, people, jumped = associate(known.motion, known.looks, stamp_s - known.seen_s, seen, config)
        gone = stamp_s - known.seen_s[tracks] > _BRIEF_S
        self._noise = _learned(noise, known.select(tracks[~jumped]), seen.select(people[~jumped]), stamp_s)
        unsure = np.zeros(len(seen), bool)
        unsure[people[jumped]] = True
        seen = seen.unsure(unsure)
        found = _found(known.select(tracks).doubting(gone), people, seen, sightings, stamp_s, config)
        missed = _disappointed(known.select(_others(len(known), tracks)).missed(), config)
        true, true_people, missed = self._not_back_but_here(missed, people, seen, sightings, stamp_s)
        found, people = found.join(true), np.concatenate([people, true_people])
        fresh = _others(len(seen), people)
        fresh = fresh[seen.scores[fresh] >= config.track_begin_score]
        back, back_people = self._returned(fresh, seen, sightings, stamp_s)
        new, new_people = self._begun(np.setdiff1d(fresh, back_people), seen, sightings, stamp_s)
        late = late.select(np.flatnonzero(~np.isin(late.ids, back.ids)))
        found, people = found.join(back, new), np.concatenate([people, back_people, new_people])
        order = np.argsort(people)
        return self._told(found.select(order), people[order], missed, late, humans, camera, transform, stamp_s)

    def _appearance(self, appearance: NDArray[np.floating] | None, count: int) -> Array:
        """(N, D) appearances; those remembered are forgotten if their number of features changes."""
        if appearance is None:
            return np.zeros((count, self._features))
        given = np.asarray(appearance, np.float64)
        if given.ndim != 2 or len(given) != count:
            raise ValueError(f"appearance: expected one row for each of {count} people, got shape {given.shape}")
        if given.shape[1] != self._features:
            self._features = given.shape[1]
            self._known = self._known and self._known.with_features(self._features)
            self._away = self._away and self._away.with_features(self._features)
        return given

    def _followed(self, seen: Seen, body: str, stamp_s: float) -> tuple[KnownPeople, KnownPeople]:
        """Everybody at the time of the image, and those who have not been seen for too long."""
        if self._known is None or self._away is None:
            nobody = KnownPeople.begin([], seen.select(np.zeros(0, np.intp)), [], stamp_s, self.config)
            self._known, self._away, self._body, self._stamp_s = nobody, nobody, body, stamp_s
        known = self._known.predicted(stamp_s - self._stamp_s, self.config.track_agility)
        self._stamp_s = stamp_s
        is_late = stamp_s - known.seen_s > self.config.track_predict_s
        late = known.select(np.flatnonzero(is_late))
        self._lose(late, late.seen_s + self.config.track_predict_s)
        self._ids.expire(stamp_s, self.config.track_id_cooldown_s)
        hardly_known = (self._away.hits < self.config.track_confirm_images) & (
            stamp_s - self._away.seen_s > _HARDLY_KNOWN_S
        )
        rests = np.array([self._ids.rests(number) for number in self._away.ids.tolist()], bool)
        self._away = self._away.select(np.flatnonzero(rests & ~hardly_known))
        return known.select(np.flatnonzero(~is_late)), late

    def _not_back_but_here(
        self, missed: KnownPeople, taken: Indices, seen: Seen, sightings: Sequence[Sighting], stamp_s: float
    ) -> tuple[KnownPeople, Indices, KnownPeople]:
        """Of people not seen, those who are where they were expected before a false detection seemed to be them.

        Returns:
            Those people; who of the image they are; and who is still missed.
        """
        gone, left = np.flatnonzero(stamp_s - missed.seen_s > _BRIEF_S), _others(len(seen), taken)
        if not len(gone) or not len(left):
            return missed.select(gone[:0]), left[:0], missed
        waiting, config = missed.select(gone), self.config
        who, people, _ = associate(waiting.motion, waiting.looks, stamp_s - waiting.seen_s, seen.select(left), config)
        back = waiting.select(who).doubting(np.ones(len(who), bool))
        found = _found(back, left[people], seen, sightings, stamp_s, config)
        return found, left[people], missed.select(_others(len(missed), gone[who]))

    def _returned(
        self, fresh: Indices, seen: Seen, sightings: Sequence[Sighting], stamp_s: float
    ) -> tuple[KnownPeople, Indices]:
        """Lost people who are among the fresh ones."""
        assert self._away is not None
        away, config = self._away, self.config
        if not len(away) or not len(fresh):
            return away.select(fresh[:0]), fresh[:0]
        size_sigma_m = config.track_size_sigma_m * np.sqrt(1.0 + 1.0 / away.hits)  # of the average and of one image
        lost, people = returning(
            away.motion.position, away.looks.size, stamp_s - away.seen_s, seen.select(fresh), size_sigma_m, away.hits
        )
        people = fresh[people]
        back = away.select(lost).doubting(np.ones(len(lost), bool))
        again = _found(back, people, seen, sightings, stamp_s, config, restart=True)
        for number in again.ids:
            self._ids.resume(int(number))
        self._away = away.select(np.setdiff1d(np.arange(len(away)), lost))
        return again, people

    def _begun(
        self, fresh: Indices, seen: Seen, sightings: Sequence[Sighting], stamp_s: float
    ) -> tuple[KnownPeople, Indices]:
        """New people."""
        assert self._known is not None
        if not len(fresh):
            return self._known.select(fresh), fresh
        ids = [self._ids.take() for _ in fresh]
        if 0 in ids:
            _logger.warning("all %d ids are in use; raise track_max_ids: %d people left out", len(ids), ids.count(0))
        named = np.flatnonzero(ids)
        people = fresh[named]
        views = [sightings[i] for i in people]
        numbers = [ids[i] for i in named]
        return KnownPeople.begin(numbers, seen.select(people), views, stamp_s, self.config), people

    def _told(
        self,
        found: KnownPeople,
        people: Indices,
        missed: KnownPeople,
        late: KnownPeople,
        humans: Humans,
        camera: Camera,
        transform: Array,
        stamp_s: float,
    ) -> Tracked:
        """Decides who of those not seen is predicted and who is lost, and puts everybody together."""
        never_shown = missed.select(np.flatnonzero(~missed.shown))
        self._lose(never_shown, np.full(len(never_shown), stamp_s))
        missed, late = (some.select(np.flatnonzero(some.shown)) for some in (missed, late))
        unseen = missed.join(late)
        told = found.select(np.flatnonzero(found.shown))
        if len(told) < len(humans):
            humans = humans.select(people[found.shown])
        states = np.where(told.hits == 1, TrackState.NEW, TrackState.OK)
        if len(unseen):
            ghosts, there = unseen.ghosts(transform, camera, vertices=humans.has_vertices)
            stays = (np.arange(len(unseen)) < len(missed)) & (unseen.hits >= self.config.track_confirm_images)
            stays &= unseen.existence.there >= self.config.track_belief
            stays[there] &= _in_view(ghosts, camera) > _SEEABLE
            first = np.argsort(~stays, kind="stable")
            gone = missed.select(np.flatnonzero(~stays[: len(missed)]))
            self._lose(gone, np.full(len(gone), stamp_s))
            told = told.join(unseen.select(first[there[first]]))
            humans = humans.join(ghosts.select(np.argsort(~stays[there], kind="stable")))
            states = np.concatenate(
                [states, np.where(stays[first], TrackState.PREDICTED, TrackState.LOST)[there[first]]]
            )
            found = found.join(unseen.select(np.flatnonzero(stays)))
        self._known = found
        tracks = Tracks(told.ids.astype(np.uint32), states.astype(np.uint8), stamp_s - told.began_s)
        return Tracked(humans, tracks, told.motion.in_frame(inverse(transform)), transform)

    def _lose(self, lost: KnownPeople, since_s: Array) -> None:
        assert self._away is not None
        for number, since in zip(lost.ids.tolist(), since_s.tolist()):
            self._ids.release(number, since)
        self._away = self._away.join(lost)


def _found(
    known: KnownPeople,
    people: Indices,
    seen: Seen,
    sightings: Sequence[Sighting],
    stamp_s: float,
    config: TrackerConfig,
    *,
    restart: bool = False,
) -> KnownPeople:
    """Known people, seen again; `restart` for those of whose motion nothing is left."""
    here = seen.select(people)
    if restart:
        known = dataclasses.replace(
            known, filter=MotionFilter.begin(here.position, here.covariance, config.track_agility)
        )
    return known.updated(here, [sightings[i] for i in people], stamp_s, config.track_confirm_images)


def _disappointed(missed: KnownPeople, config: TrackerConfig) -> KnownPeople:
    """People who are not seen; those of them who seemed to be back for a moment are as they were before."""
    if not any(missed.before):
        return missed
    kept = [
        one if one is not None and streak < config.track_confirm_images else missed.select(np.array([i]))
        for i, (one, streak) in enumerate(zip(missed.before, missed.streak.tolist()))
    ]
    return kept[0].join(*kept[1:])


def _others(count: int, these: Indices) -> Indices:
    """Indices below `count` that are not among `these`."""
    left = np.ones(count, bool)
    left[these] = False
    return np.flatnonzero(left)


def _learned(noise: DetectorNoise, known: KnownPeople, seen: Seen, stamp_s: float) -> DetectorNoise:
    """The detector's noise after pairs of people who are known well, and who they are now."""
    well = np.flatnonzero((known.hits >= _KNOWN_WELL) & (stamp_s - known.seen_s < _BRIEF_S) & (stamp_s > known.seen_s))
    motion, here = known.motion.select(well), seen.select(well)
    expected = motion.covariance[:, :3, :3] + here.covariance
    return noise.learned(here.position - motion.position, expected, here.ray)


def _in_view(humans: Humans, camera: Camera) -> Array:
    """(N,) part of each person's box that lies in the image; 0 for who has none."""
    low, high = humans.bbox[:, :2].astype(np.float64), humans.bbox[:, 2:].astype(np.float64)
    inside = np.minimum(high, (camera.width - 0.5, camera.height - 0.5)) - np.maximum(low, -0.5)
    part = np.clip(inside + 1.0, 0.0, None) / (high - low + 1.0)  # a box of no size is a pixel
    return np.nan_to_num(part.prod(axis=1))


def _with_place(humans: Humans) -> NDArray[np.bool_]:
    """(N,) True for people with a finite place."""
    arrays = (
        humans.origin,
        humans.covariance[:, :3, :3].reshape(-1, 9),
        humans.joints.reshape(len(humans), 3 * len(humans.body.joint_names)),
    )
    finite = np.asarray(np.isfinite(np.concatenate(arrays, axis=1)).all(axis=1))
    if not finite.all():
        _logger.warning("left out %d people without a finite place", int((~finite).sum()))
    return finite
