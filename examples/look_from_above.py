#!/usr/bin/env python3
"""Everything in this folder at work, from above: starts it, looks on, and writes a picture. No camera is needed.

The clip's people cross the way of a simulated base, slow_for_people.py lets them pass, nav2/people_obstacles.py marks
the ground that they take.

Time is simulated (/clock), and passes --slow times as slowly as ours: so a busy machine draws the same picture.

python examples/look_from_above.py --out out/examples.png
"""

import argparse
import os
import sys
import time
from collections import deque
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import rclpy
from crossing_people import camera_pose
from geometry_msgs.msg import Twist
from multihmr.msg import Human, HumanArray
from people_on_the_ground import Person, at_this_velocity, matrix, on_the_ground
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.time import Time
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import PointCloud2
from sensor_msgs_py.point_cloud2 import read_points_numpy
from tf2_ros import Buffer, TransformException, TransformListener

from ros2_multihmr.palette import color_of
from ros2_multihmr.ros.processes import Process, ProcessGroup, local_environment, random_domain, ros_arguments

BASE = {"x": 1.2, "y": -1.6, "speed": 0.8}  # across the way of the first who crosses
MOMENTS_S = (0.9, 2.4, 3.4, 4.8)  # after the first people
READY_S = 120.0
LEFT_M, RIGHT_M, FAR_M, PX_PER_M = 2.6, 2.6, 7.4, 80
PAPER, GRID, VIEW, INK, MARKED = (250, 250, 247), (222, 224, 226), (238, 243, 250), (60, 64, 72), (236, 190, 140)


class Onlooker(Node):
    """Knows who is where, and makes time pass."""

    def __init__(self, slow: float) -> None:
        super().__init__("onlooker")
        self.slow, self.start_s, self.now_s = slow, time.monotonic(), 0.0
        self.time = self.create_publisher(Clock, "/clock", 5)
        self.create_timer(0.01, self.on_time)
        self.tf = Buffer()
        self.listener = TransformListener(self.tf, self)
        self.people: list[Person] = []
        self.began_s, self.speed_m_per_s = 0.0, 0.0
        self.clouds: deque[PointCloud2] = deque(maxlen=10)
        self.trail: list[np.ndarray] = []
        self.camera = matrix(camera_pose("odom"))
        self.create_subscription(HumanArray, "/multihmr/humans", self.on_people, 5)
        self.create_subscription(PointCloud2, "/people_obstacles/marking", self.on_cloud, 5)
        self.create_subscription(Twist, "cmd_vel", self.on_command, 5)

    def on_time(self) -> None:
        """Tells everybody the time."""
        self.now_s = 100.0 + (time.monotonic() - self.start_s) / self.slow
        self.time.publish(Clock(clock=Time(nanoseconds=round(self.now_s * 1e9)).to_msg()))

    def on_people(self, people: HumanArray) -> None:
        """Remembers people, and when the first came."""
        self.began_s = self.began_s or self.now_s
        there = [human for human in people.humans if human.tracking_state != Human.TRACK_LOST]
        self.people = [
            on_the_ground(human, self.camera, at_this_velocity(human, self.camera, 1.0, 0.0)) for human in there
        ]

    def on_cloud(self, cloud: PointCloud2) -> None:
        """Remembers the obstacles."""
        self.clouds.append(cloud)

    def marked(self) -> np.ndarray:
        """Returns (N, 2) the newest obstacles of which TF knows where the base was, in odom."""
        for cloud in reversed(self.clouds):
            with suppress(TransformException):
                stamp = Time.from_msg(cloud.header.stamp)
                pose = matrix(self.tf.lookup_transform("odom", cloud.header.frame_id, stamp))
                points = read_points_numpy(cloud, field_names=["x", "y", "z"])
                return (points @ pose[:3, :3].T + pose[:3, 3])[:, :2]
        return np.zeros((0, 2))

    def on_command(self, command: Twist) -> None:
        """Remembers speed and place of the base."""
        self.speed_m_per_s = command.linear.x
        if self.tf.can_transform("odom", "base_link", Time()):
            self.trail.append(matrix(self.tf.lookup_transform("odom", "base_link", Time()))[:2, 3])

    def ready(self) -> bool:
        """Says whether everybody is there but the people."""
        return bool(self.trail) and self.count_publishers("/people_obstacles/marking") > 0


def px(points: np.ndarray) -> np.ndarray:
    """Turns (..., 2) places in odom into whole pixels: x up, y to the left."""
    points = np.asarray(points, float)
    pixels = np.stack([LEFT_M - points[..., 1], FAR_M - points[..., 0]], axis=-1) * PX_PER_M
    return np.round(np.clip(pixels, -1e4, 1e4)).astype(np.int32)


def picture(onlooker: Onlooker, after_s: float) -> np.ndarray:
    """Returns an (H, W, 3) uint8 RGB picture of the present moment."""
    image = np.full((round((FAR_M + 0.6) * PX_PER_M), round((LEFT_M + RIGHT_M) * PX_PER_M), 3), PAPER, np.uint8)
    cv2.fillPoly(image, [px([(0.0, 0.0), (9.0, 5.4), (9.0, -5.4)])], VIEW)
    for metre in range(-3, 9):
        cv2.line(image, *px([(metre, -9.0), (metre, 9.0)]).tolist(), GRID, 1)
        cv2.line(image, *px([(-9.0, metre), (9.0, metre)]).tolist(), GRID, 1)
    for point in px(onlooker.marked()):
        cv2.circle(image, point.tolist(), 2, MARKED, cv2.FILLED)
    cv2.circle(image, px((0.0, 0.0)).tolist(), 7, INK, cv2.FILLED, cv2.LINE_AA)
    for person in onlooker.people:
        color = [round(255 * part) for part in color_of(int(person.name.partition("_")[2]))]
        cv2.fillPoly(image, [cv2.convexHull(px(person.points))], color, cv2.LINE_AA)
        middle = person.points.mean(axis=0)
        cv2.arrowedLine(image, *px([middle, middle + person.moves[-1]]).tolist(), INK, 2, cv2.LINE_AA, 0, 0.15)
    place = onlooker.trail[-1]
    cv2.polylines(image, [px(onlooker.trail)], False, INK, 2, cv2.LINE_AA)
    cv2.circle(image, px(place).tolist(), round(0.3 * PX_PER_M), INK, 2, cv2.LINE_AA)
    tip = place + (onlooker.speed_m_per_s, 0.0)
    cv2.arrowedLine(image, *px([place, tip]).tolist(), INK, 3, cv2.LINE_AA, 0, 0.2)
    told = f"{after_s:.1f} s: {onlooker.speed_m_per_s:.2f} of {BASE['speed']:g} m/s"
    cv2.rectangle(image, (0, 0), (image.shape[1] - 1, image.shape[0] - 1), GRID, 2)
    cv2.putText(image, told, (12, 28), cv2.FONT_HERSHEY_DUPLEX, 0.7, INK, 1, cv2.LINE_AA)
    return image


def look(group: ProcessGroup, executor: SingleThreadedExecutor, onlooker: Onlooker) -> list[np.ndarray]:
    """Returns a picture for each of the moments; raises RuntimeError if a process ends or nothing happens."""

    def until(done, limit_s: float) -> None:
        end_s = time.monotonic() + limit_s
        while not done():
            executor.spin_once(timeout_sec=0.02)
            if group.ended() or time.monotonic() > end_s:
                raise RuntimeError("; ".join(p.fate() for p in group.ended()) or f"nothing came within {limit_s:g} s")

    until(onlooker.ready, READY_S)
    start(group, "crossing_people.py", {"loop": False})
    until(lambda: onlooker.began_s > 0.0, READY_S)
    pictures = []
    for moment_s in MOMENTS_S:
        until(lambda moment_s=moment_s: onlooker.now_s - onlooker.began_s >= moment_s, READY_S)
        pictures.append(picture(onlooker, onlooker.now_s - onlooker.began_s))
    return pictures


def start(group: ProcessGroup, script: str, parameters: dict) -> None:
    """Starts an example."""
    command = [
        sys.executable,
        "-u",
        str(Path(__file__).parent / script),
        *ros_arguments(parameters | {"use_sim_time": True}),
    ]
    group.processes.append(Process(script, command, os.environ, tell))


def tell(name: str, line: str) -> None:
    """Passes on what an example says."""
    sys.stdout.write(f"{name}: {line}\n")


def main() -> None:
    """Looks on and writes the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the picture")
    parser.add_argument("--slow", type=float, default=2.0, help="seconds that a second takes")
    arguments = parser.parse_args()
    out = arguments.out
    os.environ.update(local_environment(os.environ) | random_domain())  # a graph of its own
    rclpy.init()
    onlooker, executor = Onlooker(arguments.slow), SingleThreadedExecutor()
    executor.add_node(onlooker)
    with ProcessGroup(lambda *_: None, os.environ) as group:
        for script, parameters in (
            ("slow_for_people.py", {}), ("simulated_base.py", BASE), ("nav2/people_obstacles.py", {}),
        ):  # fmt: skip
            start(group, script, parameters)
        pictures = look(group, executor, onlooker)
    out.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(out), cv2.cvtColor(np.hstack(pictures), cv2.COLOR_RGB2BGR)):
        raise ValueError(f"--out {out}: expected the name of a picture, such as out/examples.png")
    rclpy.try_shutdown()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:  # what it started has ended: `ProcessGroup` sees to that
        sys.exit(130)
