"""Pictures of an evaluation: the truth and what was found, side by side; the best, the worst and any."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from ros2_multihmr.body.body_model import BodyModel
from ros2_multihmr.camera import Camera
from ros2_multihmr.evaluation.predictions import Prediction
from ros2_multihmr.evaluation.scoring import Scores
from ros2_multihmr.humans import Humans
from ros2_multihmr.overlay import overlay
from ros2_multihmr.people import People, describe_people
from ros2_multihmr.rotations import rotmat_to_rotvec, rotvec_to_rotmat
from ros2_multihmr.samples.sample import Sample
from ros2_multihmr.uncertainty import ASSUMED, Sigmas

_WRONG_M = 0.3  # a body whose joints are so far off on average is as bad as one that was not found
_GAP_PX = 4
_SEED = 0


def chosen(scores: Scores, number: int) -> dict[str, int]:
    """Returns names and indices of images: so many of the worst, of the best and of any; none twice."""
    loss = image_losses(scores)
    order = [int(index) for index in np.argsort(-loss, kind="stable") if np.isfinite(loss[index])]
    any_order = np.random.default_rng(_SEED).permutation(len(scores.keys)).tolist()
    names: dict[str, int] = {}
    for kind, indices in (("worst", order), ("best", order[::-1]), ("any", any_order)):
        free = [index for index in indices if index not in names.values()]
        names |= {f"{kind}_{place}": index for place, index in enumerate(free[:number], start=1)}
    return names


def image_losses(scores: Scores) -> NDArray[np.float64]:
    """Returns (I,) how bad each image is: 1 for everybody missed and every guess that is nobody, at most 1 for others.

    Divided by the number of people who count; NaN for images where none does and nothing was found.
    """
    number = len(scores.keys)
    image = scores.facts.image.astype(np.intp)
    wrong = np.where(scores.found, np.minimum(np.nan_to_num(scores.errors.mpjpe_m) / _WRONG_M, 1.0), 1.0)
    people = np.bincount(image, minlength=number)
    total = np.bincount(image, wrong, minlength=number) + scores.false
    losses: NDArray[np.float64] = np.where(people + scores.false > 0, total / np.maximum(people, 1), np.nan)
    return losses


def side_by_side(
    sample: Sample, true_body: BodyModel, guess: Prediction, body: BodyModel, ids: Sequence[int]
) -> NDArray[np.uint8]:
    """Returns the image with the true people, 1, 2, ..., and again, on its right, with those found, one id for each."""
    labels = sample.labels
    truth = Prediction(
        sample.key, np.ones(len(labels), np.float32), rotmat_to_rotvec(labels.rotmats).astype(np.float32),
        labels.shape, labels.expression, labels.center, float("nan"),
    )  # fmt: skip
    left = overlay(sample.image, humans_of(truth, true_body, sample.camera), sample.camera, note="truth")
    right = overlay(sample.image, humans_of(guess, body, sample.camera), sample.camera, ids=ids, note="found")
    gap = np.full((len(left), _GAP_PX, 3), 255, np.uint8)
    return np.concatenate([left, gap, right], axis=1)


def ids_of(scores: Scores, image: int, people: int, guesses: int) -> list[int]:
    """Returns an id for each guess of an image: that of whom it is, or one after all people's."""
    ids = list(range(people + 1, people + guesses + 1))
    for row in np.flatnonzero((scores.facts.image == image) & scores.found):
        ids[int(scores.guess[row])] = int(scores.facts.person[row]) + 1
    return ids


@torch.inference_mode()
def humans_of(guess: Prediction, body: BodyModel, camera: Camera, sigmas: Sigmas = ASSUMED) -> Humans:
    """Returns a prediction's people with all that follows from their parameters; `sigmas` in the image's pixels."""
    rotmats = torch.from_numpy(rotvec_to_rotmat(guess.rotvecs).astype(np.float32))
    shape, expression, center = (torch.from_numpy(array) for array in (guess.shape, guess.expression, guess.center))
    people = People(
        np.zeros(len(guess), np.int64), guess.scores, np.zeros((len(guess), 2), np.float32), guess.center[:, 2],
        rotmats, shape, expression,
    )  # fmt: skip
    posed = body(rotmats, shape, expression, center)
    return describe_people(people, posed, body.info, camera, sigmas)


def pictures(
    scores: Scores,
    samples: Iterator[Sample],
    guesses: dict[str, Prediction],
    bodies: tuple[BodyModel, BodyModel],
    number: int,
) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Draws the images that `chosen` names.

    Args:
        scores: Of the predictor.
        samples: All images, in the order of the scores.
        guesses: Its predictions by the images' names.
        bodies: The truth's, and the predictor's.
        number: How many of each kind.

    Yields:
        Names, and (H, W, 3) uint8 RGB.
    """
    kinds = {index: kind for kind, index in chosen(scores, number).items()}
    for index, sample in enumerate(samples):
        if index in kinds:
            true_body, body = bodies
            guess = guesses[sample.key]
            ids = ids_of(scores, index, len(sample.labels), len(guess))
            yield f"{kinds[index]}_{sample.key}", side_by_side(sample, true_body, guess, body, ids)
