"""`multihmr benchmark`: the estimator's time per stage on this machine, by setting and by number of people."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial

import cv2
import numpy as np

from ros2_multihmr.assets import asset
from ros2_multihmr.estimator_config import EstimatorConfig
from ros2_multihmr.hardware import hardware
from ros2_multihmr.measuring.beside import COVERS
from ros2_multihmr.measuring.beside import HEADINGS as BESIDE
from ros2_multihmr.measuring.estimating import Case, Measured, case_headings, measure_estimators
from ros2_multihmr.measuring.limits import HEADINGS as LIMITS
from ros2_multihmr.measuring.limits import machine_text, plain_settings
from ros2_multihmr.measuring.options import Options
from ros2_multihmr.report import Section, open_report, tell
from ros2_multihmr.sources import read_image
from ros2_multihmr.verbs import startup

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
    console = open_report(options.out)
    image = read_image(options.image or asset("samples/basketball.jpg"))
    image = np.asarray(cv2.resize(image, (options.width, options.height), interpolation=cv2.INTER_AREA), np.uint8)
    memory = partial(_memory_mb, width=options.width, height=options.height) if options.memory else None
    measured = measure_estimators(options, image, console, memory)
    tell(
        console, options.out, "estimator", _sections(measured, options), hardware(measured.device),
        settings={**asdict(options), "network": asdict(measured.network)},
        cases=[_case_values(case) for case in measured.cases],
        machine=asdict(measured.machine) if measured.machine else None,
        limits=[limit.values() for limit in measured.limits],
        beside=[asdict(one) for one in measured.beside],
        notes=measured.notes,
    )  # fmt: skip
    return 0


def _memory_mb(config: EstimatorConfig, width: int, height: int) -> tuple[float, float]:
    """What a fresh process keeps after its first image, and the most in passing beyond that."""
    started = startup.Options(**plain_settings(config), repeats=1, width=width, height=height)
    cost = startup.stage_costs([startup.measure(started)])[-1]
    return cost.kept_mb, cost.passing_mb


def _sections(measured: Measured, options: Options) -> list[Section]:
    network = measured.network
    runs = f"{options.repeats} runs" + (f" of {options.batch} images" if options.batch > 1 else "")
    title = (
        f"{network.weights} ({network.image_size} px) on {measured.device}: "
        f"{options.width}x{options.height} images, {runs}"
    )
    headings = case_headings(measured.cases)
    sections = [Section(title, headings, [case.cells(headings) for case in measured.cases], measured.notes)]
    if measured.limits and measured.machine:
        text = [machine_text(measured.machine), _LIMIT_NOTE]
        sections.append(Section("The network and the hardware", LIMITS, [one.cells() for one in measured.limits], text))
    if measured.beside:
        sections.append(Section("Beside the official code", BESIDE, [one.cells() for one in measured.beside], [COVERS]))
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


def times_section(title: str, times: Sequence[StageTime], notes: Sequence[str] = ()) -> Section:
    """Returns the stages as a table, and sentences under it."""
    return Section(title, HEADINGS, [_cells(time) for time in times], notes)


def _case_values(case: Case) -> dict[str, object]:
    stages = [asdict(time) for time in stage_times(case.runs)]
    return {"variant": case.variant, "people": case.people, **asdict(case.latency), "stages": stages}


def _cells(time: StageTime) -> tuple[str, ...]:
    return time.stage, f"{time.median_ms:.2f}", f"{time.p95_ms:.2f}", f"{100 * time.share:.0f} %"
