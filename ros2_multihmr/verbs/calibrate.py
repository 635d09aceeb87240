"""`multihmr evaluate calibrate`: moves a network's scores so that its best threshold is the one that everybody uses.

How high the scores of the right guesses are is an accident of training's length. One number added to all of them before
the sigmoid moves the threshold with the highest F1 to where `detection_threshold` is by default, and changes no order.
The threshold is looked for in validation images, never in the frozen benchmark.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape
from rich.progress import track

from ros2_multihmr.body import create_body
from ros2_multihmr.estimator import Estimator, create_estimator
from ros2_multihmr.estimator_config import EstimatorConfig
from ros2_multihmr.evaluation.benchmark import Benchmark, open_folder
from ros2_multihmr.evaluation.geometry import BODY_POINTS, describe
from ros2_multihmr.evaluation.matching import match
from ros2_multihmr.evaluation.predictions import Prediction
from ros2_multihmr.evaluation.predictors import MIN_VISIBILITY
from ros2_multihmr.files.folders import file_beside
from ros2_multihmr.model.checkpoint import OWN_SUFFIX, load_weights, save_weights
from ros2_multihmr.model.multihmr import MultiHMR
from ros2_multihmr.report import open_console
from ros2_multihmr.rotations import rotvec_to_rotmat
from ros2_multihmr.settings import setting

LOWEST = 0.05
THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 20))


class Found(NamedTuple):
    """Who was found in one image, and who is there.

    Attributes:
        scores: (N,) of the guesses.
        px: (N, K, 2) keypoints of the guesses in the image [px].
        true_px: (P, K, 2) the same of the people there are.
        counts: (P,) False for people of whom hardly anything is to be seen.
    """

    scores: NDArray[np.float32]
    px: NDArray[np.float64]
    true_px: NDArray[np.float64]
    counts: NDArray[np.bool_]


@dataclass(frozen=True)
class Options(EstimatorConfig):
    """Moves a network's scores, so that F1 is best at the detection threshold."""

    data: str = setting("", "Folder of validation images with truth, as multihmr synthesize --split val writes it")
    out: str = setting("", "File to write, ending in .safetensors")
    half: bool = setting(False, "Store 16-bit numbers")


def main(options: Options) -> int:
    """Runs the verb."""
    source, console = Path(options.weights).expanduser(), open_console()
    if not options.weights or source.suffix != OWN_SUFFIX:
        raise ValueError(f"--weights: expected a {OWN_SUFFIX} file of a network of our own, got {options.weights!r}")
    out = file_beside(source, options.out, OWN_SUFFIX)
    model = load_weights(source)
    if not isinstance(model, MultiHMR) or model.config.quirks.clamped_scores:
        raise ValueError(f"{source}: an official network's scores stay as they are")
    benchmark = open_folder(Path(options.data))
    estimator = create_estimator(replace(options, detection_threshold=LOWEST))
    figures = sweep(find_people(benchmark, estimator, console), THRESHOLDS)
    best = best_threshold(figures, source, options.data)
    move_scores(model, best, options.detection_threshold)
    save_weights(model, out, half=options.half)
    told = ", ".join(f"{threshold:g}: {figure:.3f}" for threshold, figure in figures.items())
    console.print(f"F1 by threshold: {told}", highlight=False)
    console.print(f"{escape(str(out))}: what scored {best:g} scores {options.detection_threshold:g}", highlight=False)
    return 0


def find_people(benchmark: Benchmark, estimator: Estimator, console: Console) -> list[Found]:
    """Finds the people of all images, and puts them beside the truth."""
    true_body, body = create_body(benchmark.body), create_body(estimator.backend.config.body)
    found = []
    for sample in track(benchmark.samples(), "finding people", len(benchmark), console=console, transient=True):
        guess = Prediction.of(sample.key, estimator.estimate(sample.image, sample.camera), math.nan)
        there, truth = rotvec_to_rotmat(guess.rotvecs), sample.labels
        px = describe(body, there, guess.shape, guess.expression, guess.center, sample.camera).px
        parameters = (truth.rotmats, truth.shape, truth.expression, truth.center)
        true_px = describe(true_body, *parameters, sample.camera).px
        counts = truth.visibility >= MIN_VISIBILITY
        found.append(Found(guess.scores, px[:, BODY_POINTS], true_px[:, BODY_POINTS], counts))
    return found


def sweep(images: Sequence[Found], thresholds: Sequence[float]) -> dict[float, float]:
    """Returns F1 by threshold, with the guesses below it left out."""
    figures = {}
    for threshold in thresholds:
        pairs = [match(i.px[i.scores >= threshold], i.true_px, i.counts) for i in images]
        right, wrong = (sum(map(len, column)) for column in ([p.truth for p in pairs], [p.missed for p in pairs]))
        wrong += sum(len(p.false) for p in pairs)
        figures[threshold] = 2.0 * right / max(2 * right + wrong, 1)
    return figures


def best_threshold(figures: Mapping[float, float], weights: Path, data: str) -> float:
    """Returns the threshold with the highest F1; the lowest of equals.

    Args:
        figures: F1 by threshold.
        weights: Whose, for the message.
        data: On which images, for the message.

    Raises:
        ValueError: F1 is 0 at all of them: nobody was found, and there is nothing to move scores by.
    """
    best = max(figures, key=lambda threshold: figures[threshold])
    if figures[best] > 0.0:
        return best
    raise ValueError(
        f"{weights}: expected weights that find people in {data}, got nobody right at any threshold from "
        f"{min(figures):g} to {max(figures):g} (F1 is 0); nothing is written. Train them further, or give other images "
        "with --data"
    )


@torch.no_grad()
def move_scores(model: MultiHMR, before: float, after: float) -> None:
    """Moves all scores, so that what scored `before` scores `after`; both between 0 and 1."""
    model.to_score.fc2.bias.add_(_logit(after) - _logit(before))


def _logit(score: float) -> float:
    return math.log(score / (1.0 - score))
