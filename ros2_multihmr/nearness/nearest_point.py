"""The nearest point on posed meshes, exactly: what brute force over all triangles finds, without asking them all.

A mesh's triangles are sorted once into patches that lie together at rest. Nothing in a patch is nearer than its box,
nor than the smallest depth of its corners along any one direction. So the corners of the patch with the nearest box
bound the distance from above, and whatever these bounds do not rule out is looked at, triangle by triangle. Nothing
that could matter is left out, however the mesh is posed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Doubles = NDArray[np.float64]
Indices = NDArray[np.intp]
Vector = tuple[Doubles, ...]

_PATCH_TRIANGLES = 56
_ROUNDING = 1e-5  # of a distance, and [m]: float32 must not drop what holds the nearest point
_TINY = 1e-30
_ASIDE = np.array([0.0, 1.37e-6, -2.11e-6], np.float32)  # [m]: a ray must not run along edges of a tidy mesh


@dataclass(frozen=True)
class Nearest:
    """The nearest points of N meshes to K points; float64.

    Attributes:
        points: (N, K, 3) on the surface [m].
        distances: (N, K) to the surface [m]; negative for a point inside the mesh.
        faces: (N, K) triangles that hold the points.
    """

    points: Doubles
    distances: Doubles
    faces: Indices


class _Boxes(NamedTuple):
    """(3, N, B) sides of the boxes of N meshes' patches."""

    low: Floats
    high: Floats


class MeshIndex:
    """Finds nearest points on meshes of one topology, whatever their poses.

    Args:
        vertices: (V, 3) the mesh at rest, by which triangles are put together; any unit.
        faces: (F, 3) triangles, at least one; counter-clockwise from outside.
    """

    def __init__(self, vertices: Floats, faces: NDArray[np.integer]) -> None:
        faces = faces.astype(np.intp)
        groups = _patches(vertices[faces].mean(axis=1))
        used = [np.unique(faces[group]) for group in groups]
        self._patches = _rows(groups)  # (B, P) triangles; a shorter patch begins again at its end
        self._once = np.arange(self._patches.shape[1]) < np.array([len(group) for group in groups])[:, None]
        self._vertices = _rows(used)  # (B, Q)
        self._columns = np.ascontiguousarray(self._vertices.T)
        local = [np.searchsorted(ids, faces[patch]) for ids, patch in zip(used, self._patches, strict=True)]
        self._corners = np.stack(local)  # (B, P, 3) places in a row of _vertices

    def nearest(self, vertices: Floats, centers: Floats) -> Nearest:
        """Finds the nearest point of every mesh to every point.

        Args:
            vertices: (N, V, 3) the posed meshes [m].
            centers: (K, 3) points [m].
        """
        # Bodies lay coordinates apart in memory; here, vertices are picked, which wants them together.
        posed, exact = np.ascontiguousarray(vertices, np.float32), np.asarray(centers, np.float64).reshape(-1, 3)
        shape = len(posed), len(exact)
        if not all(shape):
            return Nearest(np.zeros((*shape, 3)), np.zeros(shape), np.zeros(shape, np.intp))
        points = exact.astype(np.float32)
        boxes = self._boxes(posed)
        pair, triangle, triangles = self._near_triangles(posed, boxes, points)
        candidates = _candidates(*np.moveaxis(triangles.astype(np.float64), 1, 0))
        squares = np.minimum.reduce([square for _, square in candidates])
        winners = _smallest(pair, squares, shape[0] * shape[1])
        offsets = _chosen(candidates, winners).reshape(*shape, 3)
        distances = np.sqrt(squares[winners]).reshape(shape)
        inside = self._inside(posed, boxes, points, distances)
        return Nearest(offsets + exact, np.where(inside, -distances, distances), triangle[winners].reshape(shape))

    def _boxes(self, posed: Floats) -> _Boxes:
        # (N, Q, B, 3): extremes of Q long rows, which is fast; "clip" checks no index, and all are right.
        corners = posed.take(self._columns, axis=1, mode="clip")
        low, high = (np.moveaxis(edge, 2, 0).copy() for edge in (corners.min(axis=1), corners.max(axis=1)))
        return _Boxes(low, high)

    def _near_triangles(self, posed: Floats, boxes: _Boxes, points: Floats) -> tuple[Indices, Indices, Floats]:
        """Triangles that may hold a nearest point.

        Returns:
            (T,) pairs, mesh times K plus point, ascending; (T,) triangles; (T, 3, 3) their corners, from the point.
        """
        bound, middle = _box_squares(boxes, points)  # (N, K, B)
        likely = middle.argmin(axis=2)
        mesh, point = np.unravel_index(np.arange(likely.size), likely.shape)
        reach = _reach(self._seen(posed, points, mesh, point, likely.ravel()))
        mesh, point, patch = np.nonzero(bound <= np.square(reach).reshape(likely.shape)[..., None])
        vertices, pair = self._seen(posed, points, mesh, point, patch), mesh * len(points) + point
        reach = np.minimum.reduceat(_reach(vertices), np.searchsorted(pair, np.arange(likely.size)))[pair]
        direction = (boxes.low[:, mesh, patch] + boxes.high[:, mesh, patch]).T / 2 - points[point]
        direction /= np.maximum(np.linalg.norm(direction, axis=1, keepdims=True), _ROUNDING)
        depth = np.einsum("sqi,si->sq", vertices, direction)
        near = np.flatnonzero(depth.min(axis=1) <= reach)
        local = self._corners[patch[near]]  # (R, P, 3)
        row, place = np.nonzero(depth[near[:, None, None], local].min(axis=2) <= reach[near, None])
        return pair[near[row]], self._patches[patch[near[row]], place], vertices[near[row][:, None], local[row, place]]

    def _seen(self, posed: Floats, points: Floats, mesh: Indices, point: Indices, patch: Indices) -> Floats:
        """(S, Q, 3) vertices of patches as seen from points."""
        rows = posed.reshape(-1, 3).take(mesh[:, None] * posed.shape[1] + self._vertices[patch], axis=0)
        rows -= points[point][:, None]
        return rows

    def _inside(self, posed: Floats, boxes: _Boxes, points: Floats, distances: Doubles) -> NDArray[np.bool_]:
        """(N, K) True for points inside: of three rays at right angles, two agree even where a mesh has a hole."""
        inside = np.zeros(distances.shape, bool)
        thinnest = (boxes.high.max(axis=2) - boxes.low.min(axis=2)).min(axis=0)
        mesh, point = np.nonzero(distances <= thinnest[:, None] / 2)
        if len(mesh):
            votes = [self._times_inside(posed, boxes, points, mesh, point, axis) > 0 for axis in range(3)]
            inside[mesh, point] = np.sum(votes, axis=0) >= 2
        return inside

    def _times_inside(
        self, posed: Floats, boxes: _Boxes, points: Floats, mesh: Indices, point: Indices, axis: int
    ) -> Indices:
        """(T,) how often a ray along an axis leaves the mesh more often than it enters it."""
        aside = np.roll(_ASIDE, axis)
        place = (points[point] + aside).T[..., None]
        below, above = boxes.low[:, mesh] <= place, boxes.high[:, mesh] >= place  # (3, T, B)
        others = [(axis + 1) % 3, (axis + 2) % 3]
        hit, patch = np.nonzero(above[axis] & (above & below)[others].all(axis=0))
        vertices = self._seen(posed, points + aside, mesh[hit], point[hit], patch)
        triangles = vertices[np.arange(len(hit))[:, None, None], self._corners[patch]]  # (H, P, 3, 3)
        leaves = np.where(self._once[patch], _leaves(triangles, axis), 0).sum(axis=1)
        return np.bincount(hit, leaves, len(mesh)).round().astype(np.intp)


def brute_force(vertices: Floats, faces: NDArray[np.integer], center: Floats) -> tuple[float, int, Doubles]:
    """Looks at every triangle of one mesh; the measure of `MeshIndex`.

    Args:
        vertices: (V, 3) the mesh [m].
        faces: (F, 3) triangles.
        center: (3,) point [m].

    Returns:
        The distance to the surface [m], never negative; the triangle; and (3,) the nearest point [m].
    """
    corners = np.asarray(vertices, np.float64)[faces.astype(np.intp)] - np.asarray(center, np.float64)
    candidates = _candidates(*np.moveaxis(corners, 1, 0))
    squares = np.minimum.reduce([square for _, square in candidates])
    best = np.array([squares.argmin()])
    return float(np.sqrt(squares[best[0]])), int(best[0]), _chosen(candidates, best)[0] + center


def _patches(centroids: Floats) -> list[Indices]:
    """B groups of triangles: halved along the longest side, again and again."""
    groups: list[Indices] = [np.arange(len(centroids))]
    while len(groups[0]) > _PATCH_TRIANGLES:
        groups = [half for group in groups for half in _halves(centroids, group)]
    return groups


def _halves(centroids: Floats, group: Indices) -> tuple[Indices, Indices]:
    places = centroids[group]
    order = group[np.argsort(places[:, np.ptp(places, axis=0).argmax()], kind="stable")]
    middle = (len(order) + 1) // 2
    return order[:middle], order[middle:]


def _rows(groups: Sequence[Indices]) -> Indices:
    return np.stack([np.resize(group, max(map(len, groups))) for group in groups])


def _box_squares(boxes: _Boxes, points: Floats) -> tuple[Floats, Floats]:
    """(N, K, B) squared distances of boxes, and of their middles, to points."""
    nearest = np.zeros((boxes.low.shape[1], len(points), boxes.low.shape[2]), np.float32)
    middle = np.zeros_like(nearest)
    sizes = (boxes.high - boxes.low)[:, :, None] / 2
    for center, half, place in zip(boxes.low[:, :, None] + sizes, sizes, points.T[:, :, None], strict=True):
        gap = np.abs(center - place)
        middle += np.square(gap)
        nearest += np.square(np.maximum(gap - half, 0.0))
    return nearest, middle


def _reach(vertices: Floats) -> Floats:
    """(S,) distances that the nearest of (S, Q, 3) vertices are below, whatever rounding did."""
    reach: Floats = np.sqrt(np.einsum("sqi,sqi->sq", vertices, vertices).min(axis=1)) * (1.0 + _ROUNDING) + _ROUNDING
    return reach


def _leaves(triangles: Floats, axis: int) -> Indices:
    """(...) 1 where the ray from the origin leaves through triangles (..., 3, 3), -1 where it enters, 0 elsewhere."""
    along, u, v = (triangles[..., (axis + i) % 3] for i in range(3))
    areas = np.stack([u[..., i - 2] * v[..., i - 1] - v[..., i - 2] * u[..., i - 1] for i in range(3)], axis=-1)
    ahead = (areas * along).sum(axis=-1)
    leaves = (areas > 0.0).all(axis=-1) & (ahead > 0.0)
    enters = (areas < 0.0).all(axis=-1) & (ahead < 0.0)
    return leaves.astype(np.intp) - enters


def _smallest(groups: Indices, values: Doubles, count: int) -> Indices:
    """(count,) where in `values` each group's smallest one is, the first of equals; `groups` ascend, none is empty."""
    smallest = np.minimum.reduceat(values, np.searchsorted(groups, np.arange(count)))
    at = np.flatnonzero(values == smallest[groups])
    return at[np.searchsorted(groups[at], np.arange(count))]


def _candidates(a: Doubles, b: Doubles, c: Doubles) -> list[tuple[Vector, Doubles]]:
    """Points of T triangles with (T, 3) corners, and their squared distances: the nearest to the origin is among them.

    It lies on the plane, if the plane's own is within the triangle, and otherwise on one of the three edges.
    """
    corners = [tuple(np.ascontiguousarray(corner.T)) for corner in (a, b, c)]
    sides = [tuple(v - u for u, v in zip(corners[i - 1], corners[i], strict=True)) for i in range(3)]
    points = [_on_edge(corner, side) for corner, side in zip(corners, sides, strict=True)]
    on_plane, within = _on_plane(corners, sides)
    found = [(point, _dot(point, point)) for point in points]
    return [*found, (on_plane, np.where(within, _dot(on_plane, on_plane), np.inf))]


def _on_edge(end: Vector, side: Vector) -> Vector:
    share = np.clip(_dot(end, side) / np.maximum(_dot(side, side), _TINY), 0.0, 1.0)
    return tuple(e - share * s for e, s in zip(end, side, strict=True))


def _on_plane(corners: Sequence[Vector], sides: Sequence[Vector]) -> tuple[Vector, NDArray[np.bool_]]:
    """The planes' nearest points to the origin, and whether they are within the triangles."""
    normal = _cross(sides[1], sides[2])
    square = _dot(normal, normal)
    share = _dot(corners[0], normal) / np.maximum(square, _TINY)
    within = square > _TINY
    for corner, side in zip(corners, sides, strict=True):  # the origin is on the inner side of the three walls
        within &= _dot(_cross(corner, side), normal) >= 0.0
    return tuple(share * n for n in normal), within


def _chosen(candidates: Sequence[tuple[Vector, Doubles]], triangles: Indices) -> Doubles:
    """(M, 3) the nearest of the candidates of M triangles."""
    squares = np.stack([square[triangles] for _, square in candidates])
    points = np.stack([np.stack([values[triangles] for values in point], axis=-1) for point, _ in candidates])
    chosen: Doubles = points[squares.argmin(axis=0), np.arange(len(triangles))]
    return chosen


def _dot(u: Sequence[Floats], v: Sequence[Floats]) -> Floats:
    product: Floats = u[0] * v[0] + u[1] * v[1] + u[2] * v[2]
    return product


def _cross(u: Sequence[Floats], v: Sequence[Floats]) -> tuple[Floats, ...]:
    return u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]
