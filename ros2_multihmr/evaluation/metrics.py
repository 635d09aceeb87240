"""Metrics of people who are already matched: pure functions on arrays, one number per person."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ros2_multihmr.rotations import rotmat_to_rotvec

Array = NDArray[np.float64]

_SAME_DEPTH_M = 0.2  # two people closer than this along the axis have no order (BEV's threshold)


class Similarity(NamedTuple):
    """N maps x -> scale R x + translation.

    Attributes:
        scale: (N,).
        rotation: (N, 3, 3).
        translation: (N, 3).
    """

    scale: Array
    rotation: Array
    translation: Array

    def __call__(self, points: ArrayLike) -> Array:
        """Maps (N, K, 3) points."""
        turned = np.asarray(points, np.float64) @ self.rotation.transpose(0, 2, 1)
        return self.scale[:, None, None] * turned + self.translation[:, None]


def similarity(points: ArrayLike, targets: ArrayLike) -> Similarity:
    """Returns what brings points as near to their targets as can be, in least squares (Umeyama 1991); no mirroring.

    Args:
        points: (N, K, 3) points; where all of a person's coincide, the scale is 1.
        targets: (N, K, 3) where each of them should go.
    """
    points, targets = np.asarray(points, np.float64), np.asarray(targets, np.float64)
    middle, target_middle = points.mean(axis=1), targets.mean(axis=1)
    centred, target_centred = points - middle[:, None], targets - target_middle[:, None]
    u, sizes, vt = np.linalg.svd(target_centred.transpose(0, 2, 1) @ centred)
    sign = np.ones_like(sizes)
    sign[:, 2] = np.sign(np.linalg.det(u @ vt))
    rotation = u * sign[:, None] @ vt
    spread = (centred**2).sum(axis=(1, 2))
    scale = np.where(spread > 0.0, (sizes * sign).sum(axis=1) / np.where(spread > 0.0, spread, 1.0), 1.0)
    translation = target_middle - scale[:, None] * np.einsum("nij,nj->ni", rotation, middle)
    return Similarity(scale, rotation, translation)


def mean_error(points: ArrayLike, targets: ArrayLike) -> Array:
    """Returns (N,) mean distances between (N, K, 3) points and their targets [m]; NaN where K is 0."""
    distance = np.linalg.norm(np.asarray(points, np.float64) - np.asarray(targets, np.float64), axis=-1)
    return distance.mean(axis=-1) if distance.shape[-1] else np.full(len(distance), np.nan)


def centred_error(points: ArrayLike, center: ArrayLike, targets: ArrayLike, target_center: ArrayLike) -> Array:
    """Returns (N,) `mean_error` after moving each (N, 3) center onto its target's: MPJPE, PVE, hands [m]."""
    here = np.asarray(points, np.float64) - np.asarray(center, np.float64)[:, None]
    there = np.asarray(targets, np.float64) - np.asarray(target_center, np.float64)[:, None]
    return mean_error(here, there)


def aligned_error(points: ArrayLike, targets: ArrayLike) -> Array:
    """Returns (N,) `mean_error` after the best similarity: PA-MPJPE [m]."""
    return mean_error(similarity(points, targets)(points), targets)


def rotation_error_deg(rotations: ArrayLike, targets: ArrayLike) -> Array:
    """Returns (N,) angles between (N, 3, 3) rotations and their targets [degrees], 0 to 180."""
    between = np.asarray(rotations, np.float64).transpose(0, 2, 1) @ np.asarray(targets, np.float64)
    return np.degrees(np.linalg.norm(rotmat_to_rotvec(between), axis=-1))


def px_error(px: ArrayLike, targets: ArrayLike, counts: ArrayLike) -> Array:
    """Returns (N,) mean distances in the image [px] over the keypoints that count; NaN where a person has none.

    Args:
        px: (N, K, 2) keypoints, NaN behind the camera: these do not count.
        targets: (N, K, 2) where they should be.
        counts: (N, K) which to look at.
    """
    distance = np.linalg.norm(np.asarray(px, np.float64) - np.asarray(targets, np.float64), axis=-1)
    seen = np.isfinite(distance) & np.asarray(counts, bool)
    total, number = np.where(seen, distance, 0.0).sum(axis=-1), seen.sum(axis=-1)
    return np.divide(total, number, out=np.full(len(distance), np.nan), where=number > 0)


def depth_order(depths: ArrayLike, targets: ArrayLike) -> tuple[int, int]:
    """Counts pairs of one image's people in the right order of depth (PCOD).

    Args:
        depths: (N,) distances along the optical axis as found [m].
        targets: (N,) the true ones; pairs that differ by less than 0.2 m have no order and are left out.

    Returns:
        Number of pairs in the right order, and number of pairs.
    """
    first, second = np.triu_indices(len(np.asarray(targets)), 1)
    depths, targets = np.asarray(depths, np.float64), np.asarray(targets, np.float64)
    differ, true_differ = depths[first] - depths[second], targets[first] - targets[second]
    counts = np.abs(true_differ) >= _SAME_DEPTH_M
    return int((differ * true_differ > 0.0)[counts].sum()), int(counts.sum())
