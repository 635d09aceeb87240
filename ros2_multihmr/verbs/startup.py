"""`multihmr benchmark startup`: time and memory until the first image is done, in processes that start from nothing."""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.progress import track

from ros2_multihmr.assets import asset
from ros2_multihmr.estimator_config import EstimatorConfig
from ros2_multihmr.hardware import hardware
from ros2_multihmr.report import Section, open_report, tell
from ros2_multihmr.settings import setting
from ros2_multihmr.stopwatch import Stopwatch

_MODULE = "ros2_multihmr.verbs.startup"
HEADINGS = ("stage", "time [s]", "memory kept [MB]", "memory in passing [MB]")
LIBRARIES, FIRST_IMAGE, TOTAL = "libraries", "first image", "total"
_CLEAR = Path("/proc/self/clear_refs")
_FORGET_PEAK = "5"
_KINDS = ("seconds", "kept_mb", "passing_mb")
_FOV_DEG = 60.0


@dataclass(frozen=True)
class Options(EstimatorConfig):
    """Measures how long weights and body take to load, and the first image, and how much memory that needs."""

    repeats: int = setting(3, "Processes, one after the other; the median is shown", low=1, high=1000)
    width: int = setting(0, "Image width [px]; 0: the photograph's own", low=0, high=10000)
    height: int = setting(0, "Image height [px]; 0: the photograph's own", low=0, high=10000)
    out: str = setting("", "Folder for startup.json and startup.md; empty: only show")


@dataclass(frozen=True)
class StageCost:
    """What one stage of the start took; medians over the processes.

    Attributes:
        stage: Its name.
        seconds: Time [s].
        kept_mb: Memory that it left in use [MB], of the host alone.
        passing_mb: Most that was in use in between, beyond what was in use at its end [MB].
    """

    stage: str
    seconds: float
    kept_mb: float
    passing_mb: float


class Meter(Stopwatch):
    """A stopwatch that also takes the process's memory; Linux only.

    Attributes:
        kept_mb, passing_mb: Stage name to memory, see `StageCost`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.kept_mb: dict[str, float] = {}
        self.passing_mb: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Adds time and memory of the `with` block to the stage `name`."""
        before = memory_mb("VmRSS")
        _CLEAR.write_text(_FORGET_PEAK, encoding="ascii")
        with super().stage(name):
            yield
        self.add(name, before)

    def add(self, name: str, before_mb: float) -> None:
        """Adds the memory in use now, and its peak, to a stage that began with `before_mb` in use."""
        after = memory_mb("VmRSS")
        self.kept_mb[name] = after - before_mb
        self.passing_mb[name] = max(0.0, memory_mb("VmHWM") - max(after, before_mb))


def main(options: Options) -> int:
    """Runs the verb.

    Raises:
        ValueError: Weights, body or device cannot be used, or the system does not tell a process's memory.
    """
    if not _CLEAR.exists():
        raise ValueError("start-up is measured on Linux alone: no other system tells a process's peak memory so")
    console = open_report(options.out)
    runs = [measure(options) for _ in track(range(options.repeats), "measuring", console=console, transient=True)]
    costs, title = stage_costs(runs), _title(options, runs[0])
    section = Section(title, HEADINGS, [_cells(cost) for cost in costs])
    stages = [asdict(cost) for cost in costs]
    machine = hardware(str(runs[0]["device"]))
    tell(console, options.out, "startup", [section], machine, settings=asdict(options), stages=stages)
    return 0


def measure(options: Options) -> dict[str, Any]:
    """Starts one process; returns what `run_child` writes.

    Raises:
        ValueError: The process failed; says why.
    """
    config = {name: getattr(options, name) for name in EstimatorConfig.__dataclass_fields__}
    size = (str(options.width), str(options.height))
    command = [sys.executable, "-m", _MODULE, str(time.monotonic()), json.dumps(config), *size]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(
            done.stderr.strip().rpartition("\n")[2] or f"the measured process ended with {done.returncode}"
        )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def run_child(start: float, config: EstimatorConfig, width: int = 0, height: int = 0) -> dict[str, Any]:
    """Loads everything in this process and finds the people of a photograph; returns what each stage took.

    Args:
        start: When the process was started, on the monotonic clock of the system [s].
        config: Settings of the estimator.
        width: Width of the image [px]; 0: the photograph's own.
        height: Its height, likewise [px].
    """
    import cv2  # here: their time is part of what is measured
    import numpy as np

    from ros2_multihmr.camera import Camera
    from ros2_multihmr.estimator import create_estimator
    from ros2_multihmr.sources import read_image

    meter = Meter()
    meter.seconds[LIBRARIES] = time.monotonic() - start
    meter.add(LIBRARIES, 0.0)
    image = read_image(asset("samples/basketball.jpg"))
    if width or height:
        image = np.asarray(cv2.resize(image, (width or image.shape[1], height or image.shape[0])), np.uint8)
    camera = Camera.from_fov(image.shape[1], image.shape[0], _FOV_DEG)
    estimator = create_estimator(config, meter)
    with meter.stage(FIRST_IMAGE):
        estimator.estimate(image, camera)
    network = estimator.backend.config
    measured = {"seconds": meter.seconds, "kept_mb": meter.kept_mb, "passing_mb": meter.passing_mb}
    return measured | {"weights": network.weights, "px": network.image_size, "device": str(estimator.backend.device)}


def stage_costs(runs: Sequence[Mapping[str, Any]]) -> list[StageCost]:
    """Returns each stage's medians in their order, and the whole start as the last."""
    names = list(runs[0]["seconds"])
    costs = [
        StageCost(name, *(statistics.median(run[kind][name] for run in runs) for kind in _KINDS)) for name in names
    ]
    seconds, kept = (statistics.median(sum(run[kind].values()) for run in runs) for kind in _KINDS[:2])
    return [*costs, StageCost(TOTAL, seconds, kept, max(cost.passing_mb for cost in costs))]


def memory_mb(kind: str, process: int | str = "self") -> float:
    """Returns a process's memory in use, "VmRSS", or its peak, "VmHWM" [MB]; this one's unless its id is given."""
    status = Path(f"/proc/{process}/status")
    match = re.search(rf"{kind}:\s+(\d+) kB", status.read_text(encoding="ascii", errors="replace"))
    if match is None:
        raise ValueError(f"{status} does not tell {kind}: memory is measured on Linux alone")
    return int(match[1]) * 1024 / 1e6


def _title(options: Options, run: Mapping[str, Any]) -> str:
    size = f", a file of {Path(options.weights).expanduser().stat().st_size / 1e6:.1f} MB" if options.weights else ""
    processes = "1 process" if options.repeats == 1 else f"median of {options.repeats} processes"
    return f"Start-up with {run['weights']} ({run['px']} px{size}) on {run['device']}, {processes}"


def _cells(cost: StageCost) -> tuple[str, ...]:
    return cost.stage, f"{cost.seconds:.2f}", f"{cost.kept_mb:.0f}", f"{cost.passing_mb:.0f}"


def _main(args: Sequence[str]) -> int:
    try:
        result = run_child(float(args[0]), EstimatorConfig(**json.loads(args[1])), *map(int, args[2:]))
    except (ValueError, OSError, MemoryError) as error:
        sys.stderr.write(" ".join(str(error).split("\n")) + "\n")
        return 1
    sys.stdout.write(json.dumps(result) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
