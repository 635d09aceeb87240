"""Conversions between rotation matrices, rotation vectors and quaternions (x, y, z, w), in numpy."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation

Array = NDArray[np.float64]


def rotmat_to_rotvec(rotmats: ArrayLike) -> Array:
    """Turns matrices (..., 3, 3) into rotation vectors (..., 3), axis times angle, the angle in [0, pi] [rad]."""
    rotmats = np.asarray(rotmats, np.float64)
    rotvecs = np.zeros(rotmats.shape[:-1])
    if rotvecs.size:  # SciPy before 1.13 knows no empty arrays of rotations
        rotvecs.reshape(-1, 3)[:] = Rotation.from_matrix(rotmats.reshape(-1, 3, 3)).as_rotvec()
    return rotvecs


def rotvec_to_rotmat(rotvecs: ArrayLike) -> Array:
    """Turns rotation vectors (..., 3) [rad] into matrices (..., 3, 3)."""
    rotvecs = np.asarray(rotvecs, np.float64)
    rotmats = np.zeros((*rotvecs.shape, 3))
    if rotmats.size:
        rotmats.reshape(-1, 3, 3)[:] = Rotation.from_rotvec(rotvecs.reshape(-1, 3)).as_matrix()
    return rotmats


def rotmat_to_quaternion_xyzw(rotmats: ArrayLike) -> Array:
    """Turns matrices (..., 3, 3) into unit quaternions (..., 4) in the order x, y, z, w with w >= 0."""
    rotmats = np.asarray(rotmats, np.float64)
    quaternions = np.zeros((*rotmats.shape[:-2], 4))
    if quaternions.size:
        quaternions.reshape(-1, 4)[:] = Rotation.from_matrix(rotmats.reshape(-1, 3, 3)).as_quat()
    return np.where(quaternions[..., 3:] < 0.0, -quaternions, quaternions)


def quaternion_xyzw_to_rotmat(quaternions: ArrayLike) -> Array:
    """Turns quaternions (..., 4) in the order x, y, z, w into matrices (..., 3, 3)."""
    quaternions = np.asarray(quaternions, np.float64)
    rotmats = np.zeros((*quaternions.shape[:-1], 3, 3))
    if rotmats.size:
        rotmats.reshape(-1, 3, 3)[:] = Rotation.from_quat(quaternions.reshape(-1, 4)).as_matrix()
    return rotmats
