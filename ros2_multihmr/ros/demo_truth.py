"""The demo's clip: images that are sent, and the error of what a subscriber received against what is true of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ros2_multihmr.body import BodyModel, create_body
from ros2_multihmr.calibration import Calibration, write_calibration
from ros2_multihmr.evaluation.figures import figures
from ros2_multihmr.evaluation.geometry import Geometry, describe
from ros2_multihmr.evaluation.predictors import MIN_VISIBILITY
from ros2_multihmr.evaluation.scoring import Case, Scores, score_cases
from ros2_multihmr.ros.demo_report import Answers, Part, Recording
from ros2_multihmr.ros.received import received_body, received_geometry
from ros2_multihmr.samples.sample import Sample
from ros2_multihmr.synthesis.clip_file import shipped_clip

_SHOWN = {  # figures of the evaluation, and how they are written
    "precision": ".0f",
    "recall": ".0f",
    "F1": ".0f",
    "root position, median": ".2f",
    "root position, share of the distance, median": ".1f",
    "orientation, median": ".0f",
    "MPJPE, mean": ".0f",
    "PA-MPJPE, mean": ".0f",
    "2D, median": ".1f",
}


def clip_part(folder: Path, most: int) -> Part:
    """Unpacks the clip that comes with the package, as a camera sends it.

    Args:
        folder: An empty folder for images and calibration.
        most: How many images, from the first on.
    """
    truth = tuple(shipped_clip()[:most])
    for sample in truth:
        Image.fromarray(sample.image).save(folder / f"{sample.key}.png", compress_level=1)
    calibration = folder / "calibration.yaml"
    write_calibration(calibration, Calibration.of(truth[0].camera))
    return Part("clip", str(folder), 0.0, tuple(sample.key for sample in truth), str(calibration), truth)


def fullest(truth: Sequence[Sample]) -> int:
    """Returns the index of the image that shows most of its people."""
    return int(np.argmax([sample.labels.visibility.sum() for sample in truth]))


@torch.inference_mode()
def true_meshes(sample: Sample) -> NDArray[np.float32]:
    """Returns (P, L, 3) the reduced meshes of the people who are in an image [m]."""
    labels = sample.labels
    arrays = (labels.rotmats, labels.shape, labels.expression, labels.center)
    meshes: NDArray[np.float32] = create_body(labels.body)(*map(torch.from_numpy, arrays)).vertices_lod.numpy()
    return meshes


def received_scores(part: Part, answers: Sequence[Answers], recording: Recording) -> Scores | None:
    """Compares what came for a clip with the truth; images without an answer are left out.

    Returns:
        The scores, or None if nothing can be compared: images were lost, and nobody knows which is which.

    Raises:
        ValueError: The body lacks keypoints that are compared.
    """
    if len(answers) != len(part.truth):
        return None
    body = create_body(part.truth[0].labels.body)
    cases = []
    for sample, one in zip(part.truth, answers):
        if one.humans is not None and one.humans.body_model in recording.body_models:
            found = received_geometry(one.humans, received_body(recording.body_models[one.humans.body_model]))
            cases.append(Case(sample, _truth(sample, body), found, same_body=False))  # meshes are not compared
    return score_cases("received", cases, body.info) if cases else None


def _truth(sample: Sample, body: BodyModel) -> Geometry:
    labels = sample.labels
    return describe(body, labels.rotmats, labels.shape, labels.expression, labels.center, sample.camera)


def show_errors(console: Console, part: Part, answers: Sequence[Answers], recording: Recording) -> None:
    """Prints the error of what was received for a clip."""
    scores = received_scores(part, answers, recording)
    if scores is None:
        console.print(f"{part.name}: images were lost, so nothing is compared with the truth.")
        return
    there, found, false = len(scores.guess), int(scores.found.sum()), int(scores.false.sum())
    console.print(
        f"What the recorder received of the {part.name}, against the truth ({len(scores.keys)} images; who is hidden "
        f"to more than {100 * (1 - MIN_VISIBILITY):.0f} % does not count):\n"
        f"{found} of {there} people were found, {there - found} were missed; {false} were seen where nobody is.",
        highlight=False,
    )
    if not found:
        console.print("Nobody was found where somebody is, so there is no error of position or pose to tell.")
        return
    table = Table("error", "", "unit")
    for figure in figures(scores):
        if figure.name in _SHOWN:
            table.add_row(escape(figure.name), f"{figure.value:{_SHOWN[figure.name]}}", figure.unit)
    console.print(table)
