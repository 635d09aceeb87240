"""`multihmr evaluate calibrate-covariance`: measures how wrong a network's places are, for its covariance.

Two numbers, see `coverage.fit`, so that the 90 % ellipsoid of `pose.covariance` holds 90 % of the true places. They are
measured on clips with other seeds than those of `multihmr evaluate --data clips`, few images of many people each; or on
a folder of samples. Detection counts: calibrate scores first (`multihmr evaluate calibrate`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape
from rich.progress import track

from ros2_multihmr.assets import asset
from ros2_multihmr.body import create_body
from ros2_multihmr.estimator import Estimator, create_estimator
from ros2_multihmr.estimator_config import EstimatorConfig
from ros2_multihmr.evaluation.benchmark import DEFAULT_CACHE, Benchmark, open_folder
from ros2_multihmr.evaluation.clip_truth import who_of
from ros2_multihmr.evaluation.coverage import PlaceErrors, fit, inside
from ros2_multihmr.evaluation.geometry import BODY, places
from ros2_multihmr.evaluation.rendered_clips import BODY as CLIPS_BODY
from ros2_multihmr.evaluation.rendered_clips import ClipSet, samples_of
from ros2_multihmr.files.folders import file_beside
from ros2_multihmr.model.checkpoint import OWN_SUFFIX, rewrite_config
from ros2_multihmr.model.embedded import EMBEDDED
from ros2_multihmr.preprocess import network_view
from ros2_multihmr.report import open_console
from ros2_multihmr.samples.sample import Sample
from ros2_multihmr.settings import setting
from ros2_multihmr.synthesis.clips import ClipConfig
from ros2_multihmr.verbs.evaluate_clips import render

SEEDS = ClipSet("calibration", 1000, seeds=40, config=ClipConfig(duration_s=7.0, rate_hz=1.0))
_HIPS = [BODY.index("left_hip"), BODY.index("right_hip")]


@dataclass(frozen=True)
class Options(EstimatorConfig):
    """Measures how wrong a network's places are, so that the covariance says so."""

    data: str = setting(
        "", "Folder of samples with truth (multihmr synthesize --split val); empty: clips made for this"
    )
    out: str = setting("", f"File to write, ending in {OWN_SUFFIX}")
    cache: str = setting("", f"Folder for the clips; empty: {DEFAULT_CACHE}")
    workers: int = setting(0, "Processes that make the clips; 0: one per core", low=0, high=256)
    limit: int = setting(0, "Only the first so many clips, or images of the folder; 0: all", low=0)


def main(options: Options) -> int:
    """Runs the verb."""
    source, console = Path(options.weights or asset(EMBEDDED)).expanduser(), open_console()
    if source.suffix != OWN_SUFFIX:
        raise ValueError(
            f"--weights {options.weights}: expected a {OWN_SUFFIX} file; `multihmr convert` makes one of official ones"
        )
    if not options.out:
        raise ValueError(f"--out: expected the {OWN_SUFFIX} file to write, which is the same weights with two numbers")
    out = file_beside(source, options.out, OWN_SUFFIX)
    with console.status("loading the network"):
        estimator = create_estimator(options)
    benchmark = _benchmark(options, console)
    errors = place_errors(benchmark, estimator, console)
    sigmas = fit(errors)
    rewrite_config(source, out, position_sigma_px=round(sigmas.position_px, 3), depth_sigma=round(sigmas.depth, 4))
    size, before = estimator.backend.config.image_size, estimator.backend.config.sigmas
    told = (
        f"{sigmas.position_px:.2f} px of the {size} px input across the ray, {100 * sigmas.depth:.1f} % of the distance"
    )
    console.print(
        f"{len(errors.along)} people found in {benchmark.title}: {told}; {100 * np.mean(inside(errors, sigmas)):.1f} % "
        "within the 90 % ellipsoid, on these very images",
        highlight=False,
    )  # fmt: skip
    if all(before):
        console.print(f"with the numbers before: {100 * np.mean(inside(errors, before)):.1f} %", highlight=False)
    console.print(
        f"{escape(str(out))}: written; `multihmr evaluate --data clips --weights` it for others", soft_wrap=True
    )
    return 0


def place_errors(benchmark: Benchmark, estimator: Estimator, console: Console) -> PlaceErrors:
    """Finds the people of all images, and compares the places of those who are there."""
    hips = np.array(places(create_body(benchmark.body).info))[_HIPS]
    shown = track(benchmark.samples(), "finding people", len(benchmark), console=console, transient=True)
    return PlaceErrors.join([_errors_in(sample, hips, estimator) for sample in shown])


def _errors_in(sample: Sample, hips: NDArray[np.intp], estimator: Estimator) -> PlaceErrors:
    humans = estimator.estimate(sample.image, sample.camera)
    who = who_of(humans, sample.labels, sample.camera)
    rows = np.flatnonzero(who >= 0)
    true = sample.labels.keypoints[who[rows]][:, hips].mean(axis=1)
    view = network_view(sample.camera, estimator.backend.config.image_size)
    return PlaceErrors.of(humans.origin[rows], true, sample.camera.fx * view.scale[0])


def _benchmark(options: Options, console: Console) -> Benchmark:
    if options.data:
        return open_folder(Path(options.data), options.limit)
    cache = Path(options.cache or DEFAULT_CACHE).expanduser()
    clips = render(SEEDS, cache, options.workers, options.limit, console)
    images = sum(map(len, clips))
    return Benchmark("calibration clips", SEEDS.sha256, images, images, CLIPS_BODY, lambda: samples_of(clips))
