"""Uncertainty of where a person is: monocular error lies along the ray."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

UNKNOWN = 1e6
"""Variance that says "not estimated", by ROS's habit; zero would say "exact"."""


class Sigmas(NamedTuple):
    """Standard deviations of people's places.

    Attributes:
        position_px: Across the ray [px].
        depth: Of the distance, as a fraction of it.
    """

    position_px: float
    depth: float


ASSUMED = Sigmas(2.0, 0.1)
"""Of weights for which nobody measured it; in pixels of the network's input."""


def choose_sigmas(given: Sigmas, measured: Sigmas, scale: float) -> Sigmas:
    """Returns what is said of people's places in an image, in its pixels.

    Args:
        given: What the user says, in the image's pixels; 0 for nothing.
        measured: What the weights say, in pixels of the network's input; 0 for nothing.
        scale: Size of the network's input over the image's.
    """
    position_px = given.position_px or (measured.position_px or ASSUMED.position_px) / scale
    return Sigmas(position_px, given.depth or measured.depth or ASSUMED.depth)


def pose_covariance(origin: ArrayLike, focal_px: float, sigma_px: float, depth_sigma: float) -> NDArray[np.float64]:
    """Returns (N, 6, 6) covariances of position and orientation in the axes of the camera's optical frame.

    The position's is R diag(s^2, s^2, (a d)^2) R^T: d the range, s = d sigma_px / f across the ray, a d along it, the
    third column of R the unit ray. Orientation is unknown.

    Args:
        origin: (N, 3) positions in the optical frame [m].
        focal_px: Focal length f [px].
        sigma_px: Standard deviation of the position in the image [px].
        depth_sigma: Standard deviation a of the distance, as a fraction of it.
    """
    origin = np.asarray(origin, np.float64)
    distance = np.linalg.norm(origin, axis=-1)[:, None, None]
    ray = origin[:, :, None] / distance
    along = ray * ray.transpose(0, 2, 1)
    across_variance, along_variance = (distance * sigma_px / focal_px) ** 2, (distance * depth_sigma) ** 2
    covariance = np.zeros((len(origin), 6, 6))
    covariance[:, :3, :3] = across_variance * (np.eye(3) - along) + along_variance * along
    covariance[:, 3:, 3:] = UNKNOWN * np.eye(3)
    return covariance
