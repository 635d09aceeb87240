"""Patterns: how much of a material's second colour shows at each point."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

_MAP, _CELLS = 256, 8  # samples and lattice cells of the noise map along a side


class PatternPoints(NamedTuple):
    """P points to colour, all of one pattern."""

    u: Array  # in the pattern's plane, in repeats
    v: Array
    noise: Callable[[float, int], Array]  # irregularity in [0, 1] at a frequency per repeat, for a salt
    chance: Array  # (4, P) the material's own random numbers, 0 to 1
    soft: Array  # width of a pixel, in repeats


def noise(u: Array, v: Array, shift_u: Array, shift_v: Array) -> Array:
    """Smooth irregularity in [0, 1]; one cell per unit, repeats every `_CELLS` units."""
    per_cell = _MAP // _CELLS
    # The lattices that materials see are shifted against each other; the constant keeps indices positive.
    column = ((u + (4096.0 + _CELLS * shift_u)) * per_cell).astype(np.int32) & (_MAP - 1)
    row = ((v + (4096.0 + _CELLS * shift_v)) * per_cell).astype(np.int32) & (_MAP - 1)
    return _noise_map()[row * _MAP + column]


@lru_cache(maxsize=1)
def _noise_map() -> Array:
    lattice = np.random.default_rng(20260).random((_CELLS, _CELLS))
    step = np.arange(_MAP) * _CELLS / _MAP
    cell, part = step.astype(int), step % 1.0
    part = part * part * (3.0 - 2.0 * part)
    after = (cell + 1) % _CELLS
    rows = lattice[cell] * (1 - part)[:, None] + lattice[after] * part[:, None]
    full = rows[:, cell] * (1 - part) + rows[:, after] * part
    return full.astype(np.float32).ravel()


def _edge(distance: Array, soft: Array) -> Array:
    """0 below, 1 above zero, over the width of a pixel."""
    return np.clip(distance / np.maximum(soft, 1e-3) + 0.5, 0.0, 1.0)


def _faded(share: Array, mean: Array | float, soft: Array) -> Array:
    """A pattern that a pixel no longer resolves is its mean."""
    fade = np.clip(2.0 - 3.0 * soft, 0.0, 1.0)
    return mean + (share - mean) * fade


def _stripes(p: PatternPoints) -> Array:
    width = 0.25 + 0.5 * p.chance[0]
    place = p.u - np.floor(p.u)
    return _faded(_edge(np.minimum(place, width - place), p.soft), width, p.soft)


def _checks(p: PatternPoints) -> Array:
    fu, fv = (np.abs(w - np.floor(w) - 0.5) - 0.25 for w in (p.u, p.v))
    one, two = _edge(fu, p.soft), _edge(fv, p.soft)
    board, gingham = one + two - 2.0 * one * two, 0.5 * (one + two)
    return _faded(np.where(p.chance[0] < 0.5, board, gingham), 0.5, p.soft)


def _dots(p: PatternPoints) -> Array:
    radius = 0.15 + 0.25 * p.chance[0]
    row = np.floor(p.v)
    u = p.u + 0.5 * (row % 2.0)
    distance = np.hypot(u - np.floor(u) - 0.5, p.v - row - 0.5)
    return _faded(_edge(radius - distance, p.soft), np.pi * radius**2, p.soft)


def _soft_noise(p: PatternPoints) -> Array:
    return 0.6 * p.noise(1.0, 0) + 0.4 * p.noise(3.7, 1)


def _blotches(p: PatternPoints) -> Array:
    return _edge(
        np.float32(0.65) * p.noise(1.0, 0) + np.float32(0.35) * p.noise(2.9, 1) - np.float32(0.5), 0.05 + 0.3 * p.soft
    )


def _planks(p: PatternPoints) -> Array:
    row = np.floor(p.v)
    board = row * 0.618 + np.floor(p.u / 6.0 + row * 0.37) * 0.414 + p.chance[0]
    tone = board * 7.31 - np.floor(board * 7.31)
    seam = _edge(0.035 - np.minimum(p.v - row, row + 1.0 - p.v), p.soft)
    grain = noise(p.u * 0.35, p.v * 5.0 + tone * 9.0, p.chance[1], p.chance[2])
    return np.clip(0.55 * tone + 0.45 * grain + _faded(seam, 0.07, p.soft), 0.0, 1.0)


def _tiles(p: PatternPoints) -> Array:
    fu, fv = (np.minimum(w - np.floor(w), np.ceil(w) - w) for w in (p.u, p.v))
    joint = 0.015 + 0.05 * p.chance[0]
    seam = _edge(joint - np.minimum(fu, fv), p.soft)
    tile = np.floor(p.u) * 0.618 + np.floor(p.v) * 0.414 + p.chance[1]
    tone = (tile * 5.77 - np.floor(tile * 5.77)) * 0.3 * p.chance[2]
    return np.clip(_faded(seam, 4.0 * joint, p.soft) + tone, 0.0, 1.0)


def _bricks(p: PatternPoints) -> Array:
    row = np.floor(p.v * 3.0)
    u = p.u + 0.5 * (row % 2.0)
    fv = p.v * 3.0 - row
    seam = np.maximum(
        _edge(0.04 - np.minimum(u - np.floor(u), np.ceil(u) - u), p.soft),
        _edge(0.1 - np.minimum(fv, 1.0 - fv), 3.0 * p.soft),
    )
    brick = np.floor(u) * 0.618 + row * 0.414 + p.chance[1]
    tone = (brick * 5.77 - np.floor(brick * 5.77)) * 0.35
    return np.clip(_faded(seam, 0.25, 3.0 * p.soft) + tone, 0.0, 1.0)


def _gradient(p: PatternPoints) -> Array:
    return np.clip(p.v + 0.3 * (p.noise(0.7, 0) - 0.5), 0.0, 1.0)


def _print(p: PatternPoints) -> Array:
    """Discs and bars that each seed puts elsewhere, in cells of one repeat."""
    u, v = p.u - np.floor(p.u) - 0.5, p.v - np.floor(p.v) - 0.5
    a, b, c, d = p.chance
    ring = np.abs(np.hypot(u - 0.4 * (a - 0.5), v - 0.4 * (b - 0.5)) - 0.12 - 0.12 * c) - 0.02 - 0.08 * d
    bar = np.maximum(np.abs(u - 0.6 * (b - 0.5)) - 0.05 - 0.25 * c, np.abs(v - 0.6 * (d - 0.5)) - 0.02 - 0.12 * a)
    turned = (u * (c - 0.5) + v * (a - 0.5)) / np.maximum(np.hypot(c - 0.5, a - 0.5), 0.05)
    slant = np.maximum(np.abs(turned - 0.3 * (d - 0.5)) - 0.02 - 0.07 * b, np.maximum(np.abs(u), np.abs(v)) - 0.4)
    shapes = np.maximum(_edge(-ring, p.soft), 0.7 * _edge(-bar, p.soft))
    return _faded(np.maximum(shapes, 0.45 * _edge(-slant, p.soft)), 0.3, p.soft)


PATTERN_FUNCTIONS: dict[str, Callable[[PatternPoints], Array]] = {
    "stripes": _stripes,
    "checks": _checks,
    "dots": _dots,
    "noise": _soft_noise,
    "blotches": _blotches,
    "planks": _planks,
    "tiles": _tiles,
    "bricks": _bricks,
    "gradient": _gradient,
    "print": _print,
}
