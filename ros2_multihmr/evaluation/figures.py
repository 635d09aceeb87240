"""Figures: what scores add up to, with the range that chance leaves them (bootstrap over images)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ros2_multihmr.evaluation.scoring import Scores

Array = NDArray[np.float64]

_REPEATS, _SEED = 1000, 0
_RANGE = (2.5, 97.5)


@dataclass(frozen=True)
class Figure:
    """One number.

    Attributes:
        name: What it is.
        unit: Of the three numbers.
        value: It; NaN if nothing could be compared.
        low, high: In 95 of 100 sets of images drawn from these, it lies between.
    """

    name: str
    unit: str
    value: float
    low: float
    high: float


class _Measure(NamedTuple):
    name: str
    unit: str
    of: Callable[[Scores, Array], Array]


def figures(scores: Scores) -> list[Figure]:
    """Returns all figures of a predictor, of one image or more.

    People of one image are alike, so whole images are drawn for the range, not people.
    """
    number = len(scores.keys)
    draws = np.random.default_rng(_SEED).multinomial(number, np.full(number, 1.0 / number), _REPEATS)
    once, many = np.ones((1, number)), draws.astype(np.float64)
    return [
        Figure(measure.name, measure.unit, float(measure.of(scores, once)[0]), *_range(measure.of(scores, many)))
        for measure in MEASURES
    ]


def weighted_mean(values: Array, weights: Array) -> Array:
    """Returns (B,) means of (T,) values by (B, T) weights; NaN values do not count; NaN where none counts."""
    seen = np.isfinite(values)
    total = weights[:, seen].sum(axis=1)
    return _ratio(weights[:, seen] @ values[seen], total)


def weighted_median(values: Array, weights: Array) -> Array:
    """Returns (B,) medians of (T,) values that occur as often as (B, T) weights say; NaN as in `weighted_mean`."""
    seen = np.flatnonzero(np.isfinite(values))
    order = seen[np.argsort(values[seen], kind="stable")]
    if not len(order):
        return np.full(len(weights), np.nan)
    sums = np.cumsum(weights[:, order], axis=1)
    half = sums[:, -1:] / 2.0
    lower, upper = (sums >= half).argmax(axis=1), (sums > half).argmax(axis=1)
    middle = (values[order][lower] + values[order][upper]) / 2.0
    return np.where(half[:, 0] > 0.0, middle, np.nan)


def recall(scores: Scores, draws: Array) -> Array:
    """Returns (B,) found people of those who count."""
    return weighted_mean(scores.found.astype(np.float64), _of_people(scores, draws))


def precision(scores: Scores, draws: Array) -> Array:
    """Returns (B,) guesses that are somebody of those that are somebody or nobody."""
    found = (_of_people(scores, draws) * scores.found).sum(axis=1)
    return _ratio(found, found + draws @ scores.false)


def f1(scores: Scores, draws: Array) -> Array:
    """Returns (B,) harmonic means of precision and recall."""
    weights = _of_people(scores, draws)
    found = (weights * scores.found).sum(axis=1)
    return _ratio(2.0 * found, found + weights.sum(axis=1) + draws @ scores.false)


def _of_people(scores: Scores, draws: Array) -> Array:
    """(B, T) how often each person comes when images come as often as (B, I) draws say."""
    return draws[:, scores.facts.image.astype(np.intp)]


def _mean(field: str, scale: float = 1.0) -> Callable[[Scores, Array], Array]:
    return lambda scores, draws: scale * weighted_mean(getattr(scores.errors, field), _of_people(scores, draws))


def _median(field: str, scale: float = 1.0) -> Callable[[Scores, Array], Array]:
    return lambda scores, draws: scale * weighted_median(getattr(scores.errors, field), _of_people(scores, draws))


def _per_f1(field: str, scale: float) -> Callable[[Scores, Array], Array]:
    mean = _mean(field, scale)
    return lambda scores, draws: _ratio(mean(scores, draws), f1(scores, draws))


def _percent(of: Callable[[Scores, Array], Array]) -> Callable[[Scores, Array], Array]:
    return lambda scores, draws: 100.0 * of(scores, draws)


MEASURES: Sequence[_Measure] = (
    _Measure("precision", "%", _percent(precision)),
    _Measure("recall", "%", _percent(recall)),
    _Measure("F1", "%", _percent(f1)),
    _Measure("root position, median", "m", _median("position_m")),
    _Measure("root position, mean (MRPE)", "m", _mean("position_m")),
    _Measure("root position, share of the distance, median", "%", _median("position_share", 100.0)),
    _Measure("depth, median", "m", _median("depth_m")),
    _Measure("depth, share of the depth, median", "%", _median("depth_share", 100.0)),
    _Measure("orientation, median", "deg", _median("orientation_deg")),
    _Measure("MPJPE, mean", "mm", _mean("mpjpe_m", 1e3)),
    _Measure("PA-MPJPE, mean", "mm", _mean("pa_mpjpe_m", 1e3)),
    _Measure("PVE, mean", "mm", _mean("pve_m", 1e3)),
    _Measure("hands, mean", "mm", _mean("hand_m", 1e3)),
    _Measure("2D, median", "px", _median("px")),
    _Measure("NMJE", "mm", _per_f1("mpjpe_m", 1e3)),
    _Measure("NMVE", "mm", _per_f1("pve_m", 1e3)),
    _Measure(
        "depth order (PCOD)", "%", lambda scores, draws: 100.0 * _ratio(draws @ scores.ordered, draws @ scores.pairs)
    ),
    _Measure("time, median", "ms", lambda scores, draws: 1e3 * weighted_median(scores.seconds, draws)),
)


def _ratio(above: Array, below: Array) -> Array:
    return np.divide(above, below, out=np.full(len(below), np.nan), where=below > 0.0)


def _range(values: Array) -> tuple[float, float]:
    values = values[np.isfinite(values)]
    if not len(values):
        return float("nan"), float("nan")
    low, high = np.percentile(values, _RANGE)
    return float(low), float(high)
