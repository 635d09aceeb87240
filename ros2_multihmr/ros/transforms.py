"""A TF frame per person: mid-hips, REP-155 body axes, parent is the image's optical frame."""

from __future__ import annotations

from geometry_msgs.msg import Quaternion, TransformStamped, Vector3
from rclpy.node import Node
from std_msgs.msg import Header
from tf2_ros import TransformBroadcaster

from ros2_multihmr.humans import Humans
from ros2_multihmr.rotations import rotmat_to_quaternion_xyzw
from ros2_multihmr.tracking.tracks import Tracks


class PeopleBroadcaster:
    """Sends people's frames, never twice with the same stamp.

    Attributes:
        problem: Why the last frames were not sent, and what to do about it; empty if there is none.

    Args:
        node: Sends them.
        frame_prefix: Put in front of the frames' names.
        id_prefix: Put in front of the people's numbers.
    """

    def __init__(self, node: Node, frame_prefix: str, id_prefix: str = "") -> None:
        self.problem = ""
        self._broadcaster = TransformBroadcaster(node)
        self._prefixes = frame_prefix, id_prefix
        self._last_stamp: tuple[int, int] | None = None

    @property
    def topic_name(self) -> str:
        """Resolved name of the topic."""
        name: str = self._broadcaster.pub_tf.topic_name
        return name

    def convert(self, header: Header, humans: Humans, tracks: Tracks) -> list[TransformStamped]:
        """Returns what to send about one image.

        Nothing for a stamp that repeats the last one: tf2 has that transform and would complain.
        """
        stamp = (header.stamp.sec, header.stamp.nanosec)
        self.problem = _problem(header)
        if self.problem or stamp == self._last_stamp or not len(humans):
            return []
        self._last_stamp = stamp
        return transforms(header, humans, tracks, *self._prefixes)

    def send(self, frames: list[TransformStamped]) -> None:
        """Sends frames, if there are any."""
        if frames:
            self._broadcaster.sendTransform(frames)

    def destroy(self, node: Node) -> None:
        """Destroys the publisher."""
        node.destroy_publisher(self._broadcaster.pub_tf)


def transforms(
    header: Header, humans: Humans, tracks: Tracks, frame_prefix: str, id_prefix: str = ""
) -> list[TransformStamped]:
    """Returns one transform per person, from the image's frame to `<frame_prefix>body_<id_prefix><track_id>`.

    Args:
        header: Header of the image.
        humans: N people.
        tracks: Their ids.
        frame_prefix: Put in front of the frames' names.
        id_prefix: Put in front of the people's numbers.
    """
    quaternions = rotmat_to_quaternion_xyzw(humans.rotation).tolist()
    found = []
    for track_id, origin, (x, y, z, w) in zip(tracks.ids, humans.origin.tolist(), quaternions):
        transform = TransformStamped(header=header, child_frame_id=f"{frame_prefix}body_{id_prefix}{track_id}")
        transform.transform.translation = Vector3(x=origin[0], y=origin[1], z=origin[2])
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
