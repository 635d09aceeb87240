"""A frame that stays where it is while the camera moves, as far as somebody says how the camera moves."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
_RIGID = 1e-3  # poses come as float32 products and rounded quaternions


class FixedFrame:
    """Follows the camera's pose; where nobody gives one, the camera has not moved.

    The frame is the camera's at the start, or the world if the first pose is known. A pose that comes later, or comes
    back after a pause, goes on from where the camera was taken to be: what is stored in this frame stays right.
    """

    def __init__(self) -> None:
        self._pose: Array = np.eye(4)
        self._fixed_world: Array | None = None
        self._began = False

    def follow(self, T_world_camera: ArrayLike | None) -> Array:
        """Returns (4, 4) T_fixed_camera.

        Args:
            T_world_camera: (4, 4) pose of the camera in the world; None if it is not known.

        Raises:
            ValueError: The pose is no rigid transform.
        """
        if T_world_camera is not None:
            world = rigid(T_world_camera)
            if self._fixed_world is None:
                self._fixed_world = self._pose @ inverse(world) if self._began else np.eye(4)
            self._pose = self._fixed_world @ world
        self._began = True
        return self._pose


def rigid(transform: ArrayLike) -> Array:
    """Returns a (4, 4) rigid transform as float64.

    Raises:
        ValueError: It is none; says what was expected and what came.
    """
    matrix = np.asarray(transform, np.float64)
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
        raise ValueError(f"camera pose: expected 4 x 4 finite numbers, got shape {matrix.shape}: {matrix.tolist()}")
    turn = matrix[:3, :3]
    proper = np.abs(turn @ turn.T - np.eye(3)).max() < _RIGID and np.linalg.det(turn) > 0.0
    if not proper or np.abs(matrix[3] - (0, 0, 0, 1)).max() > _RIGID:
        raise ValueError(f"camera pose: expected a rotation and a translation, T_world_camera, got {matrix.tolist()}")
    return matrix


def inverse(transform: Array) -> Array:
    """Returns the inverse of a (4, 4) rigid transform."""
    back = np.eye(4)
    back[:3, :3] = transform[:3, :3].T
    back[:3, 3] = -transform[:3, :3].T @ transform[:3, 3]
    return back
