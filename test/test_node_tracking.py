"""The node follows people: ids, states and velocities in its messages, and what makes it start anew."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from geometry_msgs.msg import TransformStamped
from multihmr.msg import Human
from rclpy.parameter import Parameter
from ros_fakes import Person
from tf2_ros import TransformBroadcaster
from visualization_msgs.msg import Marker

NEW, OK, PREDICTED, LOST = Human.TRACK_NEW, Human.TRACK_OK, Human.TRACK_PREDICTED, Human.TRACK_LOST
STEP_S = 0.1
SPEED = 0.5
NETWORK_FOCAL_PX = 60.0 * 112 / 64
EXACT = ("-p", "position_sigma_px:=0.5", "-p", "depth_sigma:=0.02", "-p", "markers_rate_hz:=0.0")
STANDS = Person(x=75.0, depth=6.0, score=0.8)


def walker(time_s, speed=SPEED):
    """Somebody who walks to the right, 4 m away."""
    return Person(x=35.0 + speed * time_s * NETWORK_FOCAL_PX / 4.0, depth=4.0, score=0.9)


def show(g, time_s, people, **fields):
    """Sends an image of the time, in which the network finds these people; returns its message."""
    g.backend.people = people
    image = g.image(**fields)
    image.header.stamp = stamp(time_s)
    g.send(image)
    g.until(lambda: g.received["humans"] and g.received["humans"][-1].header == image.header)
    return g.received["humans"][-1]


def stamp(time_s):
    nanoseconds = round((100.0 + time_s) * 1e9)
    return Time(sec=nanoseconds // 10**9, nanosec=nanoseconds % 10**9)


def told(message):
    return {human.track_id: human.tracking_state for human in message.humans}


def test_people_who_move_keep_their_ids_and_their_velocity_is_told(graph):
    g = graph(args=EXACT).start("humans", "tf", "markers")
    for i in (i for i in range(40) if i not in (7, 8, 15, 30)):  # images that never came
        people = [walker(i * STEP_S), STANDS]
        people[i % 2] = replace(people[i % 2], score=0.95)  # so that the order changes
        message = show(g, i * STEP_S, people)
        assert told(message) == dict.fromkeys((1, 2), NEW if i == 0 else OK)
        of = {human.track_id: human for human in message.humans}
        assert of[1].pose.pose.position.z == pytest.approx(4.0, abs=0.3)
    assert of[1].age.sec + of[1].age.nanosec * 1e-9 == pytest.approx(3.9, abs=1e-3)
    for identity, speed in ((1, SPEED), (2, 0.0)):
        assert of[identity].twist_valid
        linear = of[identity].twist.twist.linear
        np.testing.assert_allclose((linear.x, linear.y, linear.z), (speed, 0, 0), atol=0.1)
        covariance = np.reshape(of[identity].twist.covariance, (6, 6))
        assert (np.linalg.eigvalsh(covariance[:3, :3]) > 0).all() and np.trace(covariance[:3, :3]) < 3.0
        assert (np.diag(covariance)[3:] == 1e6).all()
    shown = [m for m in g.last("markers").markers if m.ns == "mesh"]
    colors = {m.id: (m.color.r, m.color.g, m.color.b) for array in g.received["markers"] for m in array.markers[:2]}
    assert {m.id: (m.color.r, m.color.g, m.color.b) for m in shown} == colors and len(colors) == 2


def test_a_velocity_is_not_told_before_it_is_known(graph):
    g = graph(args=EXACT).start("humans")
    (human,) = show(g, 0.0, [STANDS]).humans
    assert not human.twist_valid and np.diag(np.reshape(human.twist.covariance, (6, 6))).tolist() == [1e6] * 6


def test_who_is_hidden_is_predicted_then_lost_once_and_then_gone(graph):
    g = graph(args=(*EXACT, "-p", "track_predict_s:=0.55", "-p", "diagnostics_period_s:=0.1"))
    g.start("humans", "tf", "markers", "overlay", "diagnostics")
    for i in range(10):
        show(g, i * STEP_S, [walker(i * STEP_S), STANDS])
    states = []
    for i in range(10, 20):
        message = show(g, i * STEP_S, [STANDS])
        states.append(told(message).get(1))
        assert told(message)[2] == OK
        if states[-1] == PREDICTED:
            predicted = next(human for human in message.humans if human.track_id == 1)
            assert predicted.score == 0.0 and predicted.twist_valid
            before = i
    assert states == [PREDICTED] * 5 + [LOST] + [None] * 4
    g.until(lambda: len(g.received["tf"]) == len(g.received["markers"]) == 20)
    frames = [{t.child_frame_id for t in m.transforms} for m in g.received["tf"]]
    assert frames == [{"body_1", "body_2"}] * (before + 1) + [{"body_2"}] * (19 - before)
    markers = g.received["markers"]
    assert [m.color.a for m in markers[before].markers if m.ns == "mesh"] == pytest.approx([1.0, 0.4])
    assert any("1 (predicted)" in m.text for m in markers[before].markers)
    deleted = [{m.id for m in array.markers if m.action == Marker.DELETE} for array in markers]
    assert deleted == [set()] * (before + 1) + [{1}] + [set()] * (18 - before)
    assert g.diagnostics()[2]["people"] == "1" and g.diagnostics()[2]["people predicted"] == "0"


def test_who_is_hidden_while_nobody_else_is_there_is_predicted_too(graph):
    g = graph(args=(*EXACT, "-p", "track_predict_s:=0.25")).start("humans", "overlay")
    for i in range(5):
        show(g, i * STEP_S, [walker(i * STEP_S)])
    drawn = np.any(g.last("overlay", 5).data)
    states = [list(told(show(g, (5 + i) * STEP_S, [])).items()) for i in range(4)]
    assert states == [[(1, PREDICTED)], [(1, PREDICTED)], [(1, LOST)], []]
    assert drawn and not np.any(g.last("overlay", 9).data), "the overlay shows who is seen"


def test_who_comes_back_has_the_id_of_before(graph):
    g = graph(args=EXACT).start("humans")
    for i in range(30):
        people = [STANDS] if 10 <= i < 20 else [walker(i * STEP_S), STANDS]
        message = show(g, i * STEP_S, people)
    assert told(message) == {1: OK, 2: OK}


def keys(diagnostics):
    """Names of the values of a diagnostics message."""
    return [value.key for status in diagnostics.status for value in status.values]


def anew(message):
    return [(h.track_id, h.tracking_state, h.age.sec, h.age.nanosec) for h in message.humans] == [(1, NEW, 0, 0)]


def test_a_stamp_that_jumps_back_starts_anew(graph):
    g = graph(args=(*EXACT, "-p", "diagnostics_period_s:=0.1")).start("humans", "diagnostics")
    for i in range(5):
        show(g, 50.0 + i * STEP_S, [walker(i * STEP_S), STANDS])
    assert anew(show(g, 0.0, [STANDS]))
    assert g.diagnostics()[2]["tracker resets"] == "1"
    assert told(show(g, STEP_S, [STANDS])) == {1: OK}


def test_a_repeated_stamp_changes_nobody(graph):
    g = graph(args=EXACT).start("humans")
    for time_s in (0.0, 0.1, 0.1, 0.1, 0.2):
        message = show(g, time_s, [STANDS, walker(time_s)])
    assert sorted(told(message)) == [1, 2]


@pytest.mark.parametrize("what", ["frame", "lens"])
def test_another_camera_starts_anew(graph, what):
    g = graph(args=EXACT).start("humans")
    for i in range(5):
        show(g, i * STEP_S, [walker(i * STEP_S), STANDS])
    g.backend.people = [STANDS]
    image = g.image()
    image.header.stamp = stamp(1.0)
    if what == "frame":
        image.header.frame_id = "other_optical_frame"
    k = np.array([(60.0 if what == "frame" else 90.0), 0, 31.5, 0, (60.0 if what == "frame" else 90.0), 23.5, 0, 0, 1])
    g.send(image, g.info(image, k=k))
    assert anew(g.last("humans", 6)) and g.node._follower.resets == 1


def test_deactivate_forgets_everybody(graph):
    g = graph(args=EXACT).start("humans")
    for i in range(5):
        show(g, i * STEP_S, [walker(i * STEP_S), STANDS])
    g.node.trigger_deactivate()
    g.node.trigger_activate()
    g.until(lambda: g.images.get_subscription_count() and g.infos.get_subscription_count())
    assert anew(show(g, 1.0, [STANDS]))


def test_images_without_stamps_are_not_followed_and_it_is_told(graph, capfd):
    g = graph(args=EXACT).start("humans")
    g.backend.people = [STANDS]
    image = g.image()
    image.header.stamp = Time()
    g.send(image)
    assert told(g.last("humans")) == {1: Human.TRACK_NONE}
    assert "people are not followed" in capfd.readouterr().err


def test_off_ids_number_the_people_of_one_image(graph):
    g = graph(args=(*EXACT, "-p", "track:=false")).start("humans", "tf")
    for i in range(6):
        first, second = replace(STANDS, score=0.9 - 0.05 * (i % 2)), replace(walker(0.0), score=0.87)
        message = show(g, i * STEP_S, [first, second] if i < 5 else [second])
        assert told(message) == dict.fromkeys(range(1, 3 if i < 5 else 2), Human.TRACK_NONE)
        for human in message.humans:
            assert not human.twist_valid and human.age.sec == human.age.nanosec == 0
            assert set(np.diag(np.reshape(human.twist.covariance, (6, 6)))) == {1e6}


def test_weak_detections_are_left_out_unless_they_are_known(graph):
    g = graph(args=(*EXACT, "-p", "detection_threshold:=0.1")).start("humans")
    assert told(show(g, 0.0, [replace(STANDS, score=0.2)])) == {} and g.node._follower.too_weak == 1
    assert told(show(g, 0.1, [STANDS])) == {1: NEW}
    assert told(show(g, 0.2, [replace(STANDS, score=0.2)])) == {1: OK} and g.node._follower.too_weak == 0


def test_tracking_and_smoothing_change_at_run_time(graph):
    g = graph(args=(*EXACT, "-p", "diagnostics_period_s:=0.1")).start("humans", "diagnostics")

    def change(**values):
        return g.node.set_parameters_atomically([Parameter(name, value=value) for name, value in values.items()])

    def jitter(start):
        """How much a person who stands seems to move when the network's answer trembles [m]."""
        places = []
        for i in range(20):
            trembling = replace(STANDS, x=STANDS.x + 0.5 * (-1) ** i)
            (human,) = show(g, start + i * STEP_S, [trembling]).humans
            places.append(human.pose.pose.position.x)
        return np.ptp(places[10:])

    raw = jitter(0.0)
    assert change(smooth=True).successful
    assert jitter(2.0) < 0.5 * raw
    g.diagnostics()
    assert "smooth" in {key.removesuffix(" [ms]") for m in g.received["diagnostics"] for key in keys(m)}
    refused = change(track=False)
    assert not refused.successful and "smooth" in refused.reason
    assert change(track=False, smooth=False).successful
    assert told(show(g, 5.0, [STANDS])) == {1: Human.TRACK_NONE}
    assert change(track=True).successful
    assert told(show(g, 5.1, [STANDS])) == {1: NEW}
    assert jitter(6.0) == pytest.approx(raw, rel=0.01)


# ---- a camera that moves


def drive(g, broadcaster, time_s):
    """The camera drives to the right: x of the optical frame, and here of the world, too."""
    pose = TransformStamped(child_frame_id="camera_optical_frame")
    pose.header.frame_id, pose.header.stamp = "odom", stamp(time_s)
    pose.transform.translation.x, pose.transform.rotation.w = SPEED * time_s, 1.0
    broadcaster.sendTransform(pose)


def test_in_a_world_frame_who_stands_stands_though_the_camera_drives(graph):
    g = graph(args=(*EXACT, "-p", "world_frame:=odom", "-p", "world_frame_timeout_s:=5.0")).start("humans")
    broadcaster = TransformBroadcaster(g.other)
    g.until(lambda: broadcaster.pub_tf.get_subscription_count() == 1)
    for i in range(-1, 30):
        drive(g, broadcaster, max(i, 0) * STEP_S)
        if i >= 0:
            message = show(g, i * STEP_S, [walker(i * STEP_S, -SPEED)])
    (human,) = message.humans
    assert human.tracking_state == OK and human.twist_valid and abs(human.twist.twist.linear.x) < 0.1
    assert g.node._follower.unknown_poses == 0


def test_without_its_transform_the_camera_is_said_to_be_lost_and_people_are_followed_from_it(graph, capfd):
    args = (*EXACT, "-p", "world_frame:=odom", "-p", "diagnostics_period_s:=0.1")
    g = graph(args=args).start("humans", "diagnostics")
    for i in range(25):
        message = show(g, i * STEP_S, [walker(i * STEP_S, -SPEED)])
    (human,) = message.humans
    assert human.tracking_state == OK and human.twist.twist.linear.x == pytest.approx(-SPEED, abs=0.1)
    level, text, values = g.diagnostics()
    assert level == 1 and values["camera pose unknown"] == "25"
    assert "'camera_optical_frame' to world_frame 'odom': one of the two is unknown" in text
    assert capfd.readouterr().err.count("no transform from the camera's frame") == 1


def test_listening_to_transforms_is_no_demand_for_them(graph):
    g = graph(args=("-p", "world_frame:=odom")).start()
    g.send()
    assert g.backend.calls == 0 and g.fates()["NOBODY_LISTENS"] == 1
