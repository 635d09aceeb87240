"""Quaternions x, y, z, w by the thousand.

Any layout in memory is right. Where each component of them all lies together, as in what is made here, numpy runs over
long rows, in half of the time.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike, NDArray

Array = NDArray[np.floating]


def rows(shape: tuple[int, ...], dtype: DTypeLike) -> Array:
    """Returns an array of a shape, not filled, whose last axis is the outermost in memory."""
    return np.empty((shape[-1], *shape[:-1]), dtype).transpose(*range(1, len(shape)), 0)


def in_rows(values: Array) -> Array:
    """Returns the same values, the last axis outermost in memory."""
    copied = rows(values.shape, values.dtype)
    copied[...] = values
    return copied


def length(vectors: Array) -> Array:
    """Returns (..., 1) lengths of vectors (..., 3)."""
    x, y, z = (vectors[..., i] for i in range(3))
    result: Array = np.sqrt(x * x + y * y + z * z)[..., None]
    return result


def exponential(rotvecs: Array) -> Array:
    """Turns rotation vectors (..., 3) [rad] into unit quaternions (..., 4), x, y, z, w."""
    half = np.maximum(0.5 * length(rotvecs), 1e-30)  # of which the sine is exact, down to there
    quaternions = rows((*rotvecs.shape[:-1], 4), rotvecs.dtype)
    np.multiply(0.5 * np.sin(half) / half, rotvecs, out=quaternions[..., :3])
    np.cos(half, out=quaternions[..., 3:])
    return quaternions


def logarithm(quaternions: Array) -> Array:
    """Turns unit quaternions (..., 4) into the shorter rotation vectors (..., 3) [rad]."""
    vector, scalar = quaternions[..., :3], quaternions[..., 3:]
    sine = length(vector)
    factor = 2.0 * np.arctan2(sine, np.abs(scalar)) / np.maximum(sine, 1e-12)
    rotvecs: Array = np.copysign(np.where(sine > 1e-9, factor, quaternions.dtype.type(2.0)), scalar) * vector
    return rotvecs


def multiply(a: Array, b: Array) -> Array:
    """Returns the products (..., 4) of quaternions: first b's rotation, then a's."""
    ax, ay, az, aw = (a[..., i] for i in range(4))
    bx, by, bz, bw = (b[..., i] for i in range(4))
    shape = a.shape if a.shape == b.shape else np.broadcast_shapes(a.shape, b.shape)
    product = rows(shape, np.result_type(a, b))
    product[..., 0] = aw * bx + ax * bw + ay * bz - az * by
    product[..., 1] = aw * by + ay * bw + az * bx - ax * bz
    product[..., 2] = aw * bz + az * bw + ax * by - ay * bx
    product[..., 3] = aw * bw - ax * bx - ay * by - az * bz
    return product


def conjugate(quaternions: Array) -> Array:
    """Returns the inverse rotations (..., 4)."""
    result = -quaternions
    result[..., 3] = quaternions[..., 3]
    return result
