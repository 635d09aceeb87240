"""Triangles: the surfaces of a scene written out, as the camera and the lights see them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ros2_multihmr.synthesis.surface import Surface

Array = NDArray[np.float32]
Floats = NDArray[np.float64]

NEAR_M = 0.05


class Triangles(NamedTuple):
    """All triangles of a scene, corners written out; one row each.

    Attributes:
        points: (F, 3, 3) corners in the frame they are seen from [m].
        values: (F, 3, 6) at the corners: unit normal in the world frame, texture [m].
        material: (F,) index into all the surfaces' materials, one after another.
        surface: (F,) index of the surface.
        person: (F,) index of the person, -1 for things.
        part: (F,) body part + 1.
    """

    points: Floats
    values: Array
    material: NDArray[np.int32]
    surface: NDArray[np.int32]
    person: NDArray[np.int32]
    part: NDArray[np.uint8]

    def take(self, keep: NDArray[np.bool_] | NDArray[np.intp]) -> Triangles:
        """Returns those triangles."""
        return Triangles(
            *(self.points[keep], self.values[keep], self.material[keep]),
            *(self.surface[keep], self.person[keep], self.part[keep]),
        )

    def moved(self, transform: Floats) -> Triangles:
        """Returns the triangles seen from another frame, T_there_here (4, 4)."""
        points = self.points.reshape(-1, 3) @ transform[:3, :3].T + transform[:3, 3]
        return self._replace(points=points.reshape(-1, 3, 3))


def triangles_of(surfaces: Sequence[Surface]) -> Triangles:
    """Writes out the triangles of surfaces, in the world frame."""
    points, values, material, offset = [], [], [], 0
    for surface in surfaces:
        corners = surface.vertices.astype(np.float64)[surface.faces]
        normals = _face_normals(corners)
        if surface.smooth:
            normals = _vertex_normals(normals, surface.faces, len(surface.vertices))[surface.faces]
        else:
            normals = np.repeat(_unit(normals)[:, None], 3, axis=1)
        points.append(corners)
        values.append(np.concatenate([normals, surface.texture[surface.faces]], axis=2).astype(np.float32))
        material.append(surface.material.astype(np.int32) + offset)
        offset += len(surface.materials)
    sizes = [len(surface.faces) for surface in surfaces]
    return Triangles(
        points=np.concatenate([np.zeros((0, 3, 3)), *points]),
        values=np.concatenate([np.zeros((0, 3, 6), np.float32), *values]),
        material=np.concatenate([np.zeros(0, np.int32), *material]),
        surface=np.repeat(np.arange(len(surfaces), dtype=np.int32), sizes),
        person=np.repeat(np.array([surface.person for surface in surfaces], np.int32), sizes),
        part=np.concatenate([np.zeros(0, np.uint8), *(surface.part for surface in surfaces)]),
    )


def cut_near(triangles: Triangles, near: float = NEAR_M) -> Triangles:
    """Cuts triangles at the plane z = near: what stays has z >= near [m]."""
    first, second, third = (triangles.points[..., 2] >= near).T.astype(np.int8)
    count = first + second + third
    if (count == 3).all():
        return triangles
    one, two = (_turned(triangles.take(count == number), odd) for number, odd in ((1, True), (2, False)))
    pieces = [triangles.take(count == 3)]
    if len(one.points):
        pieces.append(_with_corners(one, [(0, 0), (0, 1), (0, 2)], near))
    if len(two.points):
        pieces.append(_with_corners(two, [(0, 1), (1, 1), (2, 2)], near))
        pieces.append(_with_corners(two, [(0, 1), (2, 2), (0, 2)], near))
    return Triangles(*(np.concatenate(columns) for columns in zip(*pieces)))


def _turned(triangles: Triangles, odd_is_inside: bool, near: float = NEAR_M) -> Triangles:
    """Starts each triangle with the corner that is alone on its side of the plane."""
    inside = triangles.points[..., 2] >= near
    first = np.argmax(inside == odd_is_inside, axis=1)
    order = (first[:, None] + np.arange(3)) % 3
    rows = np.arange(len(order))[:, None]
    return triangles._replace(points=triangles.points[rows, order], values=triangles.values[rows, order])


def _with_corners(triangles: Triangles, ends: list[tuple[int, int]], near: float) -> Triangles:
    """Triangles whose corners are where the edges (a, b) meet the plane; (a, a) is the corner a itself."""
    points, values = [], []
    for a, b in ends:
        from_z, to_z = triangles.points[:, a, 2], triangles.points[:, b, 2]
        share = (near - from_z) / (to_z - from_z) if a != b else np.zeros(len(from_z))
        points.append(triangles.points[:, a] + share[:, None] * (triangles.points[:, b] - triangles.points[:, a]))
        values.append(triangles.values[:, a] + share[:, None] * (triangles.values[:, b] - triangles.values[:, a]))
    for at, (a, b) in enumerate(ends):
        if a != b:
            points[at][:, 2] = near
    return triangles._replace(points=np.stack(points, 1), values=np.stack(values, 1).astype(np.float32))


def faces_viewer(corners: Floats) -> NDArray[np.bool_]:
    """True for triangles (F, 3, 2) [px] seen from outside: surfaces are closed or one-sided, others are not drawn."""
    (ax, ay), (bx, by) = (corners[:, 1] - corners[:, 0]).T, (corners[:, 2] - corners[:, 0]).T
    return np.asarray(ax * by < ay * bx)


def touches(corners: Floats, width: int, height: int) -> NDArray[np.bool_]:
    """True for triangles (F, 3, 2) [px] whose box meets the image."""
    result = np.ones(len(corners), np.bool_)
    for axis, size in enumerate((width, height)):
        first, second, third = corners[..., axis].T
        result &= np.maximum(np.maximum(first, second), third) >= -0.5
        result &= np.minimum(np.minimum(first, second), third) <= size
    return result


def _face_normals(corners: Floats) -> Floats:
    (ax, ay, az), (bx, by, bz) = (corners[:, 1] - corners[:, 0]).T, (corners[:, 2] - corners[:, 0]).T
    return np.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], axis=1)


def _vertex_normals(normals: Floats, faces: NDArray[np.integer], count: int) -> Floats:
    """(V, 3) mean of the normals of the faces around, weighted by their area."""
    target = faces.astype(np.intp).T.ravel()
    sums = [np.bincount(target, np.tile(column, 3), count) for column in normals.T]
    return _unit(np.stack(sums, axis=1))


def _unit(vectors: Floats) -> Floats:
    length = np.sqrt(np.einsum("nc,nc->n", vectors, vectors))
    return np.asarray(vectors / np.maximum(length, 1e-12)[:, None])
