"""Adding up errors of a second look: means over people and seeds, differences between kinds of networks, their range.

A kind of network is a row of the tables, trained from one seed or several.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ros2_multihmr.evaluation.crop_errors import Compared, CropErrors
from ros2_multihmr.model.multi_crop_config import MultiCropConfig

Array = NDArray[np.float64]

FIRST = "as first found"
_REPEATS, _SEED = 1000, 0
_BOXES_PX = (0.0, 64.0, 128.0, 256.0, np.inf)


class Measure(NamedTuple):
    """One column.

    Attributes:
        heading: Above it.
        field: Of `CropErrors`.
        scale: From its unit to the column's.
    """

    heading: str
    field: str
    scale: float


MEASURES = (
    Measure("PVE [mm]", "pve_m", 1e3),
    Measure("hands [mm]", "hand_m", 1e3),
    Measure("face [mm]", "face_m", 1e3),
    Measure("root [mm]", "root_m", 1e3),
    Measure("MPJPE [mm]", "mpjpe_m", 1e3),
    Measure("PA-MPJPE [mm]", "pa_mpjpe_m", 1e3),
)


@dataclass(frozen=True)
class Run:
    """One network that was trained.

    Attributes:
        label: Kind of network: a row.
        name: Of this one, among all.
        config: Its configuration.
        ms_per_person: Processor time of a refined person [ms].
    """

    label: str
    name: str
    config: MultiCropConfig
    ms_per_person: float


@dataclass(frozen=True)
class Row:
    """All networks of one kind.

    Attributes:
        label: What it is called.
        runs: Its networks; none: people as first found.
    """

    label: str
    runs: tuple[Run, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Whose errors are its."""
        return tuple(run.name for run in self.runs) or (FIRST,)


def rows_of(runs: Sequence[Run]) -> list[Row]:
    """Groups networks by label, in the order in which the labels came."""
    labels = dict.fromkeys(run.label for run in runs)
    return [Row(label, tuple(run for run in runs if run.label == label)) for label in labels]


class Judge:
    """Adds up errors of people who were compared."""

    def __init__(self, compared: Compared) -> None:
        self._compared = compared
        images, of_image = np.unique(compared.image, return_inverse=True)
        count = max(len(images), 1)
        draws = np.random.default_rng(_SEED).multinomial(count, np.full(count, 1.0 / count), _REPEATS)
        self._weights = draws[:, of_image].astype(np.float64)

    def value(self, row: Row, measure: Measure, which: NDArray[np.bool_] | None = None) -> tuple[float, float]:
        """Mean over people and seeds, and the seeds' standard deviation; NaN where there is none."""
        values = np.stack([_of(self._compared.errors[name], measure) for name in row.names])
        values = values if which is None else values[:, which]
        means = np.array([mean_of(one) for one in values])
        return float(means.mean()), float(means.std(ddof=1)) if len(means) > 1 else float("nan")

    def difference(self, row: Row, other: Row, measure: Measure) -> tuple[float, float, float]:
        """Mean of the row's errors less the other's, and the bounds of 95 of 100 sets of images."""
        mine, theirs = (
            np.mean([_of(self._compared.errors[name], measure) for name in one.names], axis=0) for one in (row, other)
        )
        apart = mine - theirs
        seen = np.isfinite(apart)
        if not seen.any():
            return float("nan"), float("nan"), float("nan")
        total = self._weights[:, seen].sum(axis=1)
        means = (self._weights[:, seen] @ apart[seen])[total > 0] / total[total > 0]
        low, high = np.percentile(means, (2.5, 97.5))
        return float(apart[seen].mean()), float(low), float(high)

    def refined(self, row: Row) -> float:
        """Part of the people whom the row's networks changed."""
        return float(np.mean([mean_of(self._compared.refined[name].astype(np.float64)) for name in row.names]))

    def boxes(self) -> list[tuple[str, NDArray[np.bool_]]]:
        """People by the long sides of their boxes, the empty groups left out."""
        sides, groups = self._compared.box_px, []
        for low, high in zip(_BOXES_PX, _BOXES_PX[1:]):
            which = (sides >= low) & (sides < high)
            if which.any():
                groups.append((f"{low:g} to {high:g} px" if np.isfinite(high) else f"{low:g} px and more", which))
        return groups


def _of(errors: CropErrors, measure: Measure) -> Array:
    values: Array = getattr(errors, measure.field)
    return values


def mean_of(values: Array) -> float:
    """Returns the mean of what is finite, NaN for nothing."""
    seen = values[np.isfinite(values)]
    return float(seen.mean()) if len(seen) else float("nan")


def to_values(compared: Compared, runs: Sequence[Run]) -> list[Mapping[str, object]]:
    """Returns every row's numbers as JSON values; those that are not finite become None."""
    judge, first = Judge(compared), Row(FIRST, ())
    return [_row_values(judge, row, first) for row in [first, *rows_of(runs)]]


def _row_values(judge: Judge, row: Row, first: Row) -> Mapping[str, object]:
    measures = {}
    for one in MEASURES:
        value, spread = judge.value(row, one)
        difference, low, high = judge.difference(row, first, one)
        numbers = {"value": value, "seeds_deviation": spread, "against_first": difference, "low": low, "high": high}
        measures[one.field] = {name: _finite(number) for name, number in numbers.items()}
    networks = [{"name": run.name, "ms_per_person": _finite(run.ms_per_person)} for run in row.runs]
    return {"label": row.label, "networks": networks, "refined": _finite(judge.refined(row)), "measures": measures}


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
