"""Quaternions (x, y, z, w)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial.transform import Rotation

from .matrices import unit_vector

_EPS = 4.0 * np.finfo(float).eps
Quaternion = tuple[float, float, float, float]


def quaternion_about_axis(angle: float, axis: ArrayLike) -> Quaternion:
    """Return the rotation by `angle` about `axis` (any length)."""
    x, y, z = np.sin(angle / 2.0) * unit_vector(axis)
    return x, y, z, np.cos(angle / 2.0)


def quaternion_matrix(quaternion: ArrayLike) -> np.ndarray:
    """Return the 4x4 transform of a quaternion of any length; of a zero one, the identity."""
    matrix = np.identity(4)
    values = np.asarray(quaternion, dtype=float)
    if values @ values > np.finfo(float).eps:
        matrix[:3, :3] = Rotation.from_quat(values).as_matrix()
    return matrix


def quaternion_from_matrix(matrix: ArrayLike) -> Quaternion:
    """Return the rotation of a transform (3x3 or 4x4), w not negative; scale and shear are taken off first."""
    # Columns of Q are the axes made square one after the other; R's diagonal says which of them QR has turned round.
    square, upper = np.linalg.qr(np.asarray(matrix, dtype=float)[:3, :3])
    turn = square * np.where(np.diag(upper) < 0, -1.0, 1.0)
    turn[:, 0] *= np.sign(np.linalg.det(turn))  # a mirror has no rotation; take it along the first axis
    x, y, z, w = Rotation.from_matrix(turn).as_quat()
    return (x, y, z, w) if w >= 0 else (-x, -y, -z, -w)


def quaternion_multiply(quaternion1: ArrayLike, quaternion0: ArrayLike) -> Quaternion:
    """Return the product: the rotation `quaternion0`, then `quaternion1`."""
    a, b = np.asarray(quaternion1, dtype=float), np.asarray(quaternion0, dtype=float)
    x, y, z = a[3] * b[:3] + b[3] * a[:3] + np.cross(a[:3], b[:3])
    return x, y, z, a[3] * b[3] - a[:3] @ b[:3]


def quaternion_conjugate(quaternion: ArrayLike) -> np.ndarray:
    """Return the quaternion with x, y, z negated."""
    return np.asarray(quaternion, dtype=float) * (-1.0, -1.0, -1.0, 1.0)


def quaternion_inverse(quaternion: ArrayLike) -> np.ndarray:
    """Return the quaternion that makes the product (0, 0, 0, 1)."""
    values = np.asarray(quaternion, dtype=float)
    return quaternion_conjugate(values) / (values @ values)


def quaternion_slerp(
    quat0: ArrayLike, quat1: ArrayLike, fraction: float, spin: int = 0, shortestpath: bool = True
) -> np.ndarray:
    """Return the rotation at `fraction` of the way from one to another, at constant angular speed.

    Args:
        quat0: Rotation at 0, any length.
        quat1: Rotation at 1, any length.
        fraction: Place on the way.
        spin: Additional half turns to make.
        shortestpath: Turn the shorter way round.
    """
    first, last = unit_vector(np.asarray(quat0)[:4]), unit_vector(np.asarray(quat1)[:4])
    if fraction in (0.0, 1.0):
        return first if fraction == 0.0 else last
    cosine = float(first @ last)
    if abs(abs(cosine) - 1.0) < _EPS:
        return first
    if shortestpath and cosine < 0.0:
        cosine, last = -cosine, -last
    angle = np.arccos(cosine) + spin * np.pi
    weights = np.sin([(1.0 - fraction) * angle, fraction * angle]) / np.sin(angle)
    return np.asarray(weights[0] * first + weights[1] * last)


def random_quaternion(rand: ArrayLike | None = None) -> np.ndarray:
    """Return a random rotation, all equally likely. `rand`: three numbers in 0..1 to make it from."""
    share, first, second = np.random.rand(3) if rand is None else np.asarray(rand, dtype=float)
    angles = 2.0 * np.pi * np.array([first, first, second, second]) - np.array([0.0, 0.5, 0.0, 0.5]) * np.pi
    lengths = np.sqrt([1.0 - share, 1.0 - share, share, share])
    return np.asarray(lengths * np.sin(angles) * (1.0, -1.0, 1.0, -1.0))  # sin, cos, sin, cos


def random_rotation_matrix(rand: ArrayLike | None = None) -> np.ndarray:
    """Return a random rotation as a 4x4 transform. See `random_quaternion`."""
    return quaternion_matrix(random_quaternion(rand))
