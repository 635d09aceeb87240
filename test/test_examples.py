"""The examples run, and say what the messages say."""

import math
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import rclpy
from multihmr.msg import Human, HumanArray
from rclpy.executors import SingleThreadedExecutor

EXAMPLE = Path(__file__).parents[1] / "examples" / "nearest_person.py"
DEADLINE_S = 30.0


def _human(identity, x, y, z, sigma_along_ray_m):
    human = Human(track_id=identity, score=0.75)
    position = human.pose.pose.position
    position.x, position.y, position.z = x, y, z
    ray = np.array([x, y, z]) / math.hypot(x, y, z)
    covariance = np.eye(6) * 1e6
    covariance[:3, :3] = sigma_along_ray_m**2 * np.outer(ray, ray)
    human.pose.covariance = covariance.ravel()
    return human


def _say(message, wanted):
    """Sends a message again and again until the example says the line that is wanted; returns all lines."""
    example = subprocess.Popen([sys.executable, EXAMPLE], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    rclpy.init()
    try:
        node, executor = rclpy.create_node("speaker"), SingleThreadedExecutor()
        executor.add_node(node)
        publisher = node.create_publisher(HumanArray, "/multihmr/humans", 5)
        deadline = time.monotonic() + DEADLINE_S
        while not publisher.get_subscription_count() and time.monotonic() < deadline:
            executor.spin_once(timeout_sec=0.1)
        time.sleep(0.5)
        publisher.publish(message)
        lines = []
        while not lines or wanted not in lines[-1]:
            line = example.stdout.readline()
            assert line, lines
            lines.append(line)
        return "".join(lines)
    finally:
        rclpy.try_shutdown()
        example.terminate()
        example.communicate(timeout=DEADLINE_S)


@pytest.mark.timeout(60)
def test_nearest_person_is_told_with_its_uncertainty():
    people = [_human(3, 0.0, 0.0, 7.0, 0.7), _human(4, 1.2, 0.4, 3.0, 0.25)]
    told = _say(HumanArray(humans=people, calibrated=True), "nearest:")
    assert "2 people, nearest: body_4 at 3.26 m (+- 0.25 m), score 0.75" in told
    assert "untrained" not in told and "not calibrated" not in told


@pytest.mark.timeout(60)
def test_doubts_are_told():
    told = _say(HumanArray(untrained=True), "nobody")
    assert "untrained" in told and "not calibrated" in told
