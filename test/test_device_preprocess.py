"""Preprocessing on a device: Pillow's bytes, `preprocess`' numbers, and images that wait in the same memory."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from ros2_multihmr import device_preprocess, resampling
from ros2_multihmr import preprocess as on_host
from ros2_multihmr.camera import Camera
from ros2_multihmr.device_preprocess import DevicePreprocess
from ros2_multihmr.model.token_window import TokenWindow
from ros2_multihmr.preprocess import network_view, preprocess
from ros2_multihmr.resampling import bicubic_taps, scale_bicubic

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")),
]


def noise(width: int, height: int, seed: int = 0) -> np.ndarray:
    """Half of it black or white: what overshoots must be cut off."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, 3), np.uint8)
    return np.where(rng.random(image.shape) < 0.5, np.where(image < 128, 0, 255), image).astype(np.uint8)


def pillows(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """In two passes: where the height shrinks much more than the width, newer releases of Pillow change their order."""
    image = np.asarray(Image.fromarray(image).resize((size[0], image.shape[0]), Image.Resampling.BICUBIC))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))


SIZES = [(int(w), int(h), int(a), int(b)) for w, h, a, b in np.random.default_rng(1).integers(1, 250, (40, 4))]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("most", [2**24, 5000])
def test_scaled_bytes_are_pillows(device, most, monkeypatch):
    monkeypatch.setattr(resampling, "_MOST_PRODUCTS", most)
    for width, height, columns, rows in SIZES:
        image = noise(width, height, width)
        across, down = (bicubic_taps(*pair).to(torch.device(device)) for pair in ((width, columns), (height, rows)))
        ours = scale_bicubic(torch.from_numpy(image).to(device), across, down)
        np.testing.assert_array_equal(ours.cpu(), pillows(image, (columns, rows)), f"{width, height, columns, rows}")


def test_scaled_bytes_of_cameras_are_pillows():
    for width, height in ((640, 480), (480, 640), (1024, 576)):
        image, content = noise(width, height), network_view(Camera.from_fov(width, height, 60), 224).content
        ours = scale_bicubic(torch.from_numpy(image), bicubic_taps(width, content[0]), bicubic_taps(height, content[1]))
        whole = Image.fromarray(image).resize(content, Image.Resampling.BICUBIC)  # in one call, as the official demo
        np.testing.assert_array_equal(ours, whole)
        np.testing.assert_array_equal(on_host._scaled(image, content), whole)


def test_weights_are_one_together():
    for length, scaled in ((1280, 224), (3, 100), (100, 3), (1, 1), (7, 7)):
        total = bicubic_taps(length, scaled).weights.sum(1).double() / 2**22
        np.testing.assert_allclose(total, 1.0, atol=1e-5)


CAMERAS = [Camera.from_fov(*size, 60) for size in ((160, 90), (90, 160), (112, 112), (19, 7), (300, 1))]


@pytest.mark.parametrize("device", DEVICES)
def test_numbers_are_those_of_the_host(device):
    images = [noise(camera.width, camera.height) for camera in CAMERAS]
    run = DevicePreprocess(device)
    for _ in range(2):  # the second time with memory that is already there
        ours, theirs = run(images, CAMERAS, 112, None), preprocess(images, CAMERAS, 112)
        np.testing.assert_array_equal(ours.pixels.cpu(), theirs.pixels)
        np.testing.assert_array_equal(ours.k.cpu(), theirs.k)
        assert [view.content for view in ours.views] == [view.content for view in theirs.views]
        images = [image[::-1, :, ::-1] for image in images]
    assert run([], [], 112, None).pixels.shape == (0, 3, 112, 112)


def test_a_window_is_part_of_the_square():
    camera = CAMERAS[0]
    image, window = noise(camera.width, camera.height), TokenWindow(8, 6, 8)
    run = DevicePreprocess("cpu")
    np.testing.assert_array_equal(
        run([image], [camera], 112, window).pixels, window.of_square(run([image], [camera], 112, None).pixels)
    )
    with pytest.raises(ValueError, match="the only shape that this network was exported for"):
        run([noise(90, 160)], [CAMERAS[1]], 112, window)


def test_memory_is_kept_for_few_sizes():
    run = DevicePreprocess("cpu")
    for width in range(20, 60):
        run([noise(width, 10)], [Camera.from_fov(width, 10, 60)], 28, None)
    assert len(run._stages) == device_preprocess._MOST_STAGES


def test_bad_images_are_refused():
    with pytest.raises(ValueError, match="uint8 RGB"):
        DevicePreprocess("cpu")([np.zeros((30, 40, 3), np.float32)], [Camera.from_fov(40, 30, 60)], 112, None)
    with pytest.raises(ValueError, match="as many cameras as images"):
        DevicePreprocess("cpu")([], [CAMERAS[0]], 112, None)


def test_rows_first_and_then_columns_is_what_pillow_does():
    for width, height, columns, rows in SIZES[:20]:
        image = noise(width, height)
        np.testing.assert_array_equal(on_host._scaled(image, (columns, rows)), pillows(image, (columns, rows)))
        turned = image[:, ::-1]
        np.testing.assert_array_equal(on_host._scaled(turned, (columns, rows)), pillows(turned.copy(), (columns, rows)))
