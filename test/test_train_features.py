"""Training of a second look that reads features instead of pixels: it learns from what it meets in use."""

import numpy as np
import pytest
import torch
from test_train_second_look import BODY, CPU, SAMPLES, smoke

from ros2_multihmr.estimator import create_estimator
from ros2_multihmr.estimator_config import EstimatorConfig
from ros2_multihmr.model.crop_cameras import CropBoxes
from ros2_multihmr.model.multi_crop_config import MultiCropConfig
from ros2_multihmr.refining.first_pass import FirstPass, roi_align
from ros2_multihmr.training.crop_batches import collate_scenes
from ros2_multihmr.training.crop_inputs import encoder_inputs, on_map
from ros2_multihmr.training.distributed import World
from ros2_multihmr.training.work import _second_look, multi_crop_work

RECIPE = smoke("network.encoder=roi", "network.width=192", "network.heads=3")


@pytest.fixture(scope="module")
def batch_and_learner():
    learner = multi_crop_work(RECIPE, BODY, SAMPLES, SAMPLES, World(), CPU).learner
    look, size = _second_look(RECIPE, learner.model.config, BODY, CPU)
    return look(collate_scenes(SAMPLES[:3], size, 4), range(3)), learner


def test_training_reads_what_use_reads(batch_and_learner):
    batch, learner = batch_and_learner
    config = learner.model.config
    crops = encoder_inputs(config, batch)
    assert crops.shape == (len(batch), config.num_crops, *config.encoder_input) and len(batch) > 1
    estimator = create_estimator(EstimatorConfig(device="cpu"))
    first = FirstPass(estimator, config)
    for image in batch.of_image.unique().tolist():
        sample, those = SAMPLES[image], batch.of_image == image
        estimator.estimate(sample.image, sample.camera)
        features = first.features(sample.camera)
        with torch.inference_mode():
            boxes = CropBoxes(batch.center_px[those], batch.size_px[those])
            theirs = roi_align(features, boxes, config.bins, sample.camera, sample.camera)
        torch.testing.assert_close(crops[those], theirs, atol=2e-3, rtol=2e-3)


def test_it_learns(batch_and_learner):
    batch, learner = batch_and_learner
    learner.train()
    losses = learner(batch)
    losses.total.backward()
    assert torch.isfinite(losses.total)
    assert all(parameter.grad is not None for parameter in learner.model.encoder.parameters())
    assert any(parameter.grad.any() for parameter in learner.model.encoder.parameters())


def test_points_move_with_the_camera():
    k = torch.tensor([[[300.0, 0, 90], [0, 260, 150], [0, 0, 1]]])
    scaled = torch.tensor([[[150.0, 0, 45], [0, 65, 37.5], [0, 0, 1]]])
    moved = on_map(torch.tensor([100.0, 60]).expand(1, 2, 4, 4, 2), k, scaled)
    np.testing.assert_allclose(moved[0, 1, 2, 3], [50.0, 15])


def test_what_cannot_be_read_is_told():
    for words, text in (
        (("network.width=64", "network.heads=1"), "network.width: the encoder roi reads features of .* 192, got 64"),
        (("estimates.source=truth",), "roi reads a single-shot network's features; set estimates.source=first_pass"),
    ):
        recipe = smoke("network.encoder=roi", "network.width=192", "network.heads=3", *words)
        with pytest.raises(ValueError, match=text):
            multi_crop_work(recipe, BODY, SAMPLES, SAMPLES, World(), CPU)
    assert MultiCropConfig.for_body("anny", BODY.info, encoder="roi").encoder_input == (192, 8, 8)
