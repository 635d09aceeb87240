#!/usr/bin/env python3
"""People without a camera: the clip that comes with the package, as a node with perfect eyes would tell it.

Whom the clip shows, and where they truly are, goes through the package's own tracker and out as the node's messages:
HumanArray and PredictedPathArray. So a planner can be tried where there is neither camera nor network; whoever is
hidden is predicted, as by the node.

python examples/crossing_people.py                                  # over and over
python examples/crossing_people.py --ros-args -p loop:=false -p odom_frame:=map
"""

from contextlib import suppress
from copy import deepcopy

import numpy as np
import rclpy
import torch
from builtin_interfaces.msg import Time as Stamp
from geometry_msgs.msg import TransformStamped
from multihmr.msg import HumanArray, PredictedPathArray
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.time import Time
from std_msgs.msg import Header
from tf2_ros import StaticTransformBroadcaster

from ros2_multihmr.body import create_body
from ros2_multihmr.evaluation.noise import Poses, humans_of
from ros2_multihmr.ros.conversions import human_array
from ros2_multihmr.ros.parameters import NodeConfig
from ros2_multihmr.ros.predicted_paths import path_array
from ros2_multihmr.synthesis.clip_file import shipped_clip, stamp_ns
from ros2_multihmr.tracking.prediction import predicted_paths
from ros2_multihmr.tracking.tracker import Tracker
from ros2_multihmr.tracking.tracker_config import TrackerConfig
from ros2_multihmr.tracking.tracks import Tracked

FRAME = "camera_optical_frame"
# Where the clip's camera is in the room: above the origin, looking along x and a little down.
CAMERA_XYZ = (0.0, 0.0, 1.710321)
CAMERA_XYZW = (0.524548, -0.524548, 0.474183, -0.474183)
RATE_HZ = 10.0
MIN_VISIBILITY = 0.3  # who is hidden more than that is not seen
PAUSE_S = 2.0  # nobody is there between two rounds


def crossing() -> list[tuple[HumanArray, PredictedPathArray]]:
    """Returns what the node would say of the clip's images; stamps begin at 0 s."""
    clip, tracker = shipped_clip(), Tracker(TrackerConfig())
    body = create_body(clip[0].labels.body)
    messages = []
    for sample in clip:
        labels = sample.labels.select(sample.labels.visibility >= MIN_VISIBILITY)
        with torch.inference_mode():
            parts = (labels.rotmats, labels.shape, labels.expression, labels.center)
            joints = body(*map(torch.from_numpy, parts)).joints.double().numpy()
        hips = joints[:, list(body.info.hip_joints)].mean(axis=1)
        poses = Poses(labels.rotmats, labels.shape, labels.expression, hips)
        humans = humans_of(poses, np.full(len(labels), 0.9, np.float32), body, sample.camera)
        ns = stamp_ns(sample)
        tracked = tracker.update(humans, sample.camera, ns * 1e-9)
        header = Header(frame_id=FRAME)
        header.stamp.sec, header.stamp.nanosec = divmod(ns, 1_000_000_000)
        people = human_array(
            header, tracked.humans, tracked.tracks, sample.camera,
            weights="truth", untrained=False, vertices=False, motion=tracked.motion,
        )  # fmt: skip
        messages.append((people, paths_of(tracked, header)))
    return messages


def paths_of(tracked: Tracked, header: Header) -> PredictedPathArray:
    """Returns where everybody is going to be who is not lost."""
    there = ~tracked.tracks.lost
    humans, tracks, motion = (part.select(there) for part in (tracked.humans, tracked.tracks, tracked.motion))
    paths = predicted_paths(humans, tracks, motion, NodeConfig.path_horizon_s, NodeConfig.path_steps)
    return path_array(deepcopy(header), tracks.ids.tolist(), paths)


def camera_pose(odom_frame: str) -> TransformStamped:
    """Returns where the clip's camera stands."""
    pose = TransformStamped(child_frame_id=FRAME)
    pose.header.frame_id = odom_frame
    place, turn = pose.transform.translation, pose.transform.rotation
    place.x, place.y, place.z = CAMERA_XYZ
    turn.x, turn.y, turn.z, turn.w = CAMERA_XYZW
    return pose


class CrossingPeople(Node):
    """Publishes the clip's people at the clip's pace, stamped with the present time."""

    def __init__(self) -> None:
        super().__init__("crossing_people")
        self.loop = self.declare_parameter("loop", True).value
        odom_frame = self.declare_parameter("odom_frame", "odom").value
        self.messages, self.next = crossing(), 0
        self.broadcaster = StaticTransformBroadcaster(self)
        self.broadcaster.sendTransform(camera_pose(odom_frame))
        self.people = self.create_publisher(HumanArray, "/multihmr/humans", 5)
        self.paths = self.create_publisher(PredictedPathArray, "/multihmr/predicted_paths", 5)
        self.create_timer(1.0 / RATE_HZ, self.on_tick)
        self.get_logger().info(f"{len(self.messages)} images of people")

    def on_tick(self) -> None:
        """Publishes the next image's people; nobody after the last."""
        now = self.get_clock().now().to_msg()
        people, paths = self.messages[self.next] if self.next < len(self.messages) else nobody()
        people.header.stamp = now
        self.people.publish(people)
        self.paths.publish(moved(paths, now))
        self.next += 1
        if self.loop and self.next >= len(self.messages) + PAUSE_S * RATE_HZ:
            self.next = 0


def moved(paths: PredictedPathArray, stamp: Stamp) -> PredictedPathArray:
    """Returns the paths as if they began at this stamp."""
    ahead = Time.from_msg(stamp) - Time.from_msg(paths.header.stamp)
    stamps = [(Time.from_msg(one) + ahead).to_msg() for one in paths.stamps]
    return PredictedPathArray(header=Header(stamp=stamp, frame_id=FRAME), stamps=stamps, paths=paths.paths)


def nobody() -> tuple[HumanArray, PredictedPathArray]:
    """Returns what the node says of an empty image, as far as planners read it."""
    header = Header(frame_id=FRAME)
    return HumanArray(header=header, calibrated=True), PredictedPathArray(header=header)


def main() -> None:
    """Runs until interrupted."""
    rclpy.init()
    executor = SingleThreadedExecutor()
    executor.add_node(CrossingPeople())
    with suppress(KeyboardInterrupt, ExternalShutdownException):
        while rclpy.ok():
            executor.spin_once(timeout_sec=0.5)
    rclpy.try_shutdown()


if __name__ == "__main__":
    main()
