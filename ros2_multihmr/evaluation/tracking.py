"""Tracking, measured: do people stay themselves, and do they move as they do? Metrics on sequences with known truth.

Identities are judged by TrackEval (IDF1, HOTA, MOTA, switches) with a similarity of 1 - d, d the distance of the roots
in metres, zero from 1 m on; predicted people count as found. Motion is judged on those who were seen.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

Array = NDArray[np.float64]
Ids = NDArray[np.int64]
_SAME = 0.5  # similarity from which somebody is found: TrackEval's threshold


class Frame(NamedTuple):
    """Who was there and who was found in one image.

    Attributes:
        true_ids: (P,) who was there.
        true_roots: (P, 3) where [m].
        ids: (N,) who was found.
        roots: (N, 3) where [m].
    """

    true_ids: Ids
    true_roots: Array
    ids: Ids
    roots: Array


class Identities(NamedTuple):
    """How well people stayed themselves; parts of 1, but for the number of switches.

    Attributes:
        idf1: Ristani et al. 2016, at 0.5 m.
        hota: Luiten et al. 2021, over similarities of .05 to .95: it judges places, too.
        mota: Bernardin and Stiefelhagen 2008, at 0.5 m.
        switches: How often somebody went on as somebody else.
    """

    idf1: float
    hota: float
    mota: float
    switches: int


class Switch(NamedTuple):
    """A person whose id changed: in which frame, who, and how near the nearest other was since the last id [m]."""

    frame: int
    person: int
    apart_m: float


def similarity(true_roots: Array, roots: Array) -> Array:
    """Returns (P, N) similarities of (P, 3) and (N, 3) places [m]: 1 for the same, 0 from 1 m on."""
    return np.maximum(0.0, 1.0 - np.linalg.norm(true_roots[:, None] - roots[None], axis=-1))


def identities(frames: Sequence[Frame]) -> Identities:
    """Judges one sequence.

    Raises:
        ModuleNotFoundError: TrackEval is not installed; says how.
    """
    metrics = _trackeval_metrics()
    data = _data(frames)
    quiet: dict[str, Any] = {"PRINT_CONFIG": False}
    clear = metrics.CLEAR(quiet).eval_sequence(data)
    identity = metrics.Identity(quiet).eval_sequence(data)
    hota = metrics.HOTA().eval_sequence(data)
    return Identities(
        idf1=float(identity["IDF1"]),
        hota=float(np.mean(hota["HOTA"])),
        mota=float(clear["MOTA"]),
        switches=int(clear["IDSW"]),
    )


def switches(frames: Sequence[Frame], *, before: int = 30) -> list[Switch]:
    """Finds each person whose id is another than when the person was found last.

    Args:
        frames: A sequence.
        before: Number of frames back in which others' distance is looked at, at least those since the person was
            found last.
    """
    found: list[Switch] = []
    last: dict[int, tuple[int, int]] = {}
    for index, frame in enumerate(frames):
        near = similarity(frame.true_roots, frame.roots)
        kept = np.array([[last.get(int(t), (-1, 0))[0] == i for i in frame.ids] for t in frame.true_ids], float)
        rows, columns = linear_sum_assignment(-np.where(near >= _SAME, near + 10 * kept.reshape(near.shape), 0.0))
        for row, column in zip(rows, columns):
            if near[row, column] < _SAME:
                continue
            person, number = int(frame.true_ids[row]), int(frame.ids[column])
            if person in last and last[person][0] != number:
                since = min(last[person][1], index - before)
                found.append(Switch(index, person, _apart(frames[max(since, 0) : index + 1], person)))
            last[person] = (number, index)
    return found


def acceleration(points: Array, stamps_s: Array) -> Array:
    """Returns (F - 2, ...) accelerations of (F, ...) points at F times, however they are spaced [m/s^2]."""
    steps = np.diff(stamps_s).reshape(-1, *[1] * (points.ndim - 1))
    speeds = np.diff(points, axis=0) / steps
    result: Array = 2 * np.diff(speeds, axis=0) / (steps[1:] + steps[:-1])
    return result


def lag_s(points: Array, true_points: Array, true_velocities: Array) -> float:
    """Returns by how much points come late [s], in least squares: points(t) = truth(t - lag) + noise.

    Args:
        points: (M, 3) [m].
        true_points: (M, 3) where they should be at the same time.
        true_velocities: (M, 3) how fast they move [m/s].
    """
    moved = (true_velocities**2).sum()
    return float(((true_points - points) * true_velocities).sum() / moved) if moved > 0.0 else float("nan")


def _apart(frames: Sequence[Frame], person: int) -> float:
    """How near the nearest other was, in any of the frames [m]; infinity without others."""
    nearest = np.inf
    for frame in frames:
        me = frame.true_ids == person
        if me.any() and not me.all():
            away = np.linalg.norm(frame.true_roots[~me] - frame.true_roots[me], axis=1)
            nearest = min(nearest, float(away.min()))
    return nearest


def _data(frames: Sequence[Frame]) -> dict[str, Any]:
    """TrackEval's form of a sequence: ids count from zero."""
    true_names = np.unique(np.concatenate([f.true_ids for f in frames]))
    names = np.unique(np.concatenate([f.ids for f in frames]))
    return {
        "num_timesteps": len(frames),
        "num_gt_ids": len(true_names),
        "num_tracker_ids": len(names),
        "num_gt_dets": sum(len(f.true_ids) for f in frames),
        "num_tracker_dets": sum(len(f.ids) for f in frames),
        "gt_ids": [np.searchsorted(true_names, f.true_ids) for f in frames],
        "tracker_ids": [np.searchsorted(names, f.ids) for f in frames],
        "similarity_scores": [similarity(f.true_roots, f.roots) for f in frames],
    }


def _trackeval_metrics() -> Any:
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it tells of data sets that it cannot read
            from trackeval import metrics
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{error}: identities are judged by TrackEval: pip install --no-deps trackeval==1.3.0 "
            "(what it would bring along is for data sets that are not used, and fights with opencv-python-headless)"
        ) from error
    return metrics
