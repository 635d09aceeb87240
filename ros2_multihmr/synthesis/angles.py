"""The anatomical angles that postures are written in, and how far people can turn them.

Zero is a person who stands straight, arms hanging, palms to the thighs, hands at rest. A posture is an array (..., A)
of these angles in radians. Bends go forwards, leans, tilts and rolls to the person's right, twists, looks and turns to
the left; a side's own angles mean the same on both sides, so that a mirrored posture has them exchanged.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
SIDES = ("left", "right")
FINGERS = ("thumb", "index", "middle", "ring", "pinky")

# Least and most [degrees]: textbook ranges of healthy adults (active, rounded inwards), spine and neck as a whole.
_MIDDLE = {
    "root_turn": (-180, 180),
    "root_pitch": (-95, 95),
    "root_roll": (-95, 95),
    "bend": (-25, 75),
    "lean": (-30, 30),
    "twist": (-40, 40),
    "nod": (-45, 50),
    "tilt": (-35, 35),
    "look": (-70, 70),
    "jaw": (0, 22),
    "gaze_side": (-30, 30),
    "gaze_down": (-20, 25),
}
_OF_SIDE = {
    "shrug": (-8, 28),
    "protract": (-18, 22),
    "arm_flex": (-50, 175),
    "arm_abduct": (-45, 165),
    "arm_twist": (-70, 90),
    "elbow": (0, 145),
    "pronate": (-80, 80),
    "wrist_flex": (-60, 70),
    "wrist_side": (-30, 20),
    "hip_flex": (-30, 122),
    "hip_abduct": (-22, 45),
    "hip_turn": (-35, 45),
    "knee": (0, 150),
    "ankle": (-45, 28),
    "foot_tilt": (-20, 20),
}
# From the resting hand, which is bent a little already.
_CURLS = {"thumb": ((-15, 30), (-15, 40), (-15, 50)), "": ((-30, 75), (-15, 85), (-12, 60))}
_SPREAD = (-8, 14)


def _limits() -> dict[str, tuple[float, float]]:
    limits: dict[str, tuple[float, float]] = dict(_MIDDLE)
    for side in SIDES:
        limits |= {f"{side}_{name}": limit for name, limit in _OF_SIDE.items()}
        for finger in FINGERS:
            curls = _CURLS.get(finger, _CURLS[""])
            limits |= {f"{side}_{finger}{k}_curl": limit for k, limit in enumerate(curls, 1)}
            limits[f"{side}_{finger}_spread"] = _SPREAD
    return limits


ANGLES = tuple(_limits())
PLACE = {name: i for i, name in enumerate(ANGLES)}
LIMITS: Array = np.radians(list(_limits().values()))
_TURNS_ABOUT_MIDDLE = ("root_turn", "root_roll", "lean", "twist", "tilt", "look", "gaze_side")


def _other_side(name: str) -> str:
    side, _, rest = name.partition("_")
    return {"left": f"right_{rest}", "right": f"left_{rest}"}.get(side, name)


_MIRROR = np.array([PLACE[_other_side(name)] for name in ANGLES])
_SIGNS = np.array([-1.0 if name in _TURNS_ABOUT_MIDDLE else 1.0 for name in ANGLES])


def posture(degrees: Mapping[str, float]) -> Array:
    """Returns the (A,) posture with some angles set.

    Args:
        degrees: Angles [degrees] by name; one of a side without its side ("elbow") sets both.

    Raises:
        ValueError: No angle has such a name.
    """
    angles = np.zeros(len(ANGLES))
    for name, value in degrees.items():
        places = [PLACE[key] for key in (name, f"left_{name}", f"right_{name}") if key in PLACE]
        if not places:
            raise ValueError(f"posture: no angle is called {name!r}; known are {', '.join(ANGLES)}")
        angles[places] = np.radians(value)
    return angles


def within_limits(angles: Array) -> Array:
    """Returns postures (..., A) with every angle held to its limits."""
    return np.clip(angles, *LIMITS.T)


def mirrored(angles: Array) -> Array:
    """Returns postures (..., A) of people seen in a mirror."""
    exchanged: Array = angles[..., _MIRROR] * _SIGNS
    return exchanged
