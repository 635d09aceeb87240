"""What the tests of examples share: the clip's true people as messages, the examples as processes, and their frames."""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from pathlib import Path

import numpy as np
from geometry_msgs.msg import TransformStamped
from multihmr.msg import HumanArray, PredictedPathArray
from numpy.typing import NDArray
from ros_graph import Listener
from scipy.spatial.transform import Rotation
from tf2_ros import StaticTransformBroadcaster

from ros2_multihmr.ros.processes import Process

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
PATIENCE_S = 60.0
sys.path.insert(0, str(EXAMPLES))

import crossing_people  # noqa: E402  an example, found by its folder


@lru_cache(maxsize=1)
def crossing_and_paths() -> list[tuple[HumanArray, PredictedPathArray]]:
    """The clip's people, and where they are going to be, per image."""
    return crossing_people.crossing()


def crossing() -> list[HumanArray]:
    """The clip's people, per image."""
    return [people for people, _ in crossing_and_paths()]


def camera_pose() -> NDArray[np.float64]:
    """Returns the (4, 4) pose of the clip's camera in odom."""
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_quat(crossing_people.CAMERA_XYZW).as_matrix()
    pose[:3, 3] = crossing_people.CAMERA_XYZ
    return pose


def base_pose(x: float, y: float, yaw: float) -> TransformStamped:
    """Returns odom -> base_link, without a stamp."""
    pose = TransformStamped(child_frame_id="base_link")
    pose.header.frame_id = "odom"
    pose.transform.translation.x, pose.transform.translation.y = x, y
    pose.transform.rotation.z, pose.transform.rotation.w = np.sin(yaw / 2), np.cos(yaw / 2)
    return pose


class ExampleGraph(Listener):
    """A listener beside examples that run as processes of their own; the camera's frame is known."""

    def __init__(self) -> None:
        super().__init__()
        self.processes: list[Process] = []
        self.lines: list[str] = []
        self.frames = StaticTransformBroadcaster(self.other)
        self.frames.sendTransform(crossing_people.camera_pose("odom"))

    def run(self, script: str, *arguments: str) -> None:
        """Starts an example."""
        command = [sys.executable, "-u", str(EXAMPLES / script), *arguments]
        self.processes.append(Process(script, command, os.environ, lambda _, line: self.lines.append(line)))

    def told(self, text: str) -> bool:
        """Says whether an example has said this; fails if one of them has ended."""
        assert all(process.exit_code() is None for process in self.processes), self.lines
        return any(text in line for line in self.lines)

    def stop(self) -> None:
        for process in self.processes:
            process._process.terminate()
        codes = [process.wait(PATIENCE_S) for process in self.processes]
        super().stop()
        assert None not in codes
