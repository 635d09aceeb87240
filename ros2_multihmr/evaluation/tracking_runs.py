"""Runs of trackers over walks: what comes out, frame by frame, and how good it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ros2_multihmr.body.body_model import BodyModel
from ros2_multihmr.camera import Camera
from ros2_multihmr.evaluation.noise import Noise, detections, disturb
from ros2_multihmr.evaluation.tracking import Frame, acceleration, identities, lag_s, switches
from ros2_multihmr.evaluation.walks import Walk
from ros2_multihmr.humans import Humans
from ros2_multihmr.tracking.motion_state import Motion
from ros2_multihmr.tracking.reposing import reposed
from ros2_multihmr.tracking.smoothing import Smoother
from ros2_multihmr.tracking.tracks import Tracked, Tracks, TrackState

Array = NDArray[np.float64]
APART_M = 0.5  # people farther from each other must not be mistaken


class AnyTracker(Protocol):
    """What follows people."""

    def update(self, humans: Humans, camera: Camera, stamp_s: float, T_world_camera: Array | None = None) -> Tracked:
        """Takes in one image, see `Tracker.update`."""


class NearestNeighbour:
    """The tracker to beat: each detection goes on with whoever was last within a metre of it; nobody is predicted.

    Who is not seen for a second is forgotten. The velocity is the difference to the last place.
    """

    def __init__(self) -> None:
        self._last: dict[int, tuple[Array, float]] = {}
        self._newest = 0

    def update(self, humans: Humans, camera: Camera, stamp_s: float, T_world_camera: Array | None = None) -> Tracked:
        """Takes in one image."""
        transform = np.eye(4) if T_world_camera is None else T_world_camera
        places = humans.origin @ transform[:3, :3].T + transform[:3, 3]
        ids, velocities = np.zeros(len(humans), np.uint32), np.zeros((len(humans), 3))
        known = {number: last for number, last in self._last.items() if stamp_s - last[1] <= 1.0}
        for row, place in enumerate(places):
            near = min(known, key=lambda number: float(np.linalg.norm(known[number][0] - place)), default=0)
            if near and np.linalg.norm(known[near][0] - place) < 1.0:
                last, seen_s = known.pop(near)
                velocities[row] = (place - last) / max(stamp_s - seen_s, 1e-3)
            else:
                self._newest = near = self._newest + 1
            ids[row] = near
            self._last[near] = (place, stamp_s)
        here: Array = velocities @ transform[:3, :3]
        moves = np.asarray(here.any(axis=1))
        motion = Motion(humans.origin.astype(float), here, np.zeros((len(ids), 6, 6)), moves, 0.0)
        states = np.full(len(ids), TrackState.OK, np.uint8)
        return Tracked(humans, Tracks(ids, states, np.zeros(len(ids))), motion, transform)


@dataclass(frozen=True)
class Clip:
    """A walk, and what a noisy detector makes of it."""

    walk: Walk
    found: list[Humans]
    who: list[NDArray[np.intp]]

    @staticmethod
    def make(walk: Walk, noise: Noise, seed: int, body: BodyModel) -> Clip:
        """Disturbs a walk."""
        rng = np.random.default_rng(seed)
        people = disturb(rng, walk.people, walk.stamps_s, noise, walk.camera)
        return Clip(walk, *detections(rng, people, walk.visible, noise, body, walk.camera))


class Figures(NamedTuple):
    """What a run is worth. Motion: of people who were found, in the world.

    Attributes:
        idf1, hota, mota, switches: See `tracking.Identities`.
        far_switches: Switches of people who were farther than 0.5 m from all others.
        root_mm: Mean distance of the hips from where they are [mm].
        mpjpe_mm: Of all joints, hips on hips [mm].
        acceleration: Mean error of the joints' acceleration [m/s^2].
        velocity: Root mean square error of the velocity across the ground [m/s].
        lag_ms: By how much the hips come late [ms].
        joint_lag_ms: By how much the joints come late, seen from the hips [ms].
        inside: Part of the velocities within the ellipsoid that should hold 90 %.
    """

    idf1: float
    hota: float
    mota: float
    switches: float
    far_switches: float
    root_mm: float
    mpjpe_mm: float
    acceleration: float
    velocity: float
    lag_ms: float
    joint_lag_ms: float
    inside: float


def run(clip: Clip, tracker: AnyTracker, smoother: Smoother | None, body: BodyModel) -> Figures:
    """Runs a tracker over a clip, smooths what it says, and judges it.

    Raises:
        ModuleNotFoundError: TrackEval is not installed; says how.
    """
    walk, frames, seen = clip.walk, list[Frame](), _Seen(clip.walk)
    for f, humans in enumerate(clip.found):
        pose = walk.T_world_camera[f]
        tracked = tracker.update(humans, walk.camera, float(walk.stamps_s[f]), pose if walk.moving_camera else None)
        shown = tracked.humans
        if smoother is not None:
            shown = reposed(shown, smoother.update(tracked, float(walk.stamps_s[f])), body, walk.camera)
        seen.add(f, tracked, shown, _names(tracked, humans, clip.who[f]))
        there = tracked.tracks.states != TrackState.LOST
        present = np.flatnonzero(walk.present[f])
        roots = shown.origin[there].astype(np.float64)
        frames.append(Frame(present, walk.people.root[f, present], tracked.tracks.ids[there].astype(np.int64), roots))
    far = sum(switch.apart_m > APART_M for switch in switches(frames))
    return Figures(*identities(frames), far, *seen.figures())


def _names(tracked: Tracked, humans: Humans, who: NDArray[np.intp]) -> NDArray[np.intp]:
    """(N,) who the tracked people really are; -1 for nobody and for people who are not seen."""
    names = np.full(len(tracked.humans), -1)
    for row, (place, state) in enumerate(zip(tracked.humans.origin, tracked.tracks.states)):
        if state < TrackState.PREDICTED:
            names[row] = who[(humans.origin == place).all(1).argmax()]
    return names


class _Seen:
    """Where people who were seen were put, in the world."""

    def __init__(self, walk: Walk) -> None:
        self._walk = walk
        self._joints = np.full(walk.joints.shape, np.nan)
        self._roots, self._speeds = np.full(walk.roots.shape, np.nan), np.full(walk.roots.shape, np.nan)
        self._inside: list[float] = []

    def add(self, frame: int, tracked: Tracked, shown: Humans, names: NDArray[np.intp]) -> None:
        pose, rows = self._walk.T_world_camera[frame], np.flatnonzero(names >= 0)
        who, turn, motion = names[rows], pose[:3, :3], tracked.motion
        self._joints[frame, who] = shown.joints[rows] @ turn.T + pose[:3, 3]
        self._roots[frame, who] = shown.origin[rows] @ turn.T + pose[:3, 3]
        sure = rows[motion.valid[rows]]
        self._speeds[frame, names[sure]] = motion.velocity[sure] @ turn.T
        off = motion.velocity[sure] - self._walk.velocities[frame, names[sure]] @ turn
        spread = motion.covariance[sure, 3:, 3:] + 1e-12 * np.eye(3)
        distance = np.einsum("ni,nij,nj->n", off, np.linalg.inv(spread), off)
        self._inside += (distance < _CHI2_90).tolist()

    def figures(self) -> tuple[float, ...]:
        """The motion's part of `Figures`, from `root_mm` on."""
        walk = self._walk
        ok = np.isfinite(self._roots[..., 0])
        local, true_local = self._joints - self._roots[:, :, None], walk.joints - walk.roots[:, :, None]
        local_velocity = np.gradient(true_local, walk.stamps_s, axis=0)
        off = np.linalg.norm(local - true_local, axis=-1)
        shaken = acceleration(self._joints, walk.stamps_s) - acceleration(walk.joints, walk.stamps_s)
        across = np.linalg.norm((self._speeds - walk.velocities)[..., :2], axis=-1)
        return (
            1e3 * float(np.linalg.norm(self._roots - walk.roots, axis=-1)[ok].mean()),
            1e3 * float(off[ok].mean()),
            float(np.nanmean(np.linalg.norm(shaken, axis=-1))),
            float(np.sqrt(np.nanmean(across**2))),
            1e3 * lag_s(self._roots[ok], walk.roots[ok], walk.velocities[ok]),
            1e3 * lag_s(local[ok], true_local[ok], local_velocity[ok]),
            float(np.mean(self._inside)),
        )


_CHI2_90 = 6.251  # of three degrees of freedom


def spread(figures: Sequence[Figures]) -> tuple[Figures, Figures]:
    """Returns mean and standard deviation over runs."""
    values = np.array(figures, float)
    return Figures(*values.mean(axis=0)), Figures(*values.std(axis=0))
