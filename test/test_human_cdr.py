"""People serialized by hand are byte for byte those of the generated class."""

import numpy as np
import pytest
from multihmr.msg import HumanArray
from rclpy.serialization import deserialize_message, serialize_message
from ros_fakes import assert_serializes, header, random_humans, small_body

from ros2_multihmr.camera import Camera
from ros2_multihmr.ros.conversions import human_array
from ros2_multihmr.ros.human_cdr import human_array_cdr
from ros2_multihmr.tracking.motion_state import Motion
from ros2_multihmr.tracking.tracks import Tracks

K = np.array([[500.0, 0.0, 319.5], [0.0, 510.0, 239.5], [0.0, 0.0, 1.0]])
BODY = small_body()


def followed(count):
    """Tracks and motion in which every number is different; every third velocity is unknown."""
    rng = np.random.default_rng(count)
    tracks = Tracks(
        np.arange(7, 7 + count, dtype=np.uint32),
        (np.arange(count) % 5).astype(np.uint8),
        rng.uniform(0.0, 1e4, count) * (np.arange(count) > 0),
    )
    spread = rng.normal(size=(count, 6, 6))
    motion = Motion(rng.normal(size=(count, 3)), rng.normal(size=(count, 3)), spread, np.arange(count) % 3 != 1, 0.2)
    return tracks, motion


@pytest.mark.parametrize("frame_id", ["", "c", "für"])
@pytest.mark.parametrize("weights", ["", "weights"])
@pytest.mark.parametrize("vertices", [False, True])
@pytest.mark.parametrize("count", [0, 1, 2, 10])
def test_bytes_are_those_of_the_message(frame_id, weights, vertices, count):
    humans, (tracks, motion) = random_humans(BODY, count), followed(count)
    camera = Camera(K, 640, 480, "plumb_bob", (0.1, 0.2, 0.0, 0.0, 0.3), True, False)
    said = {"weights": weights, "untrained": True, "vertices": vertices}
    for known in (None, motion):
        naive = human_array(header(frame_id), humans, tracks, camera, **said, motion=known)
        assert_serializes(human_array_cdr(header(frame_id), humans, tracks, camera, **said, motion=known), naive)


def bytes_alike(data, message):
    """Says whether the bytes are the message's, but for zeros between fields, and the class's spare ones at the end.

    The generated class reserves room to align an empty sequence of doubles, and then does not use it.
    """
    naive = np.frombuffer(serialize_message(message), np.uint8)
    ours = np.frombuffer(data, np.uint8)
    theirs = naive[: len(ours)]
    return 0 <= len(naive) - len(ours) <= 8 and not ours[ours != theirs].any()


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_vertices_that_were_not_computed_and_a_camera_without_distortion(count):
    humans, tracks = random_humans(BODY, count, vertices=False), Tracks.untracked(count)
    for weights in ("", "we", "weights"):
        arguments = header(), humans, tracks, Camera(K, 640, 480)
        said = {"weights": weights, "untrained": False, "vertices": True}
        data, naive = human_array_cdr(*arguments, **said), human_array(*arguments, **said)
        assert bytes_alike(data, naive) and deserialize_message(data, HumanArray) == naive


def test_people_selected_from_others_and_points_behind_the_camera():
    humans = random_humans(BODY, 6)
    humans.keypoints_2d[2] = np.nan
    arguments = header(), humans.select(np.array([4, 2, 0])), Tracks.untracked(3), Camera(K, 640, 480)
    said = {"weights": "w", "untrained": False, "vertices": True}
    data = human_array_cdr(*arguments, **said)
    assert bytes_alike(data, human_array(*arguments, **said))
    assert np.isnan(deserialize_message(data, HumanArray).humans[1].keypoints_2d).all()
