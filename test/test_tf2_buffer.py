"""tf2's buffer does what tf2 is documented to do: ROS's own where it is installed, otherwise our stand-in."""

from __future__ import annotations

import numpy as np
import pytest
import ros_fakes  # noqa: F401  (sets the environment before ROS is loaded)
from geometry_msgs.msg import TransformStamped
from rclpy.duration import Duration
from rclpy.time import Time
from tf2_ros import (
    Buffer,
    ConnectivityException,
    ExtrapolationException,
    InvalidArgumentException,
    LookupException,
    TransformException,
)


def moving(parent, child, stamp_s, x=0.0, turn_rad=0.0):
    transform = TransformStamped(child_frame_id=child)
    transform.header.frame_id, transform.header.stamp = parent, Time(seconds=stamp_s).to_msg()
    transform.transform.translation.x = x
    transform.transform.rotation.z, transform.transform.rotation.w = np.sin(turn_rad / 2), np.cos(turn_rad / 2)
    return transform


def buffer_of(*transforms, static=(), **options):
    buffer = Buffer(**options)
    for transform in transforms:
        buffer.set_transform(transform, "test")
    for transform in static:
        buffer.set_transform_static(transform, "test")
    return buffer


def x_at(buffer, stamp_s, target="map", source="base"):
    return buffer.lookup_transform(target, source, Time(seconds=stamp_s)).transform.translation.x


def turn_at(buffer, stamp_s):
    turn = buffer.lookup_transform("map", "base", Time(seconds=stamp_s)).transform.rotation
    return (2 * np.arctan2(turn.z, turn.w) + np.pi) % (2 * np.pi) - np.pi


def warnings(capfd):
    return capfd.readouterr().err.count("TF_")


# ---- times


def test_one_transform_holds_at_its_stamp_alone():
    buffer = buffer_of(moving("map", "base", 5.0, 1.0))
    assert x_at(buffer, 5.0) == 1.0 and x_at(buffer, 0.0) == 1.0
    for stamp_s in (4.999, 5.001):
        with pytest.raises(ExtrapolationException, match="only time"):
            x_at(buffer, stamp_s)


def test_between_two_a_place_goes_straight_and_a_turn_the_short_way():
    buffer = buffer_of(moving("map", "base", 6.0, 3.0, -3.0), moving("map", "base", 5.0, 1.0, 3.0))
    assert [x_at(buffer, s) for s in (5.0, 5.25, 6.0)] == pytest.approx([1.0, 1.5, 3.0])
    assert abs(turn_at(buffer, 5.5)) == pytest.approx(np.pi)
    assert turn_at(buffer, 5.25) == pytest.approx(3.0 + 0.25 * (2 * np.pi - 6.0))


@pytest.mark.parametrize("stamp_s, said", [(4.9, "past"), (6.1, "future")])
def test_nothing_is_extrapolated(stamp_s, said):
    buffer = buffer_of(moving("map", "base", 5.0), moving("map", "base", 6.0))
    with pytest.raises(ExtrapolationException, match=said):
        x_at(buffer, stamp_s)
    with pytest.raises(ExtrapolationException, match=said):
        x_at(buffer, stamp_s, target="base", source="map")
    assert not buffer.can_transform("map", "base", Time(seconds=stamp_s))
    assert issubclass(ExtrapolationException, TransformException)


def test_zero_asks_for_the_latest_time_at_which_everything_is_known():
    buffer = buffer_of(
        *(moving("map", "odom", s, 10.0 * s) for s in (1.0, 2.0, 3.0)),
        *(moving("odom", "base", s, s) for s in (1.0, 2.0)),
        static=[moving("base", "camera", 0.0, 0.5)],
    )
    found = buffer.lookup_transform("map", "camera", Time())
    assert (found.header.stamp.sec, found.transform.translation.x) == (2, 22.5)
    standing = buffer.lookup_transform("base", "camera", Time())
    assert (standing.header.stamp.sec, standing.transform.translation.x) == (0, 0.5)


def test_a_lookup_that_waits_in_vain_fails_in_the_end():
    with pytest.raises(ExtrapolationException):
        buffer_of(moving("map", "base", 5.0)).lookup_transform(
            "map", "base", Time(seconds=6.0), timeout=Duration(seconds=0.05)
        )


# ---- repeated and old data


def test_the_same_again_is_no_news_and_no_warning(capfd):
    buffer = buffer_of(*[moving("map", "base", 5.0, 1.0)] * 3)
    assert x_at(buffer, 5.0) == 1.0 and warnings(capfd) == 0
    with pytest.raises(ExtrapolationException, match="only time"):  # still one, not three
        x_at(buffer, 5.1)


def test_of_two_words_for_one_stamp_the_last_counts():
    buffer = buffer_of(moving("map", "base", 4.0), moving("map", "base", 5.0, 1.0), moving("map", "base", 5.0, 2.0))
    assert x_at(buffer, 5.0) == 2.0 and x_at(buffer, 4.5) == pytest.approx(0.5)  # on the way, the first


def test_data_older_than_the_cache_is_dropped_with_a_warning(capfd):
    buffer = buffer_of(moving("map", "base", 20.0), moving("map", "base", 10.0), moving("map", "base", 9.9))
    assert "TF_OLD_DATA ignoring data from the past for frame base" in capfd.readouterr().err
    assert buffer.can_transform("map", "base", Time(seconds=10.0))
    assert not buffer.can_transform("map", "base", Time(seconds=9.95))


def test_how_long_data_is_kept_can_be_chosen():
    stamps = (1.0, 2.0, 3.0, 4.0, 5.0)
    buffer = buffer_of(*(moving("map", "base", s) for s in stamps), cache_time=Duration(seconds=2.0))
    # It is forgotten when the next one comes, before that is taken.
    assert [buffer.can_transform("map", "base", Time(seconds=s)) for s in stamps] == [False, True, True, True, True]


# ---- frames


def test_a_frame_may_change_its_parent_and_is_not_between_two():
    buffer = buffer_of(
        moving("map", "base", 1.0, 1.0), moving("map", "base", 2.0, 2.0), moving("lift", "base", 3.0, 30.0),
        moving("lift", "base", 4.0, 40.0), static=[moving("world", "map", 0.0), moving("world", "lift", 0.0, 100.0)],
    )  # fmt: skip
    found = [x_at(buffer, s, target="world") for s in (1.5, 2.5, 3.0, 3.5)]
    assert found == pytest.approx([1.5, 2.0, 130.0, 135.0])


def test_a_frame_in_itself_is_always_known():
    buffer = buffer_of(moving("map", "base", 5.0, 1.0))
    for frame in ("base", "nobody_knows"):
        assert x_at(buffer, 99.0, target=frame, source=frame) == 0.0
    assert buffer.lookup_transform("base", "base", Time()).header.stamp.sec == 5


def test_what_stands_needs_no_stamp_and_its_last_word_holds():
    buffer = buffer_of(static=[moving("map", "base", 7.0, 1.0), moving("map", "base", 3.0, 2.0)])
    assert [x_at(buffer, s) for s in (0.0, 1.0, 99.0)] == [2.0] * 3
    buffer.clear()
    assert x_at(buffer, 5.0) == 2.0
    buffer.set_transform(moving("map", "base", 5.0, 4.0), "test")  # from now on it moves
    assert x_at(buffer, 5.0) == 4.0 and not buffer.can_transform("map", "base", Time(seconds=6.0))


def test_after_clear_a_frame_is_known_but_not_its_place():
    buffer = buffer_of(moving("map", "base", 5.0))
    buffer.clear()
    with pytest.raises(ConnectivityException):
        buffer.lookup_transform("map", "base", Time())
    buffer.set_transform(moving("map", "base", 1.0, 3.0), "test")  # long before: time jumped back
    assert x_at(buffer, 1.0) == 3.0


@pytest.mark.parametrize(
    "target, source, error",
    [
        ("map", "island", ConnectivityException),
        ("map", "moon", LookupException),
        ("moon", "map", LookupException),
        ("map", "/base", InvalidArgumentException),
        ("", "base", InvalidArgumentException),
    ],
)
def test_frames_that_cannot_be_looked_up(target, source, error):
    buffer = buffer_of(moving("map", "base", 5.0), static=[moving("sea", "island", 0.0)])
    with pytest.raises(error):
        buffer.lookup_transform(target, source, Time(seconds=5.0))
    assert not buffer.can_transform(target, source, Time(seconds=5.0))


def test_brothers_do_not_need_their_parents_place():
    buffer = buffer_of(
        moving("map", "base", 1.0), moving("map", "base", 2.0),
        static=[moving("base", "left", 0.0, 1.0), moving("base", "right", 0.0, -1.0)],
    )  # fmt: skip
    assert x_at(buffer, 50.0, target="right", source="left") == 2.0
    with pytest.raises(ExtrapolationException):
        x_at(buffer, 50.0, target="map", source="left")


def test_a_slash_in_front_is_taken_off_what_comes():
    assert x_at(buffer_of(moving("/map", "/base", 5.0, 1.0)), 5.0) == 1.0


# ---- what is no transform


def spoilt(**changes):
    transform = moving("map", "base", 5.0)
    for name, value in changes.items():
        part, field = name.split("_")
        setattr(getattr(transform.transform, part), field, value)
    return transform


@pytest.mark.parametrize(
    "transform, name",
    [
        (moving("base", "base", 5.0), "TF_SELF_TRANSFORM"),
        (moving("", "base", 5.0), "TF_NO_FRAME_ID"),
        (moving("map", "", 5.0), "TF_NO_CHILD_FRAME_ID"),
        (spoilt(translation_y=np.nan), "TF_NAN_INPUT"),
        (spoilt(rotation_x=np.nan), "TF_NAN_INPUT"),
        (spoilt(rotation_w=0.99), "TF_DENORMALIZED_QUATERNION"),
        (spoilt(rotation_w=0.0), "TF_DENORMALIZED_QUATERNION"),
    ],
)
def test_what_is_no_transform_is_ignored_with_an_error(capfd, transform, name):
    buffer = buffer_of(transform)
    assert name in capfd.readouterr().err
    assert not buffer.can_transform("map", "base", Time())


def test_a_quaternion_may_be_a_little_off(capfd):
    assert buffer_of(spoilt(rotation_w=0.996)).can_transform("map", "base", Time()) and warnings(capfd) == 0
