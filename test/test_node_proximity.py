"""The node tells how near a robot's links are to everybody, and publishes everybody as capsules."""

from __future__ import annotations

import numpy as np
import pytest
from geometry_msgs.msg import TransformStamped
from multihmr.msg import Human
from ros_graph import anny
from test_node_tracking import EXACT, LOST, SPEED, STANDS, STEP_S, drive, show, stamp, told, walker
from tf2_ros import TransformBroadcaster
from visualization_msgs.msg import Marker

from ros2_multihmr.body.parts import PARTS
from ros2_multihmr.nearness.triangles import brute_force

SPHERES = ("-p", "proximity_frames:=[tool0]", "-p", "proximity_spheres:=['arm: base 0.0 0.0 0.5 0.2']")
WAITS = ("-p", "proximity_timeout_s:=5.0", "-p", "publish_vertices:=true")


def xyz(point):
    return np.array([point.x, point.y, point.z])


def send_frame(broadcaster, name, time_s, place, parent="camera_optical_frame"):
    pose = TransformStamped(child_frame_id=name)
    pose.header.frame_id, pose.header.stamp = parent, stamp(time_s)
    pose.transform.translation.x, pose.transform.translation.y, pose.transform.translation.z = map(float, place)
    pose.transform.rotation.w = 1.0
    broadcaster.sendTransform(pose)


def robot(g):
    broadcaster = TransformBroadcaster(g.other)
    g.until(lambda: broadcaster.pub_tf.get_subscription_count() >= 1)
    return broadcaster


def proximity_of(g, message, key="proximity"):
    """The message about the same image."""
    g.until(lambda: g.received[key] and g.received[key][-1].header.stamp == message.header.stamp)
    return g.received[key][-1]


def test_distances_are_those_to_the_full_mesh_nearest_first(graph):
    g = graph(args=(*EXACT, *SPHERES, *WAITS)).start("humans", "proximity")
    broadcaster = robot(g)
    for i in range(-1, 6):
        send_frame(broadcaster, "tool0", i * STEP_S, (-3.0, 0.2, 4.0))
        send_frame(broadcaster, "base", i * STEP_S, (2.0, 0.0, 3.0))
        if i >= 0:
            message = show(g, i * STEP_S, [walker(i * STEP_S), STANDS])
    found = proximity_of(g, message)
    assert found.header == message.header and found.calibrated and not found.untrained and not found.missing_spheres
    assert {(p.sphere, p.track_id) for p in found.proximities} == {(s, i) for s in ("tool0", "arm") for i in (1, 2)}
    distances = [p.distance for p in found.proximities]
    assert distances == sorted(distances)
    mesh = {human.track_id: np.reshape(human.vertices, (-1, 3)) for human in message.humans}
    for p in found.proximities:
        center, radius = {"tool0": ((-3.0, 0.2, 4.0), 0.0), "arm": ((2.0, 0.0, 3.5), 0.2)}[p.sphere]
        np.testing.assert_allclose(xyz(p.center), center, atol=1e-6)
        distance, _, nearest = brute_force(mesh[p.track_id], anny().info.faces, np.array(center))
        assert p.radius == pytest.approx(radius) and p.distance == pytest.approx(distance - radius, abs=1e-3)
        np.testing.assert_allclose(xyz(p.nearest), nearest, atol=1e-3)
        assert p.part in PARTS and p.tracking_state == Human.TRACK_OK and p.distance_sigma > 0.0
    of = {(p.sphere, p.track_id): p for p in found.proximities}
    assert of["tool0", 1].part.startswith("right_"), "tool0 is to the left of who faces the camera"
    assert all(p.closing_speed_valid for p in found.proximities)
    assert of["tool0", 1].closing_speed == pytest.approx(-SPEED, abs=0.2)
    assert abs(of["tool0", 2].closing_speed) < 0.1


def test_the_spheres_own_motion_counts_and_is_not_known_at_first(graph):
    g = graph(args=(*EXACT, "-p", "proximity_frames:=[tool0]", *WAITS)).start("humans", "proximity")
    broadcaster, seen = robot(g), []
    for i in range(-1, 6):
        send_frame(broadcaster, "tool0", i * STEP_S, (-3.0 + SPEED * i * STEP_S, 0.0, 6.0))
        if i >= 0:
            (told_of,) = proximity_of(g, show(g, i * STEP_S, [STANDS])).proximities
            seen.append(told_of)
    assert not seen[0].closing_speed_valid and seen[0].closing_speed == 0.0
    assert seen[-1].closing_speed_valid and seen[-1].closing_speed == pytest.approx(SPEED, abs=0.1)
    assert seen[-1].distance - seen[0].distance == pytest.approx(-5 * STEP_S * SPEED, abs=0.05)


def test_a_frame_that_nobody_sends_is_told_of_and_the_others_go_on(graph, capfd):
    args = (*EXACT, *SPHERES, "-p", "diagnostics_period_s:=0.1", *WAITS)
    g = graph(args=args).start("humans", "proximity", "diagnostics")
    broadcaster = robot(g)
    for i in range(-1, 3):
        send_frame(broadcaster, "tool0", i * STEP_S, (-3.0, 0.0, 4.0))
        if i >= 0:
            found = proximity_of(g, show(g, i * STEP_S, [STANDS]))
    assert list(found.missing_spheres) == ["arm"] and [p.sphere for p in found.proximities] == ["tool0"]
    level, text, _ = g.diagnostics()
    assert level == 1 and "'base': one of the two is unknown" in text and "tool0" not in text
    assert capfd.readouterr().err.count("no transform to the camera's frame") == 1


def test_nobody_there_is_told_and_who_is_predicted_counts(graph):
    args = (*EXACT, *SPHERES, *WAITS, "-p", "track_predict_s:=0.15")
    g = graph(args=args).start("humans", "proximity")
    broadcaster, counts = robot(g), []
    for i in range(-1, 8):
        for name in ("tool0", "base"):
            send_frame(broadcaster, name, i * STEP_S, (-1.0, 0.0, 2.0))
        if i >= 0:
            message = show(g, i * STEP_S, [STANDS] if i < 4 else [])
            states = {p.tracking_state for p in proximity_of(g, message).proximities}
            counts.append((len(g.received["proximity"][-1].proximities), *sorted(states)))
    assert counts == [(2, Human.TRACK_NEW), *[(2, Human.TRACK_OK)] * 3, (2, Human.TRACK_PREDICTED), *[(0,)] * 3]


def test_without_spheres_nothing_comes_and_it_is_said_why(graph):
    g = graph(args=("-p", "diagnostics_period_s:=0.1")).start("proximity", "diagnostics")
    g.send()
    level, text, _ = g.diagnostics()
    assert level == 1 and "proximity_frames and proximity_spheres name nothing" in text
    assert not g.received["proximity"]


def test_listening_for_robots_is_no_demand_for_people(graph):
    g = graph(args=SPHERES).start()
    g.send()
    assert g.backend.calls == 0 and g.fates()["NOBODY_LISTENS"] == 1


def test_a_sphere_on_a_robot_that_drives_nears_who_stands(graph):
    args = (*EXACT, "-p", "proximity_frames:=[tool0]", "-p", "world_frame:=odom", "-p", "world_frame_timeout_s:=5.0")
    g = graph(args=(*args, *WAITS)).start("humans", "proximity")
    broadcaster = robot(g)
    g.until(lambda: broadcaster.pub_tf.get_subscription_count() == 2)
    for i in range(-1, 20):
        drive(g, broadcaster, max(i, 0) * STEP_S)
        send_frame(broadcaster, "tool0", i * STEP_S, (-3.0, 0.0, 4.0))  # stands still before the camera
        if i >= 0:
            message = show(g, i * STEP_S, [walker(i * STEP_S, -SPEED)])
    (found,) = proximity_of(g, message).proximities
    assert found.closing_speed_valid and found.closing_speed == pytest.approx(SPEED, abs=0.15)


def test_everybody_is_published_as_capsules_until_gone(graph):
    args = (*EXACT, "-p", "publish_vertices:=true", "-p", "track_predict_s:=0.15")
    g = graph(args=args).start("humans", "capsules", "capsule_markers")
    for i in range(8):
        message = show(g, i * STEP_S, [walker(i * STEP_S), STANDS] if i < 4 else [STANDS])
        found = proximity_of(g, message, "capsules")
        there = [h for h in message.humans if h.tracking_state != LOST]
        expected = [(h.track_id, part) for h in there for part in PARTS]
        assert found.header == message.header and [(c.track_id, c.part) for c in found.capsules] == expected
        for human in there:
            own = [c for c in found.capsules if c.track_id == human.track_id]
            assert share_inside(own, np.reshape(human.vertices, (-1, 3))[::20]) > 0.95
    assert list(told(message)) == [2]
    g.until(lambda: len(g.received["capsule_markers"]) == 8)
    markers = [array.markers for array in g.received["capsule_markers"]]
    assert {m.id for m in markers[0]} == {1, 2} and all(m.type == Marker.TRIANGLE_LIST for m in markers[0])
    assert len(markers[0][0].points) % 3 == 0 and {len(m.points) for m in markers[0]} == {len(markers[0][0].points)}
    deleted = [{m.id for m in array if m.action == Marker.DELETE} for array in markers]
    assert sum(map(len, deleted)) == 1 and {1} in deleted
    g.node.trigger_deactivate()
    g.until(lambda: g.received["capsule_markers"][-1].markers[0].action == Marker.DELETEALL)


def share_inside(capsules, points):
    gaps = []
    for capsule in capsules:
        start, along = xyz(capsule.start), xyz(capsule.end) - xyz(capsule.start)
        share = ((points - start) @ along / max(along @ along, 1e-12)).clip(0, 1)
        gaps.append(np.linalg.norm(points - start - share[:, None] * along, axis=1) - capsule.radius)
    return (np.min(gaps, axis=0) <= 0).mean()
