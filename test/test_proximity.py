"""Distances to people's surfaces: what brute force over the full mesh finds, with the right sign, part and speed."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from ros2_multihmr import cli
from ros2_multihmr.body import create_body
from ros2_multihmr.body.parts import PARTS
from ros2_multihmr.humans import Humans
from ros2_multihmr.nearness.nearest_point import MeshIndex
from ros2_multihmr.nearness.proximity import ProximityMeter, resting_mesh
from ros2_multihmr.nearness.spheres import Sphere, parse_spheres
from ros2_multihmr.nearness.triangles import brute_force
from ros2_multihmr.rotations import rotvec_to_rotmat

CUBE = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
CUBE_FACES = np.array(
    [[0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1], [2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4],
     [1, 5, 7], [1, 7, 3]]
)  # fmt: skip


@pytest.fixture(scope="module")
def body():
    return create_body("anny")


@pytest.fixture(scope="module")
def meter(body):
    return ProximityMeter(body)


def people(body, count, seed=0):
    """People in random poses, of random shapes, at random places; upright or not."""
    rng, info = np.random.default_rng(seed), body.info
    turns = rng.normal(0.0, 0.25, (count, len(info.posed_joints), 3))
    turns[:, 0] = rng.normal(0.0, 1.0, (count, 3))
    shape, centers = (
        rng.uniform(0.1, 0.9, (count, len(info.shape_names))),
        rng.uniform((-3, -1, 2), (3, 1, 8), (count, 3)),
    )
    inputs = (rotvec_to_rotmat(turns), shape, np.zeros((count, len(info.expression_names))), centers)
    with torch.inference_mode():
        posed = body(*(torch.from_numpy(np.asarray(a, np.float32)) for a in inputs), vertices=True)
    empty = Humans.empty(info)
    arrays = {
        name: np.zeros((count, *getattr(empty, name).shape[1:]), np.float32) for name in vars(empty) if name != "body"
    }
    arrays |= {"vertices": posed.vertices.numpy(), "vertices_lod": posed.vertices_lod.numpy()}
    arrays |= {"shape": shape.astype(np.float32), "joints": posed.joints.numpy()}
    arrays["covariance"] = np.tile(np.diag([1, 4, 9, 1, 1, 1]).astype(np.float32), (count, 1, 1))
    return Humans(body=info, **arrays)


def sampled_distance(vertices, faces, center):
    """Another way than the one under test: points on the triangles that are nearest, closer and closer together."""
    corners = vertices[faces].astype(float) - center
    # Nothing on a triangle is farther from its middle than the farthest corner.
    middle = corners.mean(axis=1)
    size = np.linalg.norm(corners - middle[:, None], axis=2).max(axis=1)
    gap = np.linalg.norm(middle, axis=1)
    near = corners[gap - size <= (gap + size).min()]
    steps = np.linspace(0, 1, 41)
    a, b = (grid.ravel() for grid in np.meshgrid(steps, steps))
    inside = a + b <= 1
    shares = np.stack([a, b, 1 - a - b], axis=1)[inside]
    return np.linalg.norm(np.einsum("sk,tki->tsi", shares, near), axis=2).min()


def winding(vertices, faces, center):
    """How often the mesh goes round the point, by solid angles (Van Oosterom and Strackee 1983)."""
    a, b, c = np.moveaxis(vertices[faces].astype(float) - center, 1, 0)
    x, y, z = (np.linalg.norm(v, axis=1) for v in (a, b, c))
    below = x * y * z + (a * b).sum(1) * z + (b * c).sum(1) * x + (c * a).sum(1) * y
    return np.arctan2((a * np.cross(b, c)).sum(1), below).sum() / (2 * np.pi)


# ---- the nearest point


def test_on_a_cube_every_kind_of_nearest_point_is_right():
    index = MeshIndex(CUBE, CUBE_FACES)
    centers = [(3, 0.2, 0.3), (3, 3, 0.4), (2, 3, 4), (0.9, 0.1, 0.2), (0, 0, -1.5), (1, 0.1, 0.2)]
    nearest = index.nearest(CUBE[None], np.array(centers))
    expected = [(1, 0.2, 0.3), (1, 1, 0.4), (1, 1, 1), (1, 0.1, 0.2), (0, 0, -1), (1, 0.1, 0.2)]
    np.testing.assert_allclose(nearest.points[0], expected, atol=1e-6)
    np.testing.assert_allclose(nearest.distances[0], [2, 8**0.5, 14**0.5, -0.1, 0.5, 0], atol=1e-6)


def test_a_mesh_of_fewer_triangles_than_patches_has_an_inside():
    corners, faces = (
        np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], float),
        np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2]]),
    )  # open at the slope
    found = MeshIndex(corners, faces).nearest(corners[None], np.array([[0.1, 0.2, 0.3], [-0.1, 0.2, 0.3]]))
    np.testing.assert_allclose(np.abs(found.distances[0]), [0.1, 0.1], atol=1e-6)
    closed = np.concatenate([faces, [[1, 2, 3]]])
    found = MeshIndex(corners, closed).nearest(corners[None], np.array([[0.1, 0.2, 0.3], [-0.1, 0.2, 0.3]]))
    np.testing.assert_allclose(found.distances[0], [-0.1, 0.1], atol=1e-6)


def test_equals_brute_force_on_random_scenes(body, meter):
    humans = people(body, 4)
    rng, faces = np.random.default_rng(1), body.info.faces.astype(int)
    far = rng.uniform((-4, -2, 0), (4, 2, 9), (4, 3))
    close = humans.vertices[np.arange(4), rng.integers(0, body.info.num_vertices, 4)] + rng.normal(0, 0.05, (4, 3))
    centers = np.concatenate([far, close])
    found = meter.measure(humans, centers, np.zeros(len(centers)))
    inside = 0
    for person, vertices in enumerate(humans.vertices):
        for k, center in enumerate(centers):
            distance, _, point = brute_force(vertices, faces, center)
            sign = -1 if winding(vertices, faces, center) > 0.5 else 1
            inside += sign < 0
            assert found.distances[person, k] == pytest.approx(sign * distance, abs=1e-5)
            np.testing.assert_allclose(found.points[person, k], point, atol=1e-4)
            assert np.linalg.norm(point - center) == pytest.approx(distance)
    assert inside, "no point of the scene is inside somebody"


def test_brute_force_is_what_points_on_the_surface_say(body):
    (vertices,), faces = people(body, 1, seed=3).vertices, body.info.faces.astype(int)
    for center in np.random.default_rng(2).uniform(-1, 1, (5, 3)) + vertices.mean(0):
        sampled = sampled_distance(vertices, faces, center)
        assert sampled - 1e-3 < brute_force(vertices, faces, center)[0] <= sampled + 1e-9


def test_all_together_are_what_each_is_alone(body, meter):
    humans, centers = people(body, 3, seed=5), np.random.default_rng(5).uniform((-2, -1, 2), (2, 1, 7), (4, 3))
    together = meter.measure(humans, centers, np.full(4, 0.1))
    for person in range(3):
        for k in range(4):
            alone = meter.measure(humans.select(np.array([person])), centers[k], [0.1])
            assert alone.distances[0, 0] == together.distances[person, k]
            assert alone.parts[0, 0] == together.parts[person, k]


def test_nobody_and_no_spheres(body, meter):
    nobody, humans = Humans.empty(body.info), people(body, 2)
    for who, centers in ((nobody, np.zeros((3, 3))), (humans, np.zeros((0, 3))), (nobody, np.zeros((0, 3)))):
        found = meter.measure(who, centers, np.zeros(len(centers)))
        assert found.distances.shape == found.parts.shape == found.closing_valid.shape == (len(who), len(centers))
        assert found.points.shape == (len(who), len(centers), 3)


def test_people_without_full_meshes_are_refused(body, meter):
    humans = people(body, 1)
    arrays = {name: value for name, value in vars(humans).items() if name not in ("body", "vertices")}
    bare = Humans(body=body.info, vertices=np.zeros((1, 0, 3), np.float32), **arrays)
    with pytest.raises(ValueError, match="vertices=True"):
        meter.measure(bare, np.zeros((1, 3)), [0.0])


# ---- what is told about it


def test_part_radius_and_uncertainty(body, meter):
    humans = people(body, 1, seed=7)
    names = body.info.keypoint_names
    expected = {
        "left_wrist": ("left_hand", "left_forearm"),
        "head": ("head",),
        "right_knee": ("right_shin", "right_thigh"),
    }
    centers = [humans.joints[0, names.index(name)] for name in expected]
    found = meter.measure(humans, centers, [0.0, 0.0, 0.05])
    assert all(PARTS[part] in parts for part, parts in zip(found.parts[0], expected.values()))
    points = np.linalg.norm(found.points[0] - centers, axis=1)
    np.testing.assert_allclose(found.distances[0], -points - (0.0, 0.0, 0.05), atol=1e-6)
    middle = humans.vertices[0].mean(axis=0) + (50.0, 0.0, 0.0)
    assert meter.measure(humans, middle, [1.0]).sigmas[0, 0] == pytest.approx(1.0, rel=0.05)
    deep = humans.vertices[0].mean(axis=0) + (0.0, 0.0, 50.0)
    assert meter.measure(humans, deep, [1.0]).sigmas[0, 0] == pytest.approx(3.0, rel=0.05)


def moved(humans, by):
    arrays = {name: value for name, value in vars(humans).items() if name not in ("body", "vertices")}
    return Humans(body=humans.body, vertices=humans.vertices + np.float32(by), **arrays)


def test_closing_speed_is_how_fast_the_distance_shrinks(body, meter):
    humans, rng = people(body, 2, seed=9), np.random.default_rng(9)
    outside, inside = rng.uniform((-3, -1, 1), (3, 1, 2), (2, 3)), humans.joints[0, :1].astype(float)
    centers, step_s = np.concatenate([outside, inside]), 1e-3
    person, sphere = rng.normal(0, 1, (2, 3)), rng.normal(0, 1, (3, 3))
    told = meter.measure(humans, centers, np.zeros(3), person_velocities=person, sphere_velocities=sphere)
    later = moved(humans, step_s * person[:, None])
    after = meter.measure(later, centers + step_s * sphere, np.zeros(3)).distances
    assert told.closing_valid.all() and told.distances[0, 2] < 0.0
    np.testing.assert_allclose(told.closing_speeds, (told.distances - after) / step_s, atol=0.05)


def test_closing_speed_is_unknown_where_a_velocity_is(body, meter):
    humans, centers = people(body, 2), np.array([[0, 0, 1], [0, 0, 0.5]])
    assert not meter.measure(humans, centers, np.zeros(2)).closing_valid.any()
    person, sphere = np.array([[1.0, 0, 0], [np.nan] * 3]), np.array([[np.nan] * 3, [0.0, 0, 1]])
    found = meter.measure(humans, centers, np.zeros(2), person_velocities=person, sphere_velocities=sphere)
    np.testing.assert_array_equal(found.closing_valid, [[False, True], [False, False]])
    assert (found.closing_speeds[~found.closing_valid] == 0.0).all()


def test_resting_mesh_stands_still_at_its_head(body):
    vertices = resting_mesh(body)
    assert vertices.shape == (body.info.num_vertices, 3) and np.isfinite(vertices).all()


# ---- parameters


def test_spheres_are_read():
    spheres = parse_spheres(("tool0",), ("gripper: tool0 0 0.1 -0.2 0.12", "elbow : arm/elbow  0.08"))
    assert spheres == (
        Sphere("tool0", "tool0"),
        Sphere("gripper", "tool0", (0.0, 0.1, -0.2), 0.12),
        Sphere("elbow", "arm/elbow", (0.0, 0.0, 0.0), 0.08),
    )
    assert parse_spheres((), ()) == ()


@pytest.mark.parametrize(
    "frames, spheres, told",
    [
        (("/tool0",), (), "proximity_frames.*'/tool0'"),
        (("",), (), "proximity_frames"),
        (("a b",), (), "proximity_frames"),
        ((), ("tool0 0.1",), "expected \"name: frame radius\""),
        ((), ("a: tool0",), "expected \"name: frame radius\""),
        ((), ("a: tool0 1 2",), "expected \"name: frame radius\""),
        ((), ("a: tool0 -0.1",), "expected \"name: frame radius\""),
        ((), ("a: tool0 nan",), "expected \"name: frame radius\""),
        ((), ("a: tool0 far",), "expected \"name: frame radius\""),
        (("tool0",), ("tool0: base 0.1",), "once.*tool0"),
    ],
)  # fmt: skip
def test_what_is_no_sphere_is_refused(frames, spheres, told):
    with pytest.raises(ValueError, match=told):
        parse_spheres(frames, spheres)


# ---- the benchmark


def test_benchmark_tells_times_and_the_truth(tmp_path):
    arguments = ["--people", "2", "--spheres", "2", "--scenes", "1", "--brute-force", "1", "--repeats", "2"]
    assert cli.main(["benchmark", "proximity", *arguments, "--out", str(tmp_path)]) == 0
    result = json.loads((tmp_path / "proximity.json").read_text())
    whats = ["distances", "distances by brute force", "fit capsules", "move capsules"]
    assert [row["what"] for row in result["rows"]] == whats and all(row["median_ms"] > 0 for row in result["rows"])
    assert result["findings"]["difference_mm"] < 1.0 and result["findings"]["contained"] > 0.95
    page = (tmp_path / "proximity.md").read_text()
    assert "| distances by brute force |" in page and result["hardware"]["cpu"] in page
