"""Where the camera is: its pose in a fixed frame, from TF, for images taken on the move."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.time import Time
from scipy.spatial.transform import Rotation
from std_msgs.msg import Header
from tf2_ros import (
    Buffer,
    ConnectivityException,
    ExtrapolationException,
    LookupException,
    TransformException,
    TransformListener,
)

_POLL_S = 0.005
_LATEST = Time()
_REASONS = {  # the exceptions' own words name times, so that no two are the same
    LookupException: "one of the two is unknown",
    ConnectivityException: "nothing connects them",
    ExtrapolationException: "there is none for the image's time",
}


class CameraPoses:
    """Looks up the pose of an image's frame; never guesses one.

    Attributes:
        problem: Why the last image has no pose, and what is done without it; empty if it has one.
        unknown: Number of images without a pose.

    Args:
        node: Whoever spins it moves the transforms; `find` must be called from another thread.
        world_frame: Name of the fixed frame.
    """

    def __init__(self, node: Node, world_frame: str) -> None:
        self.problem, self.unknown = "", 0
        self._world_frame = world_frame
        self._buffer = Buffer()
        self._listener = TransformListener(self._buffer, node, spin_thread=False)

    def find(self, header: Header, timeout_s: float) -> NDArray[np.float64] | None:
        """Returns (4, 4) T_world_camera at the image's stamp, or None if it is not known.

        Args:
            header: Header of the image.
            timeout_s: How long to wait for a transform that is late; one that nobody sends is not waited for.
        """
        end_s = time.monotonic() + timeout_s
        try:
            while not self._known(header) and self._comes_later(header) and time.monotonic() < end_s:
                time.sleep(_POLL_S)
            stamp = Time.from_msg(header.stamp)
            found = self._buffer.lookup_transform(self._world_frame, header.frame_id, stamp).transform
            t, q = found.translation, found.rotation
            pose = np.eye(4)
            pose[:3, :3] = Rotation.from_quat([q.x, q.y, q.z, q.w]).as_matrix()
            pose[:3, 3] = (t.x, t.y, t.z)
        except (TransformException, ValueError) as error:  # a ValueError: the quaternion is none
            self.problem = _problem(self._world_frame, header.frame_id, error)
            self.unknown += 1
            return None
        self.problem = ""
        return pose

    def forget(self) -> None:
        """Starts anew after time jumped back."""
        self._buffer.clear()

    def destroy(self) -> None:
        """Ends the subscriptions."""
        self._listener.unregister()

    def _known(self, header: Header) -> bool:
        return bool(self._buffer.can_transform(self._world_frame, header.frame_id, Time.from_msg(header.stamp)))

    def _comes_later(self, header: Header) -> bool:
        """True if the frames are connected, and what is known is older than the image."""
        if not self._buffer.can_transform(self._world_frame, header.frame_id, _LATEST):
            return False
        latest = self._buffer.lookup_transform(self._world_frame, header.frame_id, _LATEST)
        return bool(Time.from_msg(latest.header.stamp) < Time.from_msg(header.stamp))


def _problem(world_frame: str, frame_id: str, error: Exception) -> str:
    reason = _REASONS.get(type(error), "what came is no transform")
    return (
        f"no transform from the camera's frame {frame_id!r} to world_frame {world_frame!r}: {reason}. The camera is "
        "taken to stand still meanwhile, and people's velocities are relative to it; let somebody send that transform, "
        "raise world_frame_timeout_s if it comes late, or leave world_frame empty if the camera does stand still"
    )
