"""Vectors and 4x4 transforms."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial.transform import Rotation


def identity_matrix() -> np.ndarray:
    """Return the transform that changes nothing."""
    return np.identity(4)


def translation_matrix(direction: ArrayLike) -> np.ndarray:
    """Return the transform that shifts by a vector (3,)."""
    matrix = np.identity(4)
    matrix[:3, 3] = np.asarray(direction)[:3]
    return matrix


def translation_from_matrix(matrix: ArrayLike) -> np.ndarray:
    """Return the shift (3,) of a transform."""
    return np.array(matrix, dtype=float)[:3, 3]


def rotation_matrix(angle: float, direction: ArrayLike, point: ArrayLike | None = None) -> np.ndarray:
    """Return the transform that turns by `angle` about the axis `direction` through `point` (default: the origin)."""
    matrix = np.identity(4)
    matrix[:3, :3] = Rotation.from_rotvec(angle * unit_vector(np.asarray(direction)[:3])).as_matrix()
    if point is not None:
        centre = np.asarray(point, dtype=float)[:3]
        matrix[:3, 3] = centre - matrix[:3, :3] @ centre
    return matrix


def rotation_from_matrix(matrix: ArrayLike) -> tuple[float, np.ndarray, np.ndarray]:
    """Return angle (0..pi), unit axis (3,) and a point (3,) on the axis of a rotation, as `rotation_matrix` wants them.

    Raises:
        ValueError: the transform is no rotation about an axis: it scales, mirrors, or shifts along the axis.
    """
    transform = np.array(matrix, dtype=float)
    turn, shift = transform[:3, :3], transform[:3, 3]
    if not np.allclose(turn @ turn.T, np.identity(3), atol=1e-6) or np.linalg.det(turn) < 0:
        raise ValueError("not a rotation: the upper left 3x3 block scales, shears or mirrors")
    vector = Rotation.from_matrix(turn).as_rotvec()
    angle = float(np.linalg.norm(vector))
    axis = vector / angle if angle else np.array([0.0, 0.0, 1.0])
    point = np.linalg.lstsq(np.identity(3) - turn, shift, rcond=1e-9)[0]
    if not np.allclose(point - turn @ point, shift, atol=1e-6):
        raise ValueError("not a rotation about an axis: the transform also shifts along it")
    return angle, axis, point


def inverse_matrix(matrix: ArrayLike) -> np.ndarray:
    """Return the inverse of a transform."""
    return np.linalg.inv(np.asarray(matrix, dtype=float))


def concatenate_matrices(*matrices: ArrayLike) -> np.ndarray:
    """Return the product of transforms; of none, the identity."""
    product = np.identity(4)
    for matrix in matrices:
        product = product @ np.asarray(matrix)
    return product


def is_same_transform(matrix0: ArrayLike, matrix1: ArrayLike) -> bool:
    """Return whether two matrices are the same transform, up to their homogeneous scale."""
    first, second = np.array(matrix0, dtype=float), np.array(matrix1, dtype=float)
    return bool(np.allclose(first / first[3, 3], second / second[3, 3]))


def vector_norm(data: ArrayLike, axis: int | None = None) -> float | np.ndarray:
    """Return the length of a vector, or the lengths along an axis of an array."""
    values = np.asarray(data, dtype=float)
    if values.ndim == 1:
        return float(np.sqrt(values @ values))
    return np.atleast_1d(np.sqrt(np.sum(values * values, axis=axis)))


def unit_vector(data: ArrayLike, axis: int | None = None) -> np.ndarray:
    """Return a vector, or the vectors along an axis of an array, scaled to length 1."""
    values = np.array(data, dtype=float)
    length = vector_norm(values, axis)
    return values / (length if axis is None or values.ndim == 1 else np.expand_dims(length, axis))
