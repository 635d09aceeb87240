"""Where the camera is: its pose in a fixed frame, from TF, for images taken on the move."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from std_msgs.msg import Header

from ros2_multihmr.ros.transform_lookup import TransformLookup, UnknownTransformError


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
        self._lookup = TransformLookup(node)

    def find(self, header: Header, timeout_s: float) -> NDArray[np.float64] | None:
        """Returns (4, 4) T_world_camera at the image's stamp, or None if it is not known.

        Args:
            header: Header of the image.
            timeout_s: How long to wait for a transform that is late; one that nobody sends is not waited for.
        """
        try:
            pose = self._lookup.find(self._world_frame, header.frame_id, header.stamp, timeout_s)
        except UnknownTransformError as error:
            self.problem = _problem(self._world_frame, header.frame_id, str(error))
            self.unknown += 1
            return None
        self.problem = ""
        return pose

    def forget(self) -> None:
        """Starts anew after time jumped back."""
        self._lookup.forget()

    def destroy(self) -> None:
        """Ends the subscriptions."""
        self._lookup.destroy()


def _problem(world_frame: str, frame_id: str, reason: str) -> str:
    return (
        f"no transform from the camera's frame {frame_id!r} to world_frame {world_frame!r}: {reason}. The camera is "
        "taken to stand still meanwhile, and people's velocities are relative to it; let somebody send that transform, "
        "raise world_frame_timeout_s if it comes late, or leave world_frame empty if the camera does stand still"
    )
