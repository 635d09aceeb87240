"""Finding people for an evaluation: predictions go to a folder first, and a broken run goes on there."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

from rich.console import Console
from rich.progress import track

from ros2_multihmr import __version__
from ros2_multihmr.assets import asset
from ros2_multihmr.estimator import Estimator
from ros2_multihmr.evaluation.benchmark import Benchmark
from ros2_multihmr.evaluation.predictions import Prediction, PredictionFolder
from ros2_multihmr.model.embedded import EMBEDDED
from ros2_multihmr.model.stand_in import STAND_IN
from ros2_multihmr.stopwatch import Stopwatch

_SETTINGS = ("precision", "backend", "padding", "detection_threshold", "nms_kernel", "max_humans")


def predict(benchmark: Benchmark, estimator: Estimator, folder: PredictionFolder, console: Console) -> None:
    """Finds the people of the images whose predictions the folder lacks."""
    try:
        for sample in track(benchmark.samples(), "finding people", len(benchmark), console=console, transient=True):
            if sample.key not in folder.keys:
                watch = Stopwatch()
                humans = estimator.estimate(sample.image, sample.camera, stopwatch=watch)
                folder.add(Prediction.of(sample.key, humans, math.fsum(watch.seconds.values())))
    finally:
        folder.flush()


def run_facts(estimator: Estimator, benchmark: Benchmark) -> dict[str, object]:
    """Returns what decides the predictions, JSON values by name."""
    network, config = estimator.backend.config, estimator.config
    return {
        "weights": network.weights,
        "weights_sha256": _digest(config.weights),
        "untrained": network.untrained,
        "image_size": network.image_size,
        "device": str(estimator.backend.device),
        "package": __version__,
        "data": benchmark.name,
        "data_sha256": benchmark.sha256,
        **{name: getattr(config, name) for name in _SETTINGS},
    }


def _digest(weights: str) -> str:
    if weights == STAND_IN:
        return "drawn from a seed"
    return hashlib.sha256(Path(weights or asset(EMBEDDED)).read_bytes()).hexdigest()
