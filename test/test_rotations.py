"""Rotations: conversions against each other and against the definition."""

import numpy as np
import pytest

from ros2_multihmr.rotations import (
    quaternion_xyzw_to_rotmat,
    rotmat_to_quaternion_xyzw,
    rotmat_to_rotvec,
    rotvec_to_rotmat,
)


def random_rotvecs(*shape: int) -> np.ndarray:
    axes = np.random.default_rng(0).normal(size=(*shape, 3))
    axes /= np.linalg.norm(axes, axis=-1, keepdims=True)
    return axes * np.linspace(0, np.pi - 1e-6, num=int(np.prod(shape))).reshape(*shape, 1)


def test_a_quarter_turn_about_z():
    rotmat = [[0, -1, 0], [1, 0, 0], [0, 0, 1]]
    np.testing.assert_allclose(rotmat_to_rotvec(rotmat), [0, 0, np.pi / 2])
    np.testing.assert_allclose(rotvec_to_rotmat([0, 0, np.pi / 2]), rotmat, atol=1e-15)
    np.testing.assert_allclose(rotmat_to_quaternion_xyzw(rotmat), [0, 0, 0.5**0.5, 0.5**0.5])


def test_round_trips_keep_shape_and_value():
    rotvecs = random_rotvecs(7, 11)
    rotmats = rotvec_to_rotmat(rotvecs)
    assert rotmats.shape == (7, 11, 3, 3)
    np.testing.assert_allclose(rotmat_to_rotvec(rotmats), rotvecs, atol=1e-9)
    np.testing.assert_allclose(quaternion_xyzw_to_rotmat(rotmat_to_quaternion_xyzw(rotmats)), rotmats, atol=1e-12)


@pytest.mark.parametrize("angle", [0.0, 1e-7, 1.0, np.pi, 4.0, 6.0])
def test_the_angle_is_between_zero_and_pi_and_w_is_not_negative(angle):
    rotmat = rotvec_to_rotmat([0.6 * angle, 0, -0.8 * angle])
    assert np.linalg.norm(rotmat_to_rotvec(rotmat)) == pytest.approx(min(angle, 2 * np.pi - angle))
    assert rotmat_to_quaternion_xyzw(rotmat)[3] >= 0


def test_nobody():
    assert rotmat_to_rotvec(np.zeros((0, 5, 3, 3))).shape == (0, 5, 3)
    assert rotvec_to_rotmat(np.zeros((0, 3))).shape == (0, 3, 3)
    assert rotmat_to_quaternion_xyzw(np.zeros((0, 3, 3))).shape == (0, 4)
    assert quaternion_xyzw_to_rotmat(np.zeros((0, 4))).shape == (0, 3, 3)
