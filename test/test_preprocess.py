"""Preprocessing: the official numbers, intrinsics that move along, exact pixels both ways."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_camera import centroid, draw_dot

from ros2_multihmr.camera import Camera
from ros2_multihmr.preprocess import network_view, preprocess

GOLDEN = Path(__file__).parent / "golden"

CAMERAS = {
    "landscape": Camera(np.array([[900.0, 0, 655.2], [0, 900.0, 349.1], [0, 0, 1]]), 1280, 720),
    "portrait": Camera(np.array([[610.0, 0, 244.0], [0, 610.0, 330.0], [0, 0, 1]]), 480, 640),
    "off_centre": Camera(np.array([[300.0, 0, 20.5], [0, 300.0, 401.0], [0, 0, 1]]), 640, 480),
    "fx_is_not_fy": Camera(np.array([[500.0, 0, 300.0], [0, 810.0, 250.0], [0, 0, 1]]), 641, 479),
    "square": Camera(np.array([[500.0, 0, 300.0], [0, 500.0, 250.0], [0, 0, 1]]), 512, 512),
    "tiny": Camera(np.array([[50.0, 0, 9.0], [0, 50.0, 4.0], [0, 0, 1]]), 19, 7),
}


def black(camera: Camera) -> np.ndarray:
    return np.zeros((camera.height, camera.width, 3), np.uint8)


@pytest.mark.parametrize("name", ["land", "port", "odd", "gray"])
def test_pixels_are_the_official_ones(name):
    image = np.asarray(Image.open(GOLDEN / f"{name}.png").convert("RGB"))
    camera = Camera.from_fov(image.shape[1], image.shape[0], 60)
    expected = np.load(GOLDEN / "preprocess.npz")[f"{name}_224"]
    np.testing.assert_array_equal(preprocess([image], [camera], 224).pixels.numpy(), expected)


def test_square_camera_is_the_official_demos():
    expected = np.load(GOLDEN / "preprocess.npz")["K_448_60"][0]
    np.testing.assert_allclose(network_view(Camera.from_fov(300, 300, 60), 448).k, expected, rtol=1e-6)


@pytest.mark.parametrize("size", [224, 448, 896])
@pytest.mark.parametrize("name", CAMERAS)
def test_a_point_lands_on_the_same_pixel_through_the_network(name, size):
    camera = CAMERAS[name]
    view = network_view(camera, size)
    points = np.random.default_rng(0).uniform((-2, -2, 1), (2, 2, 12), (200, 3))
    homogeneous = points @ view.k.T
    in_network = homogeneous[:, :2] / homogeneous[:, 2:]
    np.testing.assert_allclose(view.to_image(in_network), camera.project(points), atol=1e-8)
    np.testing.assert_allclose(view.to_network(camera.project(points)), in_network, atol=1e-8)


@pytest.mark.parametrize("name", CAMERAS)
def test_corners_of_the_image_are_corners_of_the_content(name):
    camera = CAMERAS[name]
    view = network_view(camera, 224)
    corners = view.to_network([[-0.5, -0.5], [camera.width - 0.5, camera.height - 0.5]])
    np.testing.assert_allclose(corners, [view.margin, np.add(view.margin, view.content)], atol=1e-9)


def brightness(pixels: np.ndarray) -> np.ndarray:
    """Network pixels of a grey image as bytes again; black is exactly 0."""
    return np.round((pixels[0] * 0.229 + 0.485) * 255)


@pytest.mark.parametrize("name", ["landscape", "portrait", "off_centre", "fx_is_not_fy"])
@pytest.mark.parametrize("region", [None, (30, 50, 400, 380, 1, 1), (0, 0, 0, 0, 2, 2), (33, 51, 400, 320, 4, 2)])
def test_a_dot_is_found_where_the_camera_says(name, region):
    camera = CAMERAS[name]
    point = camera.unproject((0.29 * camera.width, 0.37 * camera.height), 3.0)
    image = draw_dot(camera, point, sigma_px=9.0)
    if region:  # what a driver does: cut the region of interest out, then average blocks
        x, y, width, height, bin_x, bin_y = region
        width, height = width or camera.width, height or camera.height
        image = image[y : y + height, x : x + width]
        image = image[: height // bin_y * bin_y, : width // bin_x * bin_x]
        image = image.reshape(height // bin_y, bin_y, width // bin_x, bin_x).mean(axis=(1, 3)).round().astype(np.uint8)
        camera = camera.crop(x, y, width, height).binned(bin_x, bin_y)
    network = preprocess([np.repeat(image[..., None], 3, axis=2)], [camera], 448)
    found = centroid(brightness(network.pixels[0].numpy())) + 0.5  # the corner of the first pixel is at 0
    expected = network.k[0].numpy() @ (point / point[2])
    np.testing.assert_allclose(found, expected[:2], atol=0.03)
    np.testing.assert_allclose(camera.project(point), network.views[0].to_image(found), atol=0.05)


@pytest.mark.parametrize(("width", "height"), [(1, 1), (7680, 4320), (3000, 1), (1, 5), (224, 224)])
def test_images_of_any_size(width, height):
    camera = Camera.from_fov(width, height, 60)
    image = np.full((height, width, 3), 255, np.uint8)
    network = preprocess([image], [camera], 224)
    assert network.pixels.shape == (1, 3, 224, 224)
    x, y = np.array(network.views[0].margin) + np.array(network.views[0].content) // 2
    assert network.pixels[0, 0, y, x] == pytest.approx((1 - 0.485) / 0.229)


def test_margins_round_half_to_even():
    margins = [network_view(Camera.from_fov(224, height, 60), 224).margin[1] for height in (221, 219, 217, 215)]
    assert margins == [2, 2, 4, 4]


def test_padding_is_black_before_normalisation():
    pixels = preprocess([black(CAMERAS["landscape"]) + 255], [CAMERAS["landscape"]], 224).pixels
    np.testing.assert_allclose(pixels[0, :, 0, 0], (-2.1179, -2.0357, -1.8044), atol=1e-4)


def test_a_batch_equals_its_images():
    rng = np.random.default_rng(0)
    cameras = [CAMERAS["landscape"], CAMERAS["portrait"], CAMERAS["tiny"]]
    images = [rng.integers(0, 255, (c.height, c.width, 3), np.uint8) for c in cameras]
    batch = preprocess(images, cameras, 112)
    for index, (image, camera) in enumerate(zip(images, cameras, strict=True)):
        single = preprocess([image], [camera], 112)
        assert (batch.pixels[index] == single.pixels[0]).all() and (batch.k[index] == single.k[0]).all()
    assert preprocess([], [], 112).pixels.shape == (0, 3, 112, 112)


def test_views_into_larger_arrays_are_read_as_they_look():
    camera = Camera.from_fov(40, 30, 60)
    wide = np.random.default_rng(0).integers(0, 255, (30, 90, 4), np.uint8)
    view = wide[:, 80:40:-1, 2::-1]
    assert (preprocess([view], [camera], 56).pixels == preprocess([view.copy()], [camera], 56).pixels).all()


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((30, 40, 3), np.float32), "uint8 RGB .* got float32"),
        (np.zeros((30, 40), np.uint8), r"got uint8 \(30, 40\)"),
        (np.zeros((30, 40, 4), np.uint8), r"got uint8 \(30, 40, 4\)"),
        (np.zeros((31, 40, 3), np.uint8), "40 x 30 pixels .* got 40 x 31"),
        ("picture.jpg", "got str"),
    ],
)
def test_bad_images_are_refused(image, message):
    with pytest.raises(ValueError, match=message):
        preprocess([image], [Camera.from_fov(40, 30, 60)], 224)


def test_a_camera_for_every_image():
    with pytest.raises(ValueError, match="as many cameras as images, got 1 and 0"):
        preprocess([np.zeros((30, 40, 3), np.uint8)], [], 224)
