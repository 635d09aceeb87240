#!/usr/bin/env python3
"""People as obstacles of a Nav2 costmap: two point clouds in the frame of the base, for people_costmap.yaml.

~/marking: the ground that people take, and that they are about to take. ~/clearing: a circle of ray ends around the
base. Nav2 clears along the rays what it had marked, and then marks anew: nobody leaves a trail.
Nothing is published while it is not known where people are: Nav2 notices by `expected_update_rate`.

python examples/nav2/people_obstacles.py --ros-args -p base_frame:=base_footprint
"""

from collections import deque
from contextlib import suppress
from dataclasses import dataclass, fields

import numpy as np
import rclpy
from multihmr.msg import Human, HumanArray
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.time import Time
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import PointCloud2, PointField
from sensor_msgs_py.point_cloud2 import create_cloud
from std_msgs.msg import Header
from tf2_ros import Buffer, TransformException, TransformListener

XYZ = [PointField(name=name, offset=4 * i, datatype=PointField.FLOAT32, count=1) for i, name in enumerate("xyz")]


@dataclass(frozen=True)
class Settings:
    """The node's parameters."""

    base_frame: str = "base_link"  # z is up; TF must lead from the camera to it, and from it to the costmap's frame
    margin_m: float = 0.15  # how thick people are about their keypoints
    ahead_s: float = 0.5  # how far ahead they take the ground on which they walk
    resolution_m: float = 0.05  # of the costmap, or finer
    reach_m: float = 5.0  # of the rays: raytrace_max_range, or more
    height_m: float = 0.5  # of all points, between min_obstacle_height and max_obstacle_height


def taken(keypoints: np.ndarray, velocity: np.ndarray, settings: Settings) -> np.ndarray:
    """Returns (N, 2) points of the ground that one person takes [m], so dense that every cell on it has one.

    Args:
        keypoints: (K, 2) from above [m].
        velocity: (2,) over the ground [m/s].
        settings: How much ground, and of which cells.
    """
    step = settings.resolution_m / 1.5  # cells may be turned against these points
    way = settings.ahead_s * velocity
    parts = np.linspace(0.0, 1.0, 2 + int(np.hypot(*way) / settings.margin_m))
    count = int(np.ceil(settings.margin_m / step))
    disc = np.stack(np.meshgrid(*[np.arange(-count, count + 1)] * 2), axis=-1).reshape(-1, 2)
    disc = disc[np.hypot(*disc.T) * step <= settings.margin_m]
    middles = np.round((keypoints + parts[:, None, None] * way).reshape(-1, 2) / step).astype(int)
    cells = (middles[:, None] + disc).reshape(-1, 2)
    low = cells.min(axis=0)
    mask = np.zeros(cells.max(axis=0) - low + 1, bool)
    mask[tuple((cells - low).T)] = True
    return (np.argwhere(mask) + low) * step


def ray_ends(settings: Settings) -> np.ndarray:
    """Returns (N, 2) points on a circle, half a resolution apart [m]: rays to them pass through every cell."""
    angles = np.arange(0.0, 2.0 * np.pi, 0.5 * settings.resolution_m / settings.reach_m)
    return settings.reach_m * np.stack([np.cos(angles), np.sin(angles)], axis=1)


class PeopleObstacles(Node):
    """Turns HumanArray into the two clouds."""

    def __init__(self) -> None:
        super().__init__("people_obstacles")
        names = [field.name for field in fields(Settings)]
        declared = {name: self.declare_parameter(name, getattr(Settings, name)).value for name in names}
        self.settings = Settings(**declared)
        self.tf = Buffer()
        self.listener = TransformListener(self.tf, self)
        self.waiting: deque[HumanArray] = deque(maxlen=10)
        self.marking = self.create_publisher(PointCloud2, "~/marking", 5)
        self.clearing = self.create_publisher(PointCloud2, "~/clearing", 5)
        self.create_subscription(HumanArray, "/multihmr/humans", self.on_people, 5)
        self.create_timer(0.02, self.on_tick)

    def on_people(self, people: HumanArray) -> None:
        """Remembers people until TF knows where they are."""
        if people.untrained or not people.calibrated:
            self.get_logger().warning("untrained weights or no calibration: no obstacles", once=True)
            return
        self.waiting.append(people)

    def on_tick(self) -> None:
        """Publishes the newest people of whom TF knows where the camera was; older ones are left out."""
        for people in reversed(self.waiting):
            try:
                stamp = Time.from_msg(people.header.stamp)
                found = self.tf.lookup_transform(self.settings.base_frame, people.header.frame_id, stamp)
            except TransformException as error:
                self.get_logger().warning(f"waits: {error}", throttle_duration_sec=5.0, skip_first=True)
                continue
            while self.waiting.popleft() is not people:
                pass
            header = Header(stamp=people.header.stamp, frame_id=self.settings.base_frame)
            self.clearing.publish(self.cloud(header, ray_ends(self.settings)))
            self.marking.publish(self.cloud(header, self.ground(people, found)))
            return

    def ground(self, people: HumanArray, found) -> np.ndarray:
        """Returns (N, 2) all the ground that people take, in the base's frame [m]; never nothing."""
        t, q = found.transform.translation, found.transform.rotation
        turn, place = Rotation.from_quat([q.x, q.y, q.z, q.w]).as_matrix(), np.array([t.x, t.y, t.z])
        # Far out of every costmap. Nav2's iterators of empty clouds are undefined, and abort where the standard
        # library checks: https://github.com/ros/common_msgs/pull/192
        points = [np.array([[1e3, 0.0]])]
        for human in people.humans:
            if human.tracking_state != Human.TRACK_LOST:
                keypoints = np.array(human.keypoints_3d).reshape(-1, 3) @ turn.T + place
                linear = human.twist.twist.linear
                velocity = turn @ (linear.x, linear.y, linear.z)  # zero if not known
                points.append(taken(keypoints[:, :2], velocity[:2], self.settings))
        return np.concatenate(points)

    def cloud(self, header: Header, points: np.ndarray) -> PointCloud2:
        """Returns (N, 2) points as a cloud at the height that Nav2 lets pass."""
        height = np.full((len(points), 1), self.settings.height_m)
        return create_cloud(header, XYZ, np.hstack([points, height]).astype(np.float32))


def main() -> None:
    """Runs until interrupted."""
    rclpy.init()
    executor = SingleThreadedExecutor()
    executor.add_node(PeopleObstacles())
    with suppress(KeyboardInterrupt, ExternalShutdownException):
        while rclpy.ok():
            executor.spin_once(timeout_sec=0.5)
    rclpy.try_shutdown()


if __name__ == "__main__":
    main()
