"""Coverage: how often the ellipsoid that should hold 90 % of the true places does so, and the two numbers that make it.

Errors are taken apart along and across the ray to where a person was found: across in pixels of the network's input,
since that is what a network resolves, along as a part of the distance.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ros2_multihmr.uncertainty import Sigmas

Array = NDArray[np.float64]
LEVEL = 0.9
_CHI2 = {1: 2.7055, 2: 4.6052, 3: 6.2514}  # 90 % quantiles by degrees of freedom


class PlaceErrors(NamedTuple):
    """How wrong N people's places are.

    Attributes:
        across_px: (N,) distance from the ray [px of the network's input].
        along: (N,) found farther than true, as a part of the distance found.
    """

    across_px: Array
    along: Array

    @staticmethod
    def of(found: ArrayLike, true: ArrayLike, focal_px: float) -> PlaceErrors:
        """Takes errors apart.

        Args:
            found: (N, 3) places in the optical frame [m].
            true: (N, 3) where they are.
            focal_px: Focal length of the network's input [px].
        """
        found_, true_ = np.asarray(found, np.float64), np.asarray(true, np.float64)
        distance = np.linalg.norm(found_, axis=1, keepdims=True)
        ray, off = found_ / distance, found_ - true_
        along = (off * ray).sum(axis=1, keepdims=True)
        across = np.linalg.norm(off - along * ray, axis=1)
        return PlaceErrors(focal_px * across / distance[:, 0], (along / distance)[:, 0])

    @staticmethod
    def join(errors: Sequence[PlaceErrors]) -> PlaceErrors:
        """Joins errors; nobody's without any."""
        if not errors:
            return PlaceErrors(np.zeros(0), np.zeros(0))
        return PlaceErrors(*(np.concatenate(parts) for parts in zip(*errors)))


def fit(errors: PlaceErrors) -> Sigmas:
    """Finds the standard deviations whose 90 % ellipsoid holds 90 % of the errors.

    Quantiles, not mean squares: a network's errors have long tails, and a few people who are far off would make
    everybody's ellipsoid large. The ratio of both comes from the 90 % of each direction, the size from the ellipsoid.

    Raises:
        ValueError: There are fewer than 30 errors, or some are not finite.
    """
    count = len(errors.along)
    if count < _LEAST:
        raise ValueError(
            f"covariance: {'too few people were' if count else 'nobody was'} found: expected at least {_LEAST} whose "
            f"errors can be measured, got {count}; give more images, lower --detection-threshold, calibrate the scores "
            "first (`multihmr evaluate calibrate`), or train the weights further"
        )
    if not np.isfinite(errors).all():
        raise ValueError(f"covariance: expected finite errors of {count} people, got some that are not; check the data")
    rough = Sigmas(
        float(np.sqrt(np.quantile(errors.across_px**2, LEVEL) / _CHI2[2])),
        float(np.sqrt(np.quantile(errors.along**2, LEVEL) / _CHI2[1])),
    )
    scale = float(np.sqrt(np.quantile(_distance(errors, rough), LEVEL) / _CHI2[3]))
    return Sigmas(scale * rough.position_px, scale * rough.depth)


def inside(errors: PlaceErrors, sigmas: Sigmas) -> NDArray[np.bool_]:
    """Returns (N,) True for true places within the 90 % ellipsoid."""
    return np.asarray(_distance(errors, sigmas) < _CHI2[3])


def inside_covariance(off: Array, covariance: Array) -> NDArray[np.bool_]:
    """Returns (N,) True for (N, 3) differences within the 90 % ellipsoids of (N, 3, 3) covariances."""
    solved = np.linalg.solve(covariance, off[..., None])[..., 0]
    return np.asarray((off * solved).sum(axis=-1) < _CHI2[3])


def _distance(errors: PlaceErrors, sigmas: Sigmas) -> Array:
    """(N,) squared distances in standard deviations."""
    across, along = errors.across_px / sigmas.position_px, errors.along / sigmas.depth
    total: Array = across**2 + along**2
    return total


_LEAST = 30
