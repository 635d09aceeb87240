"""Renderer: pixels against an independent ray caster, the camera's own projection, and geometry known by hand."""

from __future__ import annotations

import numpy as np
import pytest

from ros2_multihmr import rasterizer
from ros2_multihmr.camera import Camera
from ros2_multihmr.render import render, vertex_normals

K = np.array([[110.0, 0, 66.3], [0, 118.0, 41.7], [0, 0, 1]])
CAMERAS = {
    "landscape": Camera(K, 128, 88),
    "portrait": Camera(K, 88, 128),
    "plumb_bob": Camera(K, 128, 88, "plumb_bob", (-0.3, 0.1, 0.002, -0.001, 0.0)),
    "rational": Camera(K, 128, 88, "rational_polynomial", (0.5, -0.3, 0.001, 0.0005, 0.02, 0.2, -0.2, 0.05)),
    "equidistant": Camera(K, 128, 88, "equidistant", (-0.02, 0.01, -0.003, 0.0)),
}
cameras = pytest.mark.parametrize("camera", CAMERAS.values(), ids=CAMERAS)


def ball(center: tuple[float, float, float], radius: float, steps: int = 14) -> tuple[np.ndarray, np.ndarray]:
    polar, around = np.meshgrid(
        np.linspace(0, np.pi, steps), np.linspace(0, 2 * np.pi, steps, endpoint=False), indexing="ij"
    )
    sphere = np.stack([np.sin(polar) * np.cos(around), np.cos(polar), np.sin(polar) * np.sin(around)], axis=-1)
    here = np.arange(steps - 1)[:, None] * steps + np.arange(steps)
    right = np.arange(steps - 1)[:, None] * steps + (np.arange(steps) + 1) % steps
    faces = [(here, right, here + steps), (right, right + steps, here + steps)]
    faces = np.concatenate([np.stack(face, axis=-1).reshape(-1, 3) for face in faces])
    return sphere.reshape(-1, 3) * radius + center, faces


def sheet(tilt: float, cells: int) -> tuple[np.ndarray, np.ndarray]:
    """A tilted plane z = 3 + tilt x that fills the view."""
    x, y = np.meshgrid(np.linspace(-3.2, 3.2, cells + 1), np.linspace(-3.2, 3.2, cells + 1))
    i = (np.arange(cells)[:, None] * (cells + 1) + np.arange(cells)).ravel()
    faces = np.concatenate([np.stack([i, i + 1, i + cells + 1], 1), np.stack([i + 1, i + cells + 2, i + cells + 1], 1)])
    return np.stack([x, y, 3 + tilt * x], axis=-1).reshape(-1, 3), faces


def pixel_grid(camera: Camera) -> np.ndarray:
    return np.stack(np.meshgrid(np.arange(camera.width), np.arange(camera.height)), axis=-1)


def cast_rays(meshes: list[np.ndarray], faces: np.ndarray, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Depth and instance by intersecting every pixel's ray with every triangle (Moeller and Trumbore)."""
    rays = camera.unproject(pixel_grid(camera), np.ones((camera.height, camera.width))).reshape(-1, 3)
    depth, instance = np.full(len(rays), np.inf), np.full(len(rays), -1)
    for index, mesh in enumerate(meshes):
        for a, b, c in mesh[faces]:
            e1, e2 = b - a, c - a
            p = np.cross(rays, e2)
            det = p @ e1
            q = np.cross(-a, e1)
            with np.errstate(all="ignore"):
                u, v, t = (p @ -a) / det, (rays @ q) / det, (e2 @ q) / det
            nearer = (u >= 0) & (v >= 0) & (u + v <= 1) & (t > 0) & (t < depth)
            depth[nearer], instance[nearer] = t[nearer], index
    shape = (camera.height, camera.width)
    return depth.reshape(shape), instance.reshape(shape)


@cameras
def test_pixels_are_those_of_a_ray_caster(camera):
    (one, faces), (other, _) = ball((0.15, -0.1, 2.6), 0.6), ball((-0.3, 0.2, 3.0), 0.75)  # they intersect
    rendering = render([one, other], faces, camera)
    depth, instance = cast_rays([one, other], faces, camera)
    for index in (0, 1):
        mine, truth = rendering.instance == index, instance == index
        assert truth.sum() > 700
        assert (mine & truth).sum() / (mine | truth).sum() > (0.995 if camera.has_distortion else 0.9999)
    both = (instance >= 0) & (rendering.instance == instance)
    difference = np.abs(rendering.depth[both] - depth[both])
    assert np.median(difference) < (5e-4 if camera.has_distortion else 1e-6)
    # At grazing sight a hundredth of a pixel is centimetres.
    assert np.quantile(difference, 0.98) < (0.01 if camera.has_distortion else 1e-5)


@cameras
def test_a_small_ball_lands_where_the_camera_says(camera):
    for center in ((0.0, 0.0, 4.0), (-0.7, 0.3, 2.5), (0.9, -0.6, 3.0)):
        vertices, faces = ball(center, 0.25)
        y, x = np.nonzero(render([vertices], faces, camera).instance == 0)
        px = camera.project(vertices)
        middle = (px.min(axis=0) + px.max(axis=0)) / 2
        if camera.contains(px).all():
            np.testing.assert_allclose([x.mean(), y.mean()], middle, atol=0.25)
            np.testing.assert_allclose([x.min(), y.min()], px.min(axis=0), atol=1.01)
            np.testing.assert_allclose([x.max(), y.max()], px.max(axis=0), atol=1.01)


def test_pixel_centres_lie_on_integers():
    camera = Camera(np.array([[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1]]), 12, 10)
    square = np.array([[2.9, 3.9, 1], [6.1, 3.9, 1], [6.1, 7.1, 1], [2.9, 7.1, 1]])
    rendering = render([square], [[0, 1, 2], [0, 2, 3]], camera)
    expected = np.full((10, 12), -1)
    expected[4:8, 3:7] = 0
    np.testing.assert_array_equal(rendering.instance, expected)


@cameras
@pytest.mark.parametrize("cells", [10, 37])
def test_a_plane_has_no_cracks_and_its_depth_is_exact(camera, cells):
    vertices, faces = sheet(0.4, cells)
    rendering = render([vertices], faces, camera)
    rays = camera.unproject(pixel_grid(camera), np.ones((camera.height, camera.width)))
    assert (rendering.instance == 0).all()
    expected = 3 / (1 - 0.4 * rays[..., 0])
    np.testing.assert_allclose(rendering.depth, expected, rtol=1e-3 if camera.has_distortion else 1e-5)


def test_the_nearer_mesh_hides_the_farther_in_any_order():
    camera = CAMERAS["landscape"]
    near, faces = ball((0, 0, 2.0), 0.4)
    far, _ = ball((0, 0, 4.0), 1.6)
    first, second = render([near, far], faces, camera), render([far, near], faces, camera)
    assert first.instance[40, 66] == 0 and second.instance[40, 66] == 1
    assert {0, 1} <= set(np.unique(first.instance))
    np.testing.assert_array_equal(first.depth, second.depth)


def test_what_is_not_in_front_of_the_camera_is_left_out():
    camera = CAMERAS["landscape"]
    vertices, faces = ball((0, 0, 0), 1.0)  # around the camera: half of it is behind
    rendering = render([vertices, vertices - (0, 0, 5)], faces, camera)
    assert (rendering.instance >= 0).any() and not (rendering.instance == 1).any()
    assert (rendering.depth > 0.01).all()


def test_nobody_is_black_and_infinitely_far():
    rendering = render([], np.zeros((0, 3), int), CAMERAS["landscape"])
    assert rendering.rgb.shape == (88, 128, 3) and not rendering.rgb.any()
    assert np.isinf(rendering.depth).all() and (rendering.instance == -1).all()


def test_background_and_meshes_agree_in_all_pictures():
    vertices, faces = ball((0, 0, 3), 0.8)
    rendering = render([vertices], faces, CAMERAS["landscape"], colors=[(1.0, 0.2, 0.2)])
    covered = rendering.instance >= 0
    np.testing.assert_array_equal(np.isfinite(rendering.depth), covered)
    np.testing.assert_array_equal(rendering.rgb.any(axis=-1), covered)
    red, green, _ = rendering.rgb[covered].T.astype(int)
    assert (red > 1.5 * green).all()


def test_large_pictures_are_made_in_pieces(monkeypatch):
    (one, faces), (other, _) = ball((0.15, -0.1, 2.6), 0.6), ball((-0.3, 0.2, 3.0), 0.75)
    whole = render([one, other], faces, CAMERAS["landscape"])
    monkeypatch.setattr(rasterizer, "_CHUNK", 101)
    pieces = render([one, other], faces, CAMERAS["landscape"])
    for expected, got in zip(whole, pieces, strict=True):
        np.testing.assert_array_equal(got, expected)


def test_normals_of_a_ball_point_away_from_its_middle():
    vertices, faces = ball((1, 2, 3), 0.5, steps=40)
    normals = vertex_normals(np.stack([vertices, vertices * 2]), faces)
    outwards = (vertices - (1, 2, 3)) / 0.5
    inner = slice(40, -40)  # at the poles many triangles are degenerate
    assert (np.abs((normals[0] * outwards).sum(axis=-1))[inner] > 0.99).all()
    np.testing.assert_allclose(normals[1], normals[0], atol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([np.zeros((5, 3)), np.zeros((6, 3))], [[0, 1, 2]]), r"one shape \(V, 3\)"),
        (([np.zeros((5, 2))], [[0, 1, 2]]), r"one shape \(V, 3\), got \[\(5, 2\)\]"),
        (([np.zeros((5, 3))], [[0.0, 1.0, 2.0]]), "whole numbers"),
        (([np.zeros((5, 3))], [[0, 1]]), r"whole numbers \(F, 3\)"),
    ],
)
def test_wrong_shapes_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        render(*arguments, CAMERAS["landscape"])


def test_one_colour_for_each_mesh():
    with pytest.raises(ValueError, match="each of 1 meshes, got 2"):
        render([ball((0, 0, 3), 1)[0]], ball((0, 0, 3), 1)[1], CAMERAS["landscape"], colors=np.ones((2, 3)))
