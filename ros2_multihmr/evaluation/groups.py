"""Groups: the same figures for some of the people, by distance, company and what is visible."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ros2_multihmr.evaluation.scoring import Scores

_INFINITY = float("inf")
# What people are grouped by: a name, the field of `Facts`, and the groups' lower edges.
EDGES = (
    ("distance [m]", "distance_m", (0.0, 2.0, 3.0, 4.0, 6.0, 8.0, _INFINITY)),
    ("people in the image", "company", (1.0, 2.0, 3.0, 5.0, _INFINITY)),
    ("visible part", "visibility", (0.25, 0.5, 0.75, 0.95, _INFINITY)),
    ("head", "head", (0.0, 1.0, 2.0)),
)


@dataclass(frozen=True)
class Group:
    """Some of the people who count; NaN where none was found.

    Attributes:
        by: What decides who belongs to it.
        low, high: From this value on, up to below that one.
        people: How many count.
        recall: Part of them who were found.
        position_m: Median error of the root's position [m].
        position_share: The same as a fraction of the distance.
        orientation_deg: Median error of the orientation [degrees].
        mpjpe_m, pa_mpjpe_m, hand_m: Means [m].
    """

    by: str
    low: float
    high: float
    people: int
    recall: float
    position_m: float
    position_share: float
    orientation_deg: float
    mpjpe_m: float
    pa_mpjpe_m: float
    hand_m: float

    @property
    def range(self) -> str:
        """The values that belong to it, as words."""
        if self.by == "head":
            return "visible" if self.low else "hidden or outside"
        if np.isinf(self.high):
            return f"{self.low:g} or more"
        last = self.high - 1.0 if self.by == "people in the image" else self.high
        return f"{self.low:g}" if self.low == last else f"{self.low:g} to {last:g}"


def groups(scores: Scores) -> list[Group]:
    """Returns the groups in which anybody is."""
    return [group for group in _all_groups(scores) if group.people]


def _all_groups(scores: Scores) -> Iterator[Group]:
    for by, fact, edges in EDGES:
        values = getattr(scores.facts, fact)
        for low, high in zip(edges[:-1], edges[1:]):
            yield _group(scores, by, low, high, (values >= low) & (values < high))


def _group(scores: Scores, by: str, low: float, high: float, members: NDArray[np.bool_]) -> Group:
    def errors(field: str) -> NDArray[np.float64]:
        values = getattr(scores.errors, field)[members]
        return values[np.isfinite(values)]

    def middle(field: str) -> float:
        return float(np.median(errors(field))) if len(errors(field)) else float("nan")

    def mean(field: str) -> float:
        return float(errors(field).mean()) if len(errors(field)) else float("nan")

    number = int(members.sum())
    return Group(
        by=by,
        low=low,
        high=high,
        people=number,
        recall=float(scores.found[members].mean()) if number else float("nan"),
        position_m=middle("position_m"),
        position_share=middle("position_share"),
        orientation_deg=middle("orientation_deg"),
        mpjpe_m=mean("mpjpe_m"),
        pa_mpjpe_m=mean("pa_mpjpe_m"),
        hand_m=mean("hand_m"),
    )
