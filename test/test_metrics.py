"""Metrics: known changes are found again, and small cases come out as by hand."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from ros2_multihmr.evaluation import metrics
from ros2_multihmr.evaluation.figures import weighted_mean, weighted_median

RNG = np.random.default_rng(3)


def points(number=4, size=14):
    return RNG.normal(size=(number, size, 3))


def rotations(number=4):
    return Rotation.random(number, random_state=5).as_matrix()


def test_a_known_similarity_is_found_and_undone():
    here, turn, scale, move = points(), rotations(), np.array([0.5, 1.0, 2.0, 3.0]), RNG.normal(size=(4, 3))
    there = scale[:, None, None] * here @ turn.transpose(0, 2, 1) + move[:, None]
    found = metrics.similarity(here, there)
    assert (
        np.allclose(found.rotation, turn) and np.allclose(found.scale, scale) and np.allclose(found.translation, move)
    )
    assert np.allclose(found(here), there)
    assert np.allclose(metrics.aligned_error(here, there), 0.0)


def test_similarity_does_not_mirror():
    here = points()
    mirrored = here * (-1.0, 1.0, 1.0)
    assert np.allclose(np.linalg.det(metrics.similarity(here, mirrored).rotation), 1.0)
    assert (metrics.aligned_error(here, mirrored) > 0.1).all()


def test_no_other_similarity_is_nearer():
    here, there = points(1), points(1)
    best = metrics.similarity(here, there)
    least = ((best(here) - there) ** 2).sum()
    for small in Rotation.from_rotvec(RNG.normal(scale=0.05, size=(20, 3))).as_matrix():
        other = best._replace(rotation=best.rotation @ small[None], scale=best.scale * RNG.normal(1, 0.02))
        assert ((other(here) - there) ** 2).sum() > least


def test_similarity_of_points_that_coincide():
    there = points(1)
    assert np.allclose(metrics.similarity(np.ones_like(there), there)(np.ones_like(there)), there.mean(axis=1))


def test_centred_error_by_hand():
    here = np.array([[[0.0, 0, 0], [0, 0, 1]]])
    there = np.array([[[5.0, 0, 0], [5, 3, 5]]])
    assert metrics.centred_error(here, here[:, 0], there, there[:, 0])[0] == pytest.approx(2.5)  # 0 and 3-4-5
    assert metrics.mean_error(here, there)[0] == pytest.approx((5 + np.sqrt(25 + 9 + 16)) / 2)
    assert np.isnan(metrics.mean_error(np.zeros((1, 0, 3)), np.zeros((1, 0, 3)))[0])


def test_rotation_error_by_hand():
    turn = Rotation.from_euler("xyz", [[0, 0, 0], [30, 0, 0], [0, 0, 180], [0, -90, 0]], degrees=True).as_matrix()
    base = rotations()
    assert np.allclose(metrics.rotation_error_deg(base @ turn, base), [0, 30, 180, 90], atol=1e-5)
    assert np.allclose(metrics.rotation_error_deg(base, base @ turn), [0, 30, 180, 90], atol=1e-5)


def test_px_error_looks_at_what_counts():
    px = np.array([[[0.0, 0], [3, 4], [np.nan, 0]], [[1, 1], [2, 2], [3, 3]]])
    counts = np.array([[1, 1, 1], [0, 0, 0]])
    error = metrics.px_error(px, np.zeros_like(px), counts)
    assert error[0] == 2.5 and np.isnan(error[1])


def test_depth_order_by_hand():
    assert metrics.depth_order([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]) == (3, 3)
    assert metrics.depth_order([3.0, 2.0, 1.0], [1.0, 2.0, 3.0]) == (0, 3)
    assert metrics.depth_order([3.0, 2.0, 4.0], [1.0, 1.1, 3.0]) == (2, 2)  # the first two have no order
    assert metrics.depth_order([1.0], [1.0]) == (0, 0) and metrics.depth_order([], []) == (0, 0)


def test_batches_equal_singles():
    here, there = points(), points()
    for metric in (metrics.mean_error, metrics.aligned_error):
        singles = [metric(here[i : i + 1], there[i : i + 1])[0] for i in range(len(here))]
        assert np.allclose(metric(here, there), singles)


def test_nobody_has_no_errors():
    none = np.zeros((0, 14, 3))
    assert metrics.mean_error(none, none).shape == metrics.aligned_error(none, none).shape == (0,)
    assert metrics.rotation_error_deg(np.zeros((0, 3, 3)), np.zeros((0, 3, 3))).shape == (0,)


def test_weighted_statistics_are_those_of_repeated_values():
    values = np.array([4.0, np.nan, 1.0, 3.0, 2.0])
    weights = np.array([[1, 1, 1, 1, 1], [2, 5, 0, 1, 0], [1, 0, 0, 1, 0], [0, 3, 0, 0, 0]], float)
    repeated = [np.repeat(values, row.astype(int)) for row in weights[:3]]
    assert np.allclose(weighted_median(values, weights)[:3], [np.nanmedian(row) for row in repeated])
    assert np.allclose(weighted_mean(values, weights)[:3], [np.nanmean(row) for row in repeated])
    assert np.isnan(weighted_median(values, weights)[3]) and np.isnan(weighted_mean(values, weights)[3])
    assert np.isnan(weighted_median(np.zeros(0), np.zeros((2, 0)))).all()
