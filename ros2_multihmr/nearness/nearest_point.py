"""The nearest point on posed meshes, exactly: what brute force over all triangles finds, without asking them all.

Nothing in a block or a patch of triangles is nearer than its box, nor than the smallest depth of its vertices along
any one direction. So the vertices of the patch that seems nearest bound the distance from above, and whatever these
bounds do not rule out is opened: first blocks, then patches, then triangles. Nothing that could matter is left out,
however the mesh is posed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ros2_multihmr.nearness.patches import FINE, make_patches
from ros2_multihmr.nearness.triangles import dot, leaves, nearest_candidates

Floats = NDArray[np.floating]
Doubles = NDArray[np.float64]
Indices = NDArray[np.intp]

_ROUNDING = 1e-5  # of a distance, and [m]: float32 must not drop what holds the nearest point
_EACH = np.arange(FINE)
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
    """(N, 3, B) sides of the boxes of N meshes' blocks."""

    low: Floats
    high: Floats


class MeshIndex:
    """Finds nearest points on meshes of one topology, whatever their poses.

    Args:
        vertices: (V, 3) the mesh at rest, by which triangles are put together; any unit.
        faces: (F, 3) triangles, at least one; counter-clockwise from outside.
    """

    def __init__(self, vertices: Floats, faces: NDArray[np.integer]) -> None:
        self._patches = make_patches(vertices, faces)

    def nearest(self, vertices: Floats, centers: Floats) -> Nearest:
        """Finds the nearest point of every mesh to every point.

        Args:
            vertices: (N, V, 3) the posed meshes [m].
            centers: (K, 3) points [m].
        """
        exact = np.asarray(centers, np.float64).reshape(-1, 3)
        shape = len(vertices), len(exact)
        if not all(shape):
            return Nearest(np.zeros((*shape, 3)), np.zeros(shape), np.zeros(shape, np.intp))
        # (N, 3, V), as bodies lay them in memory: coordinates apart, so this copies nothing.
        posed, points = np.ascontiguousarray(vertices.transpose(0, 2, 1), np.float32), exact.astype(np.float32)
        boxes = self._boxes(posed)
        pair, triangle, corners = self._near_triangles(posed, boxes, points)
        places, squares = nearest_candidates(corners.astype(np.float64))
        winners = _smallest(pair, squares.min(axis=0), shape[0] * shape[1])
        which = squares[:, winners].argmin(axis=0)
        offsets = places[:, which, winners].T.reshape(*shape, 3)
        distances = np.sqrt(squares[which, winners]).reshape(shape)
        inside = self._inside(posed, boxes, points, distances)
        return Nearest(offsets + exact, np.where(inside, -distances, distances), triangle[winners].reshape(shape))

    def _boxes(self, posed: Floats) -> _Boxes:
        shape = (len(posed), 3, self._patches.blocks.shape[1])
        boxes = _Boxes(np.empty(shape, np.float32), np.empty(shape, np.float32))
        corners = np.empty((3, *self._patches.blocks.shape), np.float32)  # stays in the processor's cache
        for mesh, low, high in zip(posed, *boxes, strict=True):
            mesh.take(self._patches.blocks, axis=1, out=corners, mode="clip")  # which checks no index; all are right
            corners.min(axis=1, out=low)
            corners.max(axis=1, out=high)
        return boxes

    def _near_triangles(self, posed: Floats, boxes: _Boxes, points: Floats) -> tuple[Indices, Indices, Floats]:
        """Triangles that may hold a nearest point.

        Returns:
            (T,) pairs, mesh times K plus point, ascending; (T,) triangles; (3 axes, 3 corners, T), from the point.
        """
        patches = self._patches
        pair, patch, vertices, middle = self._near_patches(posed, boxes, points)
        reach = np.minimum.reduceat(_reach(vertices), _first(pair, len(posed) * len(points)))[pair]
        direction = middle / np.maximum(np.sqrt(dot(middle, middle)), _ROUNDING)
        within = dot(vertices, direction[:, None]) <= reach  # (Q, S)
        near = np.flatnonzero(within.any(axis=0))
        places = patches.corners[:, patch[near]] * len(pair) + near[:, None]  # (3, R, P)
        row, place = np.nonzero(np.logical_or.reduce(within.ravel().take(places)))
        corners = vertices.reshape(3, -1)[:, places[:, row, place]]
        return pair[near[row]], patches.triangles[patch[near[row]], place], corners

    def _near_patches(self, posed: Floats, boxes: _Boxes, points: Floats) -> tuple[Indices, Indices, Floats, Floats]:
        """Patches that may hold a nearest point.

        Returns:
            (S,) pairs, ascending; (S,) patches; (3, Q, S) vertices and (3, S) their boxes' middles, from the point.
        """
        reach, count = np.square(self._first_reach(posed, points)), boxes.low.shape[2]
        open_to = _box_squares(boxes, points) <= reach[..., None]  # (N, K, B)
        opened = open_to.any(axis=1)
        mesh, block = np.divmod(np.flatnonzero(opened), count)
        patch = (block[:, None] * FINE + _EACH).ravel()
        vertices = self._vertices(posed, np.repeat(mesh, FINE), patch)  # each once, whatever points it is open to
        pair, block = np.divmod(np.flatnonzero(open_to), count)
        place = (opened.cumsum() - 1)[pair // len(points) * count + block]
        rows, pair = (place[:, None] * FINE + _EACH).ravel(), np.repeat(pair, FINE)
        places = points.T[:, pair % len(points)]
        low, high = vertices.min(axis=1)[:, rows] - places, vertices.max(axis=1)[:, rows] - places
        gap = np.maximum(np.maximum(low, -high), 0.0)
        near = np.flatnonzero(dot(gap, gap) <= reach.ravel()[pair])
        seen = vertices.take(rows[near], axis=2) - places[:, None, near]
        return pair[near], patch[rows[near]], seen, (low[:, near] + high[:, near]) / 2

    def _first_reach(self, posed: Floats, points: Floats) -> Floats:
        """(N, K) distances that the nearest vertices are below: those of the patch with the nearest sample."""
        samples = posed.take(self._patches.samples, axis=2)
        # Squares up to what is the same for all of a point's samples; they only guess, so rounding does no harm.
        guess = np.matmul(-2.0 * points, samples) + np.square(samples).sum(axis=1)[:, None]
        likely = guess.argmin(axis=2)
        mesh, point = np.unravel_index(np.arange(likely.size), likely.shape)
        vertices = self._vertices(posed, mesh, likely.ravel()) - points.T[:, None, point]
        return _reach(vertices).reshape(likely.shape)

    def _vertices(self, posed: Floats, mesh: Indices, patch: Indices) -> Floats:
        """(3, Q, S) vertices of patches."""
        count = posed.shape[2]
        places = self._patches.vertices.take(patch, axis=1) + mesh * (3 * count)
        rows = np.empty((3, *places.shape), np.float32)
        for axis, row in enumerate(rows):
            posed.ravel()[axis * count :].take(places, out=row, mode="clip")
        return rows

    def _inside(self, posed: Floats, boxes: _Boxes, points: Floats, distances: Doubles) -> NDArray[np.bool_]:
        """(N, K) True for points inside: of three rays at right angles, two agree even where a mesh has a hole."""
        inside = np.zeros(distances.shape, bool)
        thinnest = (boxes.high.max(axis=2) - boxes.low.min(axis=2)).min(axis=1)
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
        place = (points[point] + aside)[..., None]
        below, above = boxes.low[mesh] <= place, boxes.high[mesh] >= place  # (T, 3, B)
        others = [(axis + 1) % 3, (axis + 2) % 3]
        hit, block = np.nonzero(above[:, axis] & (above & below)[:, others].all(axis=1))
        hit, patch = np.repeat(hit, FINE), (block[:, None] * FINE + _EACH).ravel()
        vertices = self._vertices(posed, mesh[hit], patch) - (points + aside).T[:, None, point[hit]]
        corners = np.moveaxis(self._patches.corners[:, patch], 0, 2)  # (H, P, 3)
        triangles = vertices[:, corners, np.arange(len(hit))[:, None, None]]  # (3, H, P, 3)
        times = np.where(self._patches.once[patch], leaves(triangles, axis), 0).sum(axis=1)
        return np.bincount(hit, times, len(mesh)).round().astype(np.intp)


def _box_squares(boxes: _Boxes, points: Floats) -> Floats:
    """(N, K, B) squared distances of boxes to points."""
    center, half = ((boxes.high + boxes.low) / 2)[:, :, None], ((boxes.high - boxes.low) / 2)[:, :, None]
    squares = np.zeros((len(center), len(points), center.shape[3]), np.float32)
    gap = np.empty_like(squares)
    for axis, place in enumerate(points.T[..., None]):
        np.subtract(center[:, axis], place, out=gap)
        np.abs(gap, out=gap)
        gap -= half[:, axis]
        np.maximum(gap, 0.0, out=gap)
        gap *= gap
        squares += gap
    return squares


def _reach(vertices: Floats) -> Floats:
    """(S,) distances that the nearest of (3, Q, S) vertices are below, whatever rounding did."""
    reach: Floats = np.sqrt(dot(vertices, vertices).min(axis=0)) * (1.0 + _ROUNDING) + _ROUNDING
    return reach


def _first(groups: Indices, count: int) -> Indices:
    """(count,) where each group begins; `groups` ascend, none is empty."""
    return np.searchsorted(groups, np.arange(count))


def _smallest(groups: Indices, values: Doubles, count: int) -> Indices:
    """(count,) where in `values` each group's smallest one is, the first of equals; `groups` ascend, none is empty."""
    smallest = np.minimum.reduceat(values, _first(groups, count))
    at = np.flatnonzero(values == smallest[groups])
    return at[_first(groups[at], count)]
