"""Predicted paths: where everybody is going to be who goes on as now, and how sure that is."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ros2_multihmr.humans import Humans
from ros2_multihmr.tracking.motion_state import Motion
from ros2_multihmr.tracking.tracks import Tracks

Array = NDArray[np.float64]


class PredictedPaths(NamedTuple):
    """Poses of N people at S times to come, in one frame.

    Attributes:
        times_s: (S,) from now [s].
        starts: (N, 3) where they are now, halfway between the hips [m].
        positions: (N, S, 3) of the same point, then [m].
        rotations: (N, 3, 3) of everybody's body axes: people are taken to keep looking where they look.
        covariances: (N, S, 6, 6) of position and orientation, along the axes of the frame.
    """

    times_s: Array
    starts: Array
    positions: Array
    rotations: Array
    covariances: Array


def predicted_paths(
    humans: Humans,
    tracks: Tracks,
    motion: Motion,
    horizon_s: float,
    steps: int,
    T_other_camera: NDArray[np.floating] | None = None,
) -> PredictedPaths:
    """Predicts everybody's poses at a constant velocity: where a tracker puts who is hidden meanwhile, and no surer.

    The covariance grows as of somebody who changes velocity readily, whom nobody sees going on steadily.

    Args:
        humans: N people, in the camera's frame.
        tracks: Their identities.
        motion: Their motion, in the same frame.
        horizon_s: How far ahead the last pose is [s].
        steps: Number of poses, evenly spaced; the first is not now but one step ahead.
        T_other_camera: (4, 4) pose of the camera in the frame to predict in, one that stands still; None: the camera's
            own frame, which is right while the camera stands.

    Raises:
        ValueError: The horizon or the number of steps is not positive.
    """
    transform = np.eye(4) if T_other_camera is None else np.asarray(T_other_camera, np.float64)
    motion_there = motion.in_frame(transform)
    path = motion_there.path(horizon_s, steps)
    turn = np.kron(np.eye(2), transform[:3, :3])
    covariances = np.repeat((turn @ _lasting(humans, tracks, motion) @ turn.T)[:, None], steps, axis=1)
    covariances[..., :3, :3] += path.covariances
    rotations = transform[:3, :3] @ humans.rotation
    return PredictedPaths(path.times_s, motion_there.position, path.positions, rotations, covariances)


def _lasting(humans: Humans, tracks: Tracks, motion: Motion) -> Array:
    """(N, 6, 6) what is wrong with the poses and stays wrong; who is predicted already has the motion's share in it."""
    covariance = humans.covariance.astype(np.float64)
    unseen = ~tracks.seen
    covariance[unseen, :3, :3] -= motion.covariance[unseen, :3, :3]
    return covariance
