"""Where a robot's spheres are when an image is taken, and how they move: from TF."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from std_msgs.msg import Header

from ros2_multihmr.nearness.spheres import Sphere
from ros2_multihmr.ros.transform_lookup import TransformLookup, UnknownTransformError

Array = NDArray[np.float64]
_LONGEST_STEP_S = 1.0  # a velocity over more is none of now


class SpheresNow(NamedTuple):
    """K spheres whose places are known.

    Attributes:
        spheres: Which.
        centers: (K, 3) in the image's frame [m].
        velocities: (K, 3) along its axes [m/s], relative to the world frame if the camera's pose in it is known,
            otherwise to the camera; NaN where not known.
    """

    spheres: tuple[Sphere, ...]
    centers: Array
    velocities: Array


class SphereFrames:
    """Finds spheres in TF, image after image.

    Attributes:
        missing: Names of the spheres that TF did not know for the last image.
        problem: Which frames these are and what to do about it; empty if there are none.

    Args:
        node: Whoever spins it moves the transforms; `find` must be called from another thread.
        spheres: The spheres, at least one.
    """

    def __init__(self, node: Node, spheres: Sequence[Sphere]) -> None:
        self.missing: tuple[str, ...] = ()
        self.problem = ""
        self._spheres = tuple(spheres)
        self._lookup = TransformLookup(node)
        self._before: tuple[float, tuple[str, bool], dict[str, Array]] | None = None

    def find(self, header: Header, timeout_s: float, T_world_camera: Array | None) -> SpheresNow:
        """Returns the spheres that TF knows at an image's stamp.

        Args:
            header: Header of the image.
            timeout_s: How long to wait for transforms that are late, all of them together.
            T_world_camera: (4, 4) pose of the camera in the world frame, if it is known.
        """
        poses = self._poses(header, timeout_s)
        known = tuple(sphere for sphere in self._spheres if sphere.frame in poses)
        self.missing = tuple(sphere.name for sphere in self._spheres if sphere.frame not in poses)
        centers = np.array([(poses[s.frame] @ (*s.center, 1.0))[:3] for s in known]).reshape(-1, 3)
        return SpheresNow(known, centers, self._velocities(header, known, centers, T_world_camera))

    def forget(self) -> None:
        """Starts anew after time jumped back."""
        self._lookup.forget()
        self._before = None

    def destroy(self) -> None:
        """Ends the subscriptions."""
        self._lookup.destroy()

    def _poses(self, header: Header, timeout_s: float) -> dict[str, Array]:
        """T_camera_frame of every frame that is known."""
        end_s, poses, reasons = time.monotonic() + timeout_s, {}, {}
        for frame in dict.fromkeys(sphere.frame for sphere in self._spheres):
            try:
                left_s = max(end_s - time.monotonic(), 0.0)
                poses[frame] = self._lookup.find(header.frame_id, frame, header.stamp, left_s)
            except UnknownTransformError as error:
                reasons[frame] = str(error)
        self.problem = _problem(header.frame_id, reasons) if reasons else ""
        return poses

    def _velocities(
        self, header: Header, known: Sequence[Sphere], centers: Array, T_world_camera: Array | None
    ) -> Array:
        stamp_s, kind = header.stamp.sec + header.stamp.nanosec * 1e-9, (header.frame_id, T_world_camera is not None)
        pose = np.eye(4) if T_world_camera is None else T_world_camera
        places = dict(zip((s.name for s in known), centers @ pose[:3, :3].T + pose[:3, 3], strict=True))
        velocities = np.full((len(known), 3), np.nan)
        if self._before is not None and self._before[1] == kind and 0.0 < stamp_s - self._before[0] <= _LONGEST_STEP_S:
            step_s, earlier = stamp_s - self._before[0], self._before[2]
            for velocity, sphere in zip(velocities, known, strict=True):
                if sphere.name in earlier:
                    velocity[:] = (places[sphere.name] - earlier[sphere.name]) / step_s
        self._before = stamp_s, kind, places
        return velocities @ pose[:3, :3]


def _problem(camera_frame: str, reasons: dict[str, str]) -> str:
    frames = "; ".join(f"{frame!r}: {reason}" for frame, reason in reasons.items())
    return (
        f"no transform to the camera's frame {camera_frame!r} from frames of proximity_frames and proximity_spheres: "
        f"{frames}. Nobody is told how near people are to them; let somebody send these transforms, raise "
        "proximity_timeout_s if they come late, or take the frames out of the parameters"
    )
