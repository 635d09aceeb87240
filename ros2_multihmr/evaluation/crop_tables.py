"""Tables of a second look: refined against as first found, by number of crops, by fusion, and each component removed.

A row is one kind of network, trained from one seed or several. Its numbers are means over its seeds, with their
standard deviation; differences are of the same people, and their range is what chance leaves of them when whole images
are drawn anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

import numpy as np
from numpy.typing import NDArray

from ros2_multihmr.evaluation.crop_errors import Compared
from ros2_multihmr.evaluation.crop_judge import FIRST, MEASURES, Judge, Row, Run, rows_of
from ros2_multihmr.model.multi_crop_config import MultiCropConfig
from ros2_multihmr.report import Section

_FREE = ("weights", "contrastive")  # no kinds of network: a name, and a head that training alone needs
_FUSION = ("fusion", "relative_boxes", "fusion_width")


def sections(compared: Compared, runs: Sequence[Run], title: str, notes: Sequence[str]) -> list[Section]:
    """Makes the tables; the first label is the reference, and rows go where they differ from it.

    Args:
        compared: People as first found and as each network sees them.
        runs: The networks, at least one.
        title: Of the page.
        notes: Sentences under the first table.
    """
    judge, rows = Judge(compared), rows_of(runs)
    first, reference = Row(FIRST, ()), rows[0]
    found = [_values(title, judge, [first, *rows], notes), _against(judge, rows, first, "As first found")]
    found.append(_by_box(judge, first, reference))
    kinds: dict[str, list[Row]] = {}
    for row in rows[1:]:
        kinds.setdefault(section_of(row.runs[0].config, reference.runs[0].config), []).append(row)
    for kind, others in kinds.items():
        group = sorted([reference, *others], key=_crops) if kind == CROPS else [reference, *others]
        one = group[0] if kind == CROPS else reference
        found.append(_against(judge, [row for row in group if row is not one], one, kind, shown=True))
    return found


CROPS, FUSION, READS, OTHER = "By number of crops", "By fusion", "By what reads the crops", "One thing changed"


def section_of(config: MultiCropConfig, reference: MultiCropConfig) -> str:
    """Names the table for a network, by what its configuration has otherwise than the reference's.

    What training alone knows, losses above all, is not in a configuration: such rows are told by their labels.
    """
    names = {field.name for field in fields(MultiCropConfig)} - set(_FREE)
    differ = {name for name in names if getattr(config, name) != getattr(reference, name)}
    if differ == {"num_crops"}:
        return CROPS
    if differ and differ <= set(_FUSION):
        return FUSION
    return READS if "encoder" in differ else OTHER


def kind_of(config: MultiCropConfig) -> str:
    """Says what a network is, in few words."""
    boxes = "" if config.relative_boxes or config.fusion == "mean" else " without boxes"
    crops = f"{config.num_crops} crop{'s' * (config.num_crops > 1)} ({config.scheme})"
    return f"{config.encoder}, {crops}, {config.fusion}{boxes}, cameras {config.cameras}, from {config.start}"


def _values(title: str, judge: Judge, rows: Sequence[Row], notes: Sequence[str]) -> Section:
    headings = ("", "kind", "seeds", "refined", *(one.heading for one in MEASURES), "time per person [ms]")
    cells = [
        (
            row.label,
            kind_of(row.runs[0].config) if row.runs else "",
            str(len(row.runs)) if row.runs else "",
            _percent(judge.refined(row)) if row.runs else "",
            *(_with_spread(*judge.value(row, one), scale=one.scale) for one in MEASURES),
            _time(row),
        )
        for row in rows
    ]
    return Section(title, headings, cells, notes)


def _against(judge: Judge, rows: Sequence[Row], other: Row, title: str, *, shown: bool = False) -> Section:
    """Differences to another row, which comes first if it is to be shown itself."""
    headings = ("", "seeds", *(one.heading for one in MEASURES), "time per person [ms]")
    own = [(other.label, str(len(other.runs)), *_plain(judge, other), _time(other))] if shown else []
    cells = [
        (
            row.label,
            str(len(row.runs)),
            *(_difference(*judge.difference(row, other, one), scale=one.scale) for one in MEASURES),
            _time(row),
        )
        for row in rows
    ]
    note = f"Differences to {other.label!r} on the same people, and their range in 95 of 100 sets of such images."
    heading = title if shown else f"Against the first pass: {len(rows)} kinds of networks"
    return Section(heading, headings, [*own, *cells], [note])


def _plain(judge: Judge, row: Row) -> list[str]:
    return [_with_spread(*judge.value(row, one), scale=one.scale) for one in MEASURES]


def _by_box(judge: Judge, first: Row, row: Row) -> Section:
    headings = ("long side of the box", "people", *(one.heading for one in MEASURES[:4]))

    def both(which: NDArray[np.bool_]) -> list[str]:
        pairs = ((judge.value(one, m, which)[0] * m.scale for one in (first, row)) for m in MEASURES[:4])
        return [" → ".join(map(_number, pair)) for pair in pairs]

    cells = [(name, str(int(which.sum())), *both(which)) for name, which in judge.boxes()]
    return Section(f"By size in the image: as first found → {row.label}", headings, cells)


def _crops(row: Row) -> int:
    return row.runs[0].config.num_crops


def _time(row: Row) -> str:
    return _number(float(np.mean([run.ms_per_person for run in row.runs]))) if row.runs else ""


def _number(value: float) -> str:
    return "-" if not np.isfinite(value) else f"{value:.1f}"


def _percent(part: float) -> str:
    return "-" if not np.isfinite(part) else f"{100 * part:.0f} %"


def _with_spread(value: float, spread: float, *, scale: float) -> str:
    return _number(scale * value) + (f" ± {scale * spread:.1f}" if np.isfinite(spread) else "")


def _difference(value: float, low: float, high: float, *, scale: float) -> str:
    if not np.isfinite(value):
        return "-"
    return f"{scale * value:+.1f} ({scale * low:+.1f} to {scale * high:+.1f})"
