"""Rays, rotations, depths and places."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from ros2_multihmr.model.camera_embedding import fourier, token_rays, unproject
from ros2_multihmr.model.read_outs import (
    depth_from_nearness,
    depth_from_scaled_log,
    location,
    nominal_focal,
    rotation_from_6d,
)

K = torch.tensor([[[200.0, 3.0, 100.0], [0, 250.0, 120.0], [0, 0, 1]]])


def test_rays_go_through_the_tokens_centres() -> None:
    rays = token_rays(K, 16, rows_as_x=False).unflatten(1, (16, 16))[0]
    back = rays[2, 5] @ K[0].T
    torch.testing.assert_close(back, torch.tensor([5 * 14 + 7.0, 2 * 14 + 7.0, 1.0]))


def test_official_rays_take_the_row_for_x() -> None:
    rays = token_rays(K, 16, rows_as_x=True).unflatten(1, (16, 16))[0]
    torch.testing.assert_close(rays[2, 5] @ K[0].T, torch.tensor([2 * 14 + 7.0, 5 * 14 + 7.0, 1.0]))


def test_unproject_inverts_any_upper_triangular_camera() -> None:
    points = torch.tensor([[[3.0, 200.0], [150.0, 20.0]]])
    expected = torch.cat([points, torch.ones(1, 2, 1)], -1) @ torch.linalg.inv(K[0]).T
    torch.testing.assert_close(unproject(K, points), expected)


def test_fourier_orders_sines_then_cosines_by_coordinate() -> None:
    embedding = fourier(torch.tensor([0.1, -0.2, 1.0]), 16, 64.0)
    assert embedding.shape == (99,)
    frequency = 1 + 31 / 15 * 2
    assert math.isclose(embedding[3 + 16 + 2].item(), math.sin(math.pi * -0.2 * frequency), abs_tol=1e-5)
    assert math.isclose(embedding[51 + 2].item(), math.cos(math.pi * 0.1 * frequency), abs_tol=1e-5)


def test_six_numbers_are_the_first_two_columns() -> None:
    matrices = torch.from_numpy(Rotation.random(20, random_state=0).as_matrix()).float()
    numbers = torch.cat([matrices[..., 0], matrices[..., 1]], -1)
    torch.testing.assert_close(rotation_from_6d(numbers), matrices, atol=1e-6, rtol=0)
    skewed = torch.cat([3 * matrices[..., 0], 2 * matrices[..., 1] + 0.5 * matrices[..., 0]], -1)
    torch.testing.assert_close(rotation_from_6d(skewed), matrices, atol=1e-6, rtol=0)


def test_depth_grows_with_the_focal_length() -> None:
    eta = torch.tensor([[-1.0, 0.5]])
    focal = nominal_focal(448)
    k = torch.diag(torch.tensor([focal, focal, 1.0]))[None]
    near = depth_from_nearness(eta, k, 448)
    torch.testing.assert_close(near, torch.exp(-eta))
    k[:, :2] *= 2
    torch.testing.assert_close(depth_from_nearness(eta, k, 448), 2 * near)


def test_official_depth_raises_to_the_focal_ratio() -> None:
    k = torch.diag(torch.tensor([2 * nominal_focal(448), 10.0, 1.0]))[None]
    depth = depth_from_scaled_log(torch.tensor([[math.log(3.0)]]), k, 448)
    np.testing.assert_allclose(depth, [[9.0]], rtol=1e-5)


def test_location_is_x_then_y() -> None:
    cells, offset = torch.tensor([[[2, 5]]]), torch.tensor([[[0.25, -0.5]]])
    assert location(cells, offset).tolist() == [[[14 * 5.75, 14 * 2.0]]]
