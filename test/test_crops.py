"""Crops: where they lie, and their pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from ros2_multihmr.camera import Camera
from ros2_multihmr.crops import (
    RANDOM_SCALES,
    SHIFT,
    crop_boxes,
    crop_table,
    network_crops,
    person_crops,
    plain_boxes,
    random_table,
    sample_crops,
)
from ros2_multihmr.model.config import IMAGENET_MEAN, IMAGENET_STD
from ros2_multihmr.model.crop_cameras import CropBoxes, crop_intrinsics
from ros2_multihmr.model.initialisation import draw
from ros2_multihmr.model.multi_crop_config import SCHEMES, MultiCropConfig

ONE = torch.tensor([0])


def rectangles(*edges: tuple[float, float, float, float]) -> CropBoxes:
    """One person's crops: first column, first row, width, height, as `Camera.crop` takes them."""
    x, y, width, height = torch.tensor(edges, dtype=torch.float64)[None].unbind(-1)
    return CropBoxes(torch.stack([x + (width - 1) / 2, y + (height - 1) / 2], -1), torch.stack([width, height], -1))


def noise(count: int = 1, height: int = 40, width: int = 50) -> Tensor:
    return torch.sigmoid(draw("noise", (count, 3, height, width), 1)).double()


def landscape(height: int, width: int) -> Tensor:
    """Each pixel says where it is: column and row, and 1 inside."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([x, y, torch.ones_like(x)])[None].double()


def test_whole_pixels_are_copied() -> None:
    image = noise()
    crops = sample_crops(image, ONE, rectangles((7, 5, 20, 30), (0, 0, 20, 30)), (30, 20))
    torch.testing.assert_close(crops[0, 0], image[0, :, 5:35, 7:27], atol=1e-12, rtol=0)
    torch.testing.assert_close(crops[0, 1], image[0, :, :30, :20], atol=1e-12, rtol=0)


def test_it_is_black_outside() -> None:
    image = noise()
    crop = sample_crops(image, ONE, rectangles((-10, -5, 20, 30), (1e9, -1e9, 20, 30)), (30, 20))[0]
    torch.testing.assert_close(crop[0, :, 5:, 10:], image[0, :, :25, :10], atol=1e-12, rtol=0)
    assert crop[0, :, :5].max() < 1e-12 and crop[0, :, :, :10].max() < 1e-12 and not crop[1].any()


@pytest.mark.parametrize("factor", [0.37, 1.0, 1.9, 3.3, 7.6])
def test_pixels_and_intrinsics_move_together(factor: float) -> None:
    """What a crop's camera says of its pixel's place in the image is what the pixel shows, also of halved images."""
    height, width = 24, 18
    boxes = CropBoxes(
        torch.tensor([[[103.3, 120.8]]], dtype=torch.float64),
        torch.tensor([[[width * factor, height * factor * 1.1]]], dtype=torch.float64),
    )
    crop = sample_crops(landscape(240, 200), ONE, boxes, (height, width))[0, 0]
    camera = torch.tensor([[[1.0, 0, 0], [0, 1, 0], [0, 0, 1]]], dtype=torch.float64)
    k = crop_intrinsics(boxes, camera, (height, width))[0, 0]
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    torch.testing.assert_close(crop[0], (x - k[0, 2]) / k[0, 0], atol=1e-9, rtol=0)
    torch.testing.assert_close(crop[1], (y - k[1, 2]) / k[1, 1], atol=1e-9, rtol=0)


def test_a_halved_image_is_the_binned_cameras() -> None:
    image = noise(1, 41, 63)
    boxes = rectangles((0, 0, 64, 42))
    crop = sample_crops(image, ONE, boxes, (21, 32))[0, 0]
    blocks = image[0, :, :40, :62].unflatten(1, (20, 2)).unflatten(3, (31, 2)).mean((2, 4))
    torch.testing.assert_close(crop[:, :20, :31], blocks, atol=1e-12, rtol=0)
    camera = Camera(np.array([[70.0, 0, 30], [0, 80, 22], [0, 0, 1]]), 64, 42)
    k = crop_intrinsics(boxes, torch.from_numpy(camera.k.copy())[None], (21, 32))[0, 0]
    np.testing.assert_allclose(k, camera.binned(2, 2).k, atol=1e-12)


def test_shrinking_skips_nothing() -> None:
    image = torch.zeros(1, 1, 128, 128, dtype=torch.float64)
    for place in ((37, 54), (38, 54), (39, 57)):
        dot = image.clone()
        dot[0, 0, place[0], place[1]] = 1
        assert sample_crops(dot, ONE, rectangles((0, 0, 128, 128)), (16, 16)).any()


def test_batch_equals_singles() -> None:
    images = noise(3, 60, 70)
    of_image = torch.tensor([2, 0, 0, 1])
    bounds = torch.tensor([[5.0, 6, 30, 58], [-10, 0, 20, 30], [40, 40, 69, 59], [0, 0, 69, 59]], dtype=torch.float64)
    boxes = crop_boxes(plain_boxes(bounds, (16, 12)), crop_table(9, "fixed"))
    together = sample_crops(images, of_image, boxes, (16, 12))
    assert together.shape == (4, 9, 3, 16, 12)
    for person, image in enumerate(of_image.tolist()):
        for crop in range(9):
            single = CropBoxes(*(edges[person : person + 1, crop : crop + 1] for edges in boxes))
            alone = sample_crops(images[image : image + 1], ONE, single, (16, 12))
            assert torch.equal(alone[0, 0], together[person, crop])


def test_bytes_are_floats_of_255() -> None:
    image = (noise() * 255).round().to(torch.uint8)
    boxes = rectangles((3.3, 4.7, 30, 31))
    floats = sample_crops(image.double() / 255, ONE, boxes, (20, 20))
    torch.testing.assert_close(sample_crops(image, ONE, boxes, (20, 20)), floats)
    mean, std = (torch.tensor(values, dtype=torch.float64)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
    torch.testing.assert_close(network_crops(image, ONE, boxes, (20, 20)) * std + mean, floats)


def test_single_precision_is_enough_for_large_images() -> None:
    image = noise(1, 1080, 1920)
    boxes = rectangles((1500.3, 700.2, 150.7, 170.9), (900.1, 200.4, 800, 850))
    rough = CropBoxes(*(edges.float() for edges in boxes))
    exact = sample_crops(image, ONE, boxes, (112, 112))
    torch.testing.assert_close(sample_crops(image.float(), ONE, rough, (112, 112)).double(), exact, atol=5e-4, rtol=0)


def test_nobody() -> None:
    boxes = CropBoxes(torch.zeros(0, 5, 2), torch.zeros(0, 5, 2))
    nobody = torch.zeros(0, dtype=torch.int64)
    assert network_crops(noise(2).float(), nobody, boxes, (14, 28)).shape == (0, 5, 3, 14, 28)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 0.0, -3.0])
def test_crops_without_extent_are_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="1 of 2 crops have no extent"):
        sample_crops(noise(), ONE, rectangles((0, 0, 10, 10), (0, 0, bad, 10)), (8, 8))


def test_people_of_no_image_are_refused() -> None:
    with pytest.raises(ValueError, match=r"indices of 1 images, got \[1\]"):
        sample_crops(noise(), torch.tensor([1]), rectangles((0, 0, 10, 10)), (8, 8))
    with pytest.raises(ValueError, match="one index for each"):
        sample_crops(noise(), torch.tensor([0, 0]), rectangles((0, 0, 10, 10)), (8, 8))


def test_the_papers_table() -> None:
    expected = [[0, 0, 1], [0.1, 0, 1.5], [-0.1, 0, 1.25], [0, 0.1, 0.8], [0, -0.1, 0.65]]
    assert crop_table(5, "fixed").tolist() == expected
    assert crop_table(3, "fixed").tolist() == expected[:3]
    assert crop_table(3, "shift").tolist() == [[x, y, 1] for x, y, _ in expected[:3]]
    assert crop_table(3, "scale").tolist() == [[0, 0, scale] for _, _, scale in expected[:3]]
    nine = crop_table(9, "fixed")
    assert sorted(nine[1:, 2].tolist()) == [0.4, 0.55, 0.7, 0.85, 1.15, 1.3, 1.45, 1.6]
    assert len({tuple(shift) for shift in nine[:, :2].tolist()}) == 9 and nine[0].tolist() == [0, 0, 1]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_network_says_which_crops_it_wants(scheme: str) -> None:
    config = MultiCropConfig(num_crops=4, scheme=scheme, crop_height=112, crop_width=84)
    bounds = torch.tensor([[10.0, 20, 50, 120], [10, 20, 210, 60]])
    boxes = person_crops(bounds, config, torch.Generator().manual_seed(0))
    plain = plain_boxes(bounds, (112, 84))
    assert boxes.size.shape == (2, 4, 2)
    assert torch.equal(boxes.center[:, :1], plain.center) and torch.equal(boxes.size[:, :1], plain.size)
    if scheme == "random":
        with pytest.raises(ValueError, match="expected a generator"):
            person_crops(bounds, config)
    else:
        torch.testing.assert_close(boxes, crop_boxes(plain, crop_table(4, scheme)))


@pytest.mark.parametrize(("count", "scheme"), [(0, "fixed"), (10, "fixed"), (5, "random"), (5, "spiral")])
def test_no_such_table(count: int, scheme: str) -> None:
    with pytest.raises(ValueError, match="crops: expected"):
        crop_table(count, scheme)


def test_random_crops_stay_in_their_range_and_repeat() -> None:
    drawn = random_table(200, 5, torch.Generator().manual_seed(3))
    assert torch.equal(drawn, random_table(200, 5, torch.Generator().manual_seed(3)))
    assert (drawn[:, 0] == torch.tensor([0.0, 0, 1])).all() and len(drawn[:, 1:].unique(dim=1)[0]) == 4
    assert drawn[..., :2].abs().max() <= SHIFT
    assert drawn[..., 2].min() >= RANDOM_SCALES[0] and drawn[..., 2].max() <= RANDOM_SCALES[1]


def test_plain_crops_hold_the_person_and_the_margin() -> None:
    bounds = torch.tensor([[10.0, 20, 50, 120], [10, 20, 210, 60]])
    boxes = plain_boxes(bounds, (256, 192))
    torch.testing.assert_close(boxes.center[:, 0], torch.tensor([[30.0, 70], [110, 40]]))
    torch.testing.assert_close(boxes.size[:, 0], torch.tensor([[90.0, 120], [240, 320]]))
    torch.testing.assert_close(boxes.side.flatten(), torch.tensor([120.0, 320]))
