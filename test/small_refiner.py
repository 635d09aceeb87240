"""A tiny first network and a tiny second look for tests, both random, for the body of `small_truth`."""

from __future__ import annotations

from typing import Any

import numpy as np
from small_network import small_network
from small_truth import small_body

from ros2_multihmr.backends.torch_backend import TorchBackend
from ros2_multihmr.camera import Camera
from ros2_multihmr.estimator import Estimator
from ros2_multihmr.estimator_config import EstimatorConfig
from ros2_multihmr.evaluation.pictures import humans_of
from ros2_multihmr.evaluation.predictions import Prediction
from ros2_multihmr.humans import Humans
from ros2_multihmr.model.initialisation import draw_weights
from ros2_multihmr.model.multi_crop import MultiCrop
from ros2_multihmr.model.multi_crop_config import MultiCropConfig
from ros2_multihmr.refining.refiner import Refiner
from ros2_multihmr.refining.refiner_config import RefinerConfig
from ros2_multihmr.training.crop_start import start_multi_crop

BODY = small_body()
ANYBODY = RefinerConfig(refine=True, refine_min_px=1.0, refine_min_inside=0.01)


def small_estimator() -> Estimator:
    return Estimator(TorchBackend(small_network(body="small")), BODY, EstimatorConfig())


def small_second_network(corrections: float = 0.1, **changes: Any) -> MultiCrop:
    """A network that corrects everybody a little, by what it sees; with 0 not at all."""
    settings: dict[str, Any] = {
        "weights": "small", "num_crops": 3, "crop_height": 56, "crop_width": 56, "width": 32, "depth": 1, "heads": 2,
        "fusion_width": 32, "num_bands": 4, "hidden": 24, "start": "first_pass",
    }  # fmt: skip
    model = start_multi_crop(MultiCropConfig.for_body("small", BODY.info, **(settings | changes)), BODY.info, 0)
    model = model.eval().requires_grad_(False)
    draw_weights(model, 0)
    head = model.regressor
    for layer in (head.to_pose, head.to_shape, head.to_expression, head.to_camera):
        layer.weight.mul_(corrections)
    return model


def small_refiner(config: RefinerConfig = ANYBODY, corrections: float = 0.1, **changes: Any) -> Refiner:
    return Refiner(small_second_network(corrections, **changes), small_estimator(), config)


def small_people(centers: Any, camera: Camera) -> Humans:
    """People with their heads at (N, 3) places, each in another pose."""
    centers = np.asarray(centers, np.float32).reshape(-1, 3)
    rng = np.random.default_rng(len(centers))
    count = len(centers)
    prediction = Prediction(
        "", np.linspace(0.9, 0.5, count, dtype=np.float32), rng.normal(0, 0.3, (count, 5, 3)).astype(np.float32),
        rng.uniform(0.2, 0.8, (count, 3)).astype(np.float32), rng.uniform(0.2, 0.8, (count, 2)).astype(np.float32),
        centers, 0.0,
    )  # fmt: skip
    return humans_of(prediction, BODY, camera)


def noise(camera: Camera) -> np.ndarray:
    return np.random.default_rng(7).integers(0, 256, (camera.height, camera.width, 3), np.uint8)
