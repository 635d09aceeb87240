"""Matching: which of the people found is which of the people there are. AGORA's rule, with people who do not count.

Pairs are taken by rising mean distance between their keypoints in the image, each person once, if their boxes overlap
at all (intersection over union of at least `MIN_IOU`). People who count go first; whoever is left over may be one of
those who do not count (hardly anything is to be seen of them): such a guess is neither right nor wrong.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Indices = NDArray[np.intp]

MIN_IOU = 0.05


class Matching(NamedTuple):
    """Who is who in one image.

    Attributes:
        guess, truth: (M,) indices of the pairs, by rising index of the truth.
        missed: Indices of people who count and were not found.
        false: Indices of guesses that are nobody.
        ignored: Indices of guesses that are people who do not count.
    """

    guess: Indices
    truth: Indices
    missed: Indices
    false: Indices
    ignored: Indices


def match(px: Array, true_px: Array, counts: Mask) -> Matching:
    """Matches N guesses and P people of one image.

    Args:
        px: (N, K, 2) keypoints of the guesses in the image, also outside its borders; NaN behind the camera [px].
        true_px: (P, K, 2) the same of the people there are.
        counts: (P,) False for people who may be missed and found alike.
    """
    distance = mean_px_distance(px, true_px)
    overlap = box_iou(boxes(px), boxes(true_px)) >= MIN_IOU
    guess, truth = greedy(distance, overlap & counts)
    free = np.setdiff1d(np.arange(len(px)), guess)
    ignored = free[greedy(distance[free], overlap[free] & ~counts)[0]]
    order = np.argsort(truth)
    return Matching(
        guess=guess[order],
        truth=truth[order],
        missed=np.setdiff1d(np.flatnonzero(counts), truth),
        false=np.setdiff1d(free, ignored),
        ignored=np.sort(ignored),
    )


def greedy(distance: Array, allowed: Mask) -> tuple[Indices, Indices]:
    """Takes allowed pairs of rows and columns by rising distance, each row and column at most once.

    Args:
        distance: (N, P); pairs at an infinite distance are never taken. Equal ones: the first row, then column.
        allowed: (N, P) True where a pair may be taken.

    Returns:
        Rows and columns of the pairs, in the order in which they were taken.
    """
    rows, columns = np.nonzero(allowed & np.isfinite(distance))
    order = np.argsort(distance[rows, columns], kind="stable")
    taken: list[tuple[int, int]] = []
    used_rows, used_columns = set[int](), set[int]()
    for row, column in zip(rows[order].tolist(), columns[order].tolist()):
        if row not in used_rows and column not in used_columns:
            taken.append((row, column))
            used_rows.add(row)
            used_columns.add(column)
    pairs = np.array(taken, np.intp).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def mean_px_distance(px: Array, true_px: Array) -> Array:
    """Returns (N, P) mean distances of (N, K, 2) and (P, K, 2) keypoints [px]; NaN keypoints do not count.

    Two people without a common keypoint are infinitely far apart.
    """
    distance = np.linalg.norm(px[:, None] - true_px[None], axis=-1)
    seen = np.isfinite(distance)
    total, number = np.where(seen, distance, 0.0).sum(axis=-1), seen.sum(axis=-1)
    return np.where(number > 0, total / np.maximum(number, 1), np.inf)


def boxes(px: Array) -> Array:
    """Returns (N, 4) boxes xmin, ymin, xmax, ymax around (N, K, 2) pixels; NaN pixels do not count.

    A person without a pixel has an empty box: infinity to minus infinity.
    """
    seen = np.isfinite(px)
    low = np.where(seen, px, np.inf).min(axis=1, initial=np.inf)
    high = np.where(seen, px, -np.inf).max(axis=1, initial=-np.inf)
    return np.concatenate([low, high], axis=-1)


def box_iou(first: Array, second: Array) -> Array:
    """Returns (N, P) intersection over union of (N, 4) and (P, 4) boxes, 0 where one is empty."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    with np.errstate(invalid="ignore"):
        shared = np.where(high > low, high - low, 0.0).prod(axis=-1)
    union = _area(first)[:, None] + _area(second)[None] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0.0)


def _area(boxes: Array) -> Array:
    sides = np.where(boxes[:, 2:] > boxes[:, :2], boxes[:, 2:] - boxes[:, :2], 0.0)
    area: Array = sides.prod(axis=-1)
    return area
