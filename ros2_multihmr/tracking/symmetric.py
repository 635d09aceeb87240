"""Inverses of many symmetric 3 x 3 matrices, entry by entry: one by one, thousands of them would take milliseconds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
_ROWS, _COLUMNS = np.triu_indices(3)
_ENTRY = np.array([[0, 1, 2], [1, 3, 4], [2, 4, 5]])


def entries(matrices: Array) -> Array:
    """Returns (6, ...) the upper triangles of symmetric matrices (..., 3, 3), row by row."""
    return np.moveaxis(matrices[..., _ROWS, _COLUMNS], -1, 0)


def full(upper: Array) -> Array:
    """Returns (..., 3, 3) symmetric matrices of (6, ...) upper triangles."""
    return np.moveaxis(upper[_ENTRY], (0, 1), (-2, -1))


def inverse_and_determinant(upper: Array) -> tuple[Array, Array]:
    """Inverts by the adjugate.

    Args:
        upper: (6, ...) upper triangles of matrices that can be inverted.

    Returns:
        (6, ...) upper triangles of the inverses, and (...) determinants of the matrices.
    """
    a, b, c, d, e, f = upper
    inverse = np.empty_like(upper)
    np.stack([d * f - e * e, c * e - b * f, b * e - c * d, a * f - c * c, b * c - a * e, a * d - b * b], out=inverse)
    determinant = a * inverse[0] + b * inverse[1] + c * inverse[2]
    inverse /= determinant
    return inverse, determinant


def squares(upper: Array, x: Array, y: Array, z: Array) -> Array:
    """Returns (...) vᵀ M v of vectors (x, y, z) and of symmetric matrices, (6, ...) upper triangles."""
    a, b, c, d, e, f = upper
    result: Array = x * (a * x + 2.0 * (b * y + c * z)) + y * (d * y + 2.0 * e * z) + f * z * z
    return result
