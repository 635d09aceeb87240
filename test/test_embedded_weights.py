"""The weights that come with the package: trained, small, and better on people they never saw than not looking."""

import math

import numpy as np
import pytest

from ros2_multihmr.assets import asset
from ros2_multihmr.body import create_body
from ros2_multihmr.estimator import create_estimator
from ros2_multihmr.estimator_config import EstimatorConfig
from ros2_multihmr.evaluation.predictions import Prediction
from ros2_multihmr.evaluation.scoring import score
from ros2_multihmr.model.embedded import EMBEDDED, open_network
from ros2_multihmr.synthesis.clip_file import shipped_clip


@pytest.fixture(scope="module")
def scores():
    """Of the embedded network and of the stand-in, on every fourth image of the clip."""
    body, samples = create_body("anny"), shipped_clip()[::4]
    found = {}
    for weights in ("", "untrained"):
        estimator = create_estimator(EstimatorConfig(weights=weights, device="cpu"))
        found[weights] = {s.key: Prediction.of(s.key, estimator.estimate(s.image, s.camera), math.nan) for s in samples}
    predictors = {name: lambda sample, name=name: found[name][sample.key] for name in found}
    trained, random = score(samples, predictors, dict.fromkeys(found, body), body)
    return trained, random


def test_the_file_is_one_of_a_trained_network_small_enough_for_a_repository():
    config = open_network("").config
    assert not config.untrained and config.body == "anny" and config.kind == "multihmr"
    assert asset(EMBEDDED).stat().st_size < 40e6


def test_most_people_of_the_clip_are_found_and_few_who_are_not_there(scores):
    trained, random = scores
    assert trained.found.mean() > 0.7 > random.found.mean()
    assert trained.false.sum() < 0.15 * trained.found.sum() < random.false.sum()


def test_they_are_placed_within_a_fifth_of_their_distance(scores):
    trained, _ = scores
    share = (trained.errors.position_m / trained.facts.distance_m)[trained.found]
    assert np.median(share) < 0.2
