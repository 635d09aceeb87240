"""`multihmr benchmark soak`: a long run at camera rate. Does the node's memory grow, or the age of what it says?"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.stats import theilslopes

from ros2_multihmr.assets import asset
from ros2_multihmr.backends.backend import choose_device
from ros2_multihmr.estimator_config import EstimatorConfig
from ros2_multihmr.hardware import hardware
from ros2_multihmr.measuring.turns import Latency
from ros2_multihmr.report import Section, open_report, tell
from ros2_multihmr.ros.processes import Process, ProcessGroup, local_environment, random_domain, ros_arguments
from ros2_multihmr.ros.run import CAMERA_MODULE, NODE_MODULE, node_arguments, stop_signals
from ros2_multihmr.ros.sink import MODULE as SINK_MODULE
from ros2_multihmr.ros.sink import Arrival, arrivals
from ros2_multihmr.settings import setting
from ros2_multihmr.sources import read_image
from ros2_multihmr.verbs.startup import memory_mb

_HEADINGS = ("what", "value")
_READY_S, _SAMPLE_S, _FOV_DEG = 180.0, 1.0, 60.0
_WARM_UP = 0.1  # of the run: memory that is taken once and kept is no growth
_WINDOWS = 60
_HOW = (
    "Camera, node and subscriber are processes of their own. Memory is what the node's process has in use, taken every "
    f"second; slopes are Theil's and Sen's, the first {_WARM_UP:.0%} of the run left out; the latency's is of "
    "its medians over a sixtieth of the run."
)


@dataclass(frozen=True)
class Options(EstimatorConfig):
    """Runs camera, node and a subscriber as processes of their own, and watches memory and latency for a long time."""

    duration_s: float = setting(600.0, "Length of the run once people come [s]", low=1.0, high=1e6)
    rate_hz: float = setting(20.0, "Images per second [Hz]", low=0.1, high=1000.0)
    width: int = setting(1280, "Image width [px]", low=1, high=10000)
    height: int = setting(720, "Image height [px]", low=1, high=10000)
    most_mb_per_min: float = setting(1.0, "Growth of memory that is too much [MB/min]", low=0.0)
    most_growth: float = setting(0.1, "Growth of latency over the run that is too much, as a fraction of it", low=0.0)
    out: str = setting("", "Folder for soak.json and soak.md; empty: only show")


@dataclass(frozen=True)
class Soak:
    """What became of a long run; its beginning is left out of memory and latency.

    Attributes:
        duration_s: Its length [s].
        sent: Images that the camera was to send in it.
        arrived: HumanArrays in the subscriber's process.
        age: From the image's stamp to there.
        age_ms_per_min: Slope of its median [ms/min], by Theil and Sen.
        growth: What that makes of the median latency over the whole run, as a fraction of it.
        memory_mb: The node's memory at the beginning and at the end [MB].
        mb_per_min: Its slope [MB/min], by Theil and Sen.
    """

    duration_s: float
    sent: int
    arrived: int
    age: Latency
    age_ms_per_min: float
    growth: float
    memory_mb: tuple[float, float]
    mb_per_min: float

    def rows(self) -> list[tuple[str, str]]:
        """Returns the table's rows."""
        age, rate_hz = self.age, self.arrived / self.duration_s
        return [
            ("people arrived for", f"{self.arrived} of about {self.sent} images, {rate_hz:.1f} Hz"),
            ("camera to subscriber, median", f"{age.median_ms:.1f} ms"),
            ("95 %, 99 %", f"{age.p95_ms:.1f} ms, {age.p99_ms:.1f} ms"),
            ("slope of the latency", f"{self.age_ms_per_min:+.3f} ms/min, {self.growth:+.1%} over the run"),
            ("node's memory, first and last", f"{self.memory_mb[0]:.1f} MB, {self.memory_mb[1]:.1f} MB"),
            ("slope of the memory", f"{self.mb_per_min:+.3f} MB/min"),
        ]

    def section(self, options: Options) -> Section:
        """Returns the table, and the verdict."""
        weights = Path(options.weights).name or "the embedded weights"
        title = (
            f"a run of {self.duration_s:.0f} s with {weights}, "
            f"{options.width}x{options.height} images at {options.rate_hz:g} Hz"
        )
        limits = f"{options.most_mb_per_min:g} MB/min, and {options.most_growth:.0%} of the latency over the run"
        verdict = self.problems(options) or [f"Nothing grows by more than is allowed: {limits}."]
        return Section(title, _HEADINGS, self.rows(), [_HOW, *verdict])

    def problems(self, options: Options) -> list[str]:
        """Returns what grew too much, a sentence each."""
        found = []
        if self.mb_per_min > options.most_mb_per_min:
            found.append(f"Memory grows by {self.mb_per_min:.2f} MB/min, allowed are {options.most_mb_per_min:g}.")
        if self.growth > options.most_growth:
            found.append(f"Latency grew by {self.growth:.1%}, allowed are {options.most_growth:.0%}.")
        return found


def main(options: Options) -> int:
    """Runs the verb; returns 0, or 1 if memory or latency grew too much.

    Raises:
        ValueError: A process failed, or no people came; says what it said last.
    """
    console = open_report(options.out)
    image = read_image(asset("samples/basketball.jpg"))
    image = np.asarray(cv2.resize(image, (options.width, options.height), interpolation=cv2.INTER_AREA), np.uint8)
    environment = local_environment(os.environ) | random_domain()
    with stop_signals() as stop, console.status(f"{options.duration_s:g} s at {options.rate_hz:g} Hz"):
        soak = run_graph(options, image, environment, stop)
    machine = hardware(str(choose_device(options.device)))
    tell(console, options.out, "soak", [soak.section(options)], machine, settings=asdict(options), **asdict(soak))
    return 1 if soak.problems(options) else 0


def run_graph(options: Options, image: NDArray[np.uint8], environment: dict[str, str], stop: threading.Event) -> Soak:
    """Runs camera, node and subscriber; `stop` ends the run early.

    Raises:
        ValueError: A process failed, or no people came.
    """
    told: list[str] = []
    heard = threading.Event()

    def on_line(name: str, line: str) -> None:
        if name == "sink" and line.startswith("[["):
            told.append(line)
            heard.set()

    with tempfile.TemporaryDirectory() as folder, ProcessGroup(on_line, environment) as group:
        Image.fromarray(image).save(Path(folder) / "image.png")
        node = group.start("node", NODE_MODULE, node_arguments(options))
        group.start("sink", SINK_MODULE, [])
        camera = {"source": folder, "rate_hz": options.rate_hz, "fov_deg": _FOV_DEG}
        group.start("camera", CAMERA_MODULE, ros_arguments(camera))
        _wait_for(heard, group, stop)
        begin_s = time.monotonic()
        memory = _watch(node, group, begin_s + options.duration_s, stop)
        end_s = time.monotonic()
    seen = [one for one in arrivals(told) if begin_s <= one.at_s <= end_s]
    return judge(seen, memory, (begin_s, end_s), options.rate_hz)


def judge(
    seen: Sequence[Arrival], memory: Sequence[tuple[float, float]], span_s: tuple[float, float], rate_hz: float
) -> Soak:
    """Makes slopes of what was watched.

    Args:
        seen: What arrived, in order.
        memory: Times [s] and memory [MB].
        span_s: When the run began and ended, on the clock of both [s].
        rate_hz: Of the camera.

    Raises:
        ValueError: Too little arrived for a slope.
    """
    begin_s, duration_s = span_s[0], span_s[1] - span_s[0]
    warm_s = begin_s + _WARM_UP * duration_s
    ages = np.array([(one.at_s, one.age_ms) for one in seen if one.at_s >= warm_s])
    kept = np.array([one for one in memory if one[0] >= warm_s])
    if len(ages) < 2 or len(kept) < 2:
        raise ValueError(f"only {len(seen)} images came through in {duration_s:.0f} s: too few to tell; run it longer")
    windows = _medians(ages, max(_SAMPLE_S, duration_s / _WINDOWS))
    age, age_slope, memory_slope = Latency.of(list(1e-3 * ages[:, 1])), _per_minute(windows), _per_minute(kept)
    growth = age_slope * duration_s / 60.0 / age.median_ms
    ends = float(kept[0, 1]), float(kept[-1, 1])
    return Soak(duration_s, round(duration_s * rate_hz), len(seen), age, age_slope, growth, ends, memory_slope)


def _medians(samples: NDArray[np.float64], window_s: float) -> NDArray[np.float64]:
    """Median time and value of every window that holds any of (N, 2) times [s] and values."""
    window = (samples[:, 0] - samples[0, 0]) // window_s
    return np.array([np.median(samples[window == index], axis=0) for index in np.unique(window)])


def _per_minute(samples: NDArray[np.float64]) -> float:
    return 60.0 * float(theilslopes(samples[:, 1], samples[:, 0]).slope) if len(samples) > 1 else 0.0


def _wait_for(heard: threading.Event, group: ProcessGroup, stop: threading.Event) -> None:
    deadline = time.monotonic() + _READY_S
    while not heard.wait(0.1):
        _check(group)
        if stop.is_set():
            raise KeyboardInterrupt
        if time.monotonic() > deadline:
            raise ValueError(f"no people came within {_READY_S:g} s")


def _watch(node: Process, group: ProcessGroup, end_s: float, stop: threading.Event) -> list[tuple[float, float]]:
    samples = []
    while (now_s := time.monotonic()) < end_s and not stop.wait(min(_SAMPLE_S, end_s - now_s)):
        _check(group)
        samples.append((time.monotonic(), memory_mb("VmRSS", node.pid)))
    return samples


def _check(group: ProcessGroup) -> None:
    if ended := group.ended():
        raise ValueError(f"{ended[0].fate()}: {' / '.join(list(ended[0].tail)[-3:])}")
