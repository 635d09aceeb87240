"""Pieces: boxes, cylinders and blobs, and things made of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ros2_multihmr.synthesis.surface import Material, Surface

Floats = NDArray[np.float64]
Pair = tuple[float, float] | Floats


class Piece(NamedTuple):
    """A part of a thing, about the thing's own origin on the floor: see `Surface`; one material."""

    vertices: Floats
    faces: NDArray[np.intp]
    texture: Floats
    material: int


def box(low: ArrayLike, high: ArrayLike, material: int = 0) -> Piece:
    """A box between two corners."""
    low_, high_ = np.asarray(low, float), np.asarray(high, float)
    corners = low_ + _BOX_CORNERS * (high_ - low_)
    texture = np.zeros((24, 3))
    texture[:, 0], texture[:, 1] = corners[np.arange(24), _BOX_ACROSS], corners[np.arange(24), _BOX_UP]
    return Piece(corners, _BOX_FACES, texture, material)


def cylinder(
    place: Pair, radii: tuple[float, float], heights: tuple[float, float], material: int = 0, sides: int = 12
) -> Piece:
    """An upright cylinder or cone about (x, y): radius and height at the bottom and at the top [m]."""
    angle = np.linspace(0.0, 2.0 * np.pi, sides + 1)
    circle = np.stack([np.cos(angle), np.sin(angle)], 1)
    rings = [np.column_stack([r * circle, np.full(sides + 1, z)]) for r, z in zip(radii, heights)]
    around = angle * max(radii)
    walls = [np.column_stack([around, np.full(sides + 1, z), 0 * around]) for z in heights]
    caps = [np.column_stack([ring[:, :2], 0 * angle]) for ring in rings]
    count, k = sides + 1, np.arange(sides)
    side = np.concatenate([np.stack([k, k + 1, count + k + 1], 1), np.stack([k, count + k + 1, count + k], 1)])
    fan = np.arange(1, sides - 1)
    zero = np.zeros_like(fan)
    bottom = 2 * count + np.stack([zero, fan + 1, fan], 1)
    top = 3 * count + np.stack([zero, fan, fan + 1], 1)
    vertices = np.concatenate([*rings, *rings]) + (place[0], place[1], 0.0)
    return Piece(vertices, np.concatenate([side, bottom, top]), np.concatenate([*walls, *caps]), material)


def blob(place: ArrayLike, radii: ArrayLike, material: int = 0) -> Piece:
    """An ellipsoid about (x, y, z)."""
    sphere, faces = _sphere()
    vertices = sphere * np.asarray(radii, float)
    return Piece(vertices + np.asarray(place, float), faces, vertices[:, [0, 2, 1]], material)


def assemble(
    pieces: Sequence[Piece],
    materials: Sequence[Material],
    place: ArrayLike = (0.0, 0.0, 0.0),
    heading_rad: float = 0.0,
    *,
    smooth: bool = False,
    turn: Floats | None = None,
) -> Surface:
    """Puts a thing into the world: turned about the vertical (or by a rotation `turn`), then moved."""
    cosine, sine = np.cos(heading_rad), np.sin(heading_rad)
    rotation = np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]]) if turn is None else turn
    starts = np.cumsum([0] + [len(piece.vertices) for piece in pieces[:-1]])
    faces = np.concatenate([piece.faces + start for piece, start in zip(pieces, starts)])
    vertices = np.concatenate([piece.vertices for piece in pieces]) @ rotation.T + np.asarray(place, float)
    return Surface(
        vertices=vertices.astype(np.float32),
        faces=faces,
        texture=np.concatenate([piece.texture for piece in pieces]).astype(np.float32),
        materials=tuple(materials),
        material=np.repeat([piece.material for piece in pieces], [len(piece.faces) for piece in pieces]),
        smooth=smooth,
        person=-1,
        part=np.zeros(len(faces), np.uint8),
    )


_BOX_CORNERS = np.array(
    [
        *([1, 0, 0], [1, 1, 0], [1, 1, 1], [1, 0, 1]),
        *([0, 1, 0], [0, 0, 0], [0, 0, 1], [0, 1, 1]),
        *([1, 1, 0], [0, 1, 0], [0, 1, 1], [1, 1, 1]),
        *([0, 0, 0], [1, 0, 0], [1, 0, 1], [0, 0, 1]),
        *([0, 0, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1]),
        *([0, 1, 0], [1, 1, 0], [1, 0, 0], [0, 0, 0]),
    ],
    np.float64,
)
_BOX_FACES = np.concatenate([[[4 * k, 4 * k + 1, 4 * k + 2], [4 * k, 4 * k + 2, 4 * k + 3]] for k in range(6)])
_BOX_ACROSS = np.repeat([1, 1, 0, 0, 0, 0], 4)
_BOX_UP = np.repeat([2, 2, 2, 2, 1, 1], 4)


@lru_cache(maxsize=1)
def _sphere() -> tuple[Floats, NDArray[np.intp]]:
    """A sphere of rings: (V, 3) unit vectors and (F, 3) triangles."""
    rings, sides = 7, 12
    theta, phi = np.linspace(0.0, np.pi, rings + 1), np.linspace(0.0, 2.0 * np.pi, sides, endpoint=False)
    ring = np.stack([np.cos(phi), np.sin(phi)], 1)
    inner = [np.column_stack([np.sin(t) * ring, np.full(sides, np.cos(t))]) for t in theta[1:-1]]
    vertices = np.concatenate([[[0.0, 0.0, 1.0]], *inner, [[0.0, 0.0, -1.0]]])
    k, after, last = np.arange(sides), (np.arange(sides) + 1) % sides, len(vertices) - 1
    faces = [np.stack([np.zeros_like(k), 1 + k, 1 + after], 1)]
    for r in range(rings - 2):
        upper, lower = 1 + r * sides, 1 + (r + 1) * sides
        faces.append(np.stack([upper + k, lower + k, lower + after], 1))
        faces.append(np.stack([upper + k, lower + after, upper + after], 1))
    final = 1 + (rings - 2) * sides
    faces.append(np.stack([final + after, final + k, np.full_like(k, last)], 1))
    return vertices, np.concatenate(faces)
