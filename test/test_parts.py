"""Body parts: every joint, vertex and triangle has one, and the left side mirrors the right."""

import numpy as np
import pytest

from ros2_multihmr.body import create_body
from ros2_multihmr.body.parts import (
    PARTS,
    mirrored_parts,
    parts_of_faces,
    parts_of_full_faces,
    parts_of_joints,
    parts_of_vertices,
)
from ros2_multihmr.body.skinned_body import SkinnedBody


@pytest.fixture(scope="module")
def anny() -> SkinnedBody:
    return create_body("anny")


def test_mirror_of_the_mirror_is_the_part_itself() -> None:
    mirror = mirrored_parts()
    np.testing.assert_array_equal(mirror[mirror], np.arange(len(PARTS)))
    assert PARTS[mirror[PARTS.index("left_hand")]] == "right_hand"
    assert PARTS[mirror[PARTS.index("torso")]] == "torso"


def test_joints_belong_to_the_parts_that_their_names_say(anny: SkinnedBody) -> None:
    parts = dict(zip(anny.info.keypoint_names, (PARTS[part] for part in parts_of_joints(anny.info)), strict=False))
    expected = {"pelvis": "hips", "spine2": "torso", "left_collar": "torso", "neck": "head", "jaw": "head"}
    expected |= {"left_hip": "left_thigh", "right_knee": "right_shin", "left_ankle": "left_foot"}
    expected |= {"right_shoulder": "right_upper_arm", "left_forearm": "left_forearm", "right_pinky3": "right_hand"}
    expected |= {"left_eyeball": "head", "right_eyeball": "head"}
    assert {name: parts[name] for name in expected} == expected


def test_every_part_is_on_the_mesh_and_sides_are_alike(anny: SkinnedBody) -> None:
    vertices, faces = parts_of_vertices(anny), parts_of_faces(anny)
    assert vertices.shape == (len(anny.info.vertices_lod),)
    assert faces.shape == (len(anny.info.faces_lod),)
    for part in (vertices, faces):
        assert part.dtype == np.uint8
        count = np.bincount(part, minlength=len(PARTS) + 1)
        assert count[0] == 0
        assert (count[1:] > 10).all()
        np.testing.assert_allclose(count[1:], count[1:][mirrored_parts()], atol=12)


def test_triangle_has_the_part_of_one_of_its_corners(anny: SkinnedBody) -> None:
    corners = parts_of_vertices(anny)[anny.info.faces_lod]
    assert (corners == parts_of_faces(anny)[:, None]).any(1).mean() > 0.99


@pytest.mark.parametrize("name", ["anny", "anny_official"])
def test_full_mesh_has_the_parts_of_the_reduced_one(name: str) -> None:
    body = create_body(name)
    full, reduced = parts_of_full_faces(body), parts_of_vertices(body)
    assert full.shape == (len(body.info.faces),)
    assert (np.bincount(full, minlength=len(PARTS) + 1)[1:] > 50).all()
    of_kept = np.zeros(body.info.num_vertices, np.uint8)
    of_kept[body.info.vertices_lod] = reduced
    corners = of_kept[body.info.faces]
    assert (corners[corners > 0] == np.repeat(full[:, None], 3, 1)[corners > 0]).mean() > 0.9


def test_joints_unknown_by_name_belong_to_the_part_above_them() -> None:
    info = create_body("anny_official").info
    parts = dict(zip(info.keypoint_names, (PARTS[part] for part in parts_of_joints(info)), strict=False))
    expected = {
        "upperleg02.L": "left_thigh",
        "toe1-1.R": "right_foot",
        "spine02": "torso",
        "metacarpal3.L": "left_hand",
    }
    expected |= {"spine02": "torso", "pelvis.R": "hips", "upperarm02.R": "right_upper_arm", "tongue03": "head"}
    assert {name: parts[name] for name in expected} == expected
