"""`multihmr benchmark`: the estimator's time per stage on this machine."""

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
from rich.progress import track
from rich.table import Table

from ros2_multihmr.assets import asset
from ros2_multihmr.camera import Camera
from ros2_multihmr.estimator import Estimator, create_estimator
from ros2_multihmr.estimator_config import EstimatorConfig
from ros2_multihmr.hardware import hardware
from ros2_multihmr.report import markdown_table
from ros2_multihmr.settings import setting
from ros2_multihmr.sources import read_image
from ros2_multihmr.stopwatch import Stopwatch

HEADINGS = ("stage", "median [ms]", "95 % [ms]", "share")
_WARM_UP = 5
_FOV_DEG = 60.0


@dataclass(frozen=True)
class Options(EstimatorConfig):
    """Measures the estimator's stages on one picture, again and again."""

    image: str = setting("", "Picture to use; empty: a sample photograph")
    width: int = setting(1280, "Image width [px]", low=1, high=10000)
    height: int = setting(720, "Image height [px]", low=1, high=10000)
    repeats: int = setting(50, "Measured runs, after a few to warm up", low=1, high=100000)
    vertices: bool = setting(False, "Compute the full meshes, too")
    out: str = setting("", "Folder for estimator.json and estimator.md; empty: only show")


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
    console = Console()
    with console.status("loading the network"):
        estimator = create_estimator(options)
    image = read_image(options.image or asset("samples/basketball.jpg"))
    image = np.asarray(cv2.resize(image, (options.width, options.height), interpolation=cv2.INTER_AREA), np.uint8)
    runs, people = measure(estimator, image, options, console)
    times = stage_times(runs)
    network = estimator.backend.config
    title = (
        f"{network.weights} ({network.image_size} px) on {estimator.backend.device}: {people} people in a "
        f"{options.width}x{options.height} image, {options.repeats} runs"
    )
    show_times(console, title, times)
    if options.out:
        settings = {**asdict(options), "people": people, "network": asdict(network)}
        write_times(Path(options.out), "estimator", title, times, settings, hardware(str(estimator.backend.device)))
        console.print(f"written: {options.out}/estimator.json and estimator.md")
    return 0


def measure(
    estimator: Estimator, image: np.ndarray, options: Options, console: Console
) -> tuple[list[dict[str, float]], int]:
    """Returns seconds per stage for every run, and the number of people."""
    camera, runs, people = Camera.from_fov(options.width, options.height, _FOV_DEG), [], 0
    for _ in track(range(_WARM_UP + options.repeats), "measuring", console=console, transient=True):
        watch = Stopwatch()
        people = len(estimator.estimate(image, camera, vertices=options.vertices, stopwatch=watch))
        runs.append(dict(watch.seconds))
    return runs[_WARM_UP:], people


def stage_times(runs: Sequence[Mapping[str, float]]) -> list[StageTime]:
    """Returns the stages' statistics in their order, and their sum as the last one, named total."""
    stages = {stage: [1e3 * run[stage] for run in runs] for stage in runs[0]}
    total = [1e3 * math.fsum(run.values()) for run in runs]
    whole = float(np.median(total))
    return [
        StageTime(name, float(np.median(values)), float(np.percentile(values, 95)), float(np.median(values)) / whole)
        for name, values in {**stages, "total": total}.items()
    ]


def show_times(console: Console, title: str, times: Sequence[StageTime]) -> None:
    """Prints a table."""
    table = Table(*(escape(heading) for heading in HEADINGS), title=escape(title))
    for time in times:
        table.add_row(*_cells(time))
    console.print(table)


def write_times(
    folder: Path,
    name: str,
    title: str,
    times: Sequence[StageTime],
    settings: Mapping[str, object],
    machine: Mapping[str, str],
) -> None:
    """Writes `name`.json and `name`.md.

    Raises:
        OSError: They cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    result = {"title": title, "hardware": machine, "settings": settings, "stages": [asdict(time) for time in times]}
    (folder / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    page = markdown_table(title, HEADINGS, [_cells(time) for time in times], machine)
    (folder / f"{name}.md").write_text(page, encoding="utf-8")


def _cells(time: StageTime) -> tuple[str, ...]:
    return time.stage, f"{time.median_ms:.2f}", f"{time.p95_ms:.2f}", f"{100 * time.share:.0f} %"
