"""The tracker and the smoothing beside what they must beat, on walks with a noisy detector: a table.

python -m ros2_multihmr.evaluation.tracking_benchmark --seeds 2 --first 10 --out docs/benchmarks/tracking.md
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ros2_multihmr.body import create_body
from ros2_multihmr.body.body_model import BodyModel
from ros2_multihmr.camera import Camera
from ros2_multihmr.evaluation.noise import Noise, Poses, humans_of
from ros2_multihmr.evaluation.tracking_runs import AnyTracker, Clip, Figures, NearestNeighbour, run, spread
from ros2_multihmr.evaluation.walks import SCENES, make_walk
from ros2_multihmr.files.folders import check_file
from ros2_multihmr.hardware import hardware
from ros2_multihmr.report import measured_on, table_lines
from ros2_multihmr.rotations import rotvec_to_rotmat
from ros2_multihmr.tracking.smoothing import Smoother
from ros2_multihmr.tracking.tracker import Tracker
from ros2_multihmr.tracking.tracker_config import SmoothingConfig, TrackerConfig

_METHODS: dict[str, tuple[Callable[[], AnyTracker], bool]] = {
    "nearest neighbour, raw": (NearestNeighbour, False),
    "tracker, raw": (lambda: Tracker(TrackerConfig()), False),
    "tracker, smoothed": (lambda: Tracker(TrackerConfig()), True),
}
_FORMATS = ("{:.3f}",) * 3 + ("{:.1f}",) * 2 + ("{:.0f}",) * 2 + ("{:.1f}", "{:.2f}", "{:.0f}", "{:.0f}", "{:.2f}")


def compare(scenes: Sequence[str], seeds: Sequence[int], noise: Noise, body: BodyModel) -> dict[str, list[Figures]]:
    """Runs every method over every scene and seed.

    Args:
        scenes: Names of `walks.SCENES`.
        seeds: What walks and noise are drawn from.
        noise: How wrong the detector is.
        body: A body with anny's rig and phenotypes.

    Returns:
        By "scene: method", one result per seed.
    """
    results: dict[str, list[Figures]] = {f"{scene}: {name}": [] for scene in scenes for name in _METHODS}
    for scene in scenes:
        for seed in seeds:
            clip = Clip.make(make_walk(scene, seed, body), noise, seed, body)
            for name, (tracker, smooth) in _METHODS.items():
                smoother = Smoother(SmoothingConfig(smooth=True)) if smooth else None
                results[f"{scene}: {name}"].append(run(clip, tracker(), smoother, body))
    return results


def page(results: dict[str, list[Figures]], seeds: Sequence[int], noise: Noise) -> str:
    """Returns a Markdown page: mean ± standard deviation over seeds, then over all scenes."""
    rows = [[name, *_cells(figures)] for name, figures in results.items()]
    for method in _METHODS:
        everything = [f for name, figures in results.items() if name.endswith(f": {method}") for f in figures]
        rows.append([f"**all: {method}**", *_cells(everything)])
    headings = ["scene: method", *(name.replace("_", " ") for name in Figures._fields)]
    told = f"Mean ± standard deviation over seeds {', '.join(map(str, seeds))}. {noise}."
    return (
        "\n".join(["# Tracking", "", told, "", *table_lines(headings, rows), "", measured_on(hardware("cpu"))]) + "\n"
    )


def frame_time_ms(people: int, body: BodyModel, *, frames: int = 60) -> tuple[float, float]:
    """Measures the median time of tracker and smoothing on one image with so many people [ms].

    Returns:
        Of the tracker, and of the smoothing.
    """
    rng, camera = np.random.default_rng(0), Camera.from_fov(1280, 720, 90.0)
    count = len(body.info.posed_joints)
    place = np.stack([rng.uniform(-6, 6, people), np.zeros(people), rng.uniform(4, 12, people)], axis=1)
    tracker, smoother = Tracker(TrackerConfig()), Smoother(SmoothingConfig(smooth=True))
    times = []
    for f in range(frames):
        rotmats = rotvec_to_rotmat(rng.normal(0, 0.05, (people, count, 3))).astype(np.float32)
        shape = np.full((people, len(body.info.shape_names)), 0.6, np.float32)
        expression = np.zeros((people, len(body.info.expression_names)), np.float32)
        poses = Poses(rotmats, shape, expression, place + rng.normal(0, 0.02, place.shape))
        humans = humans_of(poses, np.full(people, 0.9, np.float32), body, camera)
        start = time.perf_counter()
        tracked = tracker.update(humans, camera, f / 30)
        middle = time.perf_counter()
        smoother.update(tracked, f / 30)
        times.append((middle - start, time.perf_counter() - middle))
    tracker_s, smoothing_s = np.median(times, axis=0)
    return 1e3 * float(tracker_s), 1e3 * float(smoothing_s)


def _cells(figures: list[Figures]) -> list[str]:
    mean, deviation = spread(figures)
    return [f"{form.format(m)} ± {form.format(d)}" for form, m, d in zip(_FORMATS, mean, deviation)]


def main() -> None:
    """Prints the page, or writes it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--scenes", nargs="*", default=list(SCENES), choices=list(SCENES), help="all, if not given")
    parser.add_argument("--noise", type=float, default=1.0, help="factor of every error of the detector")
    parser.add_argument("--inventions", type=float, default=Noise().inventions, help="false detections an image")
    parser.add_argument("--out", type=Path, help="file for the page")
    options = parser.parse_args()
    try:
        if options.out is not None:
            check_file(options.out, "--out")
    except ValueError as error:
        parser.error(str(error))
    noise = replace(Noise().scaled(options.noise), inventions=options.inventions)
    body, seeds = create_body("anny"), range(options.first, options.first + options.seeds)
    text = page(compare(options.scenes, seeds, noise, body), seeds, noise)
    tracker_ms, smoothing_ms = frame_time_ms(50, body)
    text += f"\n50 people: tracker {tracker_ms:.2f} ms, smoothing {smoothing_ms:.2f} ms an image (medians).\n"
    if options.out is not None:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text, encoding="utf-8")
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
