"""The second look's benchmark: every kind has its row, everybody is looked at, and what cannot be is refused."""

import numpy as np
import pytest
from rich.console import Console
from small_refiner import ANYBODY, BODY, small_estimator, small_second_network

from ros2_multihmr.camera import Camera
from ros2_multihmr.refining.refiner import Refiner
from ros2_multihmr.verbs.refiner_benchmark import HEADINGS, STAGES, Options, measure, standing


def test_every_kind_has_a_row() -> None:
    estimator = small_estimator()
    kinds = {"pixels": {"num_crops": 5}, "one": {"num_crops": 1, "contrastive": False}, "features": {"encoder": "roi"}}
    refiners = {name: Refiner(small_second_network(**kind), estimator, ANYBODY) for name, kind in kinds.items()}
    image, options = np.zeros((90, 160, 3), np.uint8), Options(people=4, repeats=1)
    rows, first_ms = measure(estimator, refiners, image, options, Console(quiet=True))
    assert [(row.reads, row.crops) for row in rows] == [("pixels (vit)", 5), ("pixels (vit)", 1), ("features", 3)]
    for row in rows:
        assert list(row.stage_ms) == list(STAGES) and len(row.cells()) == len(HEADINGS)
        assert row.each_ms * 4 * row.crops == pytest.approx(row.total_ms) and row.total_ms > 0
    assert first_ms > 0


def test_people_stand_in_the_image() -> None:
    camera = Camera.from_fov(160, 90, 60.0)
    people = standing(BODY, 10, camera)
    assert len(people) == 10 and camera.contains(people.keypoints_2d[:, 0]).all()
    assert len(standing(BODY, 1, camera)) == 1


def test_numbers_of_crops_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="numbers from 1 to 9, got 10, x"):
        Options(crops=("1", "10", "x"))
