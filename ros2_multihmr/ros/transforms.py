"""A TF frame per person: mid-hips, REP-155 body axes, parent is the image's optical frame."""

from __future__ import annotations

import numpy as np
from geometry_msgs.msg import Quaternion, TransformStamped, Vector3
from rclpy.node import Node
from std_msgs.msg import Header
from tf2_ros import TransformBroadcaster
from tf_transformations import quaternion_from_matrix

from ros2_multihmr.humans import Humans
from ros2_multihmr.tracker import Tracks


class PeopleBroadcaster:
    """Sends people's frames, never twice with the same stamp.

    Attributes:
        problem: Why the last frames were not sent, and what to do about it; empty if there is none.
    """

    def __init__(self, node: Node, frame_prefix: str) -> None:
        self.problem = ""
        self._broadcaster = TransformBroadcaster(node)
        self._prefix = frame_prefix
        self._last_stamp: tuple[int, int] | None = None

    @property
    def topic_name(self) -> str:
        """Resolved name of the topic."""
        name: str = self._broadcaster.pub_tf.topic_name
        return name

    def send(self, header: Header, humans: Humans, tracks: Tracks) -> None:
        """Sends the frames of everyone in one image.

        A stamp that repeats the last one is skipped: tf2 has that transform and would complain.
        """
        stamp = (header.stamp.sec, header.stamp.nanosec)
        self.problem = _problem(header)
        if self.problem or stamp == self._last_stamp or not len(humans):
            return
        self._last_stamp = stamp
        self._broadcaster.sendTransform(transforms(header, humans, tracks, self._prefix))

    def destroy(self, node: Node) -> None:
        """Destroys the publisher."""
        node.destroy_publisher(self._broadcaster.pub_tf)


def transforms(header: Header, humans: Humans, tracks: Tracks, frame_prefix: str) -> list[TransformStamped]:
    """Returns one transform per person, from the image's frame to `<frame_prefix>body_<track_id>`.

    Args:
        header: Header of the image.
        humans: N people.
        tracks: Their ids.
        frame_prefix: Put in front of the frames' names.
    """
    matrices = np.tile(np.eye(4), (len(humans), 1, 1))
    matrices[:, :3, :3] = humans.rotation
    found = []
    for track_id, origin, matrix in zip(tracks.ids, humans.origin.tolist(), matrices):
        transform = TransformStamped(header=header, child_frame_id=f"{frame_prefix}body_{track_id}")
        transform.transform.translation = Vector3(x=origin[0], y=origin[1], z=origin[2])
        x, y, z, w = map(float, quaternion_from_matrix(matrix))
        transform.transform.rotation = Quaternion(x=x, y=y, z=z, w=w)
        found.append(transform)
    return found


def _problem(header: Header) -> str:
    if not header.frame_id:
        return "images have no frame_id, so people get no TF frames; set the camera driver's frame"
    if header.frame_id.startswith("/"):
        return (
            f"the images' frame_id {header.frame_id!r} begins with a slash, so people get no TF frames; set it without"
        )
    if header.stamp.sec == 0 and header.stamp.nanosec == 0:
        return "images have no time stamp, so people get no TF frames; let the camera driver set it"
    return ""
