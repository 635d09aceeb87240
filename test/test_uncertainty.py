"""Uncertainty: the covariance says what a monocular camera knows."""

import numpy as np
import pytest

from ros2_multihmr.camera import Camera
from ros2_multihmr.uncertainty import UNKNOWN, pose_covariance


def test_on_the_optical_axis_depth_is_z():
    (covariance,) = pose_covariance([[0, 0, 4.0]], focal_px=500, sigma_px=5, depth_sigma=0.1)
    np.testing.assert_allclose(np.diag(covariance), [0.04**2, 0.04**2, 0.4**2, UNKNOWN, UNKNOWN, UNKNOWN])


def test_principal_axes_follow_the_ray():
    origin = np.array([1.0, -2.0, 5.0])
    (covariance,) = pose_covariance([origin], focal_px=600, sigma_px=4, depth_sigma=0.08)
    values, vectors = np.linalg.eigh(covariance[:3, :3])
    distance = np.linalg.norm(origin)
    np.testing.assert_allclose(values, [(distance * 4 / 600) ** 2] * 2 + [(distance * 0.08) ** 2])
    assert abs(vectors[:, 2] @ origin / distance) == pytest.approx(1)
    np.testing.assert_array_equal(covariance[:3, 3:], 0)


def test_samples_scatter_as_the_pixels_do():
    camera = Camera.from_fov(640, 480, 60)
    origin = np.array([0.3, -0.2, 4.0])
    (covariance,) = pose_covariance([origin], camera.fx, sigma_px=3, depth_sigma=0)
    samples = np.random.default_rng(0).multivariate_normal(origin, covariance[:3, :3], 20000)
    np.testing.assert_allclose(camera.project(samples).std(axis=0), 3, rtol=0.05)


def test_nobody():
    assert pose_covariance(np.zeros((0, 3)), 500, 5, 0.1).shape == (0, 6, 6)
