"""Postures that people are in: families of natural ones, each with its own chance and looseness."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ros2_multihmr.synthesis.angles import ANGLES, PLACE, mirrored, posture, within_limits
from ros2_multihmr.synthesis.arms import Angles, Rng, carrying, hanging, raised, sideways, two_arms
from ros2_multihmr.synthesis.gait import Gait, walking

Array = NDArray[np.float64]
# Spread of the noise [degrees] by the end of the angle's name; angles that are not named keep still.
_NOISE = {
    **{"bend": 4, "lean": 3, "twist": 5, "nod": 6, "tilt": 4, "shrug": 3, "protract": 3},
    **{"arm_flex": 6, "arm_abduct": 3, "arm_twist": 6, "elbow": 6, "pronate": 12, "wrist_flex": 9, "wrist_side": 5},
    **{"hip_flex": 3, "hip_abduct": 1.5, "hip_turn": 5, "knee": 3},
}
_SPREADS = np.radians([next((v for end, v in _NOISE.items() if name.endswith(end)), 0.0) for name in ANGLES])


@dataclass(frozen=True)
class Family:
    """Postures of one kind.

    Attributes:
        chance: How often, relative to the others.
        draw: Draws a posture (A,), its left and right side as authored.
        flat: True where feet that carry shall lie flat on the floor, however the legs came to stand.
        seat: True if the person sits: something as high as the bottom belongs under it.
        looseness: Factor of the noise that is added to every joint.
    """

    chance: float
    draw: Callable[[Rng], Array]
    flat: bool = True
    seat: bool = False
    looseness: float = 1.0


@dataclass(frozen=True)
class Pose:
    """A posture that somebody is in.

    Attributes:
        angles: (A,) posture, within limits.
        family: Name of its family.
        seat: True if the person sits.
    """

    angles: Array
    family: str
    seat: bool


def sample_pose(rng: Rng, family: str = "") -> Pose:
    """Draws a pose.

    Args:
        rng: What it is drawn from.
        family: Name of a family of `FAMILIES`; any, by their chances, if empty.

    Raises:
        ValueError: No family has that name.
    """
    if family and family not in FAMILIES:
        raise ValueError(f"sample_pose: no family is called {family!r}; known are {', '.join(FAMILIES)}")
    name = family or _NAMES[rng.choice(len(_NAMES), p=_CHANCES)]
    kind = FAMILIES[name]
    angles = kind.draw(rng) + _look_around(rng)
    angles = angles + rng.normal(size=len(ANGLES)) * _SPREADS * kind.looseness
    if kind.flat:
        angles = _flat_feet(angles)
    if rng.random() < 0.5:
        angles = mirrored(angles)
    return Pose(within_limits(angles), name, kind.seat)


def _look_around(rng: Rng) -> Array:
    """Where the head and the eyes look."""
    wide = rng.random() < 0.3
    look = rng.normal(0, 28 if wide else 9)
    return posture(
        {"look": look, "nod": rng.normal(3, 9 if wide else 4), "tilt": rng.normal(0, 4)}
        | {"gaze_side": rng.normal(0.25 * look, 8), "gaze_down": rng.normal(2, 6)}
    )


def _flat_feet(angles: Array) -> Array:
    """Turns the ankles so that the soles lie level, as far as ankles turn."""
    flat = angles.copy()
    pitch, roll = angles[PLACE["root_pitch"]], angles[PLACE["root_roll"]]
    for side, out in (("left", 1.0), ("right", -1.0)):
        leg = angles[PLACE[f"{side}_hip_flex"]] - angles[PLACE[f"{side}_knee"]]
        flat[PLACE[f"{side}_ankle"]] = pitch - leg
        flat[PLACE[f"{side}_foot_tilt"]] = -(angles[PLACE[f"{side}_hip_abduct"]] + out * roll) * np.cos(leg)
    return flat


def _standing(rng: Rng) -> Array:
    bend = rng.uniform(0, 6)
    return posture(
        {"hip_abduct": rng.uniform(0, 8), "hip_turn": rng.uniform(3, 14), "knee": bend, "hip_flex": bend * 0.6}
        | {"bend": rng.uniform(-3, 6), "nod": rng.uniform(-2, 6)}
        | two_arms(rng)
    )


def _contrapposto(rng: Rng) -> Array:
    """The weight on the left leg, the right one bent, the pelvis dropped to the right."""
    drop = rng.uniform(3, 8)
    bend = rng.uniform(12, 30)
    return posture(
        {"root_roll": drop, "lean": -drop * rng.uniform(0.8, 1.3), "twist": rng.normal(0, 6)}
        | {"left_hip_abduct": -drop * 0.8, "left_hip_turn": 6, "right_hip_abduct": drop + rng.uniform(2, 8)}
        | {"right_hip_flex": bend * 0.65, "right_knee": bend, "right_hip_turn": rng.uniform(5, 25)}
        | {"tilt": rng.normal(2, 3)}
        | two_arms(rng)
    )


def _walk(rng: Rng) -> Array:
    gait = sample_gait(rng)
    angles = walking(rng.random(), gait)
    busy = rng.random()
    return _with(angles, two_arms(rng)) if busy < 0.2 else angles


def _run(rng: Rng) -> Array:
    return walking(rng.random(), sample_gait(rng, runs=True))


def _sitting(rng: Rng) -> Array:
    slump, wide = rng.uniform(-8, 16), rng.uniform(2, 18)
    on_lap = {
        "arm_flex": rng.uniform(12, 32),
        "arm_abduct": rng.uniform(6, 14),
        "arm_twist": rng.uniform(12, 34),
        "elbow": rng.uniform(48, 80),
        "pronate": rng.uniform(20, 70),
    }
    legs = {"hip_flex": rng.uniform(80, 95) - slump, "hip_abduct": wide, "hip_turn": rng.uniform(-8, 12)}
    legs |= {f"{side}_knee": rng.uniform(65, 105) for side in ("left", "right")}
    trunk = {"root_pitch": -slump, "bend": slump * rng.uniform(0.6, 1.6) + rng.uniform(-4, 8)}
    return posture(legs | trunk | (on_lap if rng.random() < 0.6 else two_arms(rng)))


def _squatting(rng: Rng) -> Array:
    deep = rng.uniform(70, 112)
    arms = {"arm_flex": rng.uniform(30, 75), "arm_abduct": rng.uniform(5, 25), "arm_twist": rng.uniform(0, 40)}
    arms |= {"elbow": rng.uniform(15, 90), "pronate": rng.uniform(0, 60)}
    return posture(
        {"hip_flex": deep, "knee": deep + rng.uniform(5, 22), "hip_abduct": rng.uniform(5, 25)}
        | {"hip_turn": rng.uniform(5, 20), "root_pitch": rng.uniform(8, 28), "bend": rng.uniform(0, 25)}
        | {"nod": rng.uniform(-25, 5)}
        | arms
    )


def _kneeling(rng: Rng) -> Array:
    """On one knee or on both, the shins on the floor."""
    back = {"root_pitch": rng.uniform(0, 8), "bend": rng.uniform(0, 15), "ankle": -45.0, "hip_turn": 2.0}
    if rng.random() < 0.5:
        low = rng.uniform(0, 55)  # from upright to sitting on the heels
        both = {"hip_flex": low, "knee": 88 + low, "hip_abduct": rng.uniform(2, 9)}
        return posture(back | both | two_arms(rng))
    front = {"left_hip_flex": rng.uniform(82, 95), "left_knee": rng.uniform(82, 95), "left_hip_abduct": 8.0}
    front["left_ankle"] = front["left_knee"] - front["left_hip_flex"] + back["root_pitch"]
    return posture(back | front | {"right_hip_flex": -4, "right_knee": 92, "right_ankle": 15} | two_arms(rng))


def _bending(rng: Rng) -> Array:
    """Picking something up, tying shoes."""
    fold, knee = rng.uniform(25, 80), rng.uniform(0, 45)
    arms = {"arm_flex": rng.uniform(25, 85), "arm_abduct": rng.uniform(2, 20), "elbow": rng.uniform(3, 50)}
    return posture(
        {"root_pitch": fold * 0.7, "bend": fold * 0.6, "hip_flex": fold * 0.7 + knee * 0.55, "knee": knee}
        | {"hip_abduct": rng.uniform(2, 10), "hip_turn": 8, "nod": rng.uniform(-30, 10), "pronate": rng.uniform(0, 50)}
        | {"lean": rng.normal(0, 6), "twist": rng.normal(0, 10)}
        | arms
    )


def _arms_up(rng: Rng) -> Array:
    stance = {"hip_abduct": rng.uniform(0, 14), "hip_turn": rng.uniform(3, 14), "bend": rng.uniform(-8, 4)}
    arm = raised if rng.random() < 0.6 else sideways
    return posture(stance | arm(rng, "left") | arm(rng, "right"))


def _lunging(rng: Rng) -> Array:
    """A wide step: stairs, sport, dance."""
    step = rng.uniform(30, 75)
    legs = {"left_hip_flex": step, "left_knee": step * rng.uniform(0.8, 1.15), "right_hip_flex": -rng.uniform(5, 22)}
    legs |= {"right_knee": rng.uniform(5, 40), "hip_abduct": rng.uniform(0, 12), "hip_turn": rng.uniform(0, 20)}
    trunk = {"root_pitch": rng.uniform(0, 18), "bend": rng.uniform(-5, 12), "twist": rng.normal(0, 12)}
    return posture(legs | trunk | two_arms(rng))


def _lying(rng: Rng) -> Array:
    """On the back, on the belly or on the side."""
    way = rng.choice(3)
    turned = ({"root_pitch": -90.0}, {"root_pitch": 90.0}, {"root_roll": 90.0})[way]
    bent = rng.uniform(0, 60) if way != 1 else rng.uniform(0, 8)
    legs = {f"{side}_knee": bent * rng.uniform(0.6, 1.4) for side in ("left", "right")}
    legs |= {"hip_flex": bent * 0.55, "hip_abduct": rng.uniform(2, 14), "ankle": rng.uniform(-35, -15)}
    arms = sideways if way != 2 else carrying
    return posture(turned | legs | arms(rng, "left") | hanging(rng, "right"))


def sample_gait(rng: Rng, *, runs: bool = False) -> Gait:
    """Draws somebody's way to walk, or to run."""
    return Gait(
        speed=rng.uniform(2.7, 4.2) if runs else rng.uniform(0.7, 1.8),
        arm_swing=rng.uniform(0.5, 1.4),
        bounce=rng.uniform(0.6, 1.4),
        lift=rng.uniform(0.8, 1.6),
        crouch=rng.uniform(0.0, 0.025),
        elbow_rad=rng.uniform(0.2, 0.5),
        width_rad=rng.uniform(0.0, 0.06),
    )


def _with(angles: Array, degrees: Angles) -> Array:
    """The posture with some angles replaced."""
    replaced = angles.copy()
    for name, value in degrees.items():
        for key in (name, f"left_{name}", f"right_{name}"):
            if key in PLACE:
                replaced[PLACE[key]] = np.radians(value)
    return replaced


FAMILIES = {
    "standing": Family(5.0, _standing),
    "contrapposto": Family(3.5, _contrapposto),
    "walking": Family(4.0, _walk, flat=False, looseness=0.6),
    "running": Family(1.0, _run, flat=False, looseness=0.7),
    "sitting": Family(3.0, _sitting, seat=True),
    "squatting": Family(0.7, _squatting),
    "kneeling": Family(0.6, _kneeling, flat=False, looseness=0.7),
    "bending": Family(0.8, _bending),
    "arms_up": Family(0.8, _arms_up),
    "lunging": Family(0.8, _lunging, flat=False),
    "lying": Family(0.3, _lying, flat=False),
}
_NAMES = tuple(FAMILIES)
_CHANCES = np.array([family.chance for family in FAMILIES.values()])
_CHANCES /= _CHANCES.sum()
