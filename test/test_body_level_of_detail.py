"""The reduced mesh: made of the full one's vertices, a clean surface, and the same person from afar."""

import cv2
import numpy as np
import pytest
import torch
from synthetic_smplx import blob

from ros2_multihmr.body import create_body
from ros2_multihmr.body.level_of_detail import hands_matter_more, reduce_mesh
from ros2_multihmr.body.skinned_body import SkinnedBody


@pytest.fixture(scope="module")
def anny() -> SkinnedBody:
    return create_body("anny")


def grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    """A flat square of size x size vertices."""
    x, y = np.meshgrid(np.linspace(0, 1, size), np.linspace(0, 1, size))
    at = np.arange(size * size).reshape(size, size)
    a, b, c, d = at[:-1, :-1].ravel(), at[:-1, 1:].ravel(), at[1:, 1:].ravel(), at[1:, :-1].ravel()
    points = np.stack([x.ravel(), y.ravel(), np.zeros(size * size)], 1)
    return points, np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])


def sides(faces: np.ndarray) -> np.ndarray:
    """How many triangles meet at each edge."""
    edges = np.sort(np.concatenate([faces[:, [k, (k + 1) % 3]] for k in range(3)]), 1)
    return np.unique(edges, axis=0, return_counts=True)[1]


def area_vectors(points: np.ndarray, faces: np.ndarray) -> np.ndarray:
    a, b, c = (points[faces[:, k]] for k in range(3))
    return np.cross(b - a, c - a) / 2


def silhouette(points: np.ndarray, faces: np.ndarray, size: int = 600) -> np.ndarray:
    """Seen along y; 2 m wide and high, the head at the top."""
    pixels = (points[:, [0, 2]] + (1, 1.8)) * size / 2
    image = np.zeros((size, size), np.uint8)
    for triangle in pixels[faces]:
        cv2.fillConvexPoly(image, np.round(triangle * 16).astype(np.int32), 1, shift=4)
    return image > 0


def test_flat_square_stays_a_flat_square() -> None:
    points, faces = grid(30)
    kept, reduced = reduce_mesh(points, faces, 40, np.ones(len(points)))
    assert len(reduced) <= 41
    assert {0, 29, 870, 899} <= set(kept.tolist()), "the corners"
    upwards = area_vectors(points[kept], reduced)[:, 2]
    assert (upwards > 0).all()
    assert np.isclose(upwards.sum(), 1)


def test_closed_surface_stays_closed_and_keeps_its_volume() -> None:
    points, faces = blob()
    kept, reduced = reduce_mesh(points, faces, 1000, np.ones(len(points)))
    assert len(reduced) <= 1001
    assert (sides(reduced) == 2).all()

    def volume(corners: np.ndarray) -> float:
        return float(np.linalg.det(corners).sum() / 6)

    assert np.isclose(volume(points[kept][reduced]), volume(points[faces]), rtol=0.03)


def test_same_mesh_every_time() -> None:
    points, faces = grid(30)
    runs = [reduce_mesh(points, faces, 200, np.ones(len(points))) for _ in range(2)]
    for first, second in zip(*runs):
        np.testing.assert_array_equal(first, second)


def test_important_places_keep_more() -> None:
    points, faces = blob()
    weights = np.stack([points[:, 1] > 0, points[:, 1] <= 0], axis=1).astype(float)
    kept, _ = reduce_mesh(points, faces, 1000, hands_matter_more(weights, [0]))
    upper = (points[kept, 1] > 0).mean()
    assert upper > 0.6


def test_mesh_that_is_no_surface_is_left_as_it_is() -> None:
    rng = np.random.default_rng(0)
    faces = np.stack([rng.permutation(50)[:3] for _ in range(300)])
    kept, reduced = reduce_mesh(rng.normal(size=(50, 3)), faces, 100, np.ones(50))
    assert len(reduced) >= 100
    assert reduced.max() < len(kept)


def test_anny_is_reduced_to_a_clean_surface(anny: SkinnedBody) -> None:
    info = anny.info
    assert 2000 <= len(info.faces_lod) <= 2500
    assert (np.diff(info.vertices_lod.astype(int)) > 0).all()
    assert sides(info.faces_lod.astype(int)).max() <= 2
    assert (sides(info.faces_lod.astype(int)) == 1).sum() <= (sides(info.faces.astype(int)) == 1).sum()


@pytest.mark.parametrize("age", [0.1, 2 / 3, 1.0])
def test_anny_looks_the_same_from_afar(anny: SkinnedBody, age: float) -> None:
    info, rotmats = anny.info, torch.eye(3).repeat(1, len(anny.info.posed_joints), 1, 1)
    shape = torch.tensor([[0.5, age, 0.5, 0.5, 0.5, 0.5]])
    person = anny(rotmats, shape, torch.zeros(1, len(info.expression_names)), torch.zeros(1, 3), vertices=True)
    full, reduced = person.vertices[0].numpy(), person.vertices_lod[0].numpy()
    assert np.linalg.norm(area_vectors(reduced, info.faces_lod), axis=1).min() > 1e-8
    masks = silhouette(full, info.faces.astype(int)), silhouette(reduced, info.faces_lod.astype(int))
    assert (masks[0] & masks[1]).sum() / (masks[0] | masks[1]).sum() > 0.97
    # Triangles look the way that the skin under them does.
    normals = np.zeros_like(full)
    np.add.at(normals, info.faces.astype(int), area_vectors(full, info.faces)[:, None])
    agree = (area_vectors(reduced, info.faces_lod)[:, None] * normals[info.vertices_lod[info.faces_lod]]).sum((1, 2))
    assert (agree > 0).mean() > 0.98
