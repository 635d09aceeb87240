"""Euler angles in all 24 axis sequences.

A sequence is 's' (static axes) or 'r' (axes turning along) and three axes, such as 'sxyz'; or the tuple (first axis,
parity, repetition, frame) of Shoemake, "Euler Angle Conversion", Graphics Gems IV. Turning axes in one order are static
ones in the reverse order with the angles reversed, so only static ones are worked out here:
M = R_last(c) R_j(b) R_i(a), last = i if the first axis comes twice, else the third axis k.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .quaternions import Quaternion, quaternion_about_axis, quaternion_matrix, quaternion_multiply

_EPS = 4.0 * np.finfo(float).eps
Axes = str | tuple[int, int, int, int]


def quaternion_from_euler(ai: float, aj: float, ak: float, axes: Axes = "sxyz") -> Quaternion:
    """Return the rotation (x, y, z, w) by three angles about the axes, in that order."""
    i, j, k, repeats, turning = _static(axes)
    angles = (ak, aj, ai) if turning else (ai, aj, ak)
    unit = np.identity(3)
    first, second, third = (quaternion_about_axis(*pair) for pair in zip(angles, unit[[i, j, i if repeats else k]]))
    return quaternion_multiply(third, quaternion_multiply(second, first))


def euler_matrix(ai: float, aj: float, ak: float, axes: Axes = "sxyz") -> np.ndarray:
    """Return the 4x4 transform of three angles about the axes, in that order."""
    return quaternion_matrix(quaternion_from_euler(ai, aj, ak, axes))


def euler_from_quaternion(quaternion: ArrayLike, axes: Axes = "sxyz") -> tuple[float, float, float]:
    """Return the angles of a quaternion (x, y, z, w). See `euler_from_matrix`."""
    return euler_from_matrix(quaternion_matrix(quaternion), axes)


def euler_from_matrix(matrix: ArrayLike, axes: Axes = "sxyz") -> tuple[float, float, float]:
    """Return the angles of a rotation (3x3 or 4x4 matrix).

    The middle one is in -pi/2..pi/2; if the first axis comes twice, in 0..pi, or -pi..0 for a sequence against x-y-z
    order. Where it is at its end, only the sum or difference of the others is known: the last static (first turning)
    one is 0.
    """
    i, j, k, repeats, turning = _static(axes)
    m = np.asarray(matrix, dtype=float)[:3, :3]
    sign = 1.0 if j == (i + 1) % 3 else -1.0  # a sequence against x-y-z order is a mirror image: all angles negated
    if repeats:
        size = np.hypot(m[i, j], m[i, k])
        a, b, c = np.arctan2(m[i, j], m[i, k]), np.arctan2(size, m[i, i]), np.arctan2(m[j, i], -m[k, i])
    else:
        size = np.hypot(m[i, i], m[j, i])
        a, b, c = np.arctan2(m[k, j], m[k, k]), np.arctan2(-m[k, i], size), np.arctan2(m[j, i], m[i, i])
    if size <= _EPS:
        a, c = np.arctan2(-m[j, k], m[j, j]), 0.0
    a, b, c = sign * a, sign * b, sign * c
    return (c, b, a) if turning else (a, b, c)


def _static(axes: Axes) -> tuple[int, int, int, bool, bool]:
    """Return the axes i, j, k in static order, whether the last one is i again, and whether the angles are reversed.

    Raises:
        ValueError: not one of the 24 sequences.
    """
    if isinstance(axes, tuple):
        i, parity, repeats, frame = axes
        return i, (i + 1 + parity) % 3, (i + 2 - parity) % 3, bool(repeats), bool(frame)
    names = axes[1:] if axes[:1] == "s" else axes[:0:-1]
    if len(names) != 3 or axes[0] not in "sr" or set(names) - set("xyz") or names[1] in (names[0], names[2]):
        raise ValueError(f"unknown axis sequence {axes!r}: expected s or r and three axes such as 'sxyz' or 'rzyz'")
    i, j, last = ("xyz".index(name) for name in names)
    return i, j, 3 - i - j, last == i, axes[0] == "r"
