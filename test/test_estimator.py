"""Estimator: what the network says about its square input becomes people in the camera of the original image."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor

from ros2_multihmr.body import create_body
from ros2_multihmr.camera import Camera
from ros2_multihmr.estimator import Estimator, create_estimator
from ros2_multihmr.estimator_config import EstimatorConfig
from ros2_multihmr.humans import Humans
from ros2_multihmr.model.config import MultiHMRConfig
from ros2_multihmr.model.raw_outputs import RawOutputs
from ros2_multihmr.preprocess import network_view
from ros2_multihmr.rotations import rotvec_to_rotmat
from ros2_multihmr.stopwatch import Stopwatch
from ros2_multihmr.uncertainty import ASSUMED

SIZE = 224
BODY = create_body("anny")
SLOTS = 4
CONFIG = MultiHMRConfig(
    kind="multihmr", weights="told", body="anny", untrained=True, image_size=SIZE, width=192, depth=1, heads=3,
    num_rotations=len(BODY.info.posed_joints), num_shape=len(BODY.info.shape_names),
    num_expression=len(BODY.info.expression_names), max_humans=SLOTS,
)  # fmt: skip
K = np.array([[500.0, 0, 310.0], [0, 520.0, 250.0], [0, 0, 1]])
CAMERAS = {
    "landscape": Camera(K, 640, 480),
    "portrait": Camera(K, 480, 640),
    "distorted": Camera(K, 640, 480, "plumb_bob", (-0.3, 0.1, 0.001, 0.001, 0.0)),
    "fisheye": Camera(K, 640, 480, "equidistant", (-0.02, 0.01, 0.0, 0.0)),
}
# A person who stands upright and looks into a level camera: chest to -z, left hand to +x, head to -y.
FACING = np.array([[0.0, 1, 0], [0, 0, -1], [-1, 0, 0]])


class ToldBackend:
    """Returns what it is told, in slots."""

    config = CONFIG
    device = torch.device("cpu")
    window = None

    def __init__(self, **told: np.ndarray) -> None:
        self.told = told

    def infer(self, pixels: Tensor, k: Tensor, threshold: float) -> RawOutputs:
        batch, count = len(pixels), len(self.told["scores"])
        rotmats = torch.eye(3).repeat(batch, SLOTS, CONFIG.num_rotations, 1, 1)
        rotmats[:, :, 0] = torch.from_numpy(FACING @ BODY.info.body_axes.T).float()
        raw = RawOutputs(
            mask=torch.zeros(batch, SLOTS, dtype=torch.bool),
            scores=torch.zeros(batch, SLOTS),
            cells=torch.zeros(batch, SLOTS, 2, dtype=torch.int64),
            loc_px=torch.zeros(batch, SLOTS, 2),
            depth=torch.zeros(batch, SLOTS),
            rotmats=rotmats,
            shape=torch.full((batch, SLOTS, CONFIG.num_shape), 0.5),
            expression=torch.zeros(batch, SLOTS, CONFIG.num_expression),
            found=torch.full((batch,), count),
            scores_map=torch.zeros(batch, 16, 16),
        )
        raw.mask[:, :count] = True
        for name, values in self.told.items():
            getattr(raw, name)[:, : len(values)] = torch.as_tensor(values, dtype=torch.float32)
        return raw


def black(camera: Camera) -> np.ndarray:
    return np.zeros((camera.height, camera.width, 3), np.uint8)


def told_heads(camera: Camera, heads: np.ndarray, scores: list[float] | None = None, **told: np.ndarray) -> Estimator:
    """An estimator whose network sees heads at these points of the camera's frame."""
    loc_px = network_view(camera, SIZE).to_network(camera.project(heads))
    scores = scores or [0.9 - 0.1 * i for i in range(len(heads))]
    told = {"scores": np.array(scores), "loc_px": loc_px, "depth": heads[:, 2], **told}
    return Estimator(ToldBackend(**told), BODY, EstimatorConfig())


HEADS = np.array([[0.1, -0.5, 3.0], [-1.0, -0.3, 4.0], [0.9, -0.6, 5.5]])


@pytest.mark.parametrize("name", CAMERAS)
def test_heads_stand_where_the_camera_saw_them(name):
    camera = CAMERAS[name]
    humans = told_heads(camera, HEADS).estimate(black(camera), camera)
    np.testing.assert_allclose(humans.joints[:, BODY.info.center_joint], HEADS, atol=1e-4)


@pytest.mark.parametrize("name", CAMERAS)
def test_pixels_are_the_cameras(name):
    camera = CAMERAS[name]
    humans = told_heads(camera, HEADS).estimate(black(camera), camera, vertices=True)
    np.testing.assert_allclose(humans.keypoints_2d, camera.project(humans.keypoints_3d), atol=1e-3)
    outline = camera.project(humans.vertices_lod)
    np.testing.assert_allclose(humans.bbox, np.hstack([outline.min(axis=1), outline.max(axis=1)]), atol=1e-3)
    np.testing.assert_array_equal(humans.box_min, humans.vertices_lod.min(axis=1))
    np.testing.assert_array_equal(humans.vertices[:, BODY.info.vertices_lod], humans.vertices_lod)


def test_a_person_who_stands_before_a_level_camera_and_looks_at_it():
    camera = CAMERAS["landscape"]
    humans = told_heads(camera, HEADS[:1]).estimate(black(camera), camera)
    np.testing.assert_allclose(humans.rotation[0], FACING, atol=1e-6)
    names = BODY.info.keypoint_names
    points = {
        name: humans.keypoints_3d[0, names.index(name)] for name in ("left_hip", "right_hip", "left_ankle", "nose")
    }
    np.testing.assert_allclose(humans.origin[0], (points["left_hip"] + points["right_hip"]) / 2, atol=1e-5)
    assert points["left_hip"][0] > humans.origin[0, 0] > points["right_hip"][0]  # their left is the image's right
    assert points["left_ankle"][1] > humans.origin[0, 1] + 0.5 > HEADS[0, 1] + 0.5  # y points down
    assert points["nose"][2] < HEADS[0, 2]  # the nose is nearer than the head's joint


def test_keypoints_outside_the_image_have_no_score():
    camera = CAMERAS["landscape"]
    humans = told_heads(camera, np.array([[0.0, 0.4, 1.2]])).estimate(black(camera), camera)
    inside = camera.contains(humans.keypoints_2d)
    assert inside.any() and not inside.all()
    np.testing.assert_array_equal(humans.keypoint_scores, np.where(inside, humans.scores[:, None], 0))


def test_people_come_by_falling_score():
    camera = CAMERAS["landscape"]
    humans = told_heads(camera, HEADS, scores=[0.4, 0.8, 0.6]).estimate(black(camera), camera)
    np.testing.assert_allclose(humans.scores, [0.8, 0.6, 0.4])
    np.testing.assert_allclose(humans.joints[:, BODY.info.center_joint], HEADS[[1, 2, 0]], atol=1e-4)


def test_rotation_vectors_are_those_of_the_network():
    rotvecs = np.random.default_rng(0).normal(size=(2, CONFIG.num_rotations, 3))
    camera = CAMERAS["landscape"]
    estimator = told_heads(camera, HEADS[:2], rotmats=rotvec_to_rotmat(rotvecs))
    humans = estimator.estimate(black(camera), camera)
    np.testing.assert_allclose(rotvec_to_rotmat(humans.rotvecs), rotvec_to_rotmat(rotvecs), atol=1e-5)
    assert np.linalg.norm(humans.rotvecs, axis=-1).max() <= np.pi + 1e-5


def test_covariance_is_long_along_the_ray():
    camera = CAMERAS["landscape"]
    humans = told_heads(camera, HEADS).estimate(black(camera), camera)
    values, vectors = np.linalg.eigh(humans.covariance[:, :3, :3])
    distance = np.linalg.norm(humans.origin, axis=1)
    np.testing.assert_allclose(values[:, 2], (ASSUMED.depth * distance) ** 2, rtol=1e-4)
    np.testing.assert_allclose(np.abs((vectors[:, :, 2] * humans.origin).sum(axis=1)), distance, rtol=1e-5)


def test_covariance_is_the_weights_own_where_nobody_says_another():
    camera = CAMERAS["landscape"]
    estimator = told_heads(camera, HEADS)
    measured = dataclasses.replace(CONFIG, position_sigma_px=3.0, depth_sigma=0.2)
    estimator.backend.config = measured
    humans = estimator.estimate(black(camera), camera)
    distance = np.linalg.norm(humans.origin, axis=1)
    values = np.linalg.eigvalsh(humans.covariance[:, :3, :3].astype(np.float64))
    across_px = 3.0 / network_view(camera, SIZE).scale[0]
    np.testing.assert_allclose(values[:, 2], (0.2 * distance) ** 2, rtol=1e-3)
    np.testing.assert_allclose(values[:, :2], np.tile((distance * across_px / camera.fx) ** 2, (2, 1)).T, rtol=1e-3)
    told = estimator.with_config(dataclasses.replace(estimator.config, position_sigma_px=7.0, depth_sigma=0.3))
    values = np.linalg.eigvalsh(told.estimate(black(camera), camera).covariance[:, :3, :3].astype(np.float64))
    np.testing.assert_allclose(values[:, 2], (0.3 * distance) ** 2, rtol=1e-3)
    np.testing.assert_allclose(values[:, 0], (distance * 7.0 / camera.fx) ** 2, rtol=1e-3)


def test_twice_the_focal_length_is_twice_as_far():
    class FocalBackend(ToldBackend):
        def infer(self, pixels, k, threshold):
            raw = super().infer(pixels, k, threshold)
            return raw._replace(depth=k[:, 0, 0, None].expand(-1, SLOTS) / 60.0)

    near, far = Camera(K, 640, 480), Camera(K * [[2, 1, 1], [1, 2, 1], [1, 1, 1]], 640, 480)
    estimator = Estimator(FocalBackend(scores=[0.9], loc_px=[[150.0, 90.0]]), BODY, EstimatorConfig())
    one, two = (estimator.estimate(black(camera), camera).joints[0, BODY.info.center_joint] for camera in (near, far))
    np.testing.assert_allclose(two, one * (1, 1, 2), rtol=1e-5)
    np.testing.assert_allclose(far.project(two), near.project(one), atol=1e-3)


@pytest.mark.parametrize("depth", [0.0, -2.0])
def test_people_at_or_behind_the_camera_are_left_out(depth):
    camera = CAMERAS["landscape"]
    estimator = told_heads(camera, HEADS, depth=np.array([3.0, depth, 4.0]))
    np.testing.assert_allclose(estimator.estimate(black(camera), camera).scores, [0.9, 0.7])


def test_people_where_no_ray_of_the_lens_arrives_are_left_out():
    camera = Camera(np.array([[400.0, 0, 320], [0, 400.0, 240], [0, 0, 1]]), 640, 480, "plumb_bob", (-0.3, 0, 0, 0))
    backend = ToldBackend(scores=[0.9, 0.8], loc_px=[[0.0, 28.0], [112.0, 100.0]], depth=[3.0, 3.0])
    humans = Estimator(backend, BODY, EstimatorConfig()).estimate(black(camera), camera)
    np.testing.assert_allclose(humans.scores, [0.8])


@pytest.mark.parametrize("name", ["scores", "loc_px", "depth", "rotmats", "shape", "expression"])
def test_numbers_that_are_not_finite_raise(name):
    camera = CAMERAS["landscape"]
    estimator = told_heads(camera, HEADS)
    clean = estimator.backend.infer(torch.zeros(1, 3, SIZE, SIZE), torch.eye(3)[None], 0.3)
    broken = getattr(clean, name)[0].clone().numpy()
    broken.reshape(SLOTS, -1)[1] = np.nan if name != "depth" else np.inf
    estimator.backend.told[name] = broken if name != "scores" else broken[: len(HEADS)]
    with pytest.raises(FloatingPointError, match=f"returned {name} that are not finite"):
        estimator.estimate(black(camera), camera)


def test_scores_that_are_not_finite_do_not_look_like_nobody():
    class BrokenBackend(ToldBackend):
        def infer(self, pixels, k, threshold):
            return super().infer(pixels, k, threshold)._replace(scores_map=torch.full((1, 16, 16), torch.nan))

    estimator = Estimator(BrokenBackend(scores=np.zeros(0)), BODY, EstimatorConfig())
    with pytest.raises(FloatingPointError, match="scores"):
        estimator.estimate(black(CAMERAS["landscape"]), CAMERAS["landscape"])


def test_overflow_counts_people_without_a_slot(caplog):
    class CrowdedBackend(ToldBackend):
        def infer(self, pixels, k, threshold):
            return super().infer(pixels, k, threshold)._replace(found=torch.tensor([SLOTS + 3]))

    camera = CAMERAS["landscape"]
    estimator = told_heads(camera, HEADS)
    estimator.estimate(black(camera), camera)
    assert estimator.overflow == 0
    estimator.backend = CrowdedBackend(**estimator.backend.told)
    estimator.estimate(black(camera), camera)
    assert estimator.overflow == 3 and "raise max_humans" in caplog.text


def test_a_network_for_another_body_is_refused():
    backend = ToldBackend(scores=[])
    backend.config = dataclasses.replace(CONFIG, num_rotations=53, num_shape=10)
    with pytest.raises(ValueError, match=r"'told' are for a body with 53 rotations, 10 shape .* use the body"):
        Estimator(backend, BODY, EstimatorConfig())


@pytest.fixture(scope="module")
def embedded() -> Estimator:
    return create_estimator(EstimatorConfig(weights="untrained", device="cpu", detection_threshold=0.05))


def pictures(*names: str) -> tuple[list[np.ndarray], list[Camera]]:
    rng = np.random.default_rng(5)
    cameras = [CAMERAS[name] for name in names]
    return [rng.integers(0, 255, (c.height, c.width, 3), np.uint8) for c in cameras], cameras


def assert_same(one: Humans, other: Humans, atol: float) -> None:
    for field in dataclasses.fields(one):
        if field.name != "body":
            np.testing.assert_allclose(getattr(one, field.name), getattr(other, field.name), rtol=1e-3, atol=atol)


def test_a_batch_equals_its_images(embedded):
    images, cameras = pictures("landscape", "portrait", "distorted")
    batch = embedded.estimate_batch(images, cameras, vertices=True)
    assert sum(len(humans) for humans in batch) > 3
    for humans, image, camera in zip(batch, images, cameras, strict=True):
        assert_same(humans, embedded.estimate(image, camera, vertices=True), atol=5e-3)


def test_nobody_has_the_type_of_somebody(embedded):
    images, cameras = pictures("landscape", "portrait")
    strict = embedded.with_config(dataclasses.replace(embedded.config, detection_threshold=1.0))
    for humans in strict.estimate_batch(images, cameras, vertices=True):
        assert len(humans) == 0
        assert_same(humans, Humans.empty(BODY.info), atol=0)


def test_the_threshold_changes_at_run_time(embedded):
    (image,), (camera,) = pictures("landscape")
    everyone = embedded.estimate(image, camera)
    threshold = float(everyone.scores[1])
    fewer = embedded.with_config(dataclasses.replace(embedded.config, detection_threshold=threshold))
    assert len(everyone) > 2 and len(fewer.estimate(image, camera)) == 2


def test_weights_do_not_change_at_run_time(embedded):
    with pytest.raises(ValueError, match="weights cannot change at run time"):
        embedded.with_config(dataclasses.replace(embedded.config, weights="other.safetensors"))


def test_every_stage_is_timed(embedded):
    (image,), (camera,) = pictures("landscape")
    watch = Stopwatch()
    embedded.estimate(image, camera, stopwatch=watch)
    assert list(watch.seconds) == ["preprocess", "network", "body", "describe"]


def test_an_image_of_another_size_than_its_camera_is_refused(embedded):
    with pytest.raises(ValueError, match="640 x 480 pixels as its camera has, got 480 x 640"):
        embedded.estimate(black(CAMERAS["portrait"]), CAMERAS["landscape"])


@pytest.mark.parametrize(
    "values", [{"detection_threshold": 1.5}, {"backend": "magic"}, {"max_humans": 0}, {"depth_sigma": float("nan")}]
)
def test_impossible_settings_are_refused(values):
    with pytest.raises(ValueError, match=next(iter(values))):
        EstimatorConfig(**values)
