"""An evaluation's result, as JSON values and as a page."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ros2_multihmr.evaluation.figures import Figure, figures
from ros2_multihmr.evaluation.groups import Group, groups
from ros2_multihmr.evaluation.scoring import Scores
from ros2_multihmr.files.whole_file import whole_file
from ros2_multihmr.report import measured_on, table_lines

NETWORK = "network"
# What the predictors to beat are called, and what they know.
KNOWN = {
    "mean pose": "is told everybody's root and its orientation",
    "constant depth": "is told everybody's head in the image",
    "box size": "is told everybody's head and the size of the box in the image",
}
_MEANING = "What the numbers mean: docs/evaluation.md."
_ALL = ("precision", "recall", "F1")
_PLACE = ("root position", "depth", "orientation")
# Which figures say nothing, because the truth told them: beginnings of names.
_TOLD = {"mean pose": (*_ALL, *_PLACE), "constant depth": _ALL, "box size": _ALL}
_GROUP_HEADINGS = ("people", "found", "root position", "of distance", "orientation", "MPJPE", "PA-MPJPE", "hands")


@dataclass(frozen=True)
class Result:
    """What came out, for one network and the predictors beside it.

    Attributes:
        title: Which network.
        data: Which images, see `Benchmark.title`.
        notes: What else the reader must know.
        run: What decided the predictions, by name.
        people: How many count.
        figures: By predictor, `NETWORK` first.
        groups: Of the network.
        machine: What it ran on.
    """

    title: str
    data: str
    notes: tuple[str, ...]
    run: Mapping[str, Any]
    people: int
    figures: Mapping[str, Sequence[Figure]]
    groups: Sequence[Group]
    machine: Mapping[str, str]

    @staticmethod
    def of(
        scores: Sequence[Scores],
        title: str,
        data: str,
        notes: Sequence[str],
        run: Mapping[str, Any],
        machine: Mapping[str, str],
    ) -> Result:
        """Adds up the scores, the network's first."""
        return Result(
            title=title,
            data=data,
            notes=tuple(notes),
            run=run,
            people=len(scores[0].guess),
            figures={one.name: figures(one) for one in scores},
            groups=groups(scores[0]),
            machine=machine,
        )


def to_json(result: Result) -> dict[str, Any]:
    """Returns JSON values; numbers that are not finite become null."""
    values: dict[str, Any] = _finite(asdict(result))
    return values


def page(result: Result) -> str:
    """Returns a Markdown page."""
    beside = [name for name in result.figures if name != NETWORK]
    lines = [f"# {result.title}", ""]
    lines += [f"{result.data}. {result.people} people count. {_MEANING}", ""]
    lines += [line for note in result.notes for line in (note, "")]
    lines += table_lines(("", "unit", NETWORK, "95 %", *beside), _figure_rows(result, beside))
    if beside:
        known = "; ".join(f"*{name}* {KNOWN[name]}" for name in beside)
        lines += ["", f"Beside it, who looks at no image and knows training data's averages alone: {known}."]
    for by in dict.fromkeys(group.by for group in result.groups):
        rows = [_group_row(group) for group in result.groups if group.by == by]
        lines += ["", f"## By {by}", "", *table_lines((by, *_GROUP_HEADINGS), rows)]
    return "\n".join([*lines, "", measured_on(result.machine), ""])


def write_report(stem: Path, values: Mapping[str, Any], markdown: str) -> None:
    """Writes a page, and its numbers as JSON, each whole or not at all.

    Args:
        stem: The files' place, without ending.
        values: JSON values.
        markdown: The page.

    Raises:
        OSError: A file cannot be written.
    """
    text = json.dumps(values, indent=1, allow_nan=False) + "\n"
    for ending, content in (("json", text), ("md", markdown)):
        with whole_file(stem.with_name(f"{stem.name}.{ending}")) as part:
            part.write_text(content, encoding="utf-8")


def _figure_rows(result: Result, beside: Sequence[str]) -> list[tuple[str, ...]]:
    rows = []
    for place, figure in enumerate(result.figures[NETWORK]):
        others = (value_text(name, result.figures[name][place]) for name in beside)
        low_high = f"{short(figure.low)} to {short(figure.high)}" if math.isfinite(figure.low) else "-"
        rows.append((figure.name, figure.unit, short(figure.value), low_high, *others))
    return rows


def value_text(predictor: str, figure: Figure) -> str:
    """Returns a figure's value as words; "told" for what a predictor did not have to find."""
    return "told" if figure.name.startswith(_TOLD.get(predictor, ("-",))) else short(figure.value)


def _group_row(group: Group) -> tuple[str, ...]:
    return (
        group.range,
        str(group.people),
        f"{100 * group.recall:.0f} %",
        _with_unit(group.position_m, 1.0, "m"),
        _with_unit(group.position_share, 100.0, "%"),
        _with_unit(group.orientation_deg, 1.0, "deg"),
        *(_with_unit(value, 1e3, "mm") for value in (group.mpjpe_m, group.pa_mpjpe_m, group.hand_m)),
    )


def _with_unit(value: float, scale: float, unit: str) -> str:
    return f"{short(scale * value)} {unit}" if math.isfinite(value) else "-"


def short(value: float) -> str:
    """Three digits, more before the point; a dash for none."""
    if not math.isfinite(value):
        return "-"
    digits = 2 - math.floor(math.log10(abs(value))) if value else 2
    return f"{value:.{min(max(digits, 0), 3)}f}"


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
