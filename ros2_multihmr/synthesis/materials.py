"""Materials: which ones scenes draw from, and what colour each has at a point.

What evaluation uses is never trained on: colours fall into cells of hue, saturation and brightness and patterns into
seeds, and of each a fifth is kept for "val"; some pairs of role and pattern are, too (`VAL_PATTERNS`).

A texture has three axes: across, up and back. A pattern lies in the plane (across + .7 back, up): flat things have no
"back", and on a body, about as deep as it is wide, a pattern runs around from the front to the sides.
"""

from __future__ import annotations

import colorsys
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ros2_multihmr.synthesis.patterns import PATTERN_FUNCTIONS, PatternPoints, noise
from ros2_multihmr.synthesis.surface import PATTERNS, Material

Array = NDArray[np.float32]

_HUES, _SATURATIONS, _BRIGHTNESSES = 12, 5, 5
_KEPT = 5  # one of so many cells and seeds is for evaluation
_PATIENCE = 40  # draws within the ranges before the hue may leave its own
_SKEW, _NOISE_SKEW = 0.7, 0.5

# Patterns by what a thing is; those of VAL_PATTERNS are only for evaluation.
ROLES = {
    "wall": ("plain", "plain", "plain", "noise", "stripes", "bricks", "gradient", "tiles", "planks"),
    "floor": ("planks", "planks", "tiles", "noise", "blotches", "plain", "checks"),
    "ceiling": ("plain", "plain", "plain", "noise", "tiles"),
    "ground": ("noise", "noise", "blotches", "tiles", "plain"),
    "wood": ("planks", "noise", "plain"),
    "cloth": ("plain", "plain", "noise", "stripes", "checks", "blotches"),
    "picture": ("print", "print", "blotches", "gradient"),
    "facade": ("tiles", "bricks", "plain", "stripes"),
    "leaf": ("noise", "blotches"),
    "thing": ("plain", "plain", "stripes", "checks", "noise", "tiles", "print", "gradient", "planks"),
}
VAL_PATTERNS = {
    "wall": ("checks", "blotches"),
    "floor": ("bricks", "dots"),
    "ground": ("planks",),
    "cloth": ("dots", "gradient"),
    "picture": ("dots",),
    "facade": ("checks",),
    "thing": ("dots", "bricks", "blotches"),
}
# Range of hue, of saturation and of brightness; range of the pattern's repeat [m]; how much the second colour differs.
_LOOKS: dict[str, tuple[tuple[float, float], tuple[float, float], tuple[float, float], tuple[float, float], float]] = {
    "wall": ((0.0, 1.0), (0.0, 0.28), (0.5, 0.98), (0.15, 0.9), 0.15),
    "floor": ((0.02, 0.16), (0.1, 0.65), (0.2, 0.85), (0.12, 0.7), 0.25),
    "ceiling": ((0.05, 0.7), (0.0, 0.08), (0.8, 1.0), (0.4, 0.8), 0.08),
    "ground": ((0.05, 0.38), (0.05, 0.5), (0.25, 0.7), (0.3, 1.5), 0.2),
    "wood": ((0.03, 0.13), (0.05, 0.6), (0.2, 0.95), (0.08, 0.3), 0.15),
    "cloth": ((0.0, 1.0), (0.05, 0.8), (0.15, 0.95), (0.05, 0.4), 0.4),
    "picture": ((0.0, 1.0), (0.2, 0.9), (0.2, 1.0), (0.2, 0.7), 0.8),
    "facade": ((0.0, 0.7), (0.0, 0.4), (0.3, 0.9), (1.2, 3.5), 0.35),
    "leaf": ((0.18, 0.4), (0.35, 0.85), (0.15, 0.6), (0.08, 0.5), 0.3),
    "thing": ((0.0, 1.0), (0.0, 0.95), (0.08, 1.0), (0.04, 0.6), 0.6),
}
_TURNED = ("cloth", "thing")  # roles whose patterns lie at any angle
# Strongest fine irregularity.
_GRAINS = {"leaf": 0.3, "ground": 0.25, "wall": 0.02, "ceiling": 0.015}


def sample_material(rng: np.random.Generator, role: str, split: str, *, pattern: str = "") -> Material:
    """Draws a material.

    Args:
        rng: Source of chance.
        role: A key of `ROLES`: what the material is for.
        split: "train" or "val".
        pattern: One of `PATTERNS`; empty: one that suits the role and the split.
    """
    patterns = ROLES[role] + (VAL_PATTERNS.get(role, ()) * 2 if split == "val" else ())
    hue, saturation, brightness, scale, contrast = _LOOKS[role]
    first = sample_color(rng, split, hue, saturation, brightness)
    second = sample_color(rng, split, hue, saturation, brightness)
    blend = rng.uniform(0.3, 1.0) * contrast
    return Material(
        color=first,
        second=tuple(float(a + blend * (b - a)) for a, b in zip(first, second)),  # type: ignore[arg-type]
        pattern=pattern or patterns[rng.integers(len(patterns))],
        scale_m=scale[0] * (scale[1] / scale[0]) ** float(rng.random()),
        angle_rad=(0.0, math.pi / 2, float(rng.uniform(0, math.pi)))[rng.integers(3)] if role in _TURNED else 0.0,
        grain=float(rng.uniform(0.0, _GRAINS.get(role, 0.1))),
        gloss=max(0.0, float(rng.uniform(-1.2, 0.6))),
        seed=sample_seed(rng, split),
    )


def sample_color(
    rng: np.random.Generator,
    split: str,
    hue: tuple[float, float] = (0.0, 1.0),
    saturation: tuple[float, float] = (0.0, 1.0),
    brightness: tuple[float, float] = (0.0, 1.0),
) -> tuple[float, float, float]:
    """Draws a linear RGB colour from the split's cells within ranges of hue, saturation and brightness, 0 to 1.

    Where the ranges hold no cell of the split, the hue moves on until there is one.
    """
    h, v = float(rng.uniform(*hue)), float(rng.uniform(*brightness))
    s = _saturation(rng, saturation)
    for tries in range(_HUES * _PATIENCE):
        if split_of_color(h, s, v) == split:
            break
        h = float(rng.uniform(*hue)) if tries < _PATIENCE else (h + 0.5 / _HUES) % 1.0
        s, v = _saturation(rng, saturation), float(rng.uniform(*brightness))
    red, green, blue = (channel**2.2 for channel in colorsys.hsv_to_rgb(h, s, v))
    return red, green, blue


def _saturation(rng: np.random.Generator, span: tuple[float, float]) -> float:
    """Most things are rather grey."""
    return span[0] + (span[1] - span[0]) * float(rng.beta(1.2, 2.4))


def split_of_color(hue: float, saturation: float, brightness: float) -> str:
    """Returns the split to which a colour's cell belongs."""
    cell = [
        min(int(value * count), count - 1)
        for value, count in zip((hue, saturation, brightness), (_HUES, _SATURATIONS, _BRIGHTNESSES))
    ]
    return "val" if (cell[0] * 7 + cell[1] * 3 + cell[2]) % _KEPT == 0 else "train"


def sample_seed(rng: np.random.Generator, split: str) -> int:
    """Draws a pattern's seed: multiples of five for "val", others for "train"."""
    base = int(rng.integers(0, 1 << 20)) * _KEPT
    return base if split == "val" else base + int(rng.integers(1, _KEPT))


def evaluate(
    materials: Sequence[Material], index: NDArray[np.integer], texture: Array, footprint_m: Array
) -> tuple[Array, Array]:
    """Colours points.

    Args:
        materials: The scene's materials.
        index: (P,) which of them each point has.
        texture: (3, P) where the points lie in their patterns [m].
        footprint_m: (P,) width of a pixel there [m]: finer patterns fade into their mean.

    Returns:
        (3, P) linear reflectance and (P,) gloss.
    """
    table = _table(materials)
    kinds = table.pattern[index]
    albedo = np.empty((3, len(index)), np.float32)
    order = np.argsort(kinds, kind="stable")
    bounds = np.searchsorted(kinds[order], np.arange(len(PATTERNS) + 1))
    for kind, (start, stop) in enumerate(zip(bounds[:-1], bounds[1:])):
        if start < stop:
            rows = order[start:stop]
            albedo[:, rows] = _color(PATTERNS[kind], table, index[rows], texture[:, rows], footprint_m[rows])
    return albedo, table.gloss[index]


class _Table(NamedTuple):
    pattern: NDArray[np.uint8]
    color: Array  # (3, M)
    second: Array
    scale: Array
    turn: Array  # (2, M) cosine and sine
    grain: Array
    gloss: Array
    chance: Array  # (4, M)


def _table(materials: Sequence[Material]) -> _Table:
    angle = np.array([m.angle_rad for m in materials], np.float32)
    return _Table(
        np.array([PATTERNS.index(m.pattern) for m in materials], np.uint8),
        np.array([m.color for m in materials], np.float32).reshape(-1, 3).T,
        np.array([m.second for m in materials], np.float32).reshape(-1, 3).T,
        np.array([m.scale_m for m in materials], np.float32),
        np.stack([np.cos(angle), np.sin(angle)]),
        np.array([m.grain for m in materials], np.float32),
        np.array([m.gloss for m in materials], np.float32),
        np.array([_chances(m.seed) for m in materials], np.float32).reshape(-1, 4).T,
    )


def _chances(seed: int) -> list[float]:
    """Four numbers in [0, 1) that look random, from a seed; cheaper than a generator per material."""
    value, numbers = (seed * 2 + 1) & 0xFFFFFFFF, []
    for _ in range(4):
        value = (value * 747796405 + 2891336453) & 0xFFFFFFFF
        word = (((value >> ((value >> 28) + 4)) ^ value) * 277803737) & 0xFFFFFFFF
        numbers.append(((word >> 22) ^ word) / 2**32)
    return numbers


def _color(pattern: str, table: _Table, index: NDArray[np.integer], texture: Array, footprint: Array) -> Array:
    scale, chance = table.scale[index], table.chance[:, index]
    across, up = texture[0] + _SKEW * texture[2], texture[1]
    cosine, sine = table.turn[:, index]
    u, v = (cosine * across + sine * up) / scale, (cosine * up - sine * across) / scale
    depth = _NOISE_SKEW * texture[2] / scale

    def irregular(frequency: float, salt: int) -> Array:
        return noise(u * frequency, (v + depth) * frequency, chance[salt % 4], chance[(salt + 1) % 4])

    points = PatternPoints(u, v, irregular, chance, footprint / scale)
    share = PATTERN_FUNCTIONS[pattern](points) if pattern in PATTERN_FUNCTIONS else None
    color = table.color[:, index]
    if share is not None:
        color += share * (table.second[:, index] - color)
    fine = noise(across * 9.0, (up + _NOISE_SKEW * texture[2]) * 9.0, chance[2], chance[3])
    color *= 1.0 + table.grain[index] * (4.0 * fine - 2.0)
    return np.clip(color, 0.0, 1.0, out=color)
