"""A limit of the rate is kept on average, by stamps, whatever the camera's own rate."""

import pytest

from ros2_multihmr.ros.pace import Pace


def used(stamps_s, rate_hz):
    pace, taken = Pace(), []
    for stamp_s in stamps_s:
        if pace.is_due(stamp_s, rate_hz):
            pace.done(stamp_s, rate_hz)
            taken.append(stamp_s)
    return taken


@pytest.mark.parametrize(
    "camera_hz, expected", [(30.0, 101), (29.97, 101), (25.0, 101), (15.0, 101), (10.0, 101), (4.0, 41)]
)
def test_ten_seconds_of_several_cameras_at_10_hz(camera_hz, expected):
    stamps_s = [1e9 + i / camera_hz for i in range(int(10 * camera_hz) + 1)]
    assert abs(len(used(stamps_s, 10.0)) - expected) <= 1


def test_rate_zero_uses_every_image():
    assert len(used([1.0, 1.001, 1.002], 0.0)) == 3


def test_after_a_pause_there_is_no_burst():
    stamps_s = [0.0, 100.0] + [100.0 + i / 30 for i in range(1, 31)]
    assert len(used(stamps_s, 10.0)) <= 1 + 11 + 1


def test_the_first_image_is_always_due():
    assert Pace().is_due(-5.0, 1.0)
