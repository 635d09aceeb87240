"""`multihmr benchmark`: the estimator's time per stage on this machine, by setting and by number of people."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ros2_multihmr import startup
from ros2_multihmr.assets import asset
from ros2_multihmr.estimator_config import EstimatorConfig
from ros2_multihmr.folders import check_folder
from ros2_multihmr.hardware import hardware
from ros2_multihmr.measuring.beside import COVERS
from ros2_multihmr.measuring.beside import HEADINGS as BESIDE
from ros2_multihmr.measuring.estimating import Case, Measured, case_headings, measure_estimators
from ros2_multihmr.measuring.limits import HEADINGS as LIMITS
from ros2_multihmr.measuring.limits import machine_text, plain_settings
from ros2_multihmr.measuring.options import Options
from ros2_multihmr.report import markdown_table, measured_on, table_lines
from ros2_multihmr.sources import read_image

HEADINGS = ("stage", "median [ms]", "95 % [ms]", "share")


@dataclass(frozen=True)
class StageTime:
    """How long one stage took.

    Attributes:
        stage: Its name.
        median_ms, p95_ms: Over the runs [ms].
        share: Its median's part of the total's, 0 to 1.
    """

    stage: str
    median_ms: float
    p95_ms: float
    share: float


def main(options: Options) -> int:
    """Runs the verb."""
    if options.out:
        check_folder(Path(options.out), "--out")
    console = Console()
    image = read_image(options.image or asset("samples/basketball.jpg"))
    image = np.asarray(cv2.resize(image, (options.width, options.height), interpolation=cv2.INTER_AREA), np.uint8)
    measured = measure_estimators(options, image, console, _memory_mb if options.memory else None)
    sections = _sections(measured, options)
    for section in sections:
        _show(console, section)
    if options.out:
        _write(Path(options.out), measured, sections, options)
        console.print(f"written: {escape(options.out)}/estimator.json and estimator.md")
    return 0


def _memory_mb(config: EstimatorConfig) -> tuple[float, float]:
    """What a fresh process keeps after its first image, and the most in passing beyond that."""
    cost = startup.stage_costs([startup.measure(startup.Options(**plain_settings(config), repeats=1))])[-1]
    return cost.kept_mb, cost.passing_mb


@dataclass(frozen=True)
class _Section:
    title: str
    headings: Sequence[str]
    rows: list[tuple[str, ...]]
    notes: list[str]


def _sections(measured: Measured, options: Options) -> list[_Section]:
    network = measured.network
    runs = f"{options.repeats} runs" + (f" of {options.batch} images" if options.batch > 1 else "")
    title = (
        f"{network.weights} ({network.image_size} px) on {measured.device}: "
        f"{options.width}x{options.height} images, {runs}"
    )
    headings = case_headings(measured.cases)
    sections = [_Section(title, headings, [case.cells(headings) for case in measured.cases], measured.notes)]
    if measured.limits and measured.machine:
        text = [machine_text(measured.machine), _LIMIT_NOTE]
        sections.append(
            _Section("The network and the hardware", LIMITS, [one.cells() for one in measured.limits], text)
        )
    if measured.beside:
        sections.append(
            _Section("Beside the official code", BESIDE, [one.cells() for one in measured.beside], [COVERS])
        )
    return sections


_LIMIT_NOTE = (
    "Least: the operations of all matrix products, convolutions and attention at that rate, or weights and pixels read "
    "once, whichever takes longer; an export counts as float32. Plain: the same network in eager PyTorch, taken apart; "
    "the head is all that follows the backbone. Memory: of a process that loads the network and sees one image."
)


def stage_times(runs: Sequence[Mapping[str, float]]) -> list[StageTime]:
    """Returns the stages' statistics in their order, and their sum as the last one, named total."""
    stages = {stage: [1e3 * run[stage] for run in runs] for stage in runs[0]}
    total = [1e3 * math.fsum(run.values()) for run in runs]
    whole = float(np.median(total))
    return [
        StageTime(name, float(np.median(values)), float(np.percentile(values, 95)), float(np.median(values)) / whole)
        for name, values in {**stages, "total": total}.items()
    ]


def show_times(console: Console, title: str, times: Sequence[StageTime], notes: Sequence[str] = ()) -> None:
    """Prints a table, and sentences under it."""
    _show(console, _Section(title, HEADINGS, [_cells(time) for time in times], list(notes)))


def write_times(
    folder: Path,
    name: str,
    title: str,
    times: Sequence[StageTime],
    settings: Mapping[str, object],
    machine: Mapping[str, str],
    notes: Sequence[str] = (),
    **more: object,
) -> None:
    """Writes `name`.json, with `more` in it, and `name`.md, with sentences at its end.

    Raises:
        OSError: They cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    result: dict[str, object] = {"title": title, "hardware": machine, "settings": settings}
    result |= {"stages": [asdict(time) for time in times]}
    result |= more
    (folder / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    page = markdown_table(title, HEADINGS, [_cells(time) for time in times], machine)
    text = "".join(f"\n{note}\n" for note in notes)
    (folder / f"{name}.md").write_text(page + text, encoding="utf-8")


def _show(console: Console, section: _Section) -> None:
    table = Table(*(escape(heading) for heading in section.headings), title=escape(section.title))
    for row in section.rows:
        table.add_row(*(escape(cell) for cell in row))
    console.print(table)
    for note in section.notes:
        console.print(escape(note))


def _write(folder: Path, measured: Measured, sections: Sequence[_Section], options: Options) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    machine = hardware(measured.device)
    result = {
        "title": sections[0].title,
        "hardware": machine,
        "settings": {**asdict(options), "network": asdict(measured.network)},
        "cases": [_case_values(case) for case in measured.cases],
        "machine": asdict(measured.machine) if measured.machine else None,
        "limits": [limit.values() for limit in measured.limits],
        "beside": [asdict(one) for one in measured.beside],
        "notes": measured.notes,
    }
    (folder / "estimator.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    lines = []
    for depth, section in enumerate(sections):
        head = section.title[:1].upper() + section.title[1:]
        lines += ["## " * bool(depth) + "# " * (not depth) + head, "", *table_lines(section.headings, section.rows), ""]
        lines += [line for note in section.notes for line in (note, "")]
    (folder / "estimator.md").write_text("\n".join([*lines, measured_on(machine), ""]), encoding="utf-8")


def _case_values(case: Case) -> dict[str, object]:
    stages = [asdict(time) for time in stage_times(case.runs)]
    return {"variant": case.variant, "people": case.people, **asdict(case.latency), "stages": stages}


def _cells(time: StageTime) -> tuple[str, ...]:
    return time.stage, f"{time.median_ms:.2f}", f"{time.p95_ms:.2f}", f"{100 * time.share:.0f} %"
