"""What hands do, each on its own: shapes of the fingers and noise of every joint."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ros2_multihmr.synthesis.angles import ANGLES, FINGERS, PLACE, SIDES, within_limits

Array = NDArray[np.float64]
_LONG = FINGERS[1:]


def _hand(curl: tuple[float, float, float], thumb: tuple[float, float, float], spread: float = 0) -> dict[str, float]:
    """A hand whose long fingers all bend alike [degrees]."""
    angles = {f"{finger}{k}_curl": bend for finger in _LONG for k, bend in enumerate(curl, 1)}
    angles |= {f"thumb{k}_curl": bend for k, bend in enumerate(thumb, 1)}
    return angles | {f"{finger}_spread": spread for finger in FINGERS}


def _with(hand: Mapping[str, float], finger: str, curl: tuple[float, float, float]) -> dict[str, float]:
    return {**hand, **{f"{finger}{k}_curl": bend for k, bend in enumerate(curl, 1)}}


_STRAIGHT = (-22.0, -10.0, -6.0)
_OPEN = _hand((-20, -8, -6), (-8, -8, -8), 4)
_FIST = _hand((70, 80, 50), (18, 28, 35), -5)
_PINCH = _with(_with(_hand((10, 15, 10), (14, 12, 20)), "index", (38, 38, 18)), "middle", (30, 35, 15))
# Shape from rest [degrees], and how often.
SHAPES: dict[str, tuple[dict[str, float], float]] = {
    "relaxed": (_hand((8, 10, 6), (2, 4, 4), -2), 5.0),
    "flat": (_hand(_STRAIGHT, (0, -5, -5), -6), 1.5),
    "spread": (_OPEN | {f"{finger}_spread": 13.0 for finger in FINGERS}, 1.0),
    "fist": (_FIST, 1.5),
    "pointing": (_with(_FIST, "index", _STRAIGHT), 0.8),
    "pinch": (_PINCH, 1.0),
    "grip": (_hand((38, 45, 25), (10, 15, 10)), 1.5),
    "thumb_up": (_with(_FIST, "thumb", (-14, -14, -12)), 0.4),
    "victory": (_with(_with(_FIST, "index", _STRAIGHT), "middle", _STRAIGHT), 0.3),
}
_NAMES = tuple(SHAPES)
_CHANCES = np.array([chance for _, chance in SHAPES.values()])
_CHANCES /= _CHANCES.sum()
_FINGER_ANGLES = np.array([name.endswith(("_curl", "_spread")) for name in ANGLES])
_SPREADS = np.radians(np.where([name.endswith("_spread") for name in ANGLES], 2.5, 6.0)) * _FINGER_ANGLES


def sample_hands(rng: np.random.Generator, shapes: tuple[str, ...] = ()) -> Array:
    """Draws both hands' angles, (A,) with zeros but for the fingers [rad].

    Args:
        rng: What they are drawn from.
        shapes: Names of `SHAPES` to choose from; empty: all, by their chances.

    Raises:
        ValueError: No shape has such a name.
    """
    unknown = set(shapes) - set(SHAPES)
    if unknown:
        raise ValueError(f"sample_hands: no shapes are called {sorted(unknown)}; known are {', '.join(SHAPES)}")
    angles = rng.normal(size=len(ANGLES)) * _SPREADS
    for side in SIDES:
        name = rng.choice(shapes) if shapes else _NAMES[rng.choice(len(_NAMES), p=_CHANCES)]
        softness = rng.beta(4, 1)  # nobody makes the whole fist all the time
        fade = rng.normal(0, 5)  # from the index to the little finger
        for angle, bend in SHAPES[name][0].items():
            angles[PLACE[f"{side}_{angle}"]] += np.radians(bend * softness)
        for k, finger in enumerate(_LONG):
            angles[PLACE[f"{side}_{finger}1_curl"]] += np.radians(fade * (k - 1.5))
    return within_limits(angles)
