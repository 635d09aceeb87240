"""What came out of rendered clips, as JSON values and as a page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ros2_multihmr.evaluation.clip_runs import METHODS, NETWORK, NOISE, ClipResult
from ros2_multihmr.evaluation.page import short
from ros2_multihmr.evaluation.tracking_runs import Figures
from ros2_multihmr.report import measured_on, table_lines

Array = NDArray[np.float64]
_REPEATS = 1000
_MEANING = {
    "idf1": "IDF1",
    "hota": "HOTA",
    "mota": "MOTA",
    "switches": "switches a clip",
    "far_switches": "of them, of people farther than 0.5 m from all others",
    "root_mm": "root position [mm]",
    "mpjpe_mm": "MPJPE, all joints [mm]",
    "acceleration": "error of the joints' acceleration [m/s²]",
    "velocity": "error of the velocity over ground, RMS [m/s]",
    "lag_ms": "lag of the root [ms]",
    "joint_lag_ms": "lag of the joints [ms]",
    "inside": "velocities within their 90 % ellipsoid",
}
_SHORT = ("idf1", "hota", "mota", "switches", "mpjpe_mm", "acceleration", "velocity", "lag_ms")


@dataclass(frozen=True)
class ClipPage:
    """What is told.

    Attributes:
        title: Which network on what.
        data: Which clips, in words.
        notes: What else the reader must know.
        run: What decided the detections, by name.
        results: Of every clip.
        machine: What it ran on.
    """

    title: str
    data: str
    notes: Sequence[str]
    run: Mapping[str, Any]
    results: Sequence[ClipResult]
    machine: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """Returns JSON values; numbers that are not finite become null."""
        clips = [
            {
                "kind": result.key.kind,
                "seed": result.key.seed,
                "images": result.images,
                "figures": {
                    source: {name: _numbers(figures) for name, figures in methods.items()}
                    for source, methods in result.figures.items()
                },
                "found": {name: getattr(result.found, name) for name in ("visible", "found", "false")},
                "places within their 90 % ellipsoid": _finite(_share(result.found.inside)),
            }
            for result in self.results
        ]
        about = {"title": self.title, "data": self.data, "notes": list(self.notes), "run": dict(self.run)}
        covered = dict(zip(("share", "low", "high"), map(_finite, covered_range(self.results))))
        return {**about, "coverage": covered, "clips": clips, "machine": dict(self.machine)}

    def markdown(self) -> str:
        """Returns a Markdown page."""
        lines = [f"# {self.title}", "", f"{self.data}. {_HOW}", ""]
        lines += [line for note in self.notes for line in (note, "")]
        lines += self._found()
        for source, heading in ((NETWORK, "From the network's own detections"), (NOISE, "From the truth with noise")):
            lines += [f"## {heading}", "", *self._all(source), "", "By kind of clip:", "", *self._by_kind(source), ""]
        return "\n".join([*lines, measured_on(self.machine), ""])

    def _found(self) -> list[str]:
        found = [result.found for result in self.results]
        visible, right, false = (sum(getattr(one, name) for one in found) for name in ("visible", "found", "false"))
        known = sum(len(one.person) for one in found)
        if not known:
            return [
                f"**Nobody was found**: none of {visible} people who are there to be found, with {false} false "
                "detections. Lower the detection threshold, or train the weights further.",
                "",
            ]
        share, low, high = (f"{100.0 * value:.1f}" for value in covered_range(self.results))
        return [
            f"The network finds {_percent(right, visible)} of {visible} people who are there to be found; "
            f"{_percent(false, false + known)} of its detections are nobody. "
            f"**{share} % of the true places lie within the 90 % ellipsoid** of `pose.covariance` (in 95 of 100 sets "
            f"of such people: {low} to {high} %); the covariance was not measured on these clips.",
            "",
        ]

    def _all(self, source: str) -> list[str]:
        rows = []
        for name in Figures._fields:
            values = [[getattr(r.figures[source][method], name) for r in self.results] for method in METHODS]
            rows.append([_MEANING.get(name, name), *map(_spread, values)])
        return table_lines(["mean ± deviation over clips" if len(self.results) > 1 else "one clip", *METHODS], rows)

    def _by_kind(self, source: str) -> list[str]:
        rows = []
        for kind in dict.fromkeys(result.key.kind for result in self.results):
            for method in METHODS:
                figures = [r.figures[source][method] for r in self.results if r.key.kind == kind]
                means = (_mean([getattr(one, name) for one in figures]) for name in _SHORT)
                rows.append([kind, method, *map(short, means)])
        return table_lines(["kind", "method", *(_MEANING[name] for name in _SHORT)], rows)


_HOW = (
    "What the numbers mean: docs/evaluation.md. Beside the tracker and its smoothing stand the same without smoothing, "
    "and the nearest neighbour: each detection goes on with whoever was last nearest, within a metre."
)


def covered_range(results: Sequence[ClipResult]) -> tuple[float, float, float]:
    """Returns which part of the true places lies within the ellipsoids, and the range that chance leaves.

    One person's errors are alike from image to image, so whole people are drawn for the range, not images.
    """
    shares = [
        (float(r.found.inside[mine].sum()), float(mine.sum()))
        for r in results
        for mine in (r.found.person == who for who in np.unique(r.found.person))
    ]
    if not shares:
        return float("nan"), float("nan"), float("nan")
    right, whole = np.array(shares).T
    draws = np.random.default_rng(0).multinomial(len(right), np.full(len(right), 1.0 / len(right)), _REPEATS)
    low, high = np.percentile((draws @ right) / (draws @ whole), (2.5, 97.5))
    return float(right.sum() / whole.sum()), float(low), float(high)


def _mean(values: Sequence[float], of: Callable[..., Any] = np.mean) -> float:
    """Mean of those values that are numbers: who was never found has no errors."""
    known = np.array(values)[np.isfinite(values)]
    return float(of(known)) if len(known) else float("nan")


def _spread(values: Sequence[float]) -> str:
    """Mean ± deviation of those values that are numbers; one alone has no deviation."""
    several = np.isfinite(values).sum() > 1
    return f"{short(_mean(values))} ± {short(_mean(values, np.std))}" if several else short(_mean(values))


def _share(inside: NDArray[np.bool_]) -> float:
    return float(inside.mean()) if len(inside) else float("nan")


def _percent(part: int, whole: int) -> str:
    return f"{100.0 * part / whole:.1f} %" if whole else "none"


def _numbers(figures: Figures) -> dict[str, float | None]:
    return {name: _finite(float(value)) for name, value in figures._asdict().items()}


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
