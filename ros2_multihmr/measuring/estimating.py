"""Measures estimators: with several settings, several numbers of people, against hardware and official code."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from ros2_multihmr.backends.onnxruntime_backend import ONNX_SUFFIX
from ros2_multihmr.camera import Camera
from ros2_multihmr.estimator import Estimator
from ros2_multihmr.estimator_config import EstimatorConfig
from ros2_multihmr.measuring.beside import Comparison, beside_official
from ros2_multihmr.measuring.crowd import with_people
from ros2_multihmr.measuring.limits import NetworkLimit, network_limit, precision_of
from ros2_multihmr.measuring.options import Options
from ros2_multihmr.measuring.roofline import Machine, measure_machine
from ros2_multihmr.measuring.split import backbone_and_head
from ros2_multihmr.measuring.turns import Latency, Stages, take_turns
from ros2_multihmr.measuring.variants import Variant, open_variants
from ros2_multihmr.model.config import MultiHMRConfig
from ros2_multihmr.stopwatch import Stopwatch

FOV_DEG = 60.0
_FIRST_HEADINGS = ("what runs it", "people")
_LAST_HEADINGS = ("total [ms]", "95 % [ms]", "99 % [ms]", "images/s")
_SPLIT_RUNS = 10
_UNIT = " [ms]"


@dataclass(frozen=True)
class Case:
    """One variant with one number of people.

    Attributes:
        variant: What runs the network.
        people: How many were found.
        runs: Seconds per stage of every run.
        latency: Of whole runs.
    """

    variant: str
    people: int
    runs: list[Stages]
    latency: Latency

    def cells(self, headings: Sequence[str]) -> tuple[str, ...]:
        """Returns the row for `case_headings`."""
        stages = [heading.removesuffix(_UNIT) for heading in headings[len(_FIRST_HEADINGS) : -len(_LAST_HEADINGS)]]
        medians = [1e3 * float(np.median([run[stage] for run in self.runs])) for stage in stages]
        latency = self.latency
        times = [*medians, latency.median_ms, latency.p95_ms, latency.p99_ms]
        return self.variant, str(self.people), *(f"{ms:.2f}" for ms in times), f"{latency.per_second:.1f}"


def case_headings(cases: Sequence[Case]) -> tuple[str, ...]:
    """Returns the table's headings: medians of the stages, then the total's percentiles."""
    return *_FIRST_HEADINGS, *(stage + _UNIT for stage in cases[0].runs[0]), *_LAST_HEADINGS


@dataclass(frozen=True)
class Measured:
    """Everything that was measured.

    Attributes:
        device: The network's.
        network: The first variant's.
        cases: Stage by stage.
        machine: The hardware's rates; None if not asked for.
        limits: The variants' networks against them.
        beside: The networks beside the official one, by number of people.
        notes: What could not be measured, and why.
    """

    device: str
    network: MultiHMRConfig
    cases: list[Case]
    machine: Machine | None
    limits: list[NetworkLimit]
    beside: list[Comparison]
    notes: list[str]


def measure_estimators(
    options: Options,
    image: NDArray[np.uint8],
    console: Console,
    memory_mb: Callable[[EstimatorConfig], tuple[float, float]] | None = None,
) -> Measured:
    """Measures all that is asked for.

    Args:
        options: What is asked for.
        image: (H, W, 3) uint8 RGB.
        console: Shows the progress.
        memory_mb: Takes the memory that settings need, see `NetworkLimit`; None to leave it out.

    Raises:
        ValueError: Settings that cannot be, or nothing that could be measured.
    """
    camera, images = Camera.from_fov(image.shape[1], image.shape[0], FOV_DEG), [image] * options.batch
    with console.status("loading the networks"):
        variants = open_variants(options, options.variants, max(options.counts, default=0), images, camera)
    crowds, notes = _crowds(variants, options.counts)
    cases = _cases(crowds, images, camera, options, console)
    device = variants[0].estimator.backend.device
    machine, limits = None, []
    if options.limits:
        with console.status("the machine's rates, and the networks taken apart"):
            machine = measure_machine(device, sorted({precision_of(one.estimator.config) for one in variants}))
            parts = [_parts(one) for one in variants]  # all before the pauses that memory takes: cores fall asleep
            memory = [memory_mb(one.estimator.config) if memory_mb else None for one in variants]
            limits = [_limit(one, machine, cases, *more) for one, more in zip(variants, zip(parts, memory))]
    beside = []
    if options.peer:
        watched = _progress(console, "beside the official code")
        beside = beside_official(options, variants, crowds, image, camera, watched)
    return Measured(str(device), variants[0].estimator.backend.config, cases, machine, limits, beside, notes)


def _cases(
    crowds: Mapping[tuple[str, int], Estimator],
    images: Sequence[NDArray[np.uint8]],
    camera: Camera,
    options: Options,
    console: Console,
) -> list[Case]:
    runs = {key: partial(_run, one, images, camera, options.vertices) for key, one in crowds.items()}
    found = {key: len(one.estimate(images[0], camera)) for key, one in crowds.items()}
    measured = take_turns(runs, options.repeats, watched=_progress(console, "stages"))
    totals = {key: [math.fsum(call.values()) for call in calls] for key, calls in measured.items()}
    return [
        Case(name, found[name, count], calls, Latency.of(totals[name, count], len(images)))
        for (name, count), calls in measured.items()
    ]


def _crowds(variants: Sequence[Variant], counts: Sequence[int]) -> tuple[dict[tuple[str, int], Estimator], list[str]]:
    """Estimators by variant and number of people, 0 for who is in the picture; and why some are missing."""
    if not counts:
        return {(one.name, 0): one.estimator for one in variants}, []
    crowds, notes = {}, []
    for one in variants:
        for count in counts:
            try:
                crowds[one.name, count] = with_people(one.estimator, count, one.call.raw.scores_map)
            except ValueError as error:
                notes.append(f"Not measured: {one.name}, {error}.")
    if not crowds:
        raise ValueError(" ".join(notes))
    return crowds, notes


def _run(estimator: Estimator, images: Sequence[NDArray[np.uint8]], camera: Camera, vertices: bool) -> Stages:
    watch = Stopwatch()
    estimator.estimate_batch(images, [camera] * len(images), vertices=vertices, stopwatch=watch)
    return dict(watch.seconds)


def _parts(one: Variant) -> list[Stages]:
    config, device, call = one.estimator.config, one.estimator.backend.device, one.call
    if config.weights.endswith(ONNX_SUFFIX):
        return []
    return backbone_and_head(config, device, call.pixels, call.k, config.detection_threshold, _SPLIT_RUNS)


def _limit(
    one: Variant, machine: Machine, cases: Sequence[Case], parts: list[Stages], memory_mb: tuple[float, float] | None
) -> NetworkLimit:
    config, shape = one.estimator.config, tuple(one.call.pixels.shape)
    times = [run["network"] for run in next(case for case in cases if case.variant == one.name).runs]
    network = one.estimator.backend.config
    return network_limit(one.name, config, network, shape, machine, times, parts, memory_mb, one.gpu_mb)


def _progress(console: Console, text: str) -> Callable[[Sequence[int]], Iterable[int]]:
    return lambda turns: track(turns, f"measuring {text}", console=console, transient=True)
