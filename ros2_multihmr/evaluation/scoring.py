"""Scoring: predictions against the truth, person by person."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ros2_multihmr.body.body_model import BodyInfo, BodyModel
from ros2_multihmr.evaluation.errors import PX_SIZE, Errors, errors_of
from ros2_multihmr.evaluation.geometry import BODY_POINTS, NAMES, Geometry, describe, places
from ros2_multihmr.evaluation.matching import match
from ros2_multihmr.evaluation.metrics import depth_order
from ros2_multihmr.evaluation.predictions import Prediction
from ros2_multihmr.evaluation.predictors import MIN_VISIBILITY, Predictor
from ros2_multihmr.rotations import rotvec_to_rotmat
from ros2_multihmr.samples.sample import Sample

Array = NDArray[np.float64]


class Facts(NamedTuple):
    """What is true of the people who count; to look at some of them apart.

    Attributes:
        image: (T,) index of the image.
        person: (T,) index in the image's labels.
        distance_m: (T,) from the camera to the root [m].
        company: (T,) people who count in the same image.
        visibility: (T,) part of the silhouette that the image shows.
        head: (T,) 1 where the head is visible, else 0.
    """

    image: Array
    person: Array
    distance_m: Array
    company: Array
    visibility: Array
    head: Array


@dataclass(frozen=True)
class Scores:
    """How well one predictor did in I images with T people who count.

    Attributes:
        name: Of the predictor.
        keys: The images' names.
        facts: Of the people who count.
        guess: (T,) which of the image's guesses each is; -1 for people not found.
        errors: Of the people who count.
        false: (I,) guesses that are nobody.
        ignored: (I,) guesses that are people who do not count.
        ordered, pairs: (I,) pairs of found people in the right order of depth, and all of them.
        seconds: (I,) time that finding the people took; NaN where nobody measured.
    """

    name: str
    keys: tuple[str, ...]
    facts: Facts
    guess: Array
    errors: Errors
    false: Array
    ignored: Array
    ordered: Array
    pairs: Array
    seconds: Array

    @property
    def found(self) -> NDArray[np.bool_]:
        """(T,) True for people who count and were found."""
        return self.guess >= 0


class Case(NamedTuple):
    """One image: what is true, and who was found.

    Attributes:
        sample: The image.
        truth: Its people.
        found: The people found in it.
        same_body: True if the meshes of both have the same vertices.
        seconds: Time that finding them took; NaN where nobody measured.
    """

    sample: Sample
    truth: Geometry
    found: Geometry
    same_body: bool
    seconds: float = float("nan")


class _ImageScore(NamedTuple):
    facts: Facts
    guess: Array
    errors: Errors
    numbers: tuple[float, ...]  # false, ignored, ordered, pairs, seconds


def score(
    samples: Iterable[Sample],
    predictors: Mapping[str, Predictor],
    bodies: Mapping[str, BodyModel],
    true_body: BodyModel,
) -> list[Scores]:
    """Compares what each predictor says of each sample with the truth.

    Args:
        samples: Images with truth, all of one body.
        predictors: By name.
        bodies: Whose parameters each predictor tells, by the same names.
        true_body: Whose parameters the samples tell.

    Raises:
        ValueError: A body lacks the keypoints that are compared.
    """
    keys: list[str] = []
    rows: dict[str, list[_ImageScore]] = {name: [] for name in predictors}
    for index, sample in enumerate(samples):
        keys.append(sample.key)
        labels = sample.labels
        truth = describe(true_body, labels.rotmats, labels.shape, labels.expression, labels.center, sample.camera)
        for name, predictor in predictors.items():
            case = _case(sample, truth, true_body, predictor(sample), bodies[name])
            rows[name].append(_score_image(index, case, true_body.info))
    return [_joined(name, keys, of_images) for name, of_images in rows.items()]


def score_cases(name: str, cases: Sequence[Case], true_body: BodyInfo) -> Scores:
    """Compares people found with the truth, where both are at hand as geometry.

    Args:
        name: What found them.
        cases: One per image.
        true_body: The body of the samples' labels.
    """
    rows = [_score_image(index, case, true_body) for index, case in enumerate(cases)]
    return _joined(name, [case.sample.key for case in cases], rows)


def _case(sample: Sample, truth: Geometry, true_body: BodyModel, guess: Prediction, body: BodyModel) -> Case:
    rotmats = rotvec_to_rotmat(guess.rotvecs)
    found = describe(body, rotmats, guess.shape, guess.expression, guess.center, sample.camera)
    return Case(sample, truth, found, body.info.name == true_body.info.name, guess.seconds)


def _score_image(index: int, case: Case, true_body: BodyInfo) -> _ImageScore:
    sample, truth, found = case.sample, case.truth, case.found
    counts = sample.labels.visibility >= MIN_VISIBILITY
    pairs = match(found.px[:, BODY_POINTS], truth.px[:, BODY_POINTS], counts)
    counting = np.flatnonzero(counts)
    rows = np.searchsorted(counting, pairs.truth)
    guessed = np.full(len(counting), -1.0)
    guessed[rows] = pairs.guess
    visible = sample.labels.keypoint_visible[:, places(true_body)] > 0
    here, there = _chosen(found, pairs.guess), _chosen(truth, pairs.truth)
    scale = PX_SIZE / max(sample.camera.width, sample.camera.height)
    of_pairs = errors_of(here, there, visible[pairs.truth], scale, case.same_body)
    ordered, compared = depth_order(here.root[:, 2], there.root[:, 2])
    return _ImageScore(
        facts=_facts(index, counting, truth, sample, visible),
        guess=guessed,
        errors=Errors(*(_spread(values, rows, len(counting)) for values in of_pairs)),
        numbers=(len(pairs.false), len(pairs.ignored), ordered, compared, case.seconds),
    )


def _chosen(people: Geometry, those: NDArray[np.intp]) -> Geometry:
    return Geometry(**{name: array[those] for name, array in people._asdict().items()})


def _facts(
    index: int, counting: NDArray[np.intp], truth: Geometry, sample: Sample, visible: NDArray[np.bool_]
) -> Facts:
    return Facts(
        image=np.full(len(counting), float(index)),
        person=counting.astype(np.float64),
        distance_m=np.linalg.norm(truth.root[counting], axis=1),
        company=np.full(len(counting), float(len(counting))),
        visibility=sample.labels.visibility[counting].astype(np.float64),
        head=visible[counting, NAMES.index("head")].astype(np.float64),
    )


def _spread(values: Array, rows: NDArray[np.intp], length: int) -> Array:
    spread = np.full(length, np.nan)
    spread[rows] = values
    return spread


def _joined(name: str, keys: Sequence[str], rows: Sequence[_ImageScore]) -> Scores:
    numbers = np.array([row.numbers for row in rows], np.float64).reshape(-1, 5)
    empty = np.zeros(0)
    return Scores(
        name,
        tuple(keys),
        Facts(*(np.concatenate([empty, *(row.facts[k] for row in rows)]) for k in range(len(Facts._fields)))),
        np.concatenate([empty, *(row.guess for row in rows)]),
        Errors(*(np.concatenate([empty, *(row.errors[k] for row in rows)]) for k in range(len(Errors._fields)))),
        *numbers.T,
    )
