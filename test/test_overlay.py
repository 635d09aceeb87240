"""Overlay and top view: people where the camera says, nothing else touched, notes in plain sight."""

from __future__ import annotations

import numpy as np
import pytest
from test_estimator import CAMERAS, told_heads

from ros2_multihmr.camera import Camera
from ros2_multihmr.humans import Humans
from ros2_multihmr.overlay import overlay
from ros2_multihmr.palette import color_of
from ros2_multihmr.render import render
from ros2_multihmr.top_view import top_view

PEOPLE = np.array([[-0.6, -0.6, 3.0], [0.7, -0.5, 4.0]])


def grey(camera: Camera) -> np.ndarray:
    return np.full((camera.height, camera.width, 3), 128, np.uint8)


def people(camera: Camera, heads: np.ndarray = PEOPLE, *, vertices: bool = False) -> Humans:
    return told_heads(camera, heads).estimate(grey(camera), camera, vertices=vertices)


def near(mask: np.ndarray) -> np.ndarray:
    """The mask and the pixels beside it."""
    padded = np.pad(mask, 1)
    shifts = (padded[y : y + mask.shape[0], x : x + mask.shape[1]] for y in range(3) for x in range(3))
    return np.logical_or.reduce(list(shifts))


@pytest.mark.parametrize("name", CAMERAS)
def test_people_are_drawn_where_they_are_and_nowhere_else(name):
    camera = CAMERAS[name]
    humans, image = people(camera), grey(camera)
    picture = overlay(image, humans, camera)
    assert picture.dtype == np.uint8 and (image == 128).all()
    mask = render(humans.vertices_lod, humans.body.faces_lod, camera).instance >= 0
    changed = (picture != image).any(axis=-1)
    assert mask.sum() > 10000 and changed[mask].mean() > 0.99
    outside = changed & ~near(mask)
    assert 0 < outside.sum() < 2500  # the labels
    y, x = np.nonzero(outside)
    for box in humans.bbox:
        assert (np.abs(x - (box[0] + box[2]) / 2) < 15).any() and (np.abs(y - box[1]) < 40).any()


def test_ids_choose_the_colours():
    camera = CAMERAS["landscape"]
    picture = overlay(grey(camera), people(camera), camera, ids=np.array([7, 3], np.uint32)).astype(float)
    for head, identity in zip(PEOPLE, (7, 3), strict=True):
        x, y = np.round(camera.project(head + (0, 0.45, 0))).astype(int)  # on the chest
        pixel, color = picture[y, x], np.array(color_of(identity))
        assert np.argmax(pixel) == np.argmax(color) and np.argmin(pixel) == np.argmin(color)


def test_neighbouring_ids_have_different_colours():
    colors = np.array([color_of(identity) for identity in range(1, 13)])
    distances = np.linalg.norm(colors[:, None] - colors[None], axis=-1) + 9 * np.eye(12)
    assert distances.min() > 0.1
    assert (colors >= 0).all() and (colors <= 1).all()


def test_nobody_leaves_the_image_as_it_is():
    camera = CAMERAS["landscape"]
    humans = people(camera).select(np.zeros(0, np.intp))
    np.testing.assert_array_equal(overlay(grey(camera), humans, camera), grey(camera))


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (200, 600), (3, 2), (1, 1)])
def test_a_note_is_a_strip_below_in_pictures_of_any_size(width, height):
    camera = Camera.from_fov(width, height, 60)
    humans = people(CAMERAS["landscape"]).select(np.zeros(0, np.intp))
    picture = overlay(grey(camera), humans, camera, note="UNTRAINED WEIGHTS: do not use the people shown here.")
    changed = (picture != 128).any(axis=-1)
    assert changed[-1].all()
    if height > 100:
        assert not changed[: height * 9 // 10].any()
        assert (picture.min(axis=-1) > 200).any()  # white words


def test_full_meshes_look_like_the_reduced_ones():
    camera = CAMERAS["landscape"]
    humans = people(camera, vertices=True)
    reduced, full = (overlay(grey(camera), humans, camera, full_mesh=full) for full in (False, True))
    one, other = ((picture != 128).any(axis=-1) for picture in (reduced, full))
    assert (one & other).sum() / (one | other).sum() > 0.9
    assert (reduced != full).any()


def test_people_in_a_huge_image_are_drawn_where_they_are():
    camera = CAMERAS["distorted"].resized(4481, 3001)
    humans, image = people(camera), grey(camera)
    changed = (overlay(image, humans, camera) != image).any(axis=-1)
    mask = render(humans.vertices_lod, humans.body.faces_lod, camera).instance >= 0
    assert changed[mask].mean() > 0.99 and (changed & ~mask).sum() < 0.06 * mask.sum()


def test_bad_input_is_refused():
    camera = CAMERAS["landscape"]
    humans = people(camera)
    with pytest.raises(ValueError, match=r"\(480, 640, 3\) .* got uint8 \(640, 480, 3\)"):
        overlay(grey(CAMERAS["portrait"]), humans, camera)
    with pytest.raises(ValueError, match="each of 2 people, got 1"):
        overlay(grey(camera), humans, camera, ids=[4])
    with pytest.raises(ValueError, match="vertices=True"):
        overlay(grey(camera), humans, camera, full_mesh=True)
    with pytest.raises(ValueError, match="each of 2 people, got 3"):
        top_view(humans, camera, ids=[1, 2, 3])


def hue_mask(picture: np.ndarray, identity: int) -> np.ndarray:
    """Pixels whose colour is the id's, however bright."""
    wanted = np.array(color_of(identity))
    pixels = picture.astype(float) + 1e-9
    cosine = pixels @ wanted / np.linalg.norm(pixels, axis=-1) / np.linalg.norm(wanted)
    return (cosine > 0.997) & (np.ptp(pixels, axis=-1) > 25)


def test_seen_from_above_people_stand_on_the_metric_grid():
    camera = CAMERAS["landscape"]
    heads = np.array([[-1.0, -0.6, 3.0], [1.0, -0.6, 5.0]])
    humans = people(camera, heads)
    picture = top_view(humans, camera, size=700)
    lines = np.flatnonzero((picture[5:60] == (214, 216, 218)).all(axis=-1).all(axis=0))
    metre = np.median(np.diff(lines))
    places = [np.array([x.mean(), y.mean()]) for y, x in (np.nonzero(hue_mask(picture, i)) for i in (1, 2))]
    moved = (places[1] - places[0]) / metre
    expected = (humans.origin[1] - humans.origin[0])[[0, 2]] * (1, -1)
    np.testing.assert_allclose(moved, expected, atol=0.25)


def test_arrows_point_where_people_look():
    camera = CAMERAS["landscape"]
    picture = top_view(people(camera, np.array([[0.0, -0.6, 3.0]])), camera)  # looks at the camera, which is below
    body_y = np.nonzero(hue_mask(picture, 1))[0].mean()
    arrow = (picture == (60, 64, 72)).all(axis=-1)
    arrow[int(picture.shape[0] * 0.75) :] = False  # the camera's own sign
    assert np.nonzero(arrow)[0].max() > body_y + 20


def test_nobody_has_a_top_view():
    camera = CAMERAS["landscape"]
    picture = top_view(people(camera).select(np.zeros(0, np.intp)), camera, note="nobody here")
    assert picture.shape == (720, 720, 3)
