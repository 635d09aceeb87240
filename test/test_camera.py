"""Camera: projection and its inverse, changes of the image, rectification, refused input."""

import cv2
import numpy as np
import pytest

from ros2_multihmr.camera import Camera
from ros2_multihmr.rectify import Rectifier

LENSES = {
    "none": ("", ()),
    "plumb_bob_4": ("plumb_bob", (-0.28, 0.07, 0.001, -0.002)),
    "plumb_bob_5": ("plumb_bob", (-0.35, 0.12, 0.001, -0.002, 0.01)),
    "pincushion": ("plumb_bob", (0.2, 0.05, -0.001, 0.001, 0.0)),
    "rational": ("rational_polynomial", (0.5, -0.3, 0.001, 0.0005, 0.02, 0.2, -0.2, 0.05)),
    "equidistant": ("equidistant", (-0.02, 0.01, -0.003, 0.0004)),
}
SHAPES = {"landscape": (640, 360), "portrait": (360, 640)}


def make_camera(lens: str = "none", shape: str = "landscape") -> Camera:
    width, height = SHAPES[shape]
    k = np.array([[410.0, 0, 0.56 * width], [0, 433.0, 0.43 * height], [0, 0, 1]])
    return Camera(k, width, height, *LENSES[lens])


def grid(camera: Camera, step: float = 7.3) -> np.ndarray:
    axes = np.arange(-0.5, camera.width, step), np.arange(-0.5, camera.height, step)
    return np.stack(np.meshgrid(*axes), axis=-1)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("lens", LENSES)
def test_project_is_the_exact_inverse_of_unproject(lens, shape):
    camera = make_camera(lens, shape)
    px = grid(camera)
    depth = np.random.default_rng(0).uniform(0.3, 30, px.shape[:-1])
    points = camera.unproject(px, depth)
    np.testing.assert_array_equal(points[..., 2], depth)
    np.testing.assert_allclose(camera.project(points), px, atol=1e-7)


@pytest.mark.parametrize("lens", [lens for lens in LENSES if lens != "none"])
def test_projection_is_opencvs(lens):
    camera = make_camera(lens)
    points = np.random.default_rng(1).uniform((-1, -0.6, 1.5), (1, 0.6, 9), (500, 3))
    function = cv2.fisheye.projectPoints if lens == "equidistant" else cv2.projectPoints
    expected = function(points[:, None], np.zeros(3), np.zeros(3), camera.k, np.array(camera.d))[0].reshape(-1, 2)
    np.testing.assert_allclose(camera.project(points), expected, atol=1e-8)


def test_pinhole_formula_and_shapes():
    camera = make_camera()
    points = np.ones((2, 5, 3)) * (1.0, -2.0, 4.0)
    px = camera.project(points)
    assert px.shape == (2, 5, 2)
    np.testing.assert_allclose(px[1, 3], (410 / 4 + 0.56 * 640, -433 / 2 + 0.43 * 360))
    assert camera.project(np.zeros((0, 3))).shape == (0, 2)
    assert camera.unproject(np.zeros((0, 2)), np.zeros(0)).shape == (0, 3)


def test_points_the_camera_cannot_see_are_nan():
    assert np.isnan(make_camera().project([[0, 0, 0.0], [0.1, 0.1, -1.0]])).all()
    fisheye = make_camera("equidistant")
    assert np.isfinite(fisheye.project([20.0, 0, 1])).all()
    assert np.isnan(fisheye.project([20.0, 0, -1])).all()


def test_rays_beyond_the_fold_of_the_distortion_do_not_reappear_in_the_image():
    k = np.array([[400.0, 0, 320], [0, 400.0, 180], [0, 0, 1]])
    camera = Camera(k, 640, 360, "plumb_bob", (-0.3, 0, 0, 0))
    fold = (1 / 0.9) ** 0.5  # r (1 - .3 r^2) grows up to here
    radii = np.linspace(0, fold, 50)[:-1]
    px = camera.project(np.stack([radii, 0 * radii, 1 + 0 * radii], axis=-1))
    assert (np.diff(px[:, 0]) > 0).all()
    assert np.isnan(camera.project([[fold * 1.001, 0, 1], [2.0, 0, 1]])).all()
    assert np.isnan(camera.unproject([320 + 400 * 0.75, 180], 1.0)[:2]).all()  # no ray is bent further than .703


@pytest.mark.parametrize("lens", LENSES)
def test_rays_are_unit_vectors_through_the_pixels(lens):
    camera = make_camera(lens)
    px = grid(camera, 50)
    rays = camera.rays(px)
    np.testing.assert_allclose(np.linalg.norm(rays, axis=-1), 1)
    np.testing.assert_allclose(camera.project(3 * rays), px, atol=1e-7)


def test_from_fov_spans_the_longer_side_from_corner_to_corner():
    for width, height in ((640, 480), (480, 640), (1, 1)):
        camera = Camera.from_fov(width, height, 60)
        edges = [[-0.5, (height - 1) / 2], [width - 0.5, (height - 1) / 2]]
        if height > width:
            edges = [[(width - 1) / 2, -0.5], [(width - 1) / 2, height - 0.5]]
        left, right = camera.rays(edges)
        assert np.degrees(np.arccos(left @ right)) == pytest.approx(60)
        assert camera.fx == camera.fy and not camera.calibrated


@pytest.mark.parametrize("lens", LENSES)
def test_crop_and_binning_move_pixels_as_the_image_moves(lens):
    camera = make_camera(lens)
    small = camera.crop(40, 30, 400, 300).binned(4, 2)
    assert (small.width, small.height) == (100, 150)
    points = camera.unproject(grid(camera, 61), 2.0 * np.ones(grid(camera, 61).shape[:-1]))
    expected = (camera.project(points) - (40, 30) + 0.5) / (4, 2) - 0.5
    np.testing.assert_allclose(small.project(points), expected, atol=1e-9)


def test_binning_averages_pixels_and_zero_means_one():
    camera = make_camera()
    assert camera.binned(0, 0) == camera == camera.binned(1, 1)
    assert (camera.binned(3, 7).width, camera.binned(3, 7).height) == (640 // 3, 360 // 7)
    ray = camera.rays([10.5, 20.5])  # the corner between pixels 10 and 11: the centre of pixel 5 after binning by 2
    np.testing.assert_allclose(camera.binned(2, 2).project(ray), (5, 10), atol=1e-9)


def test_resizing_to_half_is_binning_by_two():
    np.testing.assert_array_equal(make_camera().resized(320, 180).k, make_camera().binned(2, 2).k)


def test_contains_counts_whole_pixels():
    camera = make_camera()
    px = [[-0.5, 0], [-0.51, 0], [639.49, 359.49], [639.5, 0], [0, 359.5], [np.nan, 1]]
    assert camera.contains(px).tolist() == [True, False, True, False, False, False]


def test_equal_numbers_make_equal_cameras():
    assert make_camera("rational") == make_camera("rational")
    assert len({make_camera("rational"), make_camera("rational"), make_camera("equidistant")}) == 2
    with pytest.raises(ValueError, match="read-only"):
        make_camera().k[0, 0] = 1


def test_zero_distortion_counts_as_none():
    camera = Camera(make_camera().k, 640, 360, "plumb_bob", (0, 0, 0, 0, 0))
    assert not camera.has_distortion and make_camera("plumb_bob_5").has_distortion
    assert not Camera(make_camera().k, 640, 360, "plumb_bob", ()).has_distortion


GOOD = {"k": make_camera().k, "width": 640, "height": 360, "distortion_model": "plumb_bob", "d": (0.1, 0, 0, 0)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": np.zeros((3, 3))}, "from_fov"),
        ({"k": np.diag([-1.0, 1, 1])}, "positive"),
        ({"k": np.full((3, 3), np.nan)}, "finite"),
        ({"k": np.eye(4)}, "3 x 3"),
        ({"k": np.array([[400, 0.1, 5], [0, 400, 5], [0, 0, 1]])}, "fx, 0, cx"),
        ({"width": 0}, "width"),
        ({"height": -4}, "height"),
        ({"height": 4.5}, "height"),
        ({"d": (np.nan, 0, 0, 0)}, "finite"),
        ({"d": (0.1, 0, 0)}, "4 or 5 coefficients, got 3"),
        ({"distortion_model": "rational_polynomial"}, "8 coefficients, got 4"),
        ({"distortion_model": "equidistant", "d": (0.1,) * 5}, "4 coefficients, got 5"),
        ({"distortion_model": ""}, "no coefficients, got 4"),
        ({"distortion_model": "kannala"}, "unknown distortion model 'kannala'"),
    ],
)
def test_bad_numbers_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        Camera(**{**GOOD, **change})


@pytest.mark.parametrize("fov", [0, 180, -3, np.nan])
def test_impossible_field_of_view_is_refused(fov):
    with pytest.raises(ValueError, match="field of view"):
        Camera.from_fov(640, 480, fov)


def test_wrong_shapes_and_binning_are_refused():
    with pytest.raises(ValueError, match=r"\(\.\.\., 3\), got \(5, 2\)"):
        make_camera().project(np.zeros((5, 2)))
    with pytest.raises(ValueError, match="negative"):
        make_camera().binned(-1, 1)
    with pytest.raises(ValueError, match="width"):
        make_camera().binned(641, 1)


def draw_dot(camera: Camera, point: np.ndarray, sigma_px: float = 2.0) -> np.ndarray:
    """Draws a smooth bright dot where the camera sees the point."""
    u, v = camera.project(point)
    x, y = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    return np.round(250 * np.exp(-((x - u) ** 2 + (y - v) ** 2) / (2 * sigma_px**2))).astype(np.uint8)


def centroid(image: np.ndarray) -> np.ndarray:
    weights = image.astype(float)
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    return np.array([(x * weights).sum(), (y * weights).sum()]) / weights.sum()


@pytest.mark.parametrize("lens", ["plumb_bob_5", "rational", "equidistant"])
def test_rectifier_moves_a_dot_to_where_its_camera_says(lens):
    raw = make_camera(lens)
    angle = 0.03
    r = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    k = np.array([[380.0, 0, 325], [0, 390.0, 175], [0, 0, 1]])
    rectifier = Rectifier(raw, k, r)
    assert rectifier.camera.rectified and not rectifier.camera.has_distortion
    for point in ([0.0, 0, 2], [-0.9, 0.5, 2], [0.8, -0.4, 2]):
        rectified = rectifier(draw_dot(raw, np.array(point)))
        np.testing.assert_allclose(centroid(rectified), rectifier.camera.project(r @ point), atol=0.1)


@pytest.mark.parametrize("lens", ["plumb_bob_5", "equidistant"])
def test_rectification_is_opencvs(lens):
    raw = make_camera(lens)
    image = np.random.default_rng(2).integers(0, 255, (30, 40, 3), np.uint8)
    image = cv2.resize(image, (raw.width, raw.height), interpolation=cv2.INTER_CUBIC)
    module = cv2.fisheye if lens == "equidistant" else cv2
    maps = module.initUndistortRectifyMap(
        raw.k, np.array(raw.d), np.eye(3), raw.k, (raw.width, raw.height), cv2.CV_32FC1
    )
    difference = Rectifier(raw, raw.k)(image).astype(int) - cv2.remap(image, *maps, interpolation=cv2.INTER_LINEAR)
    assert np.abs(difference).max() <= 2


def test_rectifier_refuses_bad_input():
    raw = make_camera("plumb_bob_5")
    with pytest.raises(ValueError, match="rotation"):
        Rectifier(raw, raw.k, np.zeros((3, 3)))
    with pytest.raises(ValueError, match="640 x 360 pixels, got 10 x 20"):
        Rectifier(raw, raw.k)(np.zeros((20, 10, 3), np.uint8))
    with pytest.raises(ValueError, match="already"):
        Rectifier(Rectifier(raw, raw.k).camera, raw.k)
