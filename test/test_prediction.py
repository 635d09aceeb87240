"""Predicted paths are where the tracker puts who is hidden meanwhile, in whatever frame stands still."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from test_tracker import CAMERA, people

from ros2_multihmr.tracking.prediction import predicted_paths
from ros2_multihmr.tracking.tracker import Tracker
from ros2_multihmr.tracking.tracker_config import TrackerConfig
from ros2_multihmr.tracking.tracks import TrackState

STEP_S = 0.1
VELOCITIES = np.array([(0.5, 0.0, 0.2), (-0.3, 0.0, 0.0)])


def places(time_s):
    """Two people who walk, in the world."""
    return np.array([(0.0, 0.0, 4.0), (1.0, 0.0, 5.0)]) + time_s * VELOCITIES


def pose(time_s):
    """T_world_camera of a camera that drives and turns."""
    transform = np.eye(4)
    transform[:3, :3] = Rotation.from_euler("y", 0.05 * time_s).as_matrix()
    transform[:3, 3] = (0.3 * time_s, 0.0, -0.1 * time_s)
    return transform


def seen(time_s, moving):
    """The people in the camera's frame, and what is known of the camera."""
    if not moving:
        return people(places(time_s)), None
    transform = pose(time_s)
    return people((places(time_s) - transform[:3, 3]) @ transform[:3, :3]), transform


def followed(tracker, moving=False, images=20):
    for i in range(images):
        humans, transform = seen(i * STEP_S, moving)
        told = tracker.update(humans, CAMERA, i * STEP_S, transform)
    return told, transform


def in_world(humans, transform):
    """Origins, rotations and covariances, in the frame in which the camera has this pose."""
    transform = np.eye(4) if transform is None else transform
    turn = transform[:3, :3]
    both = np.kron(np.eye(2), turn)
    return humans.origin @ turn.T + transform[:3, 3], turn @ humans.rotation, both @ humans.covariance @ both.T


def assert_no_surer(covariances, than):
    """Not more is claimed to be known, and not much less."""
    assert (np.linalg.eigvalsh(covariances - than) > -1e-3 * np.abs(than).max(axis=(-1, -2))[..., None]).all()
    assert (np.trace(covariances, axis1=-2, axis2=-1) < 2.0 * np.trace(than, axis1=-2, axis2=-1)).all()


@pytest.mark.parametrize("moving", [False, True])
def test_a_path_is_where_they_are_put_who_are_hidden_from_now_on(moving):
    tracker = Tracker(TrackerConfig(track_predict_s=3.0))
    told, transform = followed(tracker, moving)
    nobody = told.humans.select(np.zeros(2, bool))
    paths = predicted_paths(told.humans, told.tracks, told.motion, 1.0, 10, transform)
    np.testing.assert_allclose(paths.times_s, np.arange(1, 11) * STEP_S)
    for step in range(10):
        time_s = (20 + step) * STEP_S
        hidden = tracker.update(nobody, CAMERA, time_s, pose(time_s) if moving else None)
        assert (hidden.tracks.states == TrackState.PREDICTED).all()
        origin, rotation, covariance = in_world(hidden.humans, pose(time_s) if moving else None)
        np.testing.assert_allclose(paths.positions[:, step], origin, atol=1e-4)
        np.testing.assert_allclose(paths.rotations, rotation, atol=1e-5)
        assert_no_surer(paths.covariances[:, step, :3, :3], than=covariance[:, :3, :3])
        np.testing.assert_allclose(paths.covariances[:, step, 3:, 3:], covariance[:, 3:, 3:], rtol=1e-4, atol=1.0)


def test_who_is_hidden_already_goes_on_along_the_same_path():
    tracker = Tracker(TrackerConfig(track_predict_s=3.0))
    told, _ = followed(tracker)
    before = predicted_paths(told.humans, told.tracks, told.motion, 1.0, 10)
    nobody = told.humans.select(np.zeros(2, bool))
    hidden = tracker.update(nobody, CAMERA, 20 * STEP_S)
    after = predicted_paths(hidden.humans, hidden.tracks, hidden.motion, 0.9, 9)
    np.testing.assert_allclose(after.starts, before.positions[:, 0], atol=1e-4)
    np.testing.assert_allclose(after.positions, before.positions[:, 1:], atol=1e-4)
    assert_no_surer(before.covariances[:, 1:, :3, :3], than=after.covariances[..., :3, :3])


@pytest.mark.parametrize("moving", [False, True])
def test_people_who_keep_their_velocity_are_where_they_were_predicted(moving):
    told, transform = followed(Tracker(TrackerConfig()), moving, images=40)
    paths = predicted_paths(told.humans, told.tracks, told.motion, 1.0, 5, transform)
    truth = np.stack([places(39 * STEP_S + t) for t in paths.times_s], axis=1)
    np.testing.assert_allclose(paths.positions, truth, atol=0.1)
    np.testing.assert_allclose(paths.starts, places(39 * STEP_S), atol=0.02)


def test_less_is_known_the_farther_ahead_and_all_of_it_is_a_covariance():
    told, _ = followed(Tracker(TrackerConfig()))
    calm, agile = (
        predicted_paths(told.humans, told.tracks, motion, 5.0, 20).covariances
        for motion in (told.motion, followed(Tracker(TrackerConfig(track_agility=2.0)))[0].motion)
    )
    sizes = np.linalg.eigvalsh(calm)
    assert (sizes > 0).all() and (np.diff(np.trace(calm[..., :3, :3], axis1=-2, axis2=-1), axis=1) > 0).all()
    assert (np.linalg.eigvalsh(agile[:, -1, :3, :3])[:, 0] > np.linalg.eigvalsh(calm[:, -1, :3, :3])[:, 0]).all()
    now = told.humans.covariance[:, :3, :3]
    assert (np.linalg.eigvalsh(calm[:, 0, :3, :3] - now) > 0).all(), "never surer than of where they are now"


def test_somebody_just_seen_stands_as_far_as_anybody_knows():
    told, _ = followed(Tracker(TrackerConfig()), images=1)
    paths = predicted_paths(told.humans, told.tracks, told.motion, 2.0, 2)
    np.testing.assert_allclose(paths.positions, np.repeat(told.humans.origin[:, None], 2, axis=1), atol=1e-6)
    grown = paths.covariances[:, 1, :3, :3] - told.humans.covariance[:, :3, :3]
    assert (np.linalg.eigvalsh(grown) > 2.0**2).all(), "a metre a second, for two seconds"


def test_nobody_and_each_one_alone():
    told, _ = followed(Tracker(TrackerConfig()))
    both = predicted_paths(told.humans, told.tracks, told.motion, 1.0, 4)
    for i in range(2):
        keep = np.arange(2) == i
        alone = predicted_paths(told.humans.select(keep), told.tracks.select(keep), told.motion.select(keep), 1.0, 4)
        for one, all_of_them in zip(alone[1:], both[1:]):
            np.testing.assert_allclose(one, all_of_them[keep], rtol=1e-6)
    none = np.zeros(2, bool)
    empty = predicted_paths(told.humans.select(none), told.tracks.select(none), told.motion.select(none), 1.0, 4)
    assert empty.positions.shape == (0, 4, 3) and empty.covariances.shape == (0, 4, 6, 6)


@pytest.mark.parametrize("horizon_s, steps", [(0.0, 3), (1.0, 0)])
def test_a_path_to_nowhere_is_refused(horizon_s, steps):
    told, _ = followed(Tracker(TrackerConfig()))
    with pytest.raises(ValueError, match="horizon"):
        predicted_paths(told.humans, told.tracks, told.motion, horizon_s, steps)
