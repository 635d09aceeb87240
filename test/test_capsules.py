"""Capsules: they hold the people, keep their sizes, and are fitted no more often than needed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from test_proximity import people

from ros2_multihmr.body import create_body
from ros2_multihmr.body.parts import PARTS, parts_of_vertices
from ros2_multihmr.humans import Humans
from ros2_multihmr.nearness.capsules import MARGIN_M, CapsuleKeeper, CapsuleModel, Capsules


@pytest.fixture(scope="module")
def body():
    return create_body("anny")


@pytest.fixture(scope="module")
def model(body):
    return CapsuleModel(body)


def ids(*numbers):
    return np.array(numbers, np.uint32)


def test_distance_to_a_capsule():
    capsules = Capsules(np.zeros((1, 1, 3)), np.array([[[0, 0, 2.0]]]), np.array([[0.5]]))
    points = np.array([[[1, 0, 1], [0, 0, 3], [0, 0, -1], [0.25, 0, 1], [0, 0, 0]]], float)
    np.testing.assert_allclose(capsules.distances(points)[0, 0], [0.5, 0.5, 0.5, -0.25, -0.5])
    point = Capsules(np.zeros((1, 1, 3)), np.zeros((1, 1, 3)), np.array([[0.5]]))
    np.testing.assert_allclose(point.distances(points)[0, 0, 0], 2**0.5 - 0.5)


def test_at_rest_every_part_is_in_its_capsule_with_the_margin_around(body, model):
    resting = model.fit(np.random.default_rng(0).uniform(0.1, 0.9, (3, len(body.info.shape_names))))
    distances = resting.capsules.distances(resting.vertices)
    own = np.take_along_axis(distances, (parts_of_vertices(body).astype(int) - 1)[None, None].repeat(3, 0), axis=1)
    assert distances.shape == (3, len(PARTS), len(body.info.vertices_lod))
    assert own.max() <= -MARGIN_M + 1e-9
    # No larger than need be: each touches its part, and none is far larger than a person.
    per_part = [own[:, 0, parts_of_vertices(body) == part + 1].max(axis=1) for part in range(len(PARTS))]
    np.testing.assert_allclose(per_part, -MARGIN_M, atol=1e-9)
    assert resting.capsules.radii.max() < 0.3


def test_posed_they_hold_nearly_everything_and_keep_their_sizes(body, model):
    humans = people(body, 6, seed=1)
    resting = model.fit(humans.shape)
    posed = model.pose(resting, humans.vertices_lod)
    outside = posed.distances(humans.vertices[:, ::7]).min(axis=1)
    assert (outside <= 0.0).mean() > 0.98 and outside.max() < 0.04
    np.testing.assert_array_equal(posed.radii, resting.capsules.radii)
    lengths = [np.linalg.norm(c.ends - c.starts, axis=-1) for c in (resting.capsules, posed)]
    np.testing.assert_allclose(*lengths, atol=1e-9)


def test_a_rigid_motion_moves_the_capsules_along(body, model):
    humans = people(body, 1, seed=2)
    resting = model.fit(humans.shape)
    turn, by = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]), np.array([1.0, 2, 3])
    there = model.pose(resting, resting.vertices @ turn.T + by)
    np.testing.assert_allclose(there.starts, resting.capsules.starts @ turn.T + by, atol=1e-6)
    np.testing.assert_allclose(there.ends, resting.capsules.ends @ turn.T + by, atol=1e-6)


def test_all_together_are_what_each_is_alone(body, model):
    humans = people(body, 3, seed=3)
    together = model.pose(model.fit(humans.shape), humans.vertices_lod)
    for i in range(3):
        alone = model.pose(model.fit(humans.shape[i : i + 1]), humans.vertices_lod[i : i + 1])
        np.testing.assert_allclose(alone.starts[0], together.starts[i], atol=1e-4)
        np.testing.assert_allclose(alone.radii[0], together.radii[i], atol=1e-4)


def test_each_is_fitted_once_whoever_comes_and_goes(body, model):
    humans, keeper = people(body, 3, seed=4), CapsuleKeeper(model)
    direct = model.pose(model.fit(humans.shape), humans.vertices_lod)
    keeper.update(humans.select(np.array([0, 1])), ids(7, 8))
    found = keeper.update(humans.select(np.array([2, 1, 0])), ids(9, 8, 7))
    assert keeper.fits == 3
    np.testing.assert_allclose(found.starts, direct.starts[[2, 1, 0]], atol=1e-4)
    keeper.update(humans.select(np.array([1])), ids(8))
    assert keeper.fits == 3
    nearly = replace(humans.select(np.array([1])), shape=humans.shape[1:2] + np.float32(0.01))
    keeper.update(nearly, ids(8))
    assert keeper.fits == 3
    keeper.update(replace(nearly, shape=humans.shape[1:2] + np.float32(0.1)), ids(8))
    assert keeper.fits == 4
    assert len(keeper.update(Humans.empty(body.info), ids()).radii) == 0
    found = keeper.update(humans, ids(7, 8, 9))
    assert keeper.fits == 7
    np.testing.assert_allclose(found.ends, direct.ends, atol=1e-4)
