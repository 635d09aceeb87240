"""The untrained stand-in: reproducible, marked, and good enough to exercise what follows."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from ros2_multihmr.assets import asset
from ros2_multihmr.body import create_body
from ros2_multihmr.model.initialisation import draw
from ros2_multihmr.model.multihmr import MultiHMR
from ros2_multihmr.model.raw_outputs import RawOutputs
from ros2_multihmr.model.read_outs import nominal_focal, rotation_from_6d
from ros2_multihmr.model.stand_in import stand_in_model, standing_pose

SIZE = 224
FOCAL = nominal_focal(SIZE)
THRESHOLD = 0.3
PHOTOGRAPHS = ("samples/basketball.jpg", "samples/row_of_people.jpg")


@pytest.fixture(scope="module")
def model() -> MultiHMR:
    return stand_in_model()


def pixels_of(path: Path) -> tuple[Tensor, tuple[int, int, int, int]]:
    """The photograph as network input (1, 3, S, S), and where it lies in it: left, top, right, bottom."""
    image = Image.open(path)
    image.thumbnail((SIZE, SIZE))
    left, top = (SIZE - image.width) // 2, (SIZE - image.height) // 2
    square = Image.new("RGB", (SIZE, SIZE))
    square.paste(image, (left, top))
    values = (np.asarray(square, np.float32) / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    box = (left, top, left + image.width, top + image.height)
    return torch.from_numpy(values.transpose(2, 0, 1)[None].astype(np.float32)), box


def run(model: MultiHMR, pixels: Tensor) -> RawOutputs:
    k = torch.tensor([[FOCAL, 0, SIZE / 2], [0, FOCAL, SIZE / 2], [0, 0, 1]]).expand(len(pixels), 3, 3)
    with torch.inference_mode():
        outputs: RawOutputs = model(pixels, k, torch.tensor(THRESHOLD))
    return outputs


def test_it_says_that_it_is_untrained(model: MultiHMR) -> None:
    assert model.config.untrained and model.config.weights == "untrained-seed0"
    info = create_body(model.config.body).info
    assert model.config.num_rotations == len(info.posed_joints)
    assert (model.config.num_shape, model.config.num_expression) == (len(info.shape_names), len(info.expression_names))


def test_the_seed_decides() -> None:
    def weight(seed: int) -> Tensor:
        return stand_in_model(seed).backbone.get_parameter("blocks.1.attn.qkv.weight")

    assert torch.equal(weight(0), weight(0)) and not torch.equal(weight(0), weight(1))


def test_numbers_are_the_same_on_every_machine() -> None:
    np.testing.assert_allclose(draw("a.weight", (3,), 7), [0.0142850876, 0.9451866150, -0.2296131551], rtol=1e-6)


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_photographs_show_people_well_in_view(model: MultiHMR, name: str) -> None:
    pixels, (left, top, right, bottom) = pixels_of(asset(name))
    outputs = run(model, pixels)
    mask, body = outputs.mask[0], create_body(model.config.body)
    assert 2 <= int(mask.sum()) <= 8
    depth = outputs.depth[0][mask]
    assert depth.min() > 1.5 and depth.max() < 8 and len(depth.unique()) == len(depth)
    rays = (outputs.loc_px[0][mask] - SIZE / 2) / FOCAL
    center = torch.cat([rays * depth[:, None], depth[:, None]], -1)
    mesh = body(outputs.rotmats[0][mask], outputs.shape[0][mask], outputs.expression[0][mask], center).vertices_lod
    u, v = (mesh[..., :2] / mesh[..., 2:] * FOCAL + SIZE / 2).unbind(-1)
    inside = ((u > left) & (u < right) & (v > top) & (v < bottom)).float().mean(1)
    assert int((inside > 0.9).sum()) >= 2
    height = mesh[..., 1].amax(1) - mesh[..., 1].amin(1)
    assert bool(((height > 1.3) & (height < 2.2)).all())


def test_people_stand_upright_and_face_the_camera(model: MultiHMR) -> None:
    outputs = run(model, pixels_of(asset(PHOTOGRAPHS[1]))[0])
    axes = outputs.rotmats[outputs.mask][:, 0] @ torch.from_numpy(create_body(model.config.body).info.body_axes).float()
    torch.testing.assert_close(axes[:, 1, 2], torch.full((len(axes),), -1.0), atol=1e-5, rtol=0)
    assert bool((axes[:, 2, 0] < -math.cos(1.3)).all())


def test_the_standing_pose_lowers_the_arms() -> None:
    body = create_body("anny")
    info = body.info
    pose = rotation_from_6d(standing_pose(info))[None]
    rest = torch.eye(3).repeat(1, len(info.posed_joints), 1, 1)
    rest[:, 0] = pose[:, 0]
    center, shape = torch.tensor([[0.0, 0.0, 4.0]]), torch.full((1, len(info.shape_names)), 0.5)
    width = []
    for rotations in (rest, pose):
        joints = body(rotations, shape, torch.zeros(1, len(info.expression_names)), center).joints[0]
        left, right = (joints[info.joint_names.index(name)] for name in ("wrist.L", "wrist.R"))
        assert left[0] > 0 > right[0], "the left hand of someone who faces the camera is to its right"
        width.append(left[0] - right[0])
    assert width[1] < 0.8 * width[0]


def test_overrides_reach_the_network() -> None:
    assert stand_in_model(max_humans=3).config.max_humans == 3
    with pytest.raises(ValueError, match="max_humans: expected at most 256"):
        stand_in_model(max_humans=300)
