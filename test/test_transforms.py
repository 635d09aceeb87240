"""TF frames of people: where, how turned, named how, and never the same stamp twice."""

import numpy as np
import pytest
from ros_fakes import FACING_THE_CAMERA, FakeBackend, Person, header, random_humans, small_body
from tf_transformations import quaternion_matrix

from ros2_multihmr.body import create_body
from ros2_multihmr.camera import Camera
from ros2_multihmr.estimator import Estimator
from ros2_multihmr.estimator_config import EstimatorConfig
from ros2_multihmr.ros.transforms import PeopleBroadcaster, transforms
from ros2_multihmr.tracking.tracks import Tracks

BODY = small_body()


def matrix_of(transform):
    q, t = transform.transform.rotation, transform.transform.translation
    matrix = quaternion_matrix([q.x, q.y, q.z, q.w])
    matrix[:3, 3] = t.x, t.y, t.z
    return matrix


def test_frames_are_the_peoples_poses():
    humans, head = random_humans(BODY, 5), header("cam_optical")
    found = transforms(head, humans, Tracks.untracked(5), "front_")
    assert [t.child_frame_id for t in found] == [f"front_body_{i}" for i in range(1, 6)]
    for i, transform in enumerate(found):
        assert transform.header == head
        np.testing.assert_allclose(matrix_of(transform)[:3, :3], humans.rotation[i], atol=1e-5)
        np.testing.assert_allclose(matrix_of(transform)[:3, 3], humans.origin[i], atol=1e-6)


def test_nobody_has_no_frame():
    assert transforms(header(), random_humans(BODY, 0), Tracks.untracked(0), "") == []


@pytest.mark.parametrize("turned", [0.0, 90.0, 180.0, -45.0])
def test_a_person_standing_before_a_level_camera_has_z_up(turned):
    """Optical y points down, so up is -y; turning round the vertical changes x alone."""
    body = create_body("anny")
    cos, sin = np.cos(np.radians(turned)), np.sin(np.radians(turned))
    about_model_z = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]], np.float32)
    person = Person(rotation=(FACING_THE_CAMERA @ about_model_z).astype(np.float32))
    estimator = Estimator(FakeBackend(body.info, [person]), body, EstimatorConfig())
    camera = Camera.from_fov(200, 200, 60.0)
    humans = estimator.estimate(np.zeros((200, 200, 3), np.uint8), camera)
    (transform,) = transforms(header(), humans, Tracks.untracked(1), "")
    axes = matrix_of(transform)[:3, :3]
    np.testing.assert_allclose(axes[:, 2], [0, -1, 0], atol=1e-5)
    # x out of the chest: towards the camera, which is -z, for someone who faces it; y to the person's own left, which
    # is to the right in the image.
    np.testing.assert_allclose(axes[:, 0], [sin, 0, -cos], atol=1e-5)
    np.testing.assert_allclose(axes[:, 1], [cos, 0, sin], atol=1e-5)
    # The origin is between the hips: below the head, above the feet.
    assert humans.joints[0, body.info.center_joint, 1] + 0.3 < humans.origin[0, 1] < humans.box_max[0, 1] - 0.5


class FakeBroadcaster:
    def __init__(self, node):
        self.sent = node.sent

    def sendTransform(self, transform):  # noqa: N802  as tf2_ros calls it
        self.sent.append(transform)


class FakeNode:
    def __init__(self):
        self.sent = []


@pytest.fixture
def people(monkeypatch):
    monkeypatch.setattr("ros2_multihmr.ros.transforms.TransformBroadcaster", FakeBroadcaster)
    node = FakeNode()
    return PeopleBroadcaster(node, ""), node.sent


def send(broadcaster, sec, frame_id="cam", count=2):
    broadcaster.send(broadcaster.convert(header(frame_id, sec, 0), random_humans(BODY, count), Tracks.untracked(count)))


def test_never_the_same_stamp_twice(people):
    broadcaster, sent = people
    for second in (5, 5, 6, 6, 6, 7):
        send(broadcaster, second)
    assert [transforms[0].header.stamp.sec for transforms in sent] == [5, 6, 7]


def test_a_bag_that_starts_over_is_sent_again(people):
    broadcaster, sent = people
    for second in (5, 6, 5, 6):
        send(broadcaster, second)
    assert [transforms[0].header.stamp.sec for transforms in sent] == [5, 6, 5, 6]


def test_nothing_is_sent_for_nobody(people):
    broadcaster, sent = people
    send(broadcaster, 5, count=0)
    assert sent == [] and broadcaster.problem == ""


@pytest.mark.parametrize(
    "sec, frame_id, said", [(5, "", "no frame_id"), (5, "/cam", "slash"), (0, "cam", "no time stamp")]
)
def test_what_tf_would_not_take_is_not_sent_but_explained(people, sec, frame_id, said):
    broadcaster, sent = people
    send(broadcaster, sec, frame_id)
    assert sent == [] and said in broadcaster.problem
    send(broadcaster, 7)
    assert len(sent) == 1 and broadcaster.problem == ""


def test_ids_name_the_frames():
    tracks = Tracks(np.array([3, 11], np.uint32), np.array([2, 2], np.uint8), np.zeros(2))
    found = transforms(header(), random_humans(BODY, 2), tracks, "")
    assert [t.child_frame_id for t in found] == ["body_3", "body_11"]
