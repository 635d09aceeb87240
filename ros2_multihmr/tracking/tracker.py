"""Tracker: who is who from image to image, how everybody moves, and where those are who are not seen.

Association is in 3D, in a fixed frame: the camera's own place at the start, or whatever frame `T_world_camera` counts
from, so that a camera that moves leaves people where they are. Here is the order of things; what is done with whom is
in files of its own: association (who is who), second_thoughts (whose last sighting was wrong), lost_people (who left,
and who comes back), known_people (what is remembered).
"""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray

from ros2_multihmr.camera import Camera
from ros2_multihmr.humans import Humans
from ros2_multihmr.tracking.association import Seen, seen_people
from ros2_multihmr.tracking.detector_noise import DetectorNoise
from ros2_multihmr.tracking.fixed_frame import FixedFrame, inverse
from ros2_multihmr.tracking.known_people import KnownPeople, Sighting
from ros2_multihmr.tracking.lost_people import LostPeople
from ros2_multihmr.tracking.scene import Scene, others
from ros2_multihmr.tracking.second_thoughts import BRIEF_S, KNOWN_WELL, SecondThoughts, disappointed, not_back_but_here
from ros2_multihmr.tracking.tracker_config import TrackerConfig
from ros2_multihmr.tracking.tracks import Tracked, Tracks, TrackState

_logger = logging.getLogger("ros2_multihmr")
Array = NDArray[np.float64]
Indices = NDArray[np.intp]
_SEEABLE = 0.25  # part of somebody's box that must be in the image for the person to be found


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
        self._frame = FixedFrame()
        self._stamp_s = -np.inf
        self._known: KnownPeople | None = None  # whom it follows
        self._lost: LostPeople | None = None  # whom it would know again
        self._thoughts = SecondThoughts()
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
        scene = Scene(seen, [Sighting(humans, i, transform) for i in range(len(humans))], stamp_s, config)
        self._body = humans.body.name
        found, people, missed, late = self._who_is_who(scene, noise)
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
            if self._known is not None and self._lost is not None:
                self._known = self._known.with_features(self._features)
                self._lost.with_features(self._features)
        return given

    def _who_is_who(self, scene: Scene, noise: DetectorNoise) -> tuple[KnownPeople, Indices, KnownPeople, KnownPeople]:
        """Everybody found, with who of the image they are; who is missed, and who has been for too long."""
        known, lost, late = self._followed(scene)
        tracks, people, jumped = scene.pairs(known, np.arange(len(scene)))
        expected = known.select(tracks)
        near = np.flatnonzero(~jumped)
        self._noise = _learned(noise, expected.select(near), scene.seen.select(people[near]), scene.stamp_s)
        scene = scene.unsure(people[jumped])
        seen_as, found = people, scene.again(expected.doubting(scene.stamp_s - expected.seen_s > BRIEF_S), people)
        missed = disappointed(known.select(others(len(known), tracks)).missed(), scene.config)
        here, here_people = not_back_but_here(missed, others(len(scene), people), scene)
        found, people, missed = found.join(here), np.concatenate([people, here_people]), _without(missed, here)
        fresh = others(len(scene), people)
        fresh = fresh[scene.seen.scores[fresh] >= scene.config.track_begin_score]
        right, right_people = self._thoughts.mistaken(missed, fresh, scene)
        self._thoughts.remember(expected, seen_as, scene)
        fresh = np.setdiff1d(fresh, right_people)
        back, back_people = lost.returned(fresh, scene)
        new, new_people = lost.begun(np.setdiff1d(fresh, back_people), scene)
        people = np.concatenate([people, right_people, back_people, new_people])
        return found.join(right, back, new), people, _without(missed, right), _without(late, back)

    def _followed(self, scene: Scene) -> tuple[KnownPeople, LostPeople, KnownPeople]:
        """Everybody at the time of the image, those lost, and those who have not been seen for too long."""
        config, stamp_s = scene.config, scene.stamp_s
        if self._known is None or self._lost is None:
            self._known, self._stamp_s = scene.begun([], np.zeros(0, np.intp)), stamp_s
            self._lost = LostPeople(config.track_max_ids, self._known)
        known = self._known.predicted(stamp_s - self._stamp_s, config.track_agility)
        self._stamp_s = stamp_s
        is_late = stamp_s - known.seen_s > config.track_predict_s
        late = known.select(np.flatnonzero(is_late))
        self._lost.lose(late, late.seen_s + config.track_predict_s)
        self._lost.forget(stamp_s, config)
        return known.select(np.flatnonzero(~is_late)), self._lost, late

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
        assert self._lost is not None
        never_shown = missed.select(np.flatnonzero(~missed.shown))
        self._lost.lose(never_shown, np.full(len(never_shown), stamp_s))
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
            self._lost.lose(gone, np.full(len(gone), stamp_s))
            told = told.join(unseen.select(first[there[first]]))
            humans = humans.join(ghosts.select(np.argsort(~stays[there], kind="stable")))
            states = np.concatenate(
                [states, np.where(stays[first], TrackState.PREDICTED, TrackState.LOST)[there[first]]]
            )
            found = found.join(unseen.select(np.flatnonzero(stays)))
        self._known = found
        tracks = Tracks(told.ids.astype(np.uint32), states.astype(np.uint8), stamp_s - told.began_s)
        return Tracked(humans, tracks, told.motion.in_frame(inverse(transform)), transform)


def _without(known: KnownPeople, those: KnownPeople) -> KnownPeople:
    """Known people, but for those."""
    return known.select(np.flatnonzero(~np.isin(known.ids, those.ids))) if len(those) else known


def _learned(noise: DetectorNoise, known: KnownPeople, seen: Seen, stamp_s: float) -> DetectorNoise:
    """The detector's noise after pairs of people who are known well, and who they are now."""
    well = np.flatnonzero((known.hits >= KNOWN_WELL) & (stamp_s - known.seen_s < BRIEF_S) & (stamp_s > known.seen_s))
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
