"""Motion: people who walk along ways over the floor, or stay and move arms and head; who is where at any time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from ros2_multihmr.body.body_model import BodyModel
from ros2_multihmr.synthesis.actors import Actor, PlacedActor, place, sample_actor
from ros2_multihmr.synthesis.angles import ANGLES, PLACE, SIDES, posture, within_limits
from ros2_multihmr.synthesis.faces import sample_face
from ros2_multihmr.synthesis.gait import Gait, walking
from ros2_multihmr.synthesis.hands import sample_hands
from ros2_multihmr.synthesis.poses import sample_gait, sample_pose
from ros2_multihmr.synthesis.rig import rig_of
from ros2_multihmr.synthesis.wardrobe import Split

Floats = NDArray[np.float64]
Rng = np.random.Generator
Spot = tuple[float, float]

_STEP_M = 0.02  # between the points at which a way's length is measured


@dataclass(frozen=True)
class Walk:
    """A way that somebody walks all the time, at one speed, looking ahead; straight on beyond its ends.

    Attributes:
        waypoints: Two places (x, y) or more of the floor, different from their neighbours; the way is a smooth curve
            through them [m].
        speed_m_per_s: More than 2.4 legs' lengths a second is a run.
        start_m: Which part of the way lies behind at time 0; may be negative [m].
        closed: True to go around: from the last place to the first, and on.
    """

    waypoints: tuple[Spot, ...]
    speed_m_per_s: float = 1.2
    start_m: float = 0.0
    closed: bool = False

    def __post_init__(self) -> None:
        """Checks the way.

        Raises:
            ValueError: It has fewer than two different places, or no speed.
        """
        points = np.asarray(self.waypoints, np.float64)
        enough = points.ndim == 2 and points.shape[1] == 2 and len(points) >= (3 if self.closed else 2)
        if not enough or not np.isfinite(points).all() or not np.diff(points, axis=0).any(axis=1).all():
            raise ValueError(
                "Walk: expected two places (x, y) or more (three if closed), none the same as the one before; "
                f"got {self.waypoints!r}"
            )
        if not self.speed_m_per_s > 0.0:
            raise ValueError(f"Walk: speed_m_per_s must be above 0, got {self.speed_m_per_s!r}; to stand, take Stay")


@dataclass(frozen=True)
class Stay:
    """Somebody who stands at a place and changes what arms, head, hands and face do; the feet do not move.

    Attributes:
        spot: Place (x, y) on the floor [m].
        heading_rad: Where the person faces; 0 faces x.
    """

    spot: Spot
    heading_rad: float


Way = Walk | Stay
Course = Callable[[float], tuple[Floats, float]]


def course(way: Way) -> Course:
    """Returns a function of the time [s] that gives place (2,) [m] and heading [rad] of who follows the way."""
    if isinstance(way, Stay):
        spot = np.array(way.spot, np.float64)
        return lambda time_s: (spot, way.heading_rad)
    length, points, tangents = _measured(way)

    def at(time_s: float) -> tuple[Floats, float]:
        along = way.start_m + way.speed_m_per_s * time_s
        along = along % length[-1] if way.closed else along
        inside = float(np.clip(along, 0.0, length[-1]))
        spot, tangent = (np.array([np.interp(inside, length, column) for column in xy.T]) for xy in (points, tangents))
        tangent /= np.linalg.norm(tangent)
        return spot + (along - inside) * tangent, float(np.arctan2(tangent[1], tangent[0]))

    return at


def _measured(way: Walk) -> tuple[Floats, Floats, Floats]:
    """Lengths (N,) along a way, and there its points and its unit tangents (N, 2)."""
    knots = np.asarray(way.waypoints, np.float64)
    knots = np.concatenate([knots, knots[:1]]) if way.closed else knots
    chords = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(knots, axis=0), axis=1))])
    curve = CubicSpline(chords, knots, bc_type="periodic" if way.closed else "natural")
    samples = np.linspace(0.0, chords[-1], 2 + int(chords[-1] / _STEP_M))
    points, tangents = curve(samples), curve(samples, 1)
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    return length, points, tangents / np.linalg.norm(tangents, axis=1, keepdims=True)


class Performer:
    """One person of a clip: body and clothes stay, posture and place follow from the time alone.

    Attributes:
        way: The way followed.
        actor: Who it is.
    """

    def __init__(
        self, rng: Rng, body: BodyModel, split: Split, way: Way, duration_s: float, age: float | None = None
    ) -> None:
        """Draws a person.

        Args:
            rng: What everything is drawn from.
            body: The "anny" body.
            split: Which designs the clothes are of.
            way: Where the person goes.
            duration_s: How long something new happens; later the person stays as then.
            age: Phenotype age, 0 to 1; drawn if not given.
        """
        family = "walking" if isinstance(way, Walk) else "standing"
        self.way = way
        self.actor = sample_actor(rng, body, split=split, family=family, age=age)
        self._body, self._course = body, course(way)
        self._sway = _Sway(rng)
        self._keys = _Keys(rng, self.actor, body, duration_s)
        self._hands = self.actor.angles * _FINGERS
        self._phase = float(rng.random())
        self._gait = sample_gait(rng)
        if isinstance(way, Walk):
            self._gait = replace(self._gait, speed=way.speed_m_per_s / _leg_m(self.actor, body))

    def at(self, time_s: float) -> PlacedActor:
        """Returns the person in the world at a time [s]."""
        spot, heading = self._course(time_s)
        angles, expression = self._keys.at(time_s)
        if isinstance(self.way, Walk):
            angles = _level(walking(self._phase + time_s * self._gait.cycles_per_s, self._gait)) + self._hands
        angles = within_limits(angles + self._sway.at(time_s))
        rotmats = rig_of(self._body).rotmats(angles).astype(np.float32)
        now = replace(self.actor, rotmats=rotmats, angles=angles, expression=expression, seat=False)
        return place(now, self._body, heading, spot)

    @property
    def gait(self) -> Gait:
        """How the person walks."""
        return self._gait


def _level(angles: Floats) -> Floats:
    """The posture (A,) with the pelvis straight and the chest where it was.

    A pelvis that turns swings the legs aside, and the foot that carries would slide over the floor.
    """
    level = angles.copy()
    level[PLACE["twist"]] += level[PLACE["root_turn"]]
    level[PLACE["root_turn"]] = 0.0
    return level


def _leg_m(actor: Actor, body: BodyModel) -> float:
    """Length of the person's leg, hip to ankle [m]."""
    points = dict(zip(body.info.keypoint_names, place(actor, body, 0.0, np.zeros(2)).keypoints, strict=True))
    bones = (("left_hip", "left_knee"), ("left_knee", "left_ankle"))
    return float(sum(np.linalg.norm(points[a] - points[b]) for a, b in bones))


class _Keys:
    """Postures and faces that somebody takes one after another, with smooth ways in between."""

    def __init__(self, rng: Rng, actor: Actor, body: BodyModel, duration_s: float) -> None:
        self._times, angles, faces = [0.0], [actor.angles], [actor.expression]
        while self._times[-1] < duration_s:
            start = self._times[-1] + rng.uniform(*_HOLD_S)
            self._times += [start, start + rng.uniform(*_CHANGE_S)]
            fresh = sample_pose(rng, "standing").angles + sample_hands(rng)
            angles += [angles[-1], np.where(_KEPT, actor.angles, fresh)]
            faces += [faces[-1], sample_face(rng, body.info.expression_names)]
        self._angles, self._faces = np.array(angles), np.array(faces)

    def at(self, time_s: float) -> tuple[Floats, NDArray[np.float32]]:
        """Angles (A,) [rad] and expression (E,)."""
        last = len(self._times) - 1
        here = int(np.clip(np.searchsorted(self._times, time_s, side="right") - 1, 0, max(last - 1, 0)))
        after = min(here + 1, last)
        part = np.clip((time_s - self._times[here]) / max(self._times[after] - self._times[here], 1e-9), 0.0, 1.0)
        share = part * part * (3.0 - 2.0 * part)
        angles, face = ((1.0 - share) * v[here] + share * v[after] for v in (self._angles, self._faces))
        return angles, face.astype(np.float32)


class _Sway:
    """What nobody can keep still: breath, and where the head looks."""

    def __init__(self, rng: Rng) -> None:
        self._places = [PLACE[name] for name in _SWAYS]
        self._sizes = np.radians(list(_SWAYS.values())) * rng.uniform(0.5, 1.0, len(_SWAYS))
        self._rates, self._starts = rng.uniform(0.12, 0.35, len(_SWAYS)), rng.uniform(0.0, 2.0 * np.pi, len(_SWAYS))

    def at(self, time_s: float) -> Floats:
        angles = np.zeros(len(ANGLES))
        angles[self._places] = self._sizes * np.sin(2.0 * np.pi * self._rates * time_s + self._starts)
        return angles


_HOLD_S, _CHANGE_S = (0.3, 1.5), (0.7, 1.4)
_SWAYS = {"bend": 1.2, "twist": 1.5, "look": 8.0, "nod": 4.0, "tilt": 2.0, "gaze_side": 6.0}  # degrees
_TRUNK = ("root_turn", "root_pitch", "root_roll", "bend", "lean")
_LEG = ("hip_flex", "hip_abduct", "hip_turn", "knee", "ankle", "foot_tilt")
# Feet hang on the pelvis: who keeps pelvis and legs keeps the feet where they are.
_KEPT = posture({}) != 0.0
_KEPT[[PLACE[name] for name in (*_TRUNK, *(f"{side}_{name}" for side in SIDES for name in _LEG))]] = True
_FINGERS = np.array([name.endswith(("_curl", "_spread")) for name in ANGLES])
