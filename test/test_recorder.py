"""The recorder: it says that it is ready when the node's publishers know it, not before."""

import time

import pytest
import rclpy
from multihmr.msg import BodyModelInfo
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter

from ros2_multihmr.ros.bag import read_bag
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
        assert list(recorded_topics(RecorderConfig(out="bag", overlay=overlay)))[-1] == BODY


def test_ready_when_every_publisher_knows_the_recorder(tmp_path):
    node, executor = rclpy.create_node("multihmr"), SingleThreadedExecutor()
    recorder = Recorder(parameter_overrides=[Parameter("out", value=str(tmp_path / "bag"))])
    executor.add_node(recorder)
    topics = recorded_topics(recorder.config)
    publishers = {topic: node.create_publisher(kind, topic, qos) for topic, (kind, qos) in topics.items()}
    deadline = time.monotonic() + DEADLINE_S
    while not all(s.get_publisher_count() for s in recorder._awaited) and time.monotonic() < deadline:
        executor.spin_once(timeout_sec=0.1)
    assert not recorder.ready  # matched here; whether there, the latched message must tell
    publishers[BODY].publish(BodyModelInfo())
    while not recorder.ready and time.monotonic() < deadline:
        executor.spin_once(timeout_sec=0.1)
    assert recorder.ready and all(publisher.get_subscription_count() for publisher in publishers.values())
    recorder.close()
    assert len(read_bag(tmp_path / "bag")[BODY]) == 1
