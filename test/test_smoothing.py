"""Smoothing: calmer, not later; off is raw; what follows from the parameters is what the body says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_truth import small_body

from ros2_multihmr.body.body_model import BodyOutput
from ros2_multihmr.camera import Camera
from ros2_multihmr.humans import Humans
from ros2_multihmr.people import People, describe_people
from ros2_multihmr.rotations import rotvec_to_rotmat
from ros2_multihmr.tracking.motion_state import Motion
from ros2_multihmr.tracking.one_euro import Limb, Trend, follow_limb, follow_point, follow_rotation
from ros2_multihmr.tracking.quaternions import conjugate, exponential, logarithm, multiply
from ros2_multihmr.tracking.reposing import Parameters, moved, reposed
from ros2_multihmr.tracking.smoothing import Smoother
from ros2_multihmr.tracking.tracker_config import SmoothingConfig
from ros2_multihmr.tracking.tracks import Tracked, Tracks, TrackState
from ros2_multihmr.uncertainty import Sigmas

BODY = small_body()
INFO = BODY.info
CAMERA = Camera.from_fov(640, 480, 60.0)
ON = SmoothingConfig(smooth=True)


@torch.inference_mode()
def people(rotvecs, shape, expression, center) -> Humans:
    """People as the estimator makes them."""
    rotmats = torch.from_numpy(rotvec_to_rotmat(rotvecs).astype(np.float32))
    shape, expression, center = (torch.from_numpy(np.asarray(a, np.float32)) for a in (shape, expression, center))
    count = len(center)
    found = People(
        np.zeros(count, int), np.full(count, 0.9, np.float32), np.zeros((count, 2), np.float32),
        np.zeros(count, np.float32), rotmats, shape, expression,
    )  # fmt: skip
    posed = BodyOutput(*BODY(rotmats, shape, expression, center))
    return describe_people(found, posed, INFO, CAMERA, Sigmas(5.0, 0.1))


def random_people(rng: np.random.Generator, count: int = 3) -> Humans:
    return people(
        rng.normal(0, 0.4, (count, len(INFO.posed_joints), 3)),
        rng.normal(0, 1, (count, len(INFO.shape_names))),
        rng.normal(0, 1, (count, len(INFO.expression_names))),
        rng.uniform((-1, -1, 3), (1, 1, 6), (count, 3)),
    )


def tracked(humans: Humans, ids=None, states=None, transform=None) -> Tracked:
    count = len(humans)
    ids = np.arange(1, count + 1) if ids is None else np.array(ids)
    states = np.full(count, TrackState.OK) if states is None else np.array(states)
    motion = Motion.begin(humans.origin.astype(float), np.zeros((count, 3, 3)), 1.0)
    tracks = Tracks(ids.astype(np.uint32), states.astype(np.uint8), np.zeros(count))
    return Tracked(humans, tracks, motion, np.eye(4) if transform is None else transform)


def assert_same(a: Humans, b: Humans, atol: float) -> None:
    for name in vars(a):
        if name != "body":
            np.testing.assert_allclose(getattr(a, name), getattr(b, name), atol=atol, err_msg=name)


def test_off_is_raw():
    humans = random_people(np.random.default_rng(0))
    parameters = Smoother(SmoothingConfig()).update(tracked(humans), 0.0)
    assert reposed(humans, parameters, BODY, CAMERA) is humans


def test_cutoffs_of_zero_leave_their_part_raw():
    config = replace(ON, smooth_turn_hz=0.0, smooth_limbs_hz=0.0, smooth_expression_hz=0.0, smooth_shape_s=0.0)
    smoother, rng = Smoother(config), np.random.default_rng(0)
    for f in range(3):
        humans = random_people(rng)
        smoothed = smoother.update(tracked(humans), f / 30)
    for name in ("rotvecs", "shape", "expression"):
        assert getattr(smoothed, name) is getattr(humans, name)
    shown = reposed(humans, smoothed, BODY, CAMERA)
    by = np.broadcast_to((shown.origin - humans.origin)[:, None], humans.joints.shape)
    np.testing.assert_allclose(shown.joints - humans.joints, by, atol=1e-5)
    assert shown.rotvecs is humans.rotvecs and not np.allclose(shown.origin, humans.origin)


def test_the_first_image_and_nobody_are_raw():
    humans = random_people(np.random.default_rng(0))
    smoothed = Smoother(ON).update(tracked(humans), 0.0)
    np.testing.assert_allclose(smoothed.origin, humans.origin, atol=1e-6)
    np.testing.assert_allclose(smoothed.rotvecs, humans.rotvecs, atol=1e-5)
    assert len(Smoother(ON).update(tracked(Humans.empty(INFO)), 0.0).origin) == 0


def test_people_do_not_depend_on_each_other():
    frames = [random_people(np.random.default_rng(0)) for _ in range(5)]
    together, alone = Smoother(ON), Smoother(ON)
    for f, humans in enumerate(frames):
        order = np.roll(np.arange(3), f)  # their order in the image says nothing
        both = together.update(tracked(humans.select(order), ids=order + 1), f / 30)
        one = alone.update(tracked(humans.select(np.array([1])), ids=[2]), f / 30)
    at = int(np.flatnonzero(order == 1)[0])
    np.testing.assert_allclose(both.rotvecs[at], one.rotvecs[0], atol=1e-6)
    np.testing.assert_allclose(both.origin[at], one.origin[0], atol=1e-6)


def test_a_repeated_stamp_changes_nothing_and_a_backwards_one_begins_anew():
    rng, smoother = np.random.default_rng(0), Smoother(ON)
    for f in range(3):
        last = smoother.update(tracked(random_people(rng)), f / 30)
    again = smoother.update(tracked(random_people(rng)), 2 / 30)
    np.testing.assert_allclose(again.origin, last.origin, atol=1e-6)
    humans = random_people(rng)
    np.testing.assert_allclose(smoother.update(tracked(humans), 0.0).origin, humans.origin, atol=1e-6)


def test_predicted_people_keep_their_pose():
    rng, smoother = np.random.default_rng(0), Smoother(ON)
    for f in range(5):
        last = smoother.update(tracked(random_people(rng)), f / 30)
    ghost = smoother.update(tracked(random_people(rng), states=[TrackState.PREDICTED] * 3), 5 / 30)
    for name in ("rotvecs", "shape", "expression"):
        np.testing.assert_allclose(getattr(ghost, name), getattr(last, name), atol=1e-5)


def test_shape_converges():
    rng, smoother, humans = np.random.default_rng(0), Smoother(ON), random_people(np.random.default_rng(1))
    for f in range(100):
        noisy = replace(humans, shape=humans.shape + rng.normal(0, 0.1, humans.shape.shape).astype(np.float32))
        shape = smoother.update(tracked(noisy), f / 30).shape
    assert np.abs(shape - humans.shape).max() < 0.05


def test_a_steady_walk_has_no_lag_and_less_noise():
    rng, steps = np.random.default_rng(0), np.arange(240)
    way = np.stack([1.4 * steps / 30 - 3, 0 * steps, np.full(240, 5.0)], 1)
    noisy = way + rng.normal(0, 0.05, way.shape)
    state, smooth = Trend(noisy[:1], np.zeros((1, 3)), np.zeros((1, 3))), [noisy[0]]
    for x in noisy[1:]:
        state = follow_point(x[None], x[None] / np.linalg.norm(x), state, 1 / 30, 0.7, 0.35, 0.15)
        smooth.append(state.value[0])
    settled = np.array(smooth)[60:]
    lag = ((way[60:, 0] - settled[:, 0]).mean()) / 1.4
    assert abs(lag) < 1 / 30
    shaken = [np.abs(np.diff(values[60:], 2, axis=0)).mean() for values in (noisy, np.array(smooth))]
    assert shaken[0] > 4 * shaken[1]


def test_a_steady_turn_has_no_lag():
    spin, state = np.array([0.0, 0.0, 2.0]), None
    for i in range(120):
        x = exponential(i / 30 * spin)[None]
        state = Trend(x, 0 * x[:, :3], 0 * x[:, :3]) if state is None else follow_rotation(x, state, 1 / 30, 1.0, 0.2)
    np.testing.assert_allclose(logarithm(multiply(state.value * (-1, -1, -1, 1), x)), 0, atol=1e-3)


def limb(x) -> Limb:
    still = np.zeros_like(x[..., :3])
    return Limb(x, still, still, still)


def followed(rotvecs, dt_s: float, beta: float = 1.2) -> np.ndarray:
    """(F, 3) what `follow_limb` makes of (F, 3) rotation vectors."""
    state, smooth = None, []
    for x in exponential(np.asarray(rotvecs, np.float32)[:, None]):
        state = limb(x) if state is None else follow_limb(x, state, dt_s, 0.05, beta)
        smooth.append(logarithm(state.value)[0])
    assert all(part.dtype == np.float32 for part in state)  # twice as fast
    return np.array(smooth)


@pytest.mark.parametrize("rate_hz", [15.0, 30.0])
def test_a_swinging_limb_is_calm_and_later_by_less_than_an_image(rate_hz: float):
    times = np.arange(0.0, 10.0, 1.0 / rate_hz)
    true = np.stack([0.5 * np.sin(2 * np.pi * times), 0.1 * np.cos(4 * np.pi * times), 0 * times], 1)
    noisy = true + np.random.default_rng(0).normal(0, np.radians(4), true.shape)
    smooth = followed(noisy, 1 / rate_hz)
    settled, speed = slice(20, None), np.gradient(true, times, axis=0)
    lag = ((true - smooth)[settled] * speed[settled]).sum() / (speed[settled] ** 2).sum()
    assert abs(lag) < 1 / rate_hz
    off = [values - true for values in (noisy, smooth)]
    shaken = [np.abs(np.diff(one[settled], 2, axis=0)).mean() for one in off]
    assert shaken[0] > 2 * shaken[1]
    assert np.linalg.norm(off[1][settled], axis=1).mean() < np.linalg.norm(off[0][settled], axis=1).mean()


def test_a_limb_that_is_put_elsewhere_comes_to_rest_there():
    smooth = followed([(0, 0, 0)] * 30 + [(1.0, 0, 0)] * 150, 1 / 30)
    np.testing.assert_allclose(smooth[-1], (1, 0, 0), atol=0.01)
    assert smooth[:, 0].max() < 1.4 and smooth[40, 0] > 0.5


def test_after_a_long_pause_a_limb_is_where_it_is_seen():
    x = exponential(np.array([[0.0, 0.0, 0.0], [0.9, 0.2, 0.0]]))
    state = follow_limb(x[1:], limb(x[:1]), 3600.0, 0.05, 1.2)
    np.testing.assert_allclose(logarithm(state.value)[0], (0.9, 0.2, 0.0), atol=1e-6)
    again = follow_limb(x[:1], state, 0.0, 0.05, 1.2)
    assert again is state


def test_products_and_inverses_of_quaternions_are_those_of_rotations():
    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 1.0, (2, 20, 3))
    product = logarithm(multiply(exponential(a), exponential(b)))
    np.testing.assert_allclose(rotvec_to_rotmat(product), rotvec_to_rotmat(a) @ rotvec_to_rotmat(b), atol=1e-9)
    np.testing.assert_allclose(logarithm(conjugate(exponential(a))), logarithm(exponential(-a)), atol=1e-12)


def test_exponential_and_logarithm_are_inverse():
    rotvecs = np.random.default_rng(0).normal(0, 1.0, (50, 3)) * np.logspace(-9, 0, 50)[:, None]
    np.testing.assert_allclose(logarithm(exponential(rotvecs)), rotvecs, atol=1e-9)
    np.testing.assert_allclose(logarithm(-exponential(rotvecs)), rotvecs, atol=1e-9)


def test_in_a_fixed_frame_a_turning_camera_makes_no_motion():
    humans, smoother = random_people(np.random.default_rng(0)), Smoother(ON)
    for f in range(20):
        pose = np.eye(4)
        pose[:3, :3], pose[0, 3] = rotvec_to_rotmat([0.0, 0.02 * f, 0.0]), 0.05 * f
        origin = (humans.origin - pose[:3, 3]) @ pose[:3, :3]
        here = moved(humans, np.tile(pose[:3, :3].T, (3, 1, 1)), origin, CAMERA)
        smoothed = smoother.update(tracked(here, transform=pose), f / 30)
        np.testing.assert_allclose(smoothed.origin, here.origin, atol=1e-4)
        np.testing.assert_allclose(rotvec_to_rotmat(smoothed.rotvecs), rotvec_to_rotmat(here.rotvecs), atol=1e-4)


def test_moved_people_are_what_the_body_makes_of_them():
    humans, rng = random_people(np.random.default_rng(0)), np.random.default_rng(1)
    turn, origin = rotvec_to_rotmat(rng.normal(0, 0.5, (3, 3))), rng.uniform((-1, -1, 3), (1, 1, 6), (3, 3))
    there = moved(humans, turn, origin, CAMERA)
    parameters = Parameters(there.rotvecs, there.shape, there.expression, there.origin)
    by_body = replace(reposed(humans, parameters, BODY, CAMERA), covariance=there.covariance)
    assert_same(there, by_body, atol=2e-3)  # pixels; metres below
    np.testing.assert_allclose(there.joints, by_body.joints, atol=1e-5)
    np.testing.assert_allclose(there.translation, by_body.translation, atol=1e-5)
    back = moved(there, turn.transpose(0, 2, 1), humans.origin, CAMERA)
    np.testing.assert_allclose(back.vertices_lod, humans.vertices_lod, atol=1e-5)


@pytest.mark.parametrize("name", ["rotvecs", "shape", "expression"])
def test_reposed_people_are_what_the_estimator_would_have_said(name: str):
    rng = np.random.default_rng(0)
    humans, other = random_people(rng), random_people(rng)
    parameters = replace(Parameters.of(humans), **{name: getattr(other, name)})
    shown = reposed(humans, parameters, BODY, CAMERA)
    center = shown.joints[:, INFO.center_joint]
    expected = people(parameters.rotvecs, parameters.shape, parameters.expression, center)
    assert_same(shown, replace(expected, covariance=humans.covariance), atol=2e-3)
