"""What faces do: a few facial actions at a time, most faces near neutral."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
# Actions by the beginning of their names, both sides alike, with their largest strength; and how often.
MOODS: dict[str, tuple[dict[str, float], float]] = {
    "neutral": ({}, 5.0),
    "smile": ({"mouthSmile": 0.9, "cheekSquint": 0.5, "mouthDimple": 0.3}, 3.0),
    "laugh": ({"mouthSmile": 1.0, "jawOpen": 0.5, "cheekSquint": 0.8, "eyeSquint": 0.6, "mouthUpperUp": 0.4}, 1.0),
    "talk": ({"jawOpen": 0.4, "mouthFunnel": 0.4, "mouthLowerDown": 0.3, "mouthPucker": 0.2}, 2.0),
    "surprise": ({"eyeWide": 0.8, "browInnerUp": 0.9, "browOuterUp": 0.9, "jawOpen": 0.5}, 0.5),
    "frown": ({"browDown": 0.9, "mouthFrown": 0.7, "mouthPress": 0.5, "eyeSquint": 0.3}, 0.7),
    "disgust": ({"noseSneer": 0.8, "mouthUpperUp": 0.5, "browDown": 0.5}, 0.2),
    "kiss": ({"mouthPucker": 0.9, "mouthFunnel": 0.4}, 0.2),
    "blink": ({"eyeBlink": 1.0}, 1.0),
    "sad": ({"browInnerUp": 0.8, "mouthFrown": 0.6, "mouthShrugLower": 0.4}, 0.3),
}
_NAMES = tuple(MOODS)
_CHANCES = np.array([chance for _, chance in MOODS.values()])
_CHANCES /= _CHANCES.sum()
_STRAY_CHANCE, _STRAY = 0.08, 0.35


def sample_face(rng: np.random.Generator, names: Sequence[str]) -> Array:
    """Draws facial actions.

    Args:
        rng: What they are drawn from.
        names: The E actions' names, as `BodyInfo.expression_names`.

    Returns:
        (E,) strengths from 0 to 1, most of them 0.
    """
    strength = rng.beta(2, 2)
    actions, _ = MOODS[_NAMES[rng.choice(len(_NAMES), p=_CHANCES)]]
    wanted = np.array([max((v for key, v in actions.items() if name.startswith(key)), default=0.0) for name in names])
    values = wanted * strength * rng.uniform(0.85, 1.0, len(names))
    stray = (rng.random(len(names)) < _STRAY_CHANCE) * rng.uniform(0, _STRAY, len(names))
    return np.clip(np.maximum(values, stray), 0, 1).astype(np.float32)
