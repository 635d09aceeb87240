"""Cutting garments out of the body's mesh along their borders, and pushing them outwards."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ros2_multihmr.synthesis.figure import Figure
from ros2_multihmr.synthesis.garments import covers
from ros2_multihmr.synthesis.outfit import Outfit

Array = NDArray[np.floating[Any]]
Ints = NDArray[np.intp]
_NEAREST_CUT = 0.06  # of an edge: how near to its end a cut may be, so that no sliver arises


class Cloth(NamedTuple):
    """A dressed mesh.

    Attributes:
        vertices: (V, 3) pushed outwards [m].
        texture: (V, 3) resting place [m].
        faces: (F, 3) triangles.
        material: (F,) index into the outfit's materials.
        origin: (F,) triangle of the reduced mesh that each one is a piece of.
    """

    vertices: Array
    texture: Array
    faces: Ints
    material: Ints
    origin: Ints


class _Pieces(NamedTuple):
    """A mesh with columns of numbers at its vertices, whose triangles are being cut."""

    columns: Array
    faces: Ints
    material: Ints
    origin: Ints


def tailor(skin: Array, outfit: Outfit, figure: Figure) -> Cloth:
    """Dresses a posed body.

    Args:
        skin: (L, 3) vertices of the reduced mesh [m].
        outfit: What is worn.
        figure: Where its vertices are on the body.
    """
    fields = [covers(garment, figure.vertices) for garment in outfit.garments]
    columns = np.column_stack([skin, normals(skin, figure.faces), figure.texture, *fields])
    count = len(figure.faces)
    pieces = _Pieces(columns, figure.faces, np.zeros(count, np.intp), np.arange(count))
    first = columns.shape[1] - len(fields)
    for column, garment in enumerate(outfit.garments, first):
        pieces = _cut(pieces, column, garment.material)
    place, out, texture, worn = np.split(pieces.columns, [3, 6, 9], axis=1)
    thick = _thickness(worn, outfit)[:, None]
    return Cloth(place + thick * out, texture, pieces.faces, pieces.material, pieces.origin)


def standoff(skin: Array, outfit: Outfit, figure: Figure) -> Array:
    """Returns (L, 3) how `tailor` moves the vertices of the reduced mesh [m]."""
    fields = np.column_stack([covers(garment, figure.vertices) for garment in outfit.garments])
    moves: Array = normals(skin, figure.faces) * _thickness(fields, outfit)[:, None]
    return moves


def _thickness(fields: Array, outfit: Outfit) -> Array:
    """(V,) how far the thickest garment stands off, from (V, G) fields."""
    thickness = np.array([garment.thickness_m for garment in outfit.garments])
    thickest: Array = ((fields >= 0) * thickness).max(1, initial=0.0)
    return thickest


def _cut(pieces: _Pieces, column: int, material: int) -> _Pieces:
    """Cuts triangles along a field's zeros and gives what lies inside a material."""
    columns, faces = pieces.columns, pieces.faces
    field = columns[:, column]
    inside = (field >= 0)[faces]
    count = inside.sum(1)
    colored = np.where(count == 3, material, pieces.material)
    crossed = np.flatnonzero((count == 1) | (count == 2))
    whole = np.ones(len(faces), np.bool_)
    whole[crossed] = False
    alone = (inside[crossed] == (count[crossed] == 1)[:, None]).argmax(1)
    a, b, c = (faces[crossed, (alone + k) % 3] for k in range(3))
    edges, where = _edges(a, b, c)
    ab, ac = where.reshape(2, -1) + len(columns)
    tip, rest = np.stack([a, ab, ac], 1), np.concatenate([np.stack([ab, b, c], 1), np.stack([ab, c, ac], 1)])
    old = pieces.material[crossed]
    tips_inside = count[crossed] == 1
    of_rest = np.tile(np.where(tips_inside, old, material), 2)
    return _Pieces(
        np.concatenate([columns, _between(columns, edges, column)]),
        np.concatenate([faces[whole], tip, rest]),
        np.concatenate([colored[whole], np.where(tips_inside, material, old), of_rest]),
        np.concatenate([pieces.origin[whole], np.tile(pieces.origin[crossed], 3)]),
    )


def _edges(a: Ints, b: Ints, c: Ints) -> tuple[Ints, Ints]:
    """The edges from a to b and from a to c, each once, and which is which."""
    pairs = np.sort(np.concatenate([np.stack([a, b], 1), np.stack([a, c], 1)]), 1)
    base = pairs.max(initial=0) + 1
    keys, where = np.unique(pairs[:, 0] * base + pairs[:, 1], return_inverse=True)
    return np.stack([keys // base, keys % base], 1), where


def _between(columns: Array, edges: Ints, column: int) -> Array:
    """Columns where the field is zero along each edge."""
    start, stop = columns[edges[:, 0]], columns[edges[:, 1]]
    share = start[:, column] / (start[:, column] - stop[:, column])
    points = start + (stop - start) * np.clip(share, _NEAREST_CUT, 1 - _NEAREST_CUT)[:, None]
    points[:, column] = 0.0
    return points


def normals(vertices: Array, faces: NDArray[np.intp]) -> Array:
    """Returns (V, 3) unit normals of a mesh: the mean of the faces around, weighted by their area."""
    a, b, c = vertices[faces.T]
    across = np.cross(b - a, c - a)
    target = faces.T.ravel()
    sums = [np.bincount(target, np.tile(across[:, k], 3), len(vertices)) for k in range(3)]
    summed = np.stack(sums, 1)
    unit: Array = summed / np.maximum(np.linalg.norm(summed, axis=1, keepdims=True), 1e-12)
    return unit
