"""The recorder: it says that it is ready when the node's publishers know it, not before."""

import time

import pytest
import rclpy
from multihmr.msg import BodyModelInfo, Capsule, CapsuleArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from ros_graph import TOPICS

from ros2_multihmr.ros.bag import read_bag
from ros2_multihmr.ros.processes import RECORDED_IF_ASKED
from ros2_multihmr.ros.recorder import Recorder, RecorderConfig, recorded_topics

DEADLINE_S = 30.0
BODY = "/multihmr/body_model"


@pytest.fixture(autouse=True)
def _ros():
    rclpy.init()
    yield
    rclpy.try_shutdown()


def test_latched_topic_is_announced_last():
    for overlay in (False, True):
        config = RecorderConfig(out="bag", overlay=overlay, outputs=RECORDED_IF_ASKED if overlay else ())
        assert list(recorded_topics(config))[-1] == BODY


def test_further_topics_are_recorded_if_asked_as_the_node_sends_them():
    few, all_of_them = (recorded_topics(RecorderConfig(out="bag", outputs=names)) for names in ((), RECORDED_IF_ASKED))
    more = {topic.removeprefix("/multihmr/"): all_of_them[topic] for topic in set(all_of_them) - set(few)}
    assert set(more) == set(RECORDED_IF_ASKED) <= set(TOPICS)
    for name, (kind, qos) in more.items():
        _, node_kind, node_qos = TOPICS[name]
        assert kind is node_kind and qos.reliability == node_qos.reliability
    with pytest.raises(ValueError, match="expected words of predicted_paths"):
        RecorderConfig(out="bag", outputs=("everything",))


def test_ready_when_every_publisher_knows_the_recorder(tmp_path):
    node, executor = rclpy.create_node("multihmr"), SingleThreadedExecutor()
    overrides = {"out": str(tmp_path / "bag"), "outputs": list(RECORDED_IF_ASKED)}
    recorder = Recorder(parameter_overrides=[Parameter(name, value=value) for name, value in overrides.items()])
    executor.add_node(recorder)
    topics = recorded_topics(recorder.config)
    publishers = {topic: node.create_publisher(kind, topic, qos) for topic, (kind, qos) in topics.items()}
    deadline = time.monotonic() + DEADLINE_S
    while not all(s.get_publisher_count() for s in recorder._awaited) and time.monotonic() < deadline:
        executor.spin_once(timeout_sec=0.1)
    assert not recorder.ready  # matched here; whether there, the latched message must tell
    publishers[f"{recorder.config.node}/capsules"].publish(CapsuleArray(capsules=[Capsule(track_id=7)]))
    publishers[BODY].publish(BodyModelInfo())
    while not (recorder.ready and recorder.counts["/multihmr/capsules"]) and time.monotonic() < deadline:
        executor.spin_once(timeout_sec=0.1)
    assert recorder.ready and all(publisher.get_subscription_count() for publisher in publishers.values())
    recorder.close()
    written = read_bag(tmp_path / "bag")
    assert len(written[BODY]) == 1 and written["/multihmr/capsules"][0][1].capsules[0].track_id == 7
