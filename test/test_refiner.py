"""The second look: one batch, the same full camera whatever the crops, and nobody lost, moved up or forgotten."""

from __future__ import annotations

import dataclasses
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_refiner import (
    ANYBODY,
    BODY,
    noise,
    small_estimator,
    small_people,
    small_refiner,
    small_second_network,
)

from ros2_multihmr.camera import Camera
from ros2_multihmr.estimator import create_estimator
from ros2_multihmr.estimator_config import EstimatorConfig
from ros2_multihmr.humans import Humans
from ros2_multihmr.model.crop_cameras import CropBoxes
from ros2_multihmr.model.multi_crop_checkpoint import save_multi_crop
from ros2_multihmr.model.token_window import TokenWindow
from ros2_multihmr.model.weights_error import WeightsError
from ros2_multihmr.preprocess import network_view
from ros2_multihmr.rectify import Rectifier
from ros2_multihmr.refining.first_pass import FeatureMap, roi_align
from ros2_multihmr.refining.outcomes import Outcome
from ros2_multihmr.refining.refiner import Refiner, create_refiner
from ros2_multihmr.refining.refiner_config import RefinerConfig
from ros2_multihmr.stopwatch import Stopwatch
from ros2_multihmr.synthesis.clip_file import shipped_clip

K = np.array([[300.0, 0, 90.0], [0, 260.0, 150.0], [0, 0, 1]])  # off the middle, fx and fy differ
CAMERA = Camera(K, 320, 240)
CENTERS = [[0.3, -0.6, 3.0], [-0.4, -0.4, 4.0], [1.0, -0.5, 3.5]]
NAMES = [field.name for field in fields(Humans) if field.name != "body"]
KEPT = ("scores", "covariance")


def assert_same(ours: Humans, theirs: Humans, rows: Any = slice(None), names: list[str] = NAMES) -> None:
    for name in names:
        np.testing.assert_array_equal(getattr(ours, name)[rows], getattr(theirs, name)[rows], err_msg=name)


def assert_close(ours: Humans, theirs: Humans, names: list[str] = NAMES, atol: float = 2e-4) -> None:
    for name in names:
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), atol=atol, rtol=2e-4, err_msg=name)


def test_all_crops_of_all_people_are_one_batch_of_the_encoder() -> None:
    refiner, seen = small_refiner(num_crops=5), []
    refiner.network.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(tuple(inputs[0].shape)))
    people = small_people(np.tile(CENTERS, (4, 1))[:10] + np.arange(10)[:, None] * 0.01, CAMERA)
    refinement = refiner.refine(noise(CAMERA), CAMERA, people)
    assert seen == [(50, 3, 56, 56)] and refinement.count(Outcome.REFINED) == 10


def test_people_are_others_afterwards_but_for_order_scores_and_covariance() -> None:
    people, watch = small_people(CENTERS, CAMERA), Stopwatch()
    after = small_refiner().refine(noise(CAMERA), CAMERA, people, stopwatch=watch).humans
    assert_same(after, people, names=list(KEPT))
    for name in ("rotvecs", "shape", "expression", "joints", "bbox", "vertices_lod", "keypoints_2d"):
        assert not np.isclose(getattr(after, name), getattr(people, name), atol=1e-4).all(axis=None), name
    assert list(watch.seconds) == ["crops", "second look", "merge"]
    lower, upper = after.vertices_lod.min(1), after.vertices_lod.max(1)
    np.testing.assert_array_equal(np.concatenate([lower, upper]), np.concatenate([after.box_min, after.box_max]))
    np.testing.assert_allclose(after.keypoints_2d, CAMERA.project(after.keypoints_3d), rtol=1e-5)


def test_nobody_stays_nobody() -> None:
    refinement = small_refiner().refine(noise(CAMERA), CAMERA, Humans.empty(BODY.info))
    assert len(refinement.humans) == 0 and refinement.humans.body is BODY.info
    assert refinement.outcomes.shape == (0,)


@pytest.mark.parametrize("name", ["plain", "distorted", "fisheye"])
def test_without_corrections_everybody_comes_back_through_any_camera(name: str) -> None:
    """Out of the full camera into the crops' and back, with the principal point off the middle and fx != fy."""
    lens = {"plain": ("", ()), "distorted": ("plumb_bob", (-0.2, 0.05, 0.001, 0, 0)), "fisheye": ("equidistant", ())}
    model, d = lens[name]
    camera = Camera(K, 320, 240, model, d or ((-0.02, 0.01, 0.0, 0.0) if model else ()))
    people = small_people(CENTERS, camera)
    refinement = small_refiner(corrections=0.0).refine(noise(camera), camera, people)
    assert refinement.count(Outcome.REFINED) == 3
    assert_close(refinement.humans, people, [name for name in NAMES if name not in ("bbox", "keypoints_2d")])
    assert_close(refinement.humans, people, ["bbox", "keypoints_2d"], atol=0.05)  # px


def test_where_the_principal_point_lies_in_the_image_changes_nothing() -> None:
    """The same picture as a part of a larger one: pixels and principal point move together."""
    large = Camera(np.array([[300.0, 0, 140.0], [0, 260.0, 170.0], [0, 0, 1]]), 500, 400)
    image = np.zeros((400, 500, 3), np.uint8)
    image[20:260, 50:370] = noise(CAMERA)
    refiner = small_refiner()
    ours = refiner.refine(noise(CAMERA), CAMERA, small_people(CENTERS, CAMERA)).humans
    theirs = refiner.refine(image, large, small_people(CENTERS, large)).humans
    assert_close(ours, theirs, ["rotvecs", "shape", "translation", "joints", "vertices_lod"], atol=1e-3)
    np.testing.assert_allclose(theirs.keypoints_2d - ours.keypoints_2d, np.broadcast_to([50, 20], (3, 8, 2)), atol=0.1)


def test_a_lens_is_undone_before_anybody_looks() -> None:
    raw = Camera(K, 320, 240, "plumb_bob", (-0.3, 0.1, 0.001, 0.002, 0.0))
    rectifier, refiner = Rectifier(raw, K), small_refiner()
    ours = refiner.refine(noise(raw), raw, small_people(CENTERS, raw)).humans
    theirs = refiner.refine(rectifier(noise(raw)), rectifier.camera, small_people(CENTERS, rectifier.camera)).humans
    assert_close(ours, theirs, ["rotvecs", "shape", "translation", "joints"], atol=1e-3)
    np.testing.assert_allclose(ours.keypoints_2d, raw.project(ours.keypoints_3d), rtol=1e-5)


@pytest.mark.parametrize(
    ("center", "outcome"),
    [
        ([-1.15, -0.4, 3.0], Outcome.AT_THE_BORDER),  # half outside
        ([-20.0, -0.4, 3.0], Outcome.AT_THE_BORDER),  # not in the image at all
        ([0.1, 0.0, 0.1], Outcome.AT_THE_BORDER),  # partly behind the camera
        ([0.5, -0.4, 60.0], Outcome.TOO_SMALL),
    ],
)
def test_who_is_at_the_border_or_too_small_stays_as_first_found(center: list[float], outcome: Outcome) -> None:
    people = small_people([CENTERS[0], center, CENTERS[2]], CAMERA)
    config = RefinerConfig(refine=True, refine_min_px=16.0, refine_min_inside=0.6)
    refinement = small_refiner(config).refine(noise(CAMERA), CAMERA, people)
    assert refinement.outcomes.tolist() == [Outcome.REFINED, outcome, Outcome.REFINED]
    assert_same(refinement.humans, people, 1)
    assert (refinement.humans.joints[[0, 2]] != people.joints[[0, 2]]).any()


def test_who_would_come_to_stand_behind_the_camera_stays() -> None:
    refiner = small_refiner(corrections=0.0)
    refiner.network.regressor.to_camera.bias.copy_(torch.tensor([4.0, 0.0, 0.0]))  # e^12 times as near
    people = small_people(CENTERS, CAMERA)
    refinement = refiner.refine(noise(CAMERA), CAMERA, people)
    assert refinement.outcomes.tolist() == [Outcome.IMPOSSIBLE] * 3
    assert_same(refinement.humans, people)


@pytest.mark.parametrize("changes", [{}, {"start": "mean"}, {"scheme": "random"}, {"encoder": "roi"}])
def test_together_as_one_by_one_and_always_the_same(changes: dict[str, Any]) -> None:
    estimator = small_estimator()
    refiner = Refiner(small_second_network(**changes), estimator, ANYBODY)
    image, people = noise(CAMERA), small_people(CENTERS, CAMERA)

    def look(those: Humans) -> Humans:
        estimator.estimate(image, CAMERA)
        return refiner.refine(image, CAMERA, those).humans

    together = look(people)
    assert_same(look(people), together)
    assert not np.allclose(together.joints, people.joints, atol=1e-3)
    if changes.get("scheme") != "random":  # whose crops depend on how many there are
        for index in range(3):
            alone = look(people.select(np.array([index])))
            assert_close(alone, together.select(np.array([index])), atol=2e-3)


def test_full_meshes_come_with_those_who_had_them() -> None:
    people, image = small_people(CENTERS, CAMERA), noise(CAMERA)
    assert not small_refiner().refine(image, CAMERA, people).humans.has_vertices
    full = dataclasses.replace(people, vertices=np.ones((3, BODY.info.num_vertices, 3), np.float32))
    after = small_refiner().refine(image, CAMERA, full).humans
    np.testing.assert_array_equal(after.vertices[:, BODY.info.vertices_lod], after.vertices_lod)


@pytest.mark.filterwarnings("error")
def test_an_image_that_must_not_be_written_is_read() -> None:
    image, people = noise(CAMERA), small_people(CENTERS, CAMERA)
    expected = small_refiner().refine(image, CAMERA, people).humans
    image.flags.writeable = False
    assert_same(small_refiner().refine(image, CAMERA, people).humans, expected)


# ---- what goes wrong


def test_numbers_that_are_not_finite_are_told() -> None:
    refiner = small_refiner()
    refiner.network.regressor.to_pose.bias.fill_(torch.nan)
    with pytest.raises(FloatingPointError, match="'small' returned rotmats that are not finite"):
        refiner.refine(noise(CAMERA), CAMERA, small_people(CENTERS, CAMERA))


def test_an_image_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="expected 320 x 240 pixels"):
        small_refiner().refine(noise(CAMERA)[:100], CAMERA, small_people(CENTERS, CAMERA))


def test_weights_for_another_body_are_refused() -> None:
    network = small_second_network()
    network.config = dataclasses.replace(network.config, num_shape=7)
    with pytest.raises(ValueError, match="small with 5 rotations, 7 shape .* has small with 5, 3 and 2"):
        Refiner(network, small_estimator(), ANYBODY)


def test_a_file_is_opened_and_off_is_nobody(tmp_path: Path) -> None:
    path = tmp_path / "second.safetensors"
    save_multi_crop(small_second_network(), path, for_training=False)
    refiner = create_refiner(RefinerConfig(refine=True, refiner_weights=str(path)), small_estimator())
    assert refiner is not None and refiner.network.config.weights == "small"
    assert create_refiner(RefinerConfig(refiner_weights="nowhere"), small_estimator()) is None
    with pytest.raises(WeightsError, match="nowhere: no such weights file"):
        create_refiner(RefinerConfig(refine=True, refiner_weights="nowhere"), small_estimator())
    exported = tmp_path / "second.onnx"
    exported.write_bytes(b"")
    with pytest.raises(WeightsError, match=r"end in .safetensors, not in '.onnx'; those of a second look come from"):
        create_refiner(RefinerConfig(refine=True, refiner_weights=str(exported)), small_estimator())


def test_without_weights_it_is_told_how_to_get_some(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ros2_multihmr.model.embedded.EMBEDDED_REFINER", "weights/none.safetensors")
    with pytest.raises(WeightsError, match=r"no weights for it. Train some \(`multihmr train .*refine to false"):
        create_refiner(RefinerConfig(refine=True), small_estimator())


def test_the_packages_own_second_look_corrects_its_own_first_on_the_clip_that_comes_with_it() -> None:
    """Poses get better, on images that neither network has learned from; how much is the benchmark's matter."""
    estimator = create_estimator(EstimatorConfig())
    refiner = create_refiner(RefinerConfig(refine=True), estimator)
    assert refiner is not None
    errors = []
    for sample in shipped_clip()[::3]:
        first = estimator.estimate(sample.image, sample.camera)
        second = refiner.refine(sample.image, sample.camera, first).humans
        true = sample.labels.keypoints
        whose = np.linalg.norm(true[None, :, 0] - first.keypoints_3d[:, None, 0], axis=-1).argmin(1)
        apart = [people.keypoints_3d - people.keypoints_3d[:, :1] for people in (first, second)]
        about_root = true[whose] - true[whose, :1]
        errors += [[np.linalg.norm(points - about_root, axis=-1).mean(1) for points in apart]]
    before, after = np.concatenate(errors, axis=1).mean(1)
    assert after < 0.9 * before


# ---- the first network's features


def ramp(camera: Camera) -> FeatureMap:
    """Features that are the places of their tokens in the image [px], and 1."""
    view = network_view(camera, 112)
    window = view.window()
    rows, columns = np.mgrid[: window.rows, : window.columns] + 0.5
    cells = np.stack([columns + window.left, rows + window.top], axis=-1)
    px = view.to_image(14.0 * cells)
    values = np.concatenate([px, np.ones_like(px[..., :1])], axis=-1).transpose(2, 0, 1)
    return FeatureMap(torch.from_numpy(values.astype(np.float32))[None], window, view)


def test_crops_of_a_feature_map_lie_where_crops_of_the_image_do() -> None:
    center, size = torch.tensor([[[150.0, 110.0], [120.0, 130.0]]]), torch.tensor([[[80.0, 64.0], [40.0, 90.0]]])
    crops = roi_align(ramp(CAMERA), CropBoxes(center, size), (4, 2), CAMERA, CAMERA)
    assert crops.shape == (1, 2, 3, 4, 2)
    for crop in range(2):
        for axis, steps in ((0, 2), (1, 4)):
            place = (torch.arange(steps) + 0.5) / steps - 0.5
            expected = center[0, crop, axis] + size[0, crop, axis] * place
            expected = expected[None].expand(4, -1) if axis == 0 else expected[:, None].expand(-1, 2)
            torch.testing.assert_close(crops[0, crop, axis], expected, atol=1e-3, rtol=0)
    outside = roi_align(ramp(CAMERA), CropBoxes(center + 1000, size), (4, 2), CAMERA, CAMERA)
    assert not outside.any()
    nobody = roi_align(ramp(CAMERA), CropBoxes(center[:0], size[:0]), (4, 2), CAMERA, CAMERA)
    assert nobody.shape == (0, 2, 3, 4, 2)


def test_crops_of_a_feature_map_follow_the_lens() -> None:
    raw = Camera(K, 320, 240, "plumb_bob", (-0.3, 0.1, 0.001, 0.002, 0.0))
    pinhole = Rectifier(raw, K).camera
    boxes = CropBoxes(torch.tensor([[[200.0, 100.0]]]), torch.tensor([[[2.0, 2.0]]]))
    crops = roi_align(ramp(raw), boxes, (1, 1), raw, pinhole)
    expected = raw.project(pinhole.unproject([200.0, 100.0], 1.0))
    np.testing.assert_allclose(crops[0, 0, :2, 0, 0], expected, atol=0.01)


def test_features_are_those_of_the_image_just_seen() -> None:
    estimator = small_estimator()
    refiner = Refiner(small_second_network(encoder="roi"), estimator, ANYBODY)
    people, image = small_people(CENTERS, CAMERA), noise(CAMERA)
    with pytest.raises(RuntimeError, match="the first network saw one image just before, got 0"):
        refiner.refine(image, CAMERA, people)
    estimator.estimate(image, CAMERA)
    ours = refiner.refine(image, CAMERA, people).humans
    with pytest.raises(RuntimeError, match="refine after each estimate"):
        refiner.refine(image, CAMERA, people)
    estimator.estimate(255 - image, CAMERA)
    theirs = refiner.refine(255 - image, CAMERA, people).humans
    assert not np.allclose(ours.joints, theirs.joints, atol=1e-4)


def test_features_that_cannot_be_had_are_refused() -> None:
    with pytest.raises(ValueError, match="features of width 16, but those of 'small' have 32"):
        Refiner(small_second_network(encoder="roi", width=16), small_estimator(), ANYBODY)
    estimator = small_estimator()
    estimator.backend = type("Exported", (), {"config": estimator.backend.config, "device": torch.device("cpu")})()
    with pytest.raises(ValueError, match="an exported network does not show"):
        Refiner(small_second_network(encoder="roi"), estimator, ANYBODY)


def test_windows_of_tokens_are_where_they_should_be() -> None:
    assert ramp(CAMERA).window == TokenWindow(8, 6, 8)
