"""Synthetic samples: the same bytes from a seed, labels that fit the picture, and a held-out split of its own."""

from __future__ import annotations

import gc
import hashlib
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
import torch
from scipy.ndimage import maximum_filter

from ros2_multihmr.body import create_body
from ros2_multihmr.samples.sample import Sample
from ros2_multihmr.synthesis.config import KINDS, SceneConfig
from ros2_multihmr.synthesis.crowd import footprint
from ros2_multihmr.synthesis.furniture import STANDING
from ros2_multihmr.synthesis.rooms import Ground, stand
from ros2_multihmr.synthesis.synthetic import sample_scene, synthesize
from ros2_multihmr.synthesis.views import sample_eye

SMALL = SceneConfig(longer_side=160)


@pytest.fixture(scope="module")
def body():
    return create_body("anny")


@pytest.fixture(scope="module")
def samples(body) -> list[Sample]:
    return [synthesize(seed, SMALL, body) for seed in range(24)]


def digest(sample: Sample) -> str:
    parts = [sample.key.encode(), sample.image, sample.camera.k]
    parts += [getattr(sample.labels, name) for name in list(vars(sample.labels))[1:]]
    parts += [sample.dense.instance, sample.dense.part, sample.dense.depth]
    return hashlib.sha256(
        b"".join(bytes(np.ascontiguousarray(part)) if part is not parts[0] else part for part in parts)
    ).hexdigest()


def test_a_seed_gives_the_same_bytes_in_any_order(body, samples):
    for seed in (17, 3, 3):
        assert digest(synthesize(seed, SMALL, body)) == digest(samples[seed])
    assert len({digest(sample) for sample in samples}) == len(samples)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_seed_gives_the_same_bytes_with_any_number_of_threads(body, samples, threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        assert digest(synthesize(5, SMALL, body)) == digest(samples[5])
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


def test_a_seed_gives_the_same_bytes_in_another_process(samples):
    program = (
        "import sys; sys.path.insert(0, 'test'); from test_synthesis_scene import *; "
        "sys.stdout.write(digest(synthesize(5, SMALL, create_body('anny'))))"
    )
    other = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True)
    assert other.stdout == digest(samples[5])


def test_samples_are_whole(body, samples):
    for seed, sample in enumerate(samples):
        height, width = sample.image.shape[:2]
        assert sample.key == f"train-{seed:08d}" and sample.image.dtype == np.uint8
        assert (sample.camera.width, sample.camera.height) == (width, height) and max(width, height) == 160
        sample.labels.check(body.info)
        assert sample.labels.body == "anny" and 0 <= len(sample.labels) <= SMALL.max_people
        for array, kind in (
            (sample.dense.instance, np.uint8),
            (sample.dense.part, np.uint8),
            (sample.dense.depth, np.float16),
        ):
            assert array.shape == (height, width) and array.dtype == kind
        assert sample.image.std() > 3.0
    assert sum(len(sample.labels) for sample in samples) > len(samples)


def test_the_body_makes_the_keypoints_again(body, samples):
    for sample in samples:
        labels = sample.labels
        if len(labels):
            inputs = (torch.from_numpy(a) for a in (labels.rotmats, labels.shape, labels.expression, labels.center))
            with torch.no_grad():
                again = body(*inputs).keypoints.numpy()
            np.testing.assert_allclose(again, labels.keypoints, atol=2e-6)
            rotations = labels.rotmats.reshape(-1, 3, 3).astype(np.float64)
            np.testing.assert_allclose(
                rotations @ rotations.transpose(0, 2, 1), np.broadcast_to(np.eye(3), rotations.shape), atol=1e-5
            )


def test_visible_keypoints_lie_on_their_person(samples):
    """Within two pixels, by rounding, coarse pixels and clothes; hands and feet apart, whose tips are thin."""
    hits = total = hidden = 0
    for sample in samples:
        for person in range(len(sample.labels)):
            visible = sample.labels.keypoint_visible[person] > 0
            px = np.rint(sample.camera.project(sample.labels.keypoints[person])[visible]).astype(int)
            mask = maximum_filter(sample.dense.instance == person + 1, 5)
            inside = (px >= 0).all(axis=1) & (px < sample.image.shape[1::-1]).all(axis=1)
            assert inside.all()
            hits += mask[px[:, 1], px[:, 0]].sum()
            total += len(px)
            hidden += (~visible).sum()
    assert total > 1000 and hits > 0.99 * total
    assert hidden > 0


def test_depth_of_pixels_is_near_that_of_the_people(samples):
    for sample in samples:
        for person in range(len(sample.labels)):
            mask = sample.dense.instance == person + 1
            depth = sample.dense.depth[mask].astype(np.float64)
            z = sample.labels.keypoints[person, :, 2]
            assert ((depth > z.min() - 0.4) & (depth < z.max() + 0.4)).all()


def test_instances_number_the_labels_and_carry_parts(samples):
    for sample in samples:
        shown = set(np.unique(sample.dense.instance)) - {0}
        assert shown <= set(range(1, len(sample.labels) + 1))
        assert ((sample.dense.part > 0) == (sample.dense.instance > 0)).all() and sample.dense.part.max() <= 15
        assert ((sample.labels.visibility > 0) & (sample.labels.visibility <= 1)).all()


def test_visibility_agrees_with_what_is_hidden(samples):
    """People in full view show most of their keypoints; where little is visible, most are hidden or outside."""
    for sample in samples:
        for visibility, keypoints in zip(sample.labels.visibility, sample.labels.keypoint_visible):
            if visibility > 0.97:
                assert keypoints.mean() > 0.85
            if visibility < 0.1:
                assert keypoints.mean() < 0.6


def test_nothing_is_kept_between_samples(body):
    config = SceneConfig(longer_side=64)
    for seed in range(4):
        synthesize(seed, config, body)
    tracemalloc.start(1)
    try:
        before = tracemalloc.get_traced_memory()[0]
        for seed in range(10, 18):
            synthesize(seed, config, body)
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] - before < 60_000
    finally:
        tracemalloc.stop()


def test_nobody(body):
    config = SceneConfig(longer_side=96, empty=1.0)
    for seed in range(4):
        sample = synthesize(seed, config, body)
        assert len(sample.labels) == 0 and not sample.dense.instance.any() and not sample.dense.part.any()
        sample.labels.check(body.info)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_scene(body, kind):
    config = SceneConfig(longer_side=96, empty=0.0, **{name: float(name == kind) for name in KINDS})
    samples = [synthesize(seed, config, body) for seed in range(6)]
    distances = [float(z) for sample in samples for z in np.linalg.norm(sample.labels.center, axis=1)]
    assert len(distances) >= 4
    if kind == "close_up":
        assert max(distances) < 4.5 and max(len(sample.labels) for sample in samples) <= 2


def test_people_stand_on_the_floor_and_not_in_each_other(body):
    for seed in range(30):
        _, people = sample_scene(np.random.default_rng(seed), SceneConfig(empty=0.0, close_up=0.0), body)
        discs = [footprint(person) for person in people]
        for index, (middle, radius) in enumerate(discs):
            assert np.hypot(*middle) > radius + 0.4  # nor in the camera
            for other, reach in discs[:index]:
                assert np.hypot(*(middle - other)) > 0.999 * (radius + reach)
        for person in people:
            assert 0.0 <= person.vertices_lod[:, 2].min() < 0.2


def test_a_thing_as_large_as_its_room_has_one_place_in_it_whatever_rounding_says():
    low, high = np.full(2, -8.736543028518502), np.full(2, -0.5388317218435565)
    assert (high - (high - low) / 2 < low + (high - low) / 2).all()  # the middle, from one side and from the other
    thing = STANDING[0](np.random.default_rng(0), "train")
    (surface,) = stand(np.random.default_rng(0), thing._replace(radius=9.0), Ground(), low, high)
    assert np.allclose(surface.vertices[:, :2].mean(0), (low + high) / 2, atol=0.5)


def test_training_and_validation_differ(body, samples):
    val = synthesize(3, SceneConfig(longer_side=160, split="val"), body)
    assert val.key == "val-00000003"
    assert val.image.shape != samples[3].image.shape or (val.image != samples[3].image).mean() > 0.5


def test_cameras_are_those_of_robots_and_phones():
    eyes = [sample_eye(np.random.default_rng(seed), 288, close_up=False) for seed in range(300)]
    fov = np.degrees([2 * np.arctan(eye.half_width) for eye in eyes])
    assert 40 <= fov.min() < 50 and 90 < fov.max() <= 100
    heights = np.array([eye.height_m for eye in eyes])
    assert heights.min() >= 0.4 and heights.max() <= 2.6 and (heights < 0.7).mean() > 0.05
    assert {eye.camera.width / eye.camera.height > 1.1 for eye in eyes} == {True, False}
    assert all(0.98 < eye.camera.fy / eye.camera.fx < 1.02 for eye in eyes)
    assert any(eye.camera.fy != eye.camera.fx for eye in eyes)


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"split": "test"}, "one of train, val"),
        ({"longer_side": 8}, "at least 64"),
        ({"empty": 1.5}, "at most 1"),
        ({"close_up": 0.0, "room": 0.0, "open": 0.0, "clutter": 0.0}, "needs a share above 0"),
    ],
)
def test_wrong_settings_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        SceneConfig(**wrong)


def test_a_negative_seed_is_refused(body):
    with pytest.raises(ValueError, match="not negative"):
        synthesize(-1, SMALL, body)
