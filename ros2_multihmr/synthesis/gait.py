"""Walking and running as a function of the phase: the feet follow the ground, the joints follow the feet.

The ankle's way against the pelvis is prescribed: while a foot carries, it goes back as fast as the person goes
forward, first about the heel, then flat, at last about the ball of the toes; while it swings, it returns in an arc.
Hip and knee follow from the two-bone triangle of thigh and shin. So feet skate only as far as other angles (pelvis,
noise) move them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ros2_multihmr.synthesis.angles import ANGLES, PLACE, SIDES, within_limits

Array = NDArray[np.float64]
# Parts of the leg's length (hip to ankle): ankle above the ground, and from the ankle to the heel and the ball.
_ANKLE, _HEEL, _BALL = 0.09, -0.07, 0.16
_THIGH, _SHIN = 0.505, 0.495
_BACK = 0.05  # how far behind the hip the middle of a foot's way is


@dataclass(frozen=True)
class Gait:
    """How somebody walks or runs.

    Attributes:
        speed: Legs' lengths a second; 1.5 is a walk, 3.5 a run.
        arm_swing: Factor, 1 for ordinary.
        bounce: Factor of the pelvis's turns and of the trunk's, 1 for ordinary.
        lift: Factor of how high the swinging foot goes, 1 for ordinary.
        crouch: How much lower the pelvis is than it could be, part of the leg.
        elbow_rad: Bend of the elbows [rad].
        width_rad: Outward angle of the legs [rad].
    """

    speed: float = 1.45
    arm_swing: float = 1.0
    bounce: float = 1.0
    lift: float = 1.0
    crouch: float = 0.0
    elbow_rad: float = 0.35
    width_rad: float = 0.02

    @property
    def runs(self) -> bool:
        """True if both feet are in the air in between."""
        return self.speed > 2.4

    @property
    def cycles_per_s(self) -> float:
        """How often a second the same foot lands."""
        return 1.35 + 0.03 * self.speed if self.runs else 0.58 + 0.28 * self.speed

    @property
    def carries(self) -> float:
        """Part of the cycle in which one foot carries."""
        return float(np.clip(0.68 - 0.05 * self.speed, 0.35, 0.64)) if not self.runs else 0.36

    def speed_m_per_s(self, leg_m: float) -> float:
        """How fast a person goes forward whose leg, hip to ankle, has such a length."""
        return self.speed * leg_m


def walking(phase: Array | float, gait: Gait) -> Array:
    """Returns postures (..., A) at phases (...,); the left foot lands at 0, the right one at .5, and again at 1."""
    phase = np.asarray(phase, np.float64) % 1.0
    angles = np.zeros((*phase.shape, len(ANGLES)))
    for side, start in zip(SIDES, (0.0, 0.5), strict=True):
        _leg(angles, side, (phase + start) % 1.0, gait)
    _trunk_and_arms(angles, 2 * np.pi * phase, gait)
    return within_limits(angles)


def _foot(phase: Array, gait: Gait) -> tuple[Array, Array, Array]:
    """Ankle ahead of and above the point under the hip, in legs, and the foot's pitch, toes up [rad]."""
    carries = gait.carries
    half = _half(gait)
    lands, leaves = (0.12, -0.75) if gait.runs else (0.28 * min(gait.speed / 1.4, 1.2), -0.62 * min(gait.speed, 1.5))
    stance = np.clip(phase / carries, 0, 1)
    pitch = lands * _fade(stance, 0.0, 0.18) + leaves * (1 - _fade(stance, 0.55, 1.0))
    swing = np.clip((phase - carries) / (1 - carries), 0, 1)
    returning = _smooth(swing)
    pitch = np.where(phase < carries, pitch, leaves + (lands - leaves) * _smooth(np.clip(swing * 1.35, 0, 1)))
    ahead = np.where(phase < carries, half * (1 - 2 * stance), half * (2 * returning - 1))
    pivot = np.where(pitch > 0, _HEEL, _BALL)  # from below the ankle, to what stays where it is
    rolled = pivot * (1 - np.cos(pitch)) - _ANKLE * np.sin(pitch)
    height = _ANKLE * np.cos(pitch) - pivot * np.sin(pitch)
    arc = gait.lift * (0.2 if gait.runs else 0.045) * np.sin(np.pi * swing) ** 2
    return ahead + rolled - _BACK, height + arc, pitch


def _leg(angles: Array, side: str, phase: Array, gait: Gait) -> None:
    ahead, height, pitch = _foot(phase, gait)
    up = _hip_height(phase, gait) - height
    reach = np.minimum(np.hypot(ahead, up), 0.9985)
    knee = np.pi - np.arccos(np.clip((_THIGH**2 + _SHIN**2 - reach**2) / (2 * _THIGH * _SHIN), -1, 1))
    lead = np.arcsin(np.clip(_SHIN * np.sin(knee) / reach, -1, 1))
    hip = np.arctan2(ahead, up) + lead
    angles[..., PLACE[f"{side}_hip_flex"]] = hip + _pitch(gait)
    angles[..., PLACE[f"{side}_knee"]] = knee
    angles[..., PLACE[f"{side}_ankle"]] = pitch - (hip - knee)
    angles[..., PLACE[f"{side}_hip_abduct"]] = gait.width_rad
    angles[..., PLACE[f"{side}_hip_turn"]] = 0.08


def _pitch(gait: Gait) -> float:
    """The pelvis's tilt forwards [rad]."""
    return 0.12 if gait.runs else 0.03


def _hip_height(phase: Array, gait: Gait) -> Array:
    """Lowest when both feet carry, or in the middle of a running foot's stance; as high as the landing leg allows."""
    lands = _half(gait) - _BACK - 0.03
    low = _ANKLE + 0.015 + np.sqrt(0.99 - min(lands, 0.5) ** 2) - gait.crouch
    if gait.runs:
        middle = gait.carries / 2
        height: Array = low - 0.04 - 0.02 * np.cos(4 * np.pi * (phase - middle))
        return height
    high = np.minimum(low + 0.045, _ANKLE + 0.99)
    walks: Array = low + (high - low) * (0.5 - 0.5 * np.cos(4 * np.pi * (phase - 0.05)))
    return walks


def _half(gait: Gait) -> float:
    """Half of the way that a foot goes back while it carries, in legs."""
    return gait.speed / gait.cycles_per_s * gait.carries / 2


def _trunk_and_arms(angles: Array, turn: Array, gait: Gait) -> None:
    stride = gait.speed / gait.cycles_per_s
    yaw = 0.09 * min(stride, 1.6) * gait.bounce * np.cos(turn)  # the left hip is ahead when the left foot lands
    angles[..., PLACE["root_turn"]] = -yaw
    angles[..., PLACE["twist"]] = 1.9 * yaw
    angles[..., PLACE["look"]] = -0.9 * yaw
    angles[..., PLACE["root_pitch"]] = _pitch(gait)
    angles[..., PLACE["bend"]] = 0.1 if gait.runs else 0.04
    for side, sign in zip(SIDES, (-1.0, 1.0), strict=True):
        swing = gait.arm_swing * (0.55 if gait.runs else 0.3 * min(stride, 1.6)) * sign * np.cos(turn - 0.2)
        angles[..., PLACE[f"{side}_arm_flex"]] = swing - 0.05
        angles[..., PLACE[f"{side}_arm_abduct"]] = 0.2
        angles[..., PLACE[f"{side}_arm_twist"]] = 0.35
        angles[..., PLACE[f"{side}_elbow"]] = gait.elbow_rad + 0.5 * np.maximum(swing, 0) + (1.1 if gait.runs else 0)
        angles[..., PLACE[f"{side}_pronate"]] = 0.25


def _smooth(x: Array) -> Array:
    smooth: Array = x * x * (3 - 2 * x)
    return smooth


def _fade(x: Array, start: float, end: float) -> Array:
    """1 before the start, 0 after the end."""
    return 1 - _smooth(np.clip((x - start) / (end - start), 0, 1))
