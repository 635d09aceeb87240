"""The renderer of synthetic scenes: geometry, visibility, shadows, materials and the sensor, against what is known."""

from __future__ import annotations

import numpy as np
import pytest

from ros2_multihmr.camera import Camera
from ros2_multihmr.synthesis.lights import Light, Lighting
from ros2_multihmr.synthesis.materials import (
    ROLES,
    VAL_PATTERNS,
    evaluate,
    sample_color,
    sample_material,
    sample_seed,
)
from ros2_multihmr.synthesis.pieces import assemble, blob, box, cylinder
from ros2_multihmr.synthesis.scene import Scene, picture_and_view, render_scene
from ros2_multihmr.synthesis.sensor import Sensor, develop
from ros2_multihmr.synthesis.surface import PATTERNS, Material, Surface
from ros2_multihmr.synthesis.triangles import NEAR_M, cut_near, triangles_of
from ros2_multihmr.synthesis.views import Eye, aim

CAMERA = Camera(np.array([[150.0, 0.0, 80.0], [0.0, 152.0, 60.0], [0.0, 0.0, 1.0]]), 160, 120)
GREY = Material((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), grain=0.0)
AMBIENT = Lighting((1.0, 1.0, 1.0), (1.0, 1.0, 1.0), ())
LEVEL = aim(Eye(CAMERA, 1.5, 0.0), 0.0, 0.0)
PLAIN = Sensor(vignette=0.0, shot=0.0, read=0.0, contrast=0.0)


def thing(*pieces, person: int = -1, place=(0.0, 0.0, 0.0), heading: float = 0.0) -> Surface:
    surface = assemble(pieces, [GREY], place, heading)
    part = np.full(len(surface.faces), 3 if person >= 0 else 0, np.uint8)
    return Surface(*(getattr(surface, name) for name in list(vars(surface))[:6]), person, part)


def scene(*surfaces: Surface, transform=LEVEL, lighting=AMBIENT, sensor=PLAIN, shell=(), camera=CAMERA) -> Scene:
    return Scene(surfaces, transform, camera, lighting, sensor, shell)


def ground(half: float = 30.0) -> Surface:
    return thing(box((-half, -half, -0.1), (half, half, 0.0)))


def rays() -> np.ndarray:
    y, x = np.mgrid[: CAMERA.height, : CAMERA.width]
    return np.stack([(x - CAMERA.cx) / CAMERA.fx, (y - CAMERA.cy) / CAMERA.fy, np.ones_like(x, float)], -1)


@pytest.mark.parametrize("pitch, roll", [(0.0, 0.0), (0.4, 0.0), (0.2, 0.3)])
def test_depth_of_the_ground_is_that_of_the_plane(pitch, roll):
    transform = aim(Eye(CAMERA, 1.5, 0.7), pitch, roll)
    view = picture_and_view(scene(ground(300.0), transform=transform))[1]
    down = rays() @ transform[:3, :3][:, 2]  # of each ray, per metre of depth
    expected = np.divide(-1.5, down, out=np.full(down.shape, np.inf), where=down < 0)
    inner = expected < 100
    assert inner.sum() > 3000
    np.testing.assert_allclose(view.depth[inner], expected[inner], rtol=1e-4)
    assert not view.depth[down > 0.01].any()


def test_depth_of_a_mesh_is_that_of_its_surface():
    sphere = thing(blob((4.0, 0.3, 1.4), (0.8, 0.8, 0.8)), person=0)
    view = picture_and_view(scene(sphere, ground()))[1]
    seen = view.instance == 1
    assert seen.sum() > 1000
    place = np.array([4.0, 0.3, 1.4, 1.0]) @ LEVEL.T
    away = np.linalg.norm(rays() * view.depth[..., None] - place[:3], axis=-1)[seen]
    assert away.max() < 0.8 + 0.01 and away.min() > 0.8 * 0.93  # the mesh lies inside of its sphere
    assert (view.part[seen] == 3).all() and not view.part[~seen].any()


def test_walls_beside_and_behind_the_camera_are_cut_not_lost():
    room = box((-2.0, -1.5, 0.0), (5.0, 2.0, 2.5))
    inside = thing(room._replace(faces=room.faces[:, ::-1]))
    view = picture_and_view(scene(inside))[1]
    assert (view.depth > 0.0).all() and view.depth.max() == pytest.approx(5.0, abs=1e-4)
    side = rays()[60, 159]  # hits the right wall, y = -1.5, which begins behind the camera
    assert view.depth[60, 159] == pytest.approx(min(5.0, 1.5 / side[0]), rel=1e-4)


def test_cutting_keeps_what_is_in_front_and_interpolates():
    triangles = triangles_of([ground()]).moved(aim(Eye(CAMERA, 1.5, 0.3), 0.1, 0.0))
    cut = cut_near(triangles)
    assert (cut.points[..., 2] >= NEAR_M - 1e-12).all()
    assert np.isin(np.unique(cut.surface), [0]).all()
    # The texture of a flat thing is an affine function of the place: it is after the cut what it was before.
    for rows in (triangles, cut):
        top = np.abs(rows.values[:, 0, 2] - 1.0) < 1e-6
        places = rows.moved(np.linalg.inv(aim(Eye(CAMERA, 1.5, 0.3), 0.1, 0.0))).points[top]
        assert top.any()
        np.testing.assert_allclose(places[..., :2], rows.values[top][..., 3:5], atol=1e-3)


def test_nothing_in_front_of_the_camera():
    picture, dense = render_scene(scene(thing(box((-3.0, -1.0, 0.0), (-2.0, 1.0, 1.0)), person=0)))
    assert picture.shape == (120, 160, 3) and not dense.instance.any() and not dense.depth.any()


def test_an_empty_scene_is_sky():
    picture, dense = render_scene(scene())
    assert picture.min() > 0 and not dense.depth.any()


def test_visibility_of_whole_hidden_half_hidden_and_cut_people():
    person = thing(box((3.9, -0.4, 1.0), (4.1, 0.4, 2.0)), person=0)

    def seen(*others: Surface, transform=LEVEL) -> float:
        view = picture_and_view(scene(person, *others, transform=transform))[1]
        assert view.whole[0] > 1000
        return view.seen[0] / view.whole[0]

    assert seen() == 1.0
    assert seen(ground()) == 1.0
    assert seen(thing(box((2.0, -2.0, 0.0), (2.2, 2.0, 3.0)))) == 0.0
    assert seen(thing(box((2.0, -2.0, 0.0), (2.2, 0.0, 3.0)))) == pytest.approx(0.5, abs=0.02)
    assert seen(thing(box((3.7, -0.4, 1.0), (3.8, 0.0, 2.0)), person=1)) == pytest.approx(0.5, abs=0.05)
    turned = aim(Eye(CAMERA, 1.5, np.arctan(80.0 / CAMERA.fx)), 0.0, 0.0)  # the person's middle at the border
    assert seen(transform=turned) == pytest.approx(0.5, abs=0.08)


def test_a_persons_silhouette_does_not_depend_on_the_border():
    person = thing(blob((3.0, 0.0, 1.5), (0.4, 0.4, 0.4)), person=0)
    large = Camera(CAMERA.k, 400, 300)
    small = picture_and_view(scene(person, camera=Camera(CAMERA.k, 81, 61)))[1]
    whole = picture_and_view(scene(person, camera=large))[1]
    assert small.whole[0] == whole.whole[0] == whole.seen[0]
    assert 0.2 < small.seen[0] / small.whole[0] < 0.35


def brightness_on_ground(picture: np.ndarray, x: float, y: float, transform: np.ndarray) -> float:
    point = transform @ (x, y, 0.0, 1.0)
    column, row = np.rint(CAMERA.project(point[:3])).astype(int)
    return float(picture[row, column].mean())


@pytest.mark.parametrize("kind", ["sun", "lamp"])
def test_a_shadow_falls_where_it_should(kind):
    """A box at 1 m height; the light comes from the left (y > 0) at 45 degrees, so its shadow lies to the right."""
    fall = np.array([0.0, -1.0, -1.0]) / np.sqrt(2.0)
    lamp = (3.0, 3.0, 4.0)  # 3 m above the box's height, 3 m to the left
    light = Light(
        kind,
        (3.0, 0.0, 0.0) if kind == "sun" else lamp,
        tuple(fall),
        (2.0,) * 3 if kind == "sun" else (60.0,) * 3,
        True,
    )
    transform = aim(Eye(CAMERA, 1.8, 0.0), 0.4, 0.0)
    block = thing(box((2.8, -0.2, 0.9), (3.2, 0.2, 1.1)))
    lighting = Lighting((0.1,) * 3, (0.1,) * 3, (light,))
    plane = ground()
    picture, _ = render_scene(scene(plane, block, transform=transform, lighting=lighting, shell=(0,)))
    # From (y, z) = (0, 1) along the light to the floor: 1 m to the right, from the sun and from the lamp.
    dark = brightness_on_ground(picture, 3.0, -1.0, transform)
    bright = [brightness_on_ground(picture, 3.0, y, transform) for y in (0.7, -0.45)]
    assert dark < 0.6 * min(bright)
    without, _ = render_scene(scene(plane, transform=transform, lighting=lighting, shell=(0,)))
    assert brightness_on_ground(without, 3.0, -1.0, transform) > 0.85 * min(bright)


def test_things_without_shadows_in_the_way_change_nothing():
    light = Light("sun", (3.0, 0.0, 0.0), (0.0, 0.0, -1.0), (2.0, 2.0, 2.0), True)
    lighting = Lighting((0.1,) * 3, (0.1,) * 3, (light,))
    roof = thing(box((-9.0, -9.0, 6.0), (9.0, 9.0, 6.1)))
    lit = [render_scene(scene(ground(), roof, lighting=lighting, shell=shell))[0] for shell in ((0,), (0, 1))]
    plain = Sensor(vignette=0.0, shot=0.0, read=0.0)
    assert lit[1][110].mean() == pytest.approx(lit[0][110].mean(), abs=3)  # exposure makes up for it
    dark = render_scene(scene(ground(), roof, lighting=lighting, shell=(0,), sensor=plain))
    assert dark[0].shape == (120, 160, 3)


def test_a_pixel_at_an_edge_is_a_mix():
    white = Material((0.9, 0.9, 0.9), (0.9, 0.9, 0.9), grain=0.0)
    half = assemble([box((4.0, -5.0, -5.0), (4.1, 0.0, 8.0))], [white])  # up to the middle of column 80
    back = thing(box((6.0, -9.0, -9.0), (6.1, 9.0, 9.0)))
    picture, view = picture_and_view(scene(half, back))
    assert picture[60, 78, 1] < picture[60, 80, 1] < picture[60, 82, 1]
    column, weight = view.points.pixel % 160, view.points.weight
    assert np.bincount(column)[80] == 2 * 120 and set(weight[column == 80]) == {0.5}
    assert np.bincount(column)[79] == 120 and set(weight[column == 79]) == {1.0}
    assert np.isclose(view.points.weight.sum(), 160 * 120)


def test_a_camera_with_distortion_is_refused():
    bent = Camera(CAMERA.k, 160, 120, "plumb_bob", (0.1, 0.0, 0.0, 0.0, 0.0))
    with pytest.raises(ValueError, match="without distortion"):
        scene(camera=bent)


def test_pieces_are_closed_and_face_outwards():
    for piece in (box((0, 0, 0), (1, 2, 3)), cylinder((1, 2), (0.5, 0.3), (0.0, 1.0)), blob((0, 0, 1), (1, 2, 0.5))):
        a, b, c = piece.vertices[piece.faces].transpose(1, 0, 2)
        middle = piece.vertices.mean(axis=0)
        volume = np.einsum("fc,fc->f", a - middle, np.cross(b - middle, c - middle)) / 6.0
        assert (volume > -1e-9).all()
        rounded = np.round(piece.vertices, 6)
        corner = np.unique(rounded, axis=0, return_inverse=True)[1].reshape(-1)[piece.faces]
        edges = {(i, j) for face in corner for i, j in zip(face, np.roll(face, -1)) if i != j}
        assert all((j, i) in edges for i, j in edges)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_patterns_are_reflectances_and_one_point_is_as_many(pattern):
    rng = np.random.default_rng(0)
    materials = [
        Material((0.8, 0.3, 0.2), (0.1, 0.9, 0.4), pattern, 0.3, 0.4, 0.2, 0.5, 17),
        Material((0.2, 0.3, 0.9), (0.6, 0.6, 0.1), "plain", seed=3),
    ]
    points = rng.uniform(-3, 3, (3, 500)).astype(np.float32)
    index, footprint = rng.integers(0, 2, 500), np.full(500, 0.01, np.float32)
    albedo, gloss = evaluate(materials, index, points, footprint)
    assert albedo.shape == (3, 500) and albedo.min() >= 0.0 and albedo.max() <= 1.0
    assert set(gloss[index == 0]) == {np.float32(0.5)}
    for at in (0, 123):
        alone = evaluate(materials, index[at : at + 1], points[:, at : at + 1], footprint[:1])[0]
        np.testing.assert_array_equal(alone[:, 0], albedo[:, at])
    if pattern != "plain":
        assert albedo[:, index == 0].std(axis=1).max() > 0.02


def test_validation_has_colours_seeds_and_patterns_of_its_own():
    drawn = {}
    for split in ("train", "val"):
        rng = np.random.default_rng(1)
        materials = [sample_material(rng, role, split) for role in ROLES for _ in range(60)]
        drawn[split] = (
            {material.color for material in materials} | {sample_color(rng, split) for _ in range(300)},
            {material.seed for material in materials} | {sample_seed(rng, split) for _ in range(300)},
        )
    train, val = ({tuple(np.round(color, 9)) for color in drawn[split][0]} for split in ("train", "val"))
    assert not train & val
    assert all(seed % 5 for seed in drawn["train"][1]) and not any(seed % 5 for seed in drawn["val"][1])
    rng = np.random.default_rng(2)
    for role, kept in VAL_PATTERNS.items():
        assert not set(kept) & set(ROLES[role])
        assert not {sample_material(rng, role, "train").pattern for _ in range(50)} & set(kept)
        assert {sample_material(rng, role, "val").pattern for _ in range(50)} & set(kept)


def test_the_sensor_repeats_itself_and_its_settings_do_what_they_say():
    light = np.random.default_rng(0).uniform(0.2, 0.4, (40, 60, 3)).astype(np.float32)
    light[:20] *= 0.5
    noisy = Sensor(shot=0.05, read=0.01, blur_px=0.7, motion_px=(2.0, 1.0), sharpen=0.4, jpeg_quality=80, seed=4)
    before = light.copy()
    first, second = develop(light, noisy), develop(light, noisy)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(light, before)
    assert first.dtype == np.uint8 and first.shape == light.shape
    plain = develop(light, PLAIN)
    assert plain[20:].mean() > plain[:20].mean() + 20
    assert develop(light, Sensor(exposure=0.6)).mean() > develop(light, Sensor(exposure=0.3)).mean() + 20
    assert develop(light, Sensor(blur_px=2.0)).std() < plain.std()
    grey = develop(light, Sensor(saturation=0.0)).astype(int)
    assert np.ptp(grey, axis=2).max() <= 1
