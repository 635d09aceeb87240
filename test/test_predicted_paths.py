"""The node tells where people are going to be: poses at stamps, in a frame that stands still, and lines of them."""

from __future__ import annotations

import numpy as np
import pytest
from rclpy.parameter import Parameter
from test_node_tracking import EXACT, LOST, SPEED, STANDS, STEP_S, drive, show, stamp, told, walker
from tf2_ros import TransformBroadcaster
from visualization_msgs.msg import Marker

from ros2_multihmr.palette import color_of
from ros2_multihmr.ros.pace import Lifetime

PATHS = (*EXACT, "-p", "path_horizon_s:=2.0", "-p", "path_steps:=4")


def xyz(point):
    return np.array([point.x, point.y, point.z])


def path_of(g, message):
    """The paths of the image of a HumanArray, and all positions by track id."""
    g.until(
        lambda: g.received["predicted_paths"] and g.received["predicted_paths"][-1].header.stamp == message.header.stamp
    )
    paths = g.received["predicted_paths"][-1]
    return paths, {path.track_id: np.array([xyz(p.pose.position) for p in path.poses]) for path in paths.paths}


def test_paths_tell_where_people_will_be_and_how_sure_that_is(graph):
    g = graph(args=PATHS).start("humans", "predicted_paths")
    for i in range(40):
        message = show(g, i * STEP_S, [walker(i * STEP_S), STANDS])
    paths, positions = path_of(g, message)
    assert paths.header == message.header
    assert [(s.sec, s.nanosec) for s in paths.stamps] == [
        (s.sec, s.nanosec) for s in (stamp(3.9 + 0.5 * k) for k in range(1, 5))
    ]
    now = {human.track_id: human for human in message.humans}
    assert set(positions) == {1, 2} == set(now)
    for path in paths.paths:
        pose, speed = now[path.track_id].pose, {1: SPEED, 2: 0.0}[path.track_id]
        expected = xyz(pose.pose.position) + np.outer([0.5, 1.0, 1.5, 2.0], (speed, 0, 0))
        np.testing.assert_allclose(positions[path.track_id], expected, atol=0.2)
        assert all(p.pose.orientation == pose.pose.orientation for p in path.poses)
        covariances = np.array([np.reshape(p.covariance, (6, 6)) for p in path.poses])
        grows = np.trace(covariances[:, :3, :3], axis1=1, axis2=2)
        assert (np.diff(grows) > 0).all() and grows[0] > np.trace(np.reshape(pose.covariance, (6, 6))[:3, :3])
        assert (covariances[:, [3, 4, 5], [3, 4, 5]] == 1e6).all()


def test_who_is_lost_or_not_followed_has_no_path_and_parameters_change_live(graph):
    g = graph(args=(*PATHS, "-p", "track_predict_s:=0.25")).start("humans", "predicted_paths")
    for i in range(5):
        show(g, i * STEP_S, [walker(i * STEP_S), STANDS])
    for i in range(5, 7):
        assert set(path_of(g, show(g, i * STEP_S, [STANDS]))[1]) == {1, 2}
    message = show(g, 7 * STEP_S, [STANDS])
    assert told(message)[1] == LOST and set(path_of(g, message)[1]) == {2}
    assert g.node.set_parameters_atomically([Parameter("path_steps", value=7)]).successful
    assert len(path_of(g, show(g, 8 * STEP_S, [STANDS]))[0].paths[0].poses) == 7
    assert g.node.set_parameters_atomically([Parameter("track", value=False)]).successful
    paths, _ = path_of(g, show(g, 9 * STEP_S, [STANDS]))
    assert not paths.paths and not paths.stamps


@pytest.mark.parametrize("topic", ["predicted_paths", "path_lines"])
def test_paths_alone_keep_the_node_at_work(graph, topic):
    g = graph(args=PATHS).start(topic)
    g.send()
    g.last(topic)
    assert g.backend.calls == 1 and g.fates().get("NOBODY_LISTENS", 0) == 0


def test_nothing_is_predicted_for_nobody(graph, monkeypatch):
    def never(*_):
        raise AssertionError("nobody asked")

    monkeypatch.setattr("ros2_multihmr.ros.predicted_paths.predicted_paths", never)
    g = graph(args=PATHS).start("humans")
    g.send()
    assert len(g.last("humans").humans) == 2


def test_in_a_world_frame_a_path_is_in_that_frame(graph):
    g = graph(args=(*PATHS, "-p", "world_frame:=odom", "-p", "world_frame_timeout_s:=5.0"))
    g.start("humans", "predicted_paths")
    broadcaster = TransformBroadcaster(g.other)
    g.until(lambda: broadcaster.pub_tf.get_subscription_count() == 1)
    for i in range(-1, 30):
        drive(g, broadcaster, max(i, 0) * STEP_S)
        if i >= 0:
            message = show(g, i * STEP_S, [walker(i * STEP_S, -SPEED)])
    paths, positions = path_of(g, message)
    assert paths.header.frame_id == "odom" and paths.header.stamp == message.header.stamp
    (human,) = message.humans
    stands = xyz(human.pose.pose.position) + (SPEED * 29 * STEP_S, 0, 0)
    np.testing.assert_allclose(positions[1], np.tile(stands, (4, 1)), atol=0.2)


def test_where_the_cameras_pose_is_not_known_a_path_is_in_its_frame(graph):
    g = graph(args=(*PATHS, "-p", "world_frame:=odom")).start("humans", "predicted_paths")
    paths, positions = path_of(g, show(g, 0.0, [STANDS]))
    assert paths.header.frame_id == "camera_optical_frame" and set(positions) == {1}


def test_lines_are_in_the_colour_of_the_id_and_go_with_the_person(graph):
    g = graph(args=(*PATHS, "-p", "track_predict_s:=0.15")).start("humans", "predicted_paths", "path_lines")
    for i in range(5):
        message = show(g, i * STEP_S, [walker(i * STEP_S), STANDS])
    _, positions = path_of(g, message)
    lines = {m.id: m for m in g.last("path_lines", 5).markers}
    assert set(lines) == {1, 2}
    for track_id, line in lines.items():
        assert (line.ns, line.type, line.action) == ("path", Marker.LINE_STRIP, Marker.ADD)
        assert (line.color.r, line.color.g, line.color.b) == pytest.approx(color_of(track_id))
        assert 2 <= line.lifetime.sec <= 30 and line.header == message.header
        points = np.array([xyz(p) for p in line.points])
        np.testing.assert_allclose(points[1:], positions[track_id])
        (human,) = (h for h in message.humans if h.track_id == track_id)
        np.testing.assert_allclose(points[0], xyz(human.pose.pose.position), atol=0.1)
    for i in range(5, 8):
        show(g, i * STEP_S, [STANDS])
    changes = [
        {(m.id, m.action) for m in array.markers} for array in g.last("path_lines", 8) and g.received["path_lines"]
    ]
    there = {(1, Marker.ADD), (2, Marker.ADD)}
    assert changes == [there] * 6 + [{(1, Marker.DELETE), (2, Marker.ADD)}, {(2, Marker.ADD)}]
    g.node.trigger_deactivate()
    assert [m.action for m in g.last("path_lines", 9).markers] == [Marker.DELETEALL]


def test_a_lifetime_is_a_few_images_long():
    lifetime = Lifetime()
    assert [lifetime.renewed(s) for s in (10.0, 10.1, 12.1, 72.1, 5.0)] == pytest.approx([30.0, 2.0, 6.0, 30.0, 2.0])
