"""A reduced mesh whose vertices are some of the full mesh's: posing those alone gives it, for any pose and shape.

Edges are collapsed onto one of their ends, cheapest first by quadric error (Garland and Heckbert 1997). Each round
collapses all edges that are cheapest within their own neighbourhood at once: the neighbourhoods do not touch, so the
order within a round does not matter, and the result is the same everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_HANDS = 50.0  # how much more an error on a finger counts
_KEEP_PLACE = 1e-3  # weight of a vertex's own place beside its planes: keeps triangles round on flat ground
_KEEP_BORDER = 10.0  # weight of the planes that stand on the mesh's open borders
_MIN_COSINE = 0.3  # a triangle may turn by so much in one collapse
_MIN_ROUNDNESS = 0.15  # of a triangle after a collapse, 1 for equilateral; or no worse than it was
_PASSES = 6  # over the candidates of a round, to find those that do not touch
_SHARE = 0.15  # of the candidates may collapse in one round: the cheapest ones


class _Collapses(NamedTuple):
    """Candidates, cheapest first: vertex `gone` would become `kept`."""

    gone: Ints
    kept: Ints


def reduce_mesh(
    vertices: NDArray[np.floating], faces: NDArray[np.integer], num_faces: int, importance: NDArray[np.floating]
) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Reduces a mesh to about so many triangles.

    Args:
        vertices: (V, 3) vertices at rest [m].
        faces: (F, 3) triangles.
        num_faces: As many triangles stay, or more where nothing more can go without harm.
        importance: (V,) weight of the error at each vertex, 1 for an ordinary one.

    Returns:
        (L,) indices of the vertices that stay, ascending, and (G, 3) triangles as indices into those.
    """
    points, triangles = vertices.astype(np.float64), faces.astype(np.int64)
    quadrics = importance[:, None, None] * _quadrics(points, triangles)
    while len(triangles) > num_faces:
        gone, kept = _next_collapses(points, triangles, quadrics)
        if not len(gone):
            break
        most = (len(triangles) - num_faces + 1) // 2  # a collapse takes two triangles away
        gone, kept = gone[:most], kept[:most]
        np.add.at(quadrics, kept, quadrics[gone])
        target = np.arange(len(points))
        target[gone] = kept
        triangles = target[triangles]
        a, b, c = triangles.T
        triangles = triangles[(a != b) & (b != c) & (c != a)]
    staying, reduced = np.unique(triangles, return_inverse=True)
    return staying.astype(np.uint32), reduced.reshape(-1, 3).astype(np.uint32)


def hands_matter_more(weights: NDArray[np.floating], hand_joints: Sequence[int]) -> Floats:
    """Returns (V,) importance for `reduce_mesh` from (V, J) skinning weights: fingers keep enough to bend."""
    return 1 + _HANDS * weights[:, list(hand_joints)].sum(1)


def _quadrics(points: Floats, triangles: Ints) -> Floats:
    """(V, 4, 4) squared distance to the planes around each vertex, weighted by their area."""
    a, b, c = (points[triangles[:, k]] for k in range(3))
    normals = np.cross(b - a, c - a)
    doubled = np.linalg.norm(normals, axis=1, keepdims=True)
    normals = normals / np.maximum(doubled, 1e-20)
    planes = np.concatenate([normals, -(normals * a).sum(1, keepdims=True)], 1)
    per_face = doubled[:, :, None] / 2 * planes[:, :, None] * planes[:, None]
    quadrics = np.zeros((len(points), 4, 4))
    areas = np.zeros(len(points))
    for k in range(3):
        np.add.at(quadrics, triangles[:, k], per_face)
        np.add.at(areas, triangles[:, k], doubled[:, 0] / 2)
    place = np.concatenate([np.tile(np.eye(3), (len(points), 1, 1)), -points[:, :, None]], 2)
    quadrics += _KEEP_PLACE * areas[:, None, None] * (place.transpose(0, 2, 1) @ place)
    return quadrics + _border_quadrics(points, triangles, normals)


def _border_quadrics(points: Floats, triangles: Ints, normals: Floats) -> Floats:
    """(V, 4, 4) squared distance to planes that stand upright on open borders."""
    edges = np.concatenate([triangles[:, [k, (k + 1) % 3]] for k in range(3)])
    _, first, counts = np.unique(np.sort(edges, 1), axis=0, return_index=True, return_counts=True)
    border = first[counts == 1]
    u, v = edges[border].T
    along = points[v] - points[u]
    upright = np.cross(normals[border % len(triangles)], along)
    upright /= np.maximum(np.linalg.norm(upright, axis=1, keepdims=True), 1e-20)
    planes = np.concatenate([upright, -(upright * points[u]).sum(1, keepdims=True)], 1)
    weight = _KEEP_BORDER * (along**2).sum(1)
    quadrics = np.zeros((len(points), 4, 4))
    for end in (u, v):
        np.add.at(quadrics, end, weight[:, None, None] * planes[:, :, None] * planes[:, None])
    return quadrics


def _next_collapses(points: Floats, triangles: Ints, quadrics: Floats) -> _Collapses:
    """Allowed collapses, cheapest first, at most one per vertex."""
    links = _links(triangles, len(points))
    gone, kept = _allowed(links)
    place = np.concatenate([points[kept], np.ones((len(kept), 1))], 1)
    cost = np.einsum("ni,nij,nj->n", place, quadrics[gone] + quadrics[kept], place)
    order = np.lexsort((kept, gone, cost))
    for share in (_SHARE, 1.0):
        cheapest = order[: int(share * len(order)) + 1]
        good = cheapest[_keeps_shape(points, triangles, gone[cheapest], kept[cheapest])]
        if len(good):
            break
    first = np.sort(np.unique(gone[good], return_index=True)[1])
    return _independent(links, gone[good[first]], kept[good[first]])


def _links(triangles: Ints, count: int) -> sparse.csr_matrix:
    """(V, V) number of triangles at each edge."""
    edges = np.concatenate([triangles[:, [k, (k + 1) % 3]] for k in range(3)])
    directed = sparse.csr_matrix((np.ones(len(edges), np.int64), edges.T), (count, count))
    return sparse.csr_matrix(directed + directed.T)


def _allowed(links: sparse.csr_matrix) -> tuple[Ints, Ints]:
    """Collapses after which the mesh is still a surface (link condition); borders only shorten along themselves."""
    edges = links.tocoo()
    gone, kept, shared = edges.row.astype(np.int64), edges.col.astype(np.int64), edges.data
    on_border = np.zeros(links.shape[0], bool)
    on_border[gone[shared == 1]] = True
    neighbours = links.astype(bool).astype(np.int64)
    common = (neighbours @ neighbours).multiply(neighbours).tocsr()
    in_common = np.asarray(common[gone, kept]).ravel()
    allowed = (in_common == shared) & (~on_border[gone] | (shared == 1))
    return gone[allowed], kept[allowed]


def _keeps_shape(points: Floats, triangles: Ints, gone: Ints, kept: Ints) -> NDArray[np.bool_]:
    """True where no triangle around `gone` turns over or gets too thin."""
    corners = sparse.csr_matrix(
        (np.ones(triangles.size, bool), (triangles.ravel(), np.repeat(np.arange(len(triangles)), 3))),
        (len(points), len(triangles)),
    )
    around = corners[gone]
    candidate, face = np.repeat(np.arange(len(gone)), np.diff(around.indptr)), around.indices
    stays = (triangles[face] != kept[candidate, None]).all(1)
    candidate, before = candidate[stays], triangles[face[stays]]
    after = np.where(before == gone[candidate, None], kept[candidate, None], before)
    (normal, area, roundness), (new_normal, new_area, new_roundness) = (
        _describe(points.T[:, corners.T]) for corners in (before, after)
    )
    turned = (normal * new_normal).sum(0) < _MIN_COSINE * area * new_area
    thin = (new_roundness < _MIN_ROUNDNESS) & (new_roundness < roundness)
    return np.bincount(candidate[turned | thin], minlength=len(gone)) == 0


def _describe(corners: Floats) -> tuple[Floats, Floats, Floats]:
    """(3, F) normals, (F,) their lengths and (F,) roundness, 1 for equilateral, of (3 coordinates, 3, F) corners."""
    (ax, ay, az), (bx, by, bz) = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    normal = np.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx])
    length = np.sqrt(np.einsum("cf,cf->f", normal, normal))
    sides = corners - corners[:, [1, 2, 0]]
    squares = np.einsum("ckf,ckf->f", sides, sides)
    return normal, length, 2 * np.sqrt(3) * length / np.maximum(squares, 1e-20)


def _independent(links: sparse.csr_matrix, gone: Ints, kept: Ints) -> _Collapses:
    """Collapses whose surroundings do not touch, the cheapest first; they come cheapest first."""
    around = links[gone]
    rank = np.repeat(np.arange(len(gone)), np.diff(around.indptr))
    rank, vertex = np.concatenate([rank, np.arange(len(gone))]), np.concatenate([around.indices, gone])
    chosen = np.zeros(len(gone), bool)
    for _ in range(_PASSES):
        cheapest = np.full(links.shape[0], len(gone))
        np.minimum.at(cheapest, vertex, rank)
        free = np.ones(len(gone), bool)
        free[rank[cheapest[vertex] != rank]] = False
        free &= np.bincount(rank, minlength=len(gone)) > 0
        chosen |= free
        taken = np.zeros(links.shape[0], bool)
        taken[vertex[free[rank]]] = True
        touched = np.zeros(len(gone), bool)
        touched[rank[taken[vertex]]] = True
        rank, vertex = rank[~touched[rank]], vertex[~touched[rank]]
    return _Collapses(gone[chosen], kept[chosen])
