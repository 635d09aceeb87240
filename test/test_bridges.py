"""People in messages of other packages: what they say, that they come, and that nobody pays for them unasked."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from bridge_packages import provide_messages
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.parameter import Parameter
from ros_fakes import header, random_humans, small_body

from ros2_multihmr.camera import Camera
from ros2_multihmr.ros.bridges.registry import KINDS, check_bridges
from ros2_multihmr.ros.output import Result
from ros2_multihmr.ros.parameters import NodeConfig
from ros2_multihmr.settings import setting_info
from ros2_multihmr.tracking.motion_state import Motion
from ros2_multihmr.tracking.tracks import Tracks, TrackState

BODY = small_body()
CAMERA = Camera.from_fov(64, 48, 60.0)
SEEN, PREDICTED = TrackState.OK, TrackState.PREDICTED


@pytest.fixture(scope="module", autouse=True)
def messages():
    provide_messages()


def result(states, *, motion=True):
    """People with these states, ids from 11."""
    count = len(states)
    tracks = Tracks(np.arange(11, 11 + count, dtype=np.uint32), np.array(states, np.uint8), np.ones(count))
    humans = random_humans(BODY, count)
    moves = None
    if motion:
        halves = np.random.default_rng(1).normal(size=(count, 6, 6))
        position, velocity = np.random.default_rng(2).normal(size=(2, count, 3))
        moves = Motion(position, velocity, halves @ halves.swapaxes(1, 2), np.arange(count) % 2 == 0, 0.2)
    covariance = np.tile(np.diag([0.01, 0.04, 0.09, 1e6, 1e6, 1e6]).astype(np.float32), (count, 1, 1))
    humans = type(humans)(**{**vars(humans), "covariance": covariance})
    return Result(header(), np.zeros((48, 64, 3), np.uint8), CAMERA, humans, tracks, moves)


def rotation_of(q):
    from tf_transformations import quaternion_matrix

    return quaternion_matrix([q.x, q.y, q.z, q.w])[:3, :3]


def xyz(message):
    return np.array([message.x, message.y, message.z])


# ---- vision_msgs


def test_detections_are_those_seen_with_pose_covariance_and_id():
    from ros2_multihmr.ros.bridges.detections import detection_array

    given = result([SEEN, PREDICTED, SEEN])
    array = detection_array(given)
    assert array.header == given.header and [d.id for d in array.detections] == ["11", "13"]
    for detection, i in zip(array.detections, (0, 2)):
        (hypothesis,) = detection.results
        assert detection.header == given.header and hypothesis.hypothesis.class_id == "person"
        assert hypothesis.hypothesis.score == pytest.approx(given.humans.scores[i])
        np.testing.assert_allclose(xyz(hypothesis.pose.pose.position), given.humans.origin[i], rtol=1e-6)
        np.testing.assert_allclose(
            rotation_of(hypothesis.pose.pose.orientation), given.humans.rotation[i], rtol=0, atol=1e-5
        )
        np.testing.assert_array_equal(np.reshape(hypothesis.pose.covariance, (6, 6)), given.humans.covariance[i])


def test_boxes_touch_the_mesh_on_all_six_sides():
    from ros2_multihmr.ros.bridges.detections import detection_array

    given = result([SEEN] * 3)
    for detection, mesh in zip(detection_array(given).detections, given.humans.vertices_lod):
        center, turn = xyz(detection.bbox.center.position), rotation_of(detection.bbox.center.orientation)
        inside = (mesh - center) @ turn
        half = xyz(detection.bbox.size) / 2
        np.testing.assert_allclose(inside.max(axis=0), half, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(inside.min(axis=0), -half, rtol=1e-4, atol=1e-5)


def test_a_number_for_one_image_is_no_identity():
    from ros2_multihmr.ros.bridges.detections import detection_array

    assert [d.id for d in detection_array(result([TrackState.NONE], motion=False)).detections] == [""]


# ---- people_msgs


def test_people_tell_velocities_and_how_sure_they_are():
    from ros2_multihmr.ros.bridges.people import people

    given = result([SEEN, SEEN, PREDICTED])
    message = people(given)
    assert message.header == given.header and [p.name for p in message.people] == ["11", "12", "13"]
    for i, person in enumerate(message.people):
        tags = dict(zip(person.tagnames, person.tags, strict=True))
        np.testing.assert_allclose(xyz(person.position), given.humans.origin[i], rtol=1e-6)
        assert person.reliability == pytest.approx(given.humans.scores[i])
        assert tags["state"] == ("predicted" if i == 2 else "seen")
        assert float(tags["position_sigma_m"]) == pytest.approx(0.3, abs=1e-3)
        if i % 2 == 0:
            np.testing.assert_allclose(xyz(person.velocity), given.motion.velocity[i])
            widest = np.sqrt(np.linalg.eigvalsh(given.motion.covariance[i, 3:, 3:])[-1])
            assert tags["velocity"] == "known" and float(tags["velocity_sigma_m_s"]) == pytest.approx(widest, abs=1e-3)
        else:
            assert not xyz(person.velocity).any()
            assert (tags["velocity"], tags["velocity_sigma_m_s"]) == ("unknown", "")


def test_people_whom_nobody_follows_have_no_velocity():
    from ros2_multihmr.ros.bridges.people import people

    (person,) = people(result([TrackState.NONE], motion=False)).people
    assert person.tags[:2] == ["untracked", "unknown"] and not xyz(person.velocity).any()


def test_nobody_is_an_empty_message():
    from ros2_multihmr.ros.bridges.detections import detection_array
    from ros2_multihmr.ros.bridges.people import people

    assert detection_array(result([])).detections == [] and people(result([])).people == []


# ---- in the node


def listen(g, kind, topic):
    received = []
    g.other.create_subscription(kind, topic, received.append, 10)
    g.until(lambda: g.node.count_subscribers(topic))
    return received


def test_every_bridge_that_can_be_asked_for_is_there():
    (field,) = (f for f in NodeConfig.__dataclass_fields__.values() if f.name == "bridges")
    assert set(setting_info(field).choices) == set(KINDS)
    check_bridges(KINDS)


def test_bridges_say_the_same_as_the_nodes_own_message(graph):
    from people_msgs.msg import People
    from vision_msgs.msg import Detection3DArray

    g = graph(args=("-p", "bridges:=[vision_msgs, people_msgs]")).start("humans")
    detections = listen(g, Detection3DArray, "/multihmr/detections")
    people = listen(g, People, "/multihmr/people")
    image = g.send()
    g.until(lambda: detections and people)
    humans = g.last("humans")
    assert detections[0].header == people[0].header == humans.header == image.header
    for human, detection, person in zip(humans.humans, detections[0].detections, people[0].people, strict=True):
        assert detection.id == person.name == str(human.track_id)
        assert detection.results[0].pose == human.pose and person.position == human.pose.pose.position
        low, high = xyz(human.box_min), xyz(human.box_max)
        center = xyz(detection.bbox.center.position)
        assert (center > low).all() and (center < high).all()


def test_a_bridge_that_nobody_listens_to_does_not_run_the_network(graph):
    from people_msgs.msg import People

    g = graph(args=("-p", "bridges:=[vision_msgs, people_msgs, hri]")).start()
    g.send()
    assert g.backend.calls == 0
    people = listen(g, People, "/multihmr/people")
    g.send()
    g.until(lambda: people)
    assert g.backend.calls == 1


def test_bridges_that_nobody_asked_for_are_not_there(graph):
    g = graph().start("humans")
    g.send()
    topics = {name for name, _ in g.other.get_topic_names_and_types()}
    assert not {"/multihmr/detections", "/multihmr/people", "/humans/bodies/tracked"} & topics


@pytest.mark.parametrize("name, says", [("vision_msgs", "apt install ros-"), ("people_msgs", "build it from")])
def test_a_missing_package_is_told_at_configure(graph, monkeypatch, name, says):
    g = graph(args=("-p", f"bridges:=[{name}]", "-p", "diagnostics_period_s:=0.1"))
    g.listen("diagnostics")
    monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, f"{name}.msg", None)
    assert g.node.trigger_configure().name == "FAILURE"
    level, message, _ = g.diagnostics()
    assert level == DiagnosticStatus.ERROR[0] and f"needs the ROS package {name}" in message and says in message
    monkeypatch.undo()
    assert g.node.trigger_configure().name == "SUCCESS"  # installed meanwhile


def test_a_package_without_a_message_is_refused(monkeypatch):
    import hri_msgs.msg

    monkeypatch.delattr(hri_msgs.msg, "Skeleton2D")
    with pytest.raises(ValueError, match=r"bridges: hri needs .* hri_msgs.*Skeleton2D"):
        check_bridges(["hri"])


def test_bridges_are_chosen_while_unconfigured(graph):
    g = graph()
    choose = [Parameter("bridges", value=["hri"])]
    assert g.node.set_parameters(choose)[0].successful and g.node.config.bridges == ("hri",)
    assert g.node.trigger_configure().name == "SUCCESS"
    refused = g.node.set_parameters([Parameter("bridges", value=["vision_msgs"])])[0]
    assert not refused.successful and "clean it up first" in refused.reason
    assert g.node.trigger_cleanup().name == "SUCCESS"
    assert g.node.set_parameters([Parameter("bridges", Parameter.Type.STRING_ARRAY, [])])[0].successful
    assert g.node.trigger_configure().name == "SUCCESS"
