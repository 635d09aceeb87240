"""The tracker: people stay themselves through misses, crossings and gaps, and ids stay few."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from small_truth import small_body

from ros2_multihmr.camera import Camera
from ros2_multihmr.humans import Humans
from ros2_multihmr.rotations import rotvec_to_rotmat
from ros2_multihmr.tracking.association import returning, seen_people
from ros2_multihmr.tracking.detector_noise import DetectorNoise
from ros2_multihmr.tracking.fixed_frame import FixedFrame
from ros2_multihmr.tracking.identities import IdPool
from ros2_multihmr.tracking.motion_state import Motion
from ros2_multihmr.tracking.tracker import Tracker
from ros2_multihmr.tracking.tracker_config import TrackerConfig
from ros2_multihmr.tracking.tracks import Tracked, TrackState
from ros2_multihmr.uncertainty import UNKNOWN, pose_covariance

BODY = small_body().info
CAMERA = Camera.from_fov(640, 480, 60.0)
JOINTS = np.random.default_rng(0).normal(0, 0.3, (len(BODY.joint_names), 3))


def people(places, *, scores=0.9, size=1.0, mesh: bool = False) -> Humans:
    """People of one pose, as tall as `size` says."""
    origin = np.array(places, float).reshape(-1, 3)
    count = len(origin)
    tall = np.broadcast_to(size, count)[:, None, None] * JOINTS
    empty = Humans.empty(BODY)
    points = {
        name: (origin[:, None] + tall[:, [0] * getattr(empty, name).shape[1]]).astype(np.float32)
        for name in ("keypoints_3d", "vertices_lod", "vertices")
    }
    if not mesh:
        points["vertices"] = points["vertices"][:, :0]
    covariance = np.zeros((count, 6, 6))
    seen = np.isfinite(origin).all(1) & (np.linalg.norm(origin, axis=1) > 0)
    covariance[seen] = pose_covariance(origin[seen], CAMERA.fx, 5.0, 0.1)
    covariance[~seen] = np.nan
    arrays = {
        f: np.zeros((count, *getattr(empty, f).shape[1:]), np.float32) for f in ("rotvecs", "shape", "expression")
    }
    return replace(
        empty,
        **arrays,
        **points,
        scores=np.broadcast_to(np.float32(scores), count).astype(np.float32),
        translation=origin.astype(np.float32),
        origin=origin.astype(np.float32),
        rotation=np.tile(np.eye(3, dtype=np.float32), (count, 1, 1)),
        covariance=covariance.astype(np.float32),
        joints=(origin[:, None] + tall).astype(np.float32),
        keypoints_2d=np.zeros((count, len(BODY.keypoint_names), 2), np.float32),
        keypoint_scores=np.zeros((count, len(BODY.keypoint_names)), np.float32),
        bbox=np.zeros((count, 4), np.float32),
        box_min=origin.astype(np.float32),
        box_max=origin.astype(np.float32),
    )


def follow(tracker: Tracker, frames, *, start_s: float = 0.0, dt_s: float = 1 / 30, **kwargs) -> Tracked:
    for i, places in enumerate(frames):
        told = tracker.update(people(places, **kwargs), CAMERA, start_s + i * dt_s)
    return told


def test_states_ids_and_ages():
    tracker = Tracker(TrackerConfig())
    first = tracker.update(people([(0, 0, 4), (1, 0, 5)]), CAMERA, 10.0)
    assert first.tracks.ids.tolist() == [1, 2] and first.tracks.states.tolist() == [TrackState.NEW] * 2
    second = tracker.update(people([(1, 0, 5), (0, 0, 4)]), CAMERA, 10.5)
    assert second.tracks.ids.tolist() == [2, 1] and second.tracks.states.tolist() == [TrackState.OK] * 2
    np.testing.assert_allclose(second.tracks.ages_s, 0.5)


def test_people_who_are_seen_are_returned_as_they_came():
    tracker, humans = Tracker(TrackerConfig()), people([(0, 0, 4)])
    assert tracker.update(humans, CAMERA, 0.0).humans is humans


def test_nobody():
    told = Tracker(TrackerConfig()).update(people([]), CAMERA, 0.0)
    assert len(told.humans) == len(told.tracks.ids) == len(told.motion) == 0


def test_who_is_not_seen_walks_on_flagged_then_is_lost_once():
    tracker = Tracker(TrackerConfig(track_predict_s=1.0))
    follow(tracker, [[(-1 + 0.04 * i, 0, 5)] for i in range(30)])
    states = []
    for i in range(30, 70):
        told = tracker.update(people([]), CAMERA, i / 30)
        states += told.tracks.states.tolist()
        if told.tracks.states.tolist() == [TrackState.PREDICTED]:
            assert told.humans.scores[0] == 0.0
            assert abs(told.humans.origin[0, 0] - (-1 + 0.04 * i)) < 0.15
    assert states.count(TrackState.LOST) == 1 and states[-1] == TrackState.LOST
    assert 28 <= states.count(TrackState.PREDICTED) <= 31


def test_a_predicted_persons_covariance_grows():
    tracker = Tracker(TrackerConfig())
    follow(tracker, [[(0, 0, 5)]] * 10)
    sizes = [np.trace(tracker.update(people([]), CAMERA, 0.3 + 0.1 * i).humans.covariance[0, :3, :3]) for i in range(8)]
    assert (np.diff(sizes) > 0).all()


def test_who_walks_out_of_the_image_is_lost_at_once():
    tracker = Tracker(TrackerConfig(track_predict_s=5.0))
    follow(tracker, [[(2.0 + 0.05 * i, 0, 5)] for i in range(10)])
    frames = 0
    while tracker.update(people([]), CAMERA, (10 + frames) / 30).tracks.states.tolist() == [TrackState.PREDICTED]:
        frames += 1
    assert frames < 60


def test_people_who_cross_keep_their_ids():
    tracker = Tracker(TrackerConfig())
    rng = np.random.default_rng(0)
    for i in range(60):
        x = -1.5 + 0.05 * i
        places = np.array([(x, 0, 4.0), (-x, 0, 5.0)]) + rng.normal(0, 0.02, (2, 3))
        seen = [0] if 28 <= i <= 32 else [0, 1]  # the far one is hidden
        told = tracker.update(people(places[seen]), CAMERA, i / 30)
        assert told.tracks.ids.tolist() == [1, 2]


def test_who_comes_back_gets_the_same_id_and_somebody_else_does_not():
    for size, wanted in ((1.1, 1), (0.6, 2)):
        tracker = Tracker(TrackerConfig(track_predict_s=0.5))
        follow(tracker, [[(0, 0, 5)]] * 20, size=1.1)
        assert follow(tracker, [[]] * 60, start_s=1.0).tracks.ids.size == 0
        told = tracker.update(people([(0.5, 0, 5)], size=size), CAMERA, 4.0)
        assert told.tracks.ids.tolist() == [wanted]


def test_after_the_cooldown_nobody_is_known_again():
    tracker = Tracker(TrackerConfig(track_id_cooldown_s=3.0))
    follow(tracker, [[(0, 0, 5)]] * 20)
    told = tracker.update(people([(0, 0, 5)]), CAMERA, 3600.0)  # an hour's gap
    assert TrackState.NEW in told.tracks.states and TrackState.LOST in told.tracks.states
    assert told.tracks.ages_s[0] == 0.0


def test_a_brief_false_sighting_does_not_take_a_hidden_persons_id_away():
    tracker = Tracker(TrackerConfig())
    follow(tracker, [[(0, 0, 5)]] * 30)
    follow(tracker, [[]] * 30, start_s=1.0)
    tracker.update(people([(0.6, 0, 5)]), CAMERA, 2.0)
    told = tracker.update(people([]), CAMERA, 2.03)
    assert told.tracks.ids.tolist() == [1] and abs(told.humans.origin[0, 0]) < 0.2


def test_weak_detections_go_on_with_a_track_and_begin_none():
    tracker = Tracker(TrackerConfig(track_begin_score=0.5))
    assert len(tracker.update(people([(0, 0, 5)], scores=0.4), CAMERA, 0.0).humans) == 0
    follow(tracker, [[(0, 0, 5)]] * 3, start_s=0.1)
    told = tracker.update(people([(0, 0, 5), (2, 0, 5)], scores=0.4), CAMERA, 0.3)
    assert told.tracks.ids.tolist() == [1] and told.tracks.states.tolist() == [TrackState.OK]


def test_backwards_jump_begins_anew_and_a_repeated_stamp_does_not():
    tracker = Tracker(TrackerConfig())
    follow(tracker, [[(0, 0, 5)]] * 5, start_s=100.0)
    again = tracker.update(people([(0, 0, 5)]), CAMERA, 100.0 + 4 / 30)
    assert again.tracks.states.tolist() == [TrackState.OK] and np.isfinite(again.motion.velocity).all()
    back = tracker.update(people([(0, 0, 5)]), CAMERA, 1.0)
    assert back.tracks.states.tolist() == [TrackState.NEW] and back.tracks.ages_s[0] == 0.0


@pytest.mark.parametrize("stamp_s", [np.nan, np.inf])
def test_a_stamp_that_is_no_time_is_refused(stamp_s: float):
    with pytest.raises(ValueError, match="finite stamp"):
        Tracker(TrackerConfig()).update(people([]), CAMERA, stamp_s)


def test_people_without_a_place_are_left_out(caplog: pytest.LogCaptureFixture):
    tracker = Tracker(TrackerConfig())
    told = tracker.update(people([(np.nan, 0, 4), (0, 0, 4), (0, 0, 0)]), CAMERA, 0.0)
    assert told.humans.origin.tolist() == [[0, 0, 4]] and "left out 2" in caplog.text


def test_people_behind_the_camera_are_followed_but_not_predicted():
    tracker = Tracker(TrackerConfig())
    assert follow(tracker, [[(0, 0, -1)]] * 5).tracks.states.tolist() == [TrackState.OK]
    assert tracker.update(people([]), CAMERA, 0.2).tracks.states.tolist() == [TrackState.LOST]


def test_the_same_images_give_the_same_tracks():
    rng = np.random.default_rng(1)
    frames = [rng.uniform((-2, -1, 3), (2, 1, 8), (rng.integers(0, 5), 3)) for _ in range(40)]
    told = [follow(Tracker(TrackerConfig()), frames) for _ in range(2)]
    assert told[0].tracks.ids.tolist() == told[1].tracks.ids.tolist()
    assert np.array_equal(told[0].motion.covariance, told[1].motion.covariance)


def test_a_camera_that_turns_leaves_people_where_they_are():
    tracker, place = Tracker(TrackerConfig()), np.array([0.3, 0.0, 5.0])
    for i in range(40):
        pose = np.eye(4)
        pose[:3, :3] = rotvec_to_rotmat([0.0, 0.01 * i, 0.0])
        pose[:3, 3] = (0.02 * i, 0, 0)
        local = (place - pose[:3, 3]) @ pose[:3, :3]
        told = tracker.update(people([] if i >= 30 else [local]), CAMERA, i / 30, pose)
        np.testing.assert_allclose(told.motion.velocity[0], 0, atol=0.05)
        np.testing.assert_allclose(told.humans.origin[0], local, atol=0.02)
    turned = told.humans.rotation[0] @ told.humans.rotation[0].T
    np.testing.assert_allclose(turned, np.eye(3), atol=1e-5)
    np.testing.assert_allclose(told.humans.rotation[0], pose[:3, :3].T @ rotvec_to_rotmat([0.0, 0.29, 0.0]), atol=1e-5)


def test_ids_and_frames_stay_few_over_500_entries_and_exits():
    config, rng = TrackerConfig(track_id_cooldown_s=10.0), np.random.default_rng(0)
    tracker, used, alive, lost = Tracker(config), set(), {}, []
    for i in range(2000):
        at_s = i * 0.3
        leaving = [place for place, until in alive.items() if until < i]
        for place in leaving:
            del alive[place]
        if i % 4 == 0:
            alive[tuple(rng.uniform((-2, -0.5, 4), (2, 0.5, 8)))] = i + 8
        told = tracker.update(people(list(alive)), CAMERA, at_s)
        used |= set(told.tracks.ids.tolist())
        shown = told.tracks.ids[told.tracks.states != TrackState.LOST].tolist()
        assert len(set(shown)) == len(shown)
        lost += told.tracks.ids[told.tracks.states == TrackState.LOST].tolist()
    assert len(lost) > 100 and max(used) <= 40


def test_full_meshes_follow_the_wish_of_the_image():
    tracker = Tracker(TrackerConfig())
    follow(tracker, [[(0, 0, 5)]] * 5, mesh=True)
    assert not tracker.update(people([]), CAMERA, 0.2).humans.has_vertices
    assert tracker.update(people([], mesh=True), CAMERA, 0.25).humans.vertices.shape[:2] == (1, BODY.num_vertices)
    tracker.reset()
    follow(tracker, [[(0, 0, 5)]] * 5)
    assert len(tracker.update(people([], mesh=True), CAMERA, 0.2).humans) == 0  # no mesh to show, but not forgotten
    assert tracker.update(people([(0, 0, 5)]), CAMERA, 0.3).tracks.ids.tolist() == [1]


def test_who_jumps_along_the_ray_is_the_same_person_and_leaves_no_ghost():
    tracker = Tracker(TrackerConfig())
    follow(tracker, [[(0.5, 0, 5)]] * 20)
    told = tracker.update(people([(0.6, 0, 6.0)]), CAMERA, 0.7)
    assert told.tracks.ids.tolist() == [1] and np.linalg.norm(told.motion.velocity) < 1.0
    told = tracker.update(people([(1.5, 0, 5.0)]), CAMERA, 0.73)  # across the ray, a metre is another person
    assert told.tracks.ids.tolist() == [2, 1]


def test_a_false_detection_of_one_image_is_never_predicted():
    tracker = Tracker(TrackerConfig())
    tracker.update(people([(0, 0, 4)], scores=0.55), CAMERA, 0.0)
    assert tracker.update(people([]), CAMERA, 0.03).tracks.states.tolist() == [TrackState.LOST]


def test_a_weak_newcomer_is_told_of_from_the_second_image_on():
    tracker = Tracker(TrackerConfig())
    assert len(tracker.update(people([(0, 0, 4)], scores=0.35), CAMERA, 0.0).tracks.ids) == 0
    again = tracker.update(people([(0, 0, 4)], scores=0.35), CAMERA, 0.03)
    assert again.tracks.states.tolist() == [TrackState.OK] and len(again.humans) == 1
    tracker.reset()
    tracker.update(people([(0, 0, 4), (2, 0, 4)], scores=np.array([0.35, 0.9])), CAMERA, 0.0)
    gone = tracker.update(people([(2, 0, 4)], scores=0.9), CAMERA, 0.03)
    assert gone.tracks.states.tolist() == [TrackState.OK]  # who was never told of is never lost
    at_once = Tracker(TrackerConfig(track_show_score=0.0))
    assert at_once.update(people([(0, 0, 4)], scores=0.35), CAMERA, 0.0).tracks.states.tolist() == [TrackState.NEW]


def test_who_is_seen_for_longer_is_predicted_for_longer_and_the_belief_says_how_long():
    def predicted(images: int, score: float, **settings) -> int:
        tracker = Tracker(TrackerConfig(track_predict_s=10.0, **settings))
        follow(tracker, [[(0, 0, 5)]] * images, scores=score)
        for i in range(300):
            if not tracker.update(people([]), CAMERA, (images + i) / 30).tracks.predicted.any():
                return i
        return 300

    assert predicted(3, 0.3) < predicted(30, 0.9) < predicted(30, 0.9, track_belief=0.1)
    assert predicted(30, 0.9, track_belief=0.0) == 300


def test_looks_tell_two_people_apart_whom_places_do_not():
    rng, given = np.random.default_rng(0), np.eye(8)[[0, 1]]
    for looks in (given, None):
        tracker = Tracker(TrackerConfig())
        for i in range(20):
            tracker.update(people([(-0.1, 0, 5), (0.1, 0, 5)]), CAMERA, i / 30, appearance=looks)
        swapped = None if looks is None else looks[::-1] + rng.normal(0, 0.05, (2, 8))
        told = tracker.update(people([(-0.05, 0, 5), (0.05, 0, 5)]), CAMERA, 20 / 30, appearance=swapped)
        assert told.tracks.ids.tolist() == ([1, 2] if looks is None else [2, 1])


def test_looks_may_come_go_and_change_their_length():
    tracker = Tracker(TrackerConfig())
    for i, looks in enumerate(
        (None, np.ones((1, 4)), None, np.full((1, 4), np.nan), np.zeros((1, 6)), np.ones((1, 6)))
    ):
        told = tracker.update(people([(0, 0, 5)]), CAMERA, i / 30, appearance=looks)
        assert told.tracks.ids.tolist() == [1]


@pytest.mark.parametrize("looks", [np.ones(3), np.ones((2, 3))])
def test_looks_of_a_wrong_shape_are_refused(looks: np.ndarray):
    with pytest.raises(ValueError, match="one row for each of 1"):
        Tracker(TrackerConfig()).update(people([(0, 0, 5)]), CAMERA, 0.0, appearance=looks)


# --- parts ----------------------------------------------------------------------------------------


def test_prediction_is_the_same_in_one_step_and_in_many():
    start = Motion.begin(np.zeros((2, 3)), np.tile(np.eye(3), (2, 1, 1)), 0.5)
    many = start
    for _ in range(10):
        many = many.predicted(0.1)
    np.testing.assert_allclose(many.covariance, start.predicted(1.0).covariance)
    path = start.path(1.0, 4)
    np.testing.assert_allclose(path.covariances[:, -1], many.covariance[:, :3, :3])
    np.testing.assert_allclose(path.positions[:, 1], start.predicted(0.5).position)


def test_velocity_and_its_covariance_are_right_on_average():
    rng, misses = np.random.default_rng(0), []
    velocity = np.array([0.8, 0.0, -0.5])
    motion = Motion.begin(rng.normal(0, 0.1, (500, 3)), np.tile(0.01 * np.eye(3), (500, 1, 1)), 1e-3)
    for i in range(1, 40):
        measured = i / 30 * velocity + rng.normal(0, 0.1, (500, 3))
        motion = motion.predicted(1 / 30).updated(measured, np.tile(0.01 * np.eye(3), (500, 1, 1)))
    off = motion.velocity - velocity
    misses = np.einsum("ni,nij,nj->n", off, np.linalg.inv(motion.covariance[:, 3:, 3:]), off)
    assert 2.0 < misses.mean() < 4.0  # three degrees of freedom
    assert (motion.twist_covariance()[:, :3, :3] == UNKNOWN * np.eye(3)).all()  # nobody said that it is valid


def test_path_says_what_it_cannot_do():
    with pytest.raises(ValueError, match="horizon"):
        Motion.begin(np.zeros((1, 3)), np.zeros((1, 3, 3)), 1.0).path(0.0, 3)


def test_ids_rest_and_run_out():
    pool = IdPool(2)
    assert (pool.take(), pool.take(), pool.take()) == (1, 2, 0)
    pool.release(2, 5.0)
    assert pool.rests(2) and pool.take() == 2
    pool.release(1, 6.0)
    pool.expire(7.0, 1.0)
    assert not pool.rests(1)


def test_a_pose_that_comes_late_goes_on_from_where_the_camera_was():
    frame, world = FixedFrame(), np.eye(4)
    world[:3, 3] = (5, 6, 7)
    assert np.array_equal(frame.follow(None), np.eye(4))
    np.testing.assert_allclose(frame.follow(world), np.eye(4))
    moved = world.copy()
    moved[0, 3] += 1
    np.testing.assert_allclose(frame.follow(moved)[:3, 3], (1, 0, 0))
    np.testing.assert_allclose(frame.follow(None)[:3, 3], (1, 0, 0))


@pytest.mark.parametrize(
    "pose", [np.eye(3), np.diag([1.0, 1, 2, 1]), np.full((4, 4), np.nan), np.diag([1.0, 1, -1, 1])]
)
def test_a_pose_that_is_none_is_refused(pose: np.ndarray):
    with pytest.raises(ValueError, match="camera pose"):
        FixedFrame().follow(pose)


@pytest.mark.parametrize(("hidden", "aside"), [(15, 0.5), (22, 0.9)])
def test_a_false_detection_beside_a_hidden_person_does_not_take_the_id_along(hidden: int, aside: float):
    tracker = Tracker(TrackerConfig())
    first = follow(tracker, [[(0.05 * f - 1, 0, 5)] for f in range(30)], dt_s=1 / 15)
    follow(tracker, [[]] * hidden, start_s=2.0, dt_s=1 / 15)
    at, stamp = 0.05 * (30 + hidden) - 1, 2.0 + hidden / 15
    mistaken = tracker.update(people([(at + aside, 0, 5)], scores=0.6), CAMERA, stamp)
    assert mistaken.tracks.ids.tolist() == first.tracks.ids.tolist()  # nothing says that it is not the person
    back = tracker.update(people([(at + 0.05, 0, 5)]), CAMERA, stamp + 1 / 15)
    assert back.tracks.ids[back.tracks.seen].tolist() == first.tracks.ids.tolist()


def test_who_was_seen_only_once_is_hardly_a_rival_of_who_comes_back():
    seen = seen_people(people([(0, 0, 5)]), np.eye(4), DetectorNoise(0.25), np.zeros((1, 0)))
    places, size = np.array([[1.53, 0.0, 5.0], [-1.29, 0.0, 5.0]]), np.repeat(seen.looks.size, 2, axis=0)
    away_s, sigma = np.array([2.2, 1.66]), np.full(2, 0.012)
    assert returning(places, size, away_s, seen, sigma, np.array([20, 1]))[0].tolist() == [0]
    assert returning(places, size, away_s, seen, sigma, np.array([20, 20]))[0].tolist() != [0]


@pytest.mark.parametrize(("drift", "missed", "wrong"), [((0.3, 0.55), 3, (0.3, 0.6)), ((0.2, 0.4), 3, (0.3, 0.4))])
def test_a_wrong_sighting_does_not_lead_a_track_away_for_good(drift: tuple, missed: int, wrong: tuple):
    """Somebody seems to go away along the ray, is missed, taken for somebody behind, and then found where expected."""
    places = [(-1.5 + 0.06 * i, 0.0, 3.6) for i in range(24 + missed + 10)]
    frames = [[(x, y, z + far)] for (x, y, z), far in zip(places, (*[0.0] * 22, *drift))]
    frames += [[] for _ in range(missed)]
    x, y, z = places[len(frames)]
    frames.append([(x + wrong[0], y, z + wrong[1])])
    tracker = Tracker(TrackerConfig())
    follow(tracker, frames, dt_s=0.1)
    told = follow(tracker, [[place] for place in places[len(frames) :]], start_s=0.1 * len(frames), dt_s=0.1)
    assert told.tracks.ids.tolist() == [1] and told.tracks.states.tolist() == [TrackState.OK]


def test_who_comes_into_view_where_somebody_was_before_is_somebody_else():
    """The other story: the last sighting was right, and the newcomer is nobody who is known."""
    tracker = Tracker(TrackerConfig())
    follow(tracker, [[(-1.5 + 0.06 * i, 0.0, 3.6)] for i in range(40)], dt_s=0.1)
    walked_on = (-1.5 + 0.06 * 41, 0.0, 3.6)
    told = follow(tracker, [[walked_on, (-1.0, 0.0, 3.6)]] * 3, start_s=4.1, dt_s=0.02)
    assert told.tracks.ids.tolist() == [1, 2]
