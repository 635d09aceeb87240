"""The point of a triangle that is nearest to the origin, exactly; and whether a ray from there passes through."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Doubles = NDArray[np.float64]
Indices = NDArray[np.intp]

_TINY = 1e-30


def brute_force(vertices: Floats, faces: NDArray[np.integer], center: Floats) -> tuple[float, int, Doubles]:
    """Looks at every triangle of one mesh; the measure of `nearest_point.MeshIndex`.

    Args:
        vertices: (V, 3) the mesh [m].
        faces: (F, 3) triangles.
        center: (3,) point [m].

    Returns:
        The distance to the surface [m], never negative; the triangle; and (3,) the nearest point [m].
    """
    corners = np.asarray(vertices, np.float64)[faces.astype(np.intp)] - np.asarray(center, np.float64)
    points, squares = nearest_candidates(corners.transpose(2, 1, 0))
    candidate, best = np.unravel_index(squares.argmin(), squares.shape)
    return float(np.sqrt(squares[candidate, best])), int(best), points[:, candidate, best] + center


def nearest_candidates(corners: Doubles) -> tuple[Doubles, Doubles]:
    """Returns (3 axes, 4, T) points of T triangles, and (4, T) their squared distances from the origin.

    The nearest point is among them: it lies on one of the three edges or else is the plane's own, if that is within
    the triangle; where it is not, its distance is infinite.

    Args:
        corners: (3 axes, 3 corners, T).
    """
    sides = corners - corners[:, [2, 0, 1]]  # each ends at its corner
    share = dot(corners, sides) / np.maximum(dot(sides, sides), _TINY)
    points = np.empty((3, 4, corners.shape[2]))
    points[:, :3] = corners - share.clip(0.0, 1.0) * sides
    normal = _cross(sides[:, 1], sides[:, 2])
    size = dot(normal, normal)
    points[:, 3] = dot(corners[:, 0], normal) / np.maximum(size, _TINY) * normal
    squares = dot(points, points)
    # The origin is on the inner side of the three walls over the edges.
    within = (dot(_cross(corners, sides), normal[:, None]) >= 0.0).all(axis=0) & (size > _TINY)
    squares[3, ~within] = np.inf
    return points, squares


def leaves(triangles: Floats, axis: int) -> Indices:
    """Returns (...) 1 where the ray from the origin along an axis leaves, -1 where it enters, 0 where it passes by.

    Args:
        triangles: (3 axes, ..., 3 corners), counter-clockwise from outside.
        axis: The ray's.
    """
    along, u, v = (triangles[(axis + i) % 3] for i in range(3))
    areas = np.stack([u[..., i - 2] * v[..., i - 1] - v[..., i - 2] * u[..., i - 1] for i in range(3)], axis=-1)
    ahead = (areas * along).sum(axis=-1)
    outwards = (areas > 0.0).all(axis=-1) & (ahead > 0.0)
    inwards = (areas < 0.0).all(axis=-1) & (ahead < 0.0)
    return outwards.astype(np.intp) - inwards


def dot(u: NDArray[Any], v: NDArray[Any]) -> NDArray[Any]:
    """Returns (...) the products of vectors (3, ...)."""
    product: NDArray[Any] = u[0] * v[0] + u[1] * v[1] + u[2] * v[2]
    return product


def _cross(u: Doubles, v: Doubles) -> Doubles:
    return np.stack([u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]])
