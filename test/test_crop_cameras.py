"""Cameras of crops: closed forms against the full camera, any principal point, focal lengths and crop shape."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from ros2_multihmr.camera import Camera
from ros2_multihmr.crops import crop_boxes, plain_boxes
from ros2_multihmr.model.crop_cameras import (
    CropBoxes,
    box_infos,
    common_translation,
    crop_intrinsics,
    derived_cameras,
    full_translations,
    in_crops,
    local_cameras,
)

PEOPLE, CROPS = 500, 5
EXACT = {"atol": 1e-10, "rtol": 0.0}


def numbers(*shape: int, low: float, high: float, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return low + (high - low) * torch.rand(*shape, generator=generator, dtype=torch.float64)


def made_up() -> tuple[CropBoxes, Tensor, Tensor]:
    """Rectangular crops anywhere, cameras with off-centre principal points and fx != fy, people in front of them."""
    boxes = CropBoxes(
        numbers(PEOPLE, CROPS, 2, low=-200, high=1500, seed=0), numbers(PEOPLE, CROPS, 2, low=30, high=900, seed=1)
    )
    k = torch.zeros(PEOPLE, 3, 3, dtype=torch.float64)
    k[:, 0, 0], k[:, 1, 1] = numbers(2, PEOPLE, low=300, high=1800, seed=2)
    k[:, :2, 2], k[:, 2, 2] = numbers(PEOPLE, 2, low=-100, high=1400, seed=3), 1
    translations = numbers(PEOPLE, 3, low=-3, high=3, seed=4) + torch.tensor([0, 0, 4.0])
    return boxes, k, translations


def project(points: Tensor, k: Tensor) -> Tensor:
    return torch.einsum("pij,pkj->pki", k, points / points[..., 2:])[..., :2]


def test_local_cameras_say_where_the_full_camera_sees_the_root() -> None:
    boxes, k, translations = made_up()
    cameras = local_cameras(translations[:, None], boxes, k)
    px = project(translations[:, None], k)[:, None]
    # Half long sides from the crop's middle: s t, by the definition of the local camera.
    torch.testing.assert_close(cameras[..., :1] * cameras[..., 1:], in_crops(px, boxes)[:, :, 0], **EXACT)
    # A metre across, at the root's depth, is b s / 2 pixels wide.
    metre = project(translations[:, None] + torch.tensor([1.0, 0, 0], dtype=torch.float64), k) - px[:, 0]
    expected = (boxes.side * cameras[..., 0] / 2).flatten()
    torch.testing.assert_close(expected, metre[..., 0].expand(-1, CROPS).flatten(), atol=0, rtol=1e-10)


def test_local_and_full_cameras_are_inverse() -> None:
    boxes, k, translations = made_up()
    cameras = local_cameras(translations[:, None], boxes, k)
    everywhere = translations[:, None].expand(-1, CROPS, -1)
    torch.testing.assert_close(full_translations(cameras, boxes, k), everywhere, **EXACT)
    free = torch.cat(
        [numbers(PEOPLE, CROPS, 1, low=0.3, high=2, seed=5), numbers(PEOPLE, CROPS, 2, low=-2, high=2, seed=6)], -1
    )
    torch.testing.assert_close(local_cameras(full_translations(free, boxes, k), boxes, k), free, **EXACT)


def test_one_camera_gives_all_others() -> None:
    boxes, k, translations = made_up()
    cameras = local_cameras(translations[:, None], boxes, k)
    scale = (boxes.side * cameras[..., 0])[..., None]
    torch.testing.assert_close(derived_cameras(cameras[:, 0], boxes), cameras, **EXACT)
    torch.testing.assert_close(scale, scale[:, :1].expand_as(scale), atol=0, rtol=1e-12)


def test_shift_and_rescale() -> None:
    """s' = s / r, t' = t - 2 d / s, for a crop shifted by d long sides and rescaled by r."""
    boxes, k, translations = made_up()
    plain = CropBoxes(boxes.center[:, :1], boxes.size[:, :1])
    d = numbers(PEOPLE, 1, 2, low=-0.3, high=0.3, seed=7)
    r = numbers(PEOPLE, 1, 1, low=0.4, high=1.6, seed=8)
    before = local_cameras(translations[:, None], plain, k)
    after = local_cameras(translations[:, None], crop_boxes(plain, torch.cat([d, r], -1)), k)
    expected = torch.cat([before[..., :1] / r, before[..., 1:] - 2 * d / before[..., :1]], -1)
    torch.testing.assert_close(after, expected, **EXACT)


def test_consistent_cameras_join_to_the_truth_and_others_to_their_middle() -> None:
    boxes, k, translations = made_up()
    cameras = local_cameras(translations[:, None], boxes, k)
    torch.testing.assert_close(common_translation(cameras, boxes, k), translations, **EXACT)
    wrong = cameras.clone()
    wrong[:, 1, 0] *= 2
    wrong[:, 1, 1:] /= 2  # the same place in the image
    joined = common_translation(wrong, boxes, k)
    factor = torch.full((PEOPLE,), 2.0, dtype=torch.float64) ** (-1 / CROPS)
    torch.testing.assert_close(joined, translations * factor[:, None], **EXACT)


@pytest.mark.parametrize(("x", "y", "width", "height"), [(0, 0, 640, 480), (31, 17, 200, 90), (300, 250, 51, 199)])
def test_intrinsics_are_those_of_a_cropped_and_resized_camera(x: int, y: int, width: int, height: int) -> None:
    camera = Camera(np.array([[500.0, 0, 290.0], [0, 610.0, 270.5], [0, 0, 1]]), 640, 480)
    center = torch.tensor([[[x + (width - 1) / 2, y + (height - 1) / 2]]], dtype=torch.float64)
    boxes = CropBoxes(center, torch.tensor([[[width, height]]], dtype=torch.float64))
    k = crop_intrinsics(boxes, torch.from_numpy(camera.k.copy())[None], (112, 84))[0, 0]
    cropped = camera.crop(x, y, width, height).resized(84, 112)
    np.testing.assert_allclose(k.numpy(), cropped.k, atol=1e-10)
    # And a local camera is that camera's view of the root.
    root = torch.tensor([[0.3, -0.2, 2.5]], dtype=torch.float64)
    s, tx, ty = local_cameras(root[:, None], boxes, torch.from_numpy(camera.k.copy())[None])[0, 0].tolist()
    px = np.array([84, 112]) / (width, height) * max(width, height) * s / 2 * (tx, ty) + (41.5, 55.5)
    np.testing.assert_allclose(px, cropped.project(root.numpy())[0], atol=1e-10)


def test_infos_are_centred_on_the_principal_point() -> None:
    k = torch.tensor([[[500.0, 0, 310], [0, 600, 200], [0, 0, 1]]])
    boxes = CropBoxes(torch.tensor([[[310.0, 200], [410, 260]]]), torch.tensor([[[100.0, 120], [90, 60]]]))
    expected = torch.tensor([[[0, 0, (120 / 500 - 0.24) / 0.06], [0.56, 0.28, (90 / 500 - 0.24) / 0.06]]])
    torch.testing.assert_close(box_infos(boxes, k), expected)


def test_nobody() -> None:
    boxes, k = CropBoxes(torch.zeros(0, 5, 2), torch.zeros(0, 5, 2)), torch.zeros(0, 3, 3)
    cameras = local_cameras(torch.zeros(0, 1, 3), boxes, k)
    assert cameras.shape == (0, 5, 3)
    assert full_translations(cameras, boxes, k).shape == derived_cameras(cameras[:, 0], boxes).shape == (0, 5, 3)
    assert common_translation(cameras, boxes, k).shape == (0, 3)
    assert crop_intrinsics(boxes, k, (8, 8)).shape == (0, 5, 3, 3)
    assert plain_boxes(torch.zeros(0, 4), (112, 112)).size.shape == (0, 1, 2)
