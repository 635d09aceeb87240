#!/usr/bin/env python3
"""People without a camera: the clip that comes with the package, as a node with perfect eyes would tell it.

Whom the clip shows, and where they truly are, goes through the package's own tracker and out as multihmr/HumanArray. So
a planner can be tried where there is neither camera nor network; whoever is hidden is predicted, as from a real node.

python examples/crossing_people.py                                  # over and over
python examples/crossing_people.py --ros-args -p loop:=false -p odom_frame:=map
"""

from contextlib import suppress

import numpy as np
import rclpy
import torch
from geometry_msgs.msg import TransformStamped
from multihmr.msg import HumanArray
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from std_msgs.msg import Header
from tf2_ros import StaticTransformBroadcaster

from ros2_multihmr.body import create_body
from ros2_multihmr.evaluation.noise import Poses, humans_of
from ros2_multihmr.ros.conversions import human_array
from ros2_multihmr.synthesis.clip_file import shipped_clip, stamp_ns
from ros2_multihmr.tracking.tracker import Tracker
from ros2_multihmr.tracking.tracker_config import TrackerConfig

FRAME = "camera_optical_frame"
# Where the clip's camera is in the room: above the origin, looking along x and a little down.
CAMERA_XYZ = (0.0, 0.0, 1.710321)
CAMERA_XYZW = (0.524548, -0.524548, 0.474183, -0.474183)
RATE_HZ = 10.0
MIN_VISIBILITY = 0.3  # who is hidden more than that is not seen
PAUSE_S = 2.0  # nobody is there between two rounds


def crossing() -> list[HumanArray]:
    """Returns what would be published for the clip's images; stamps begin at 0 s."""
    clip, tracker = shipped_clip(), Tracker(TrackerConfig())
    body = create_body(clip[0].labels.body)
    messages = []
    for sample in clip:
        labels = sample.labels.select(sample.labels.visibility >= MIN_VISIBILITY)
        with torch.inference_mode():
            parts = (labels.rotmats, labels.shape, labels.expression, labels.center)
            joints = body(*map(torch.from_numpy, parts)).joints.double().numpy()
        hips = joints[:, list(body.info.hip_joints)].mean(axis=1)
        people = Poses(labels.rotmats, labels.shape, labels.expression, hips)
        humans = humans_of(people, np.full(len(labels), 0.9, np.float32), body, sample.camera)
        ns = stamp_ns(sample)
        tracked = tracker.update(humans, sample.camera, ns * 1e-9)
        header = Header(frame_id=FRAME)
        header.stamp.sec, header.stamp.nanosec = divmod(ns, 1_000_000_000)
        messages.append(
            human_array(
                header, tracked.humans, tracked.tracks, sample.camera,
                weights="truth", untrained=False, vertices=False, motion=tracked.motion,
            )
        )  # fmt: skip
    return messages


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
        self.publisher = self.create_publisher(HumanArray, "/multihmr/humans", 5)
        self.create_timer(1.0 / RATE_HZ, self.on_tick)
        self.get_logger().info(f"{len(self.messages)} images of people")

    def on_tick(self) -> None:
        """Publishes the next image's people; nobody after the last."""
        people = self.messages[self.next] if self.next < len(self.messages) else self.nobody()
        people.header.stamp = self.get_clock().now().to_msg()
        self.publisher.publish(people)
        self.next += 1
        if self.loop and self.next >= len(self.messages) + PAUSE_S * RATE_HZ:
            self.next = 0

    def nobody(self) -> HumanArray:
        """The last image, without its people."""
        last = self.messages[-1]
        return HumanArray(
            header=last.header, body_model=last.body_model, k=last.k, calibrated=True, weights=last.weights,
            image_width=last.image_width, image_height=last.image_height,
        )  # fmt: skip


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
