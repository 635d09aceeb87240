"""Official weights from the file to people: the estimator's message is the network's and the body's numbers."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from official_recipe import golden, official_state
from PIL import Image
from synthetic_smplx import write_smplx

from ros2_multihmr.assets import asset
from ros2_multihmr.body import create_body
from ros2_multihmr.camera import Camera
from ros2_multihmr.estimator import Estimator, create_estimator
from ros2_multihmr.estimator_config import EstimatorConfig
from ros2_multihmr.humans import Humans
from ros2_multihmr.model.checkpoint import load_weights
from ros2_multihmr.preprocess import preprocess
from ros2_multihmr.rotations import rotvec_to_rotmat

FAMILIES = {"smplx": ("S224_b11", "smplx/1.1/full"), "anny": ("anny_S_224_a_regressedK", "anny/0.3/makehuman")}
PEOPLE = 4


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def weights(family: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file in the official structure; SMPL-X's body lies beside it."""
    path = tmp_path_factory.mktemp("official") / "multiHMR_224_S.pt"
    recipe = golden(FAMILIES[family][0])["recipe"]
    state = official_state(recipe["keys"], recipe["fixed"], recipe["seed"])
    args = argparse.Namespace(img_size=224 if family == "anny" else [224, 224], person_center="head")
    torch.save({"epoch": 1, "iter": 2, "model_state_dict": state, "args": args, "best_val": np.float64(3)}, path)
    if family == "smplx":
        write_smplx(path.parent)
    return path


@pytest.fixture(scope="module")
def photograph() -> tuple[NDArray[np.uint8], Camera]:
    with Image.open(asset("samples/row_of_people.jpg")) as file:
        image = np.asarray(file.convert("RGB"))
    height, width = image.shape[:2]
    k = np.array([[0.9 * width, 0, 0.48 * width], [0, 0.95 * width, 0.55 * height], [0, 0, 1]])
    return image, Camera(k=k, width=width, height=height)


@pytest.fixture(scope="module")
def threshold(weights: Path, photograph: tuple[NDArray[np.uint8], Camera]) -> float:
    """One that random weights find a few people with, and no score is near to."""
    model, (image, camera) = load_weights(weights), photograph
    pixels, _, _ = preprocess([image], [camera], 224)
    with torch.inference_mode():
        best = model.detect(model.backbone(pixels)).flatten().sort(descending=True).values
    return float(best[PEOPLE - 1 : PEOPLE + 1].mean())


@pytest.fixture(scope="module")
def estimator(weights: Path, threshold: float) -> Estimator:
    folder = str(weights.parent)
    return create_estimator(
        EstimatorConfig(weights=str(weights), body_models=folder, device="cpu", detection_threshold=threshold)
    )


@pytest.fixture(scope="module")
def humans(estimator: Estimator, photograph: tuple[NDArray[np.uint8], Camera]) -> Humans:
    return estimator.estimate(*photograph, vertices=True)


def test_people_of_an_official_file(estimator: Estimator, humans: Humans, family: str) -> None:
    assert len(humans) == PEOPLE and humans.body.name == FAMILIES[family][1]
    body = create_body(estimator.backend.config.body, estimator.config.body_models)
    rotmats = torch.tensor(rotvec_to_rotmat(humans.rotvecs), dtype=torch.float32)
    center = torch.from_numpy(humans.joints[:, humans.body.center_joint])
    again = body(rotmats, torch.from_numpy(humans.shape), torch.from_numpy(humans.expression), center, vertices=True)
    np.testing.assert_allclose(again.vertices, humans.vertices, atol=2e-5)
    np.testing.assert_allclose(again.translation, humans.translation, atol=2e-5)


def test_heads_are_on_the_rays_of_the_network(
    estimator: Estimator, humans: Humans, threshold: float, photograph: tuple[NDArray[np.uint8], Camera]
) -> None:
    image, camera = photograph
    pixels, k, views = preprocess([image], [camera], 224)
    raw = estimator.backend.infer(pixels, k, threshold)
    order = raw.scores[raw.mask].argsort(descending=True)
    heads = humans.joints[:, humans.body.center_joint]
    np.testing.assert_allclose(heads[:, 2], raw.depth[raw.mask][order], rtol=1e-5)
    seen = camera.project(heads.astype(np.float64))
    np.testing.assert_allclose(seen, views[0].to_image(raw.loc_px[raw.mask][order].numpy()), atol=1e-2)


def test_the_camera_scales_depths(
    estimator: Estimator, humans: Humans, family: str, photograph: tuple[NDArray[np.uint8], Camera]
) -> None:
    """Our camera always gives its intrinsics: the Anny network's own guess of them is never asked for."""
    image, camera = photograph
    zoomed = Camera(k=camera.k * [[1.5], [1.5], [1.0]], width=camera.width, height=camera.height)
    far = estimator.estimate(image, zoomed)
    np.testing.assert_array_equal(humans.scores, far.scores)
    depths = [people.joints[:, people.body.center_joint, 2] for people in (humans, far)]
    if family == "anny":
        np.testing.assert_allclose(depths[1], 1.5 * depths[0], rtol=1e-4)
    else:
        assert np.all(np.abs(depths[1] - depths[0]) > 1e-3)
