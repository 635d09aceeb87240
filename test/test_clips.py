"""Clips: people keep looks and identity, feet that carry stay, nobody walks into anybody, same seed same bytes."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, pairwise

import numpy as np
import pytest
from scipy.spatial import cKDTree

from ros2_multihmr.assets import asset
from ros2_multihmr.body import create_body
from ros2_multihmr.cli import main
from ros2_multihmr.samples.sample import ARRAYS
from ros2_multihmr.synthesis.clip_file import SHIPPED, read_clip, shipped_clip, stamp_ns, write_clip
from ros2_multihmr.synthesis.clips import ClipConfig, clip, collision, sample_camera, sample_ways
from ros2_multihmr.synthesis.make_clip import Options
from ros2_multihmr.synthesis.motion import Performer, Stay, Walk, course

SMALL = ClipConfig(longer_side=64, rate_hz=2.5, duration_s=2.0)
STRAIGHT = Walk(((0.0, 0.0), (3.0, 1.0)), speed_m_per_s=1.2)
ROUND = Walk(((3.0, 0.0), (0.0, 3.0), (-3.0, 0.0), (0.0, -3.0)), closed=True)


@pytest.fixture(scope="module")
def body():
    return create_body("anny")


def performer(body, way, seed=0, duration_s=4.0):
    return Performer(np.random.default_rng(seed), body, "val", way, duration_s)


def track(body, people, name):
    """(T, 3) where a keypoint is."""
    place = body.info.keypoint_names.index(name)
    return np.array([person.keypoints[place] for person in people])


# ---- ways


def test_a_way_goes_through_its_places_at_its_speed_and_straight_on_beyond():
    follow = course(Walk(((0.0, 0.0), (2.0, 1.0), (4.0, 0.0)), speed_m_per_s=0.5, start_m=-1.0))
    times = np.arange(0.0, 14.0, 0.02)
    spots = np.array([follow(time_s)[0] for time_s in times])
    for place in ((0.0, 0.0), (2.0, 1.0), (4.0, 0.0)):
        assert np.linalg.norm(spots - place, axis=1).min() < 0.02, place
    assert np.allclose(np.linalg.norm(np.diff(spots, axis=0), axis=1), 0.01, rtol=0.02)
    before = spots[times < 2.0]
    assert np.allclose(np.linalg.norm(before - before[0], axis=1), 0.5 * times[: len(before)], atol=1e-3)


def test_who_walks_looks_ahead():
    for way in (STRAIGHT, ROUND):
        follow = course(way)
        for time_s in np.arange(0.1, 9.0, 0.7):
            (before, _), (_, heading), (after, _) = (follow(time_s + by) for by in (-0.01, 0.0, 0.01))
            ahead = (after - before) / np.linalg.norm(after - before)
            assert np.allclose(ahead, (np.cos(heading), np.sin(heading)), atol=0.02), time_s


def test_a_closed_way_comes_back():
    follow = course(ROUND)
    round_s = 2.0 * np.pi * 3.0 / ROUND.speed_m_per_s
    again = min(np.linalg.norm(follow(time_s)[0] - follow(0.0)[0]) for time_s in np.linspace(0.9, 1.1, 200) * round_s)
    assert again < 0.05
    radii = [np.linalg.norm(follow(time_s)[0]) for time_s in np.arange(0.0, 40.0, 0.5)]
    assert min(radii) > 2.8 and max(radii) < 3.2


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Walk(((0.0, 0.0),)),
        lambda: Walk(((0.0, 0.0), (0.0, 0.0))),
        lambda: Walk(((0.0, 0.0), (1.0, 0.0)), closed=True),
        lambda: Walk(((0.0, 0.0), (1.0, float("nan")))),
        lambda: Walk(((0.0, 0.0), (1.0, 0.0)), speed_m_per_s=0.0),
    ],
)
def test_ways_that_are_none_are_refused(wrong):
    with pytest.raises(ValueError, match="Walk: "):
        wrong()


# ---- people


@pytest.mark.parametrize(("way", "most_m"), [(STRAIGHT, 0.025), (ROUND, 0.04)])
def test_feet_that_carry_stay_where_they_are(body, way, most_m):
    for seed in (0, 1):
        walker = performer(body, way, seed)
        times = np.arange(0.0, 3.0, 0.04)
        people = [walker.at(time_s) for time_s in times]
        heels, toes = (track(body, people, f"left_{name}") for name in ("heel", "big_toe"))
        assert np.abs(np.diff(toes[:, :2], axis=0)).max() > 0.08, "it swings"
        low = [points[:, 2] < points[:, 2].min() + 0.025 for points in (heels, toes)]
        flat = np.flatnonzero(low[0] & low[1])
        stances = np.split(flat, np.flatnonzero(np.diff(flat) > 1) + 1)
        assert len(stances) >= 2 and len(flat) > 10
        for stance, points in ((stance, points) for stance in stances for points in (heels, toes)):
            assert np.ptp(points[stance, :2], axis=0).max() < most_m


def test_who_walks_goes_as_far_as_the_way_says(body):
    walker = performer(body, STRAIGHT)
    start, end = (walker.at(time_s) for time_s in (0.0, 2.5))
    assert np.isclose(np.linalg.norm(end.joints[0, :2] - start.joints[0, :2]), 2.5 * 1.2, atol=1e-3)
    forward = start.rotmats[0] @ body.info.body_axes[:, 0]
    assert forward[:2] @ (3.0, 1.0) / np.hypot(3.0, 1.0) > 0.97


def test_who_stays_moves_all_but_the_feet_and_smoothly(body):
    person = performer(body, Stay((2.0, 1.0), 0.5))
    people = [person.at(time_s) for time_s in np.arange(0.0, 4.0, 1 / 30)]
    for name in ("left_heel", "right_big_toe"):
        assert np.ptp(track(body, people, name), axis=0).max() < 1e-3
    wrists = np.stack([track(body, people, f"{side}_wrist") for side in ("left", "right")])
    assert np.ptp(wrists, axis=1).max() > 0.1
    steps = np.diff(np.array([one.keypoints for one in people]), axis=0)
    assert np.linalg.norm(steps, axis=2).max() < 0.12, "no jumps"
    assert np.array_equal(people[0].actor.shape, people[-1].actor.shape)


def test_a_person_follows_from_the_time_alone(body):
    for way in (STRAIGHT, Stay((1.0, 0.0), 0.0)):
        one, other = performer(body, way), performer(body, way)
        later = [one.at(time_s) for time_s in (0.3, 1.7, 1.1)][-1]
        assert np.array_equal(later.vertices_lod, other.at(1.1).vertices_lod)


# ---- clips


@pytest.fixture(scope="module")
def frames(body):
    return list(clip(3, SMALL, body))


def test_same_seed_same_bytes_other_seed_other_people(body, frames):
    again = list(clip(3, SMALL, body))
    for one, other in zip(frames, again, strict=True):
        assert one.sample.key == other.sample.key and np.array_equal(one.sample.image, other.sample.image)
        for name in ARRAYS:
            assert np.array_equal(getattr(one.sample.labels, name), getattr(other.sample.labels, name))
    for others in (clip(4, SMALL, body), clip(3, replace(SMALL, split="train"), body)):
        assert not np.array_equal(next(others).sample.labels.shape, frames[0].sample.labels.shape)


def test_a_rate_changes_which_images_are_taken_and_nothing_else(body, frames):
    few = list(clip(3, replace(SMALL, rate_hz=1.25), body))
    for index, one in enumerate(few):
        assert one.stamp_s == frames[2 * index].stamp_s
        assert np.allclose(one.sample.labels.keypoints, frames[2 * index].sample.labels.keypoints, atol=1e-5)


def test_frames_have_stamps_truth_and_lasting_identities(body, frames):
    assert [frame.stamp_s for frame in frames] == [0.0, 0.4, 0.8, 1.2, 1.6]
    assert [stamp_ns(frame.sample) for frame in frames] == [0, 400_000_000, 800_000_000, 1_200_000_000, 1_600_000_000]
    shapes: dict[int, np.ndarray] = {}
    for frame in frames:
        labels = frame.sample.labels
        labels.check(body.info)
        assert frame.sample.image.shape == (36, 64, 3) and len(labels) >= 1
        for identity, shape in zip(labels.identity.tolist(), labels.shape):
            assert np.array_equal(shapes.setdefault(identity, shape), shape)
        assert frame.sample.dense is not None and frame.sample.dense.instance.max() <= len(labels)
    assert len(shapes) == 3 and len({shape.tobytes() for shape in shapes.values()}) == 3


def test_labels_are_where_the_ways_are(body):
    ways = (Walk(((4.0, 1.5), (4.0, -1.5)), 1.0), Stay((6.0, 0.5), np.pi))
    for frame in clip(0, SMALL, body, ways):
        from_camera = np.linalg.inv(frame.T_camera_world)
        hips = [body.info.keypoint_names.index(f"{side}_hip") for side in ("left", "right")]
        middle = frame.sample.labels.keypoints[:, hips].mean(axis=1) @ from_camera[:3, :3].T + from_camera[:3, 3]
        for identity, spot in zip(frame.sample.labels.identity, middle[:, :2]):
            assert np.linalg.norm(spot - course(ways[identity])(frame.stamp_s)[0]) < 0.2


def test_a_still_camera_sees_a_still_place(frames):
    first, last = frames[0], frames[-1]
    assert np.array_equal(first.T_camera_world, last.T_camera_world)
    nobody = (first.sample.dense.instance == 0) & (last.sample.dense.instance == 0)
    assert nobody.mean() > 0.5
    assert np.allclose(first.sample.dense.depth[nobody], last.sample.dense.depth[nobody], atol=0.05)


@pytest.mark.parametrize(("camera", "moves"), [("pan", False), ("drive", True)])
def test_cameras_move_if_asked(body, camera, moves):
    poses = [np.linalg.inv(frame.T_camera_world) for frame in clip(3, replace(SMALL, camera=camera), body)]
    assert not np.allclose(poses[0][:3, :3], poses[1][:3, :3])
    assert (np.linalg.norm(poses[-1][:3, 3] - poses[0][:3, 3]) > 0.3) == moves


def test_people_leave_hide_and_come_again(body):
    ways = (Walk(((4.0, 3.5), (4.0, -3.5)), 1.4), Stay((6.0, 0.0), np.pi), Walk(((8.0, 40.0), (8.0, 50.0)), 1.0))
    config = replace(SMALL, duration_s=5.2)
    seen = [
        dict(zip(f.sample.labels.identity.tolist(), f.sample.labels.visibility)) for f in clip(1, config, body, ways)
    ]
    walker = [0 in people for people in seen]
    assert not walker[0] and walker[len(walker) // 2] and not walker[-1], "comes and goes"
    standing = [people.get(1, 0.0) for people in seen]
    assert standing[0] > 0.9 and min(standing) < 0.5 and standing[-1] > 0.9, "is hidden for a while"
    assert not any(2 in people for people in seen), "who is never in view is never in the truth"


def test_nobody_at_all(body):
    for frame in clip(0, replace(SMALL, people=0, place="open", duration_s=0.4), body):
        assert len(frame.sample.labels) == 0 and frame.sample.image.std() > 1


def test_people_do_not_touch(body):
    config = ClipConfig(people=4)
    for seed in range(3):
        rng = np.random.default_rng(seed)
        people = [performer(body, way, seed) for way in sample_ways(rng, sample_camera(rng, config), config)]
        for time_s in np.arange(0.0, 4.0, 0.25):
            meshes = [person.at(time_s).vertices_lod for person in people]
            for one, other in combinations(meshes, 2):
                assert cKDTree(one).query(other)[0].min() > 0.03


def test_ways_that_meet_are_refused(body):
    config = replace(SMALL, duration_s=4.0)
    head_on = (Walk(((4.0, 2.0), (4.0, -2.0)), 1.0), Walk(((4.0, -2.0), (4.0, 2.0)), 1.0))
    with pytest.raises(ValueError, match="people 0 and 1 come too near to each other after 1.6 s"):
        next(clip(0, config, body, head_on))
    with pytest.raises(ValueError, match="person 0 comes too near to the camera"):
        next(clip(0, config, body, (Walk(((3.0, 0.0), (0.0, 0.0)), 1.0),)))
    assert not collision(head_on[:1], config)
    with pytest.raises(ValueError, match="not negative"):
        next(clip(-1, config, body))


def test_settings_that_are_not_allowed_are_refused():
    for wrong in ({"camera": "flying"}, {"rate_hz": 0.0}, {"people": 5}, {"place": "sea"}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            ClipConfig(**wrong)


# ---- files


def test_a_clip_survives_its_file(tmp_path, frames):
    samples = [frame.sample for frame in frames]
    assert write_clip(tmp_path / "clip.tar", reversed(samples)) == 5
    for one, sample in zip(read_clip(tmp_path / "clip.tar"), samples, strict=True):
        assert one.key == sample.key and one.dense is None
        assert np.array_equal(one.camera.k, sample.camera.k)
        assert np.abs(one.image.astype(int) - sample.image).mean() < 12
        for name in ARRAYS:
            assert np.array_equal(getattr(one.labels, name), getattr(sample.labels, name))


def test_a_file_of_no_clip_is_told(tmp_path, frames):
    write_clip(tmp_path / "other.tar", [replace(frames[0].sample, key="picture-one")])
    with pytest.raises(ValueError, match="is this of a clip"):
        read_clip(tmp_path / "other.tar")


def test_the_command_makes_a_clip(tmp_path, capsys):
    flags = ["--longer-side", "64", "--duration-s", "0.2", "--people", "1"]
    assert main(["synthesize", "clip", "--out", str(tmp_path / "a.tar"), *flags]) == 0
    assert len(read_clip(tmp_path / "a.tar")) == 2 and "2 images" in capsys.readouterr().out
    assert main(["synthesize", "clip", "--out", str(tmp_path / "none" / "a.tar"), *flags]) == 2


def test_the_clip_that_is_installed_shows_people_who_come_cross_and_hide():
    samples = shipped_clip()
    assert asset(SHIPPED).stat().st_size < 2_000_000
    assert [stamp_ns(sample) for sample in samples] == [100_000_000 * index for index in range(40)]
    assert all(sample.image.shape == (360, 640, 3) and sample.key.startswith("val-") for sample in samples)
    seen = [dict(zip(s.labels.identity.tolist(), s.labels.visibility.tolist())) for s in samples]
    assert {*seen[0]} < {*seen[10]} == {0, 1, 2}
    for identity, least in ((1, 0.5), (2, 0.1)):
        assert min(people[identity] for people in seen) < least < 0.9 < max(people[identity] for people in seen)
    columns = [
        [s.camera.project(s.labels.keypoints.mean(axis=1))[s.labels.identity == i, 0] for s in samples[5:]]
        for i in (0, 2)
    ]
    first, third = (np.array(column).ravel() for column in columns)
    for before, after in pairwise(range(0, 35, 5)):
        assert first[after] > first[before] and third[after] > third[before] - 5


def test_the_command_makes_the_clip_that_is_installed(body):
    options = Options()
    config = ClipConfig(**{name: getattr(options, name) for name in ClipConfig.__dataclass_fields__})
    sample, installed = next(clip(options.seed, config, body)).sample, shipped_clip()[0]
    assert sample.key == installed.key and np.allclose(sample.camera.k, installed.camera.k)
    told = f"the scenes have changed: multihmr synthesize clip --out ros2_multihmr/assets/{SHIPPED}"
    assert np.array_equal(sample.labels.identity, installed.labels.identity), told
    assert np.allclose(sample.labels.keypoints, installed.labels.keypoints, atol=1e-3), told
    assert np.abs(sample.image.astype(int) - installed.image).mean() < 6, told
