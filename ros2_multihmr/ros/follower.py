"""Who is who from image to image: tracker and smoothing beside the estimator."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from rclpy.impl.rcutils_logger import RcutilsLogger
from rclpy.node import Node
from std_msgs.msg import Header

from ros2_multihmr.camera import Camera
from ros2_multihmr.estimator import Estimator
from ros2_multihmr.humans import Humans
from ros2_multihmr.ros.camera_pose import CameraPoses
from ros2_multihmr.ros.parameters import NodeConfig
from ros2_multihmr.stopwatch import Stopwatch
from ros2_multihmr.tracking.motion_state import Motion
from ros2_multihmr.tracking.reposing import reposed
from ros2_multihmr.tracking.smoothing import Smoother
from ros2_multihmr.tracking.tracker import Tracker
from ros2_multihmr.tracking.tracks import Tracks

_LOG_EVERY_S = 5.0
_SAME_FOCAL_LENGTH = 0.02  # relative change between two images: a lens that zooms is no other camera
_NO_STAMP = (
    "images have no time stamp, so people are not followed and have no lasting ids; let the camera driver set it"
)


class Follower:
    """Follows the people of one camera; starts anew where it can be no longer the same view of the same people.

    Attributes:
        resets: How often it started anew because time jumped back or the camera changed.
        too_weak: Detections of the last image that were left out: below `track_begin_score`, or new and below
            `track_show_score`.
        T_world_camera: (4, 4) pose of the last image's frame in `world_frame`; None if it is not known.
        problem: Why people are not followed, or how much worse than they could be; empty if nothing is wrong.

    Args:
        node: Listens to TF if `world_frame` is set.
        config: Settings at the start; those that change at run time come with every image.
        logger: Log of the node.
    """

    def __init__(self, node: Node, config: NodeConfig, logger: RcutilsLogger) -> None:
        self.resets, self.too_weak, self.problem = 0, 0, ""
        self.T_world_camera: NDArray[np.float64] | None = None
        self._tracker, self._smoother = Tracker(config), Smoother(config)
        self._poses = CameraPoses(node, config.world_frame) if config.world_frame else None
        self._logger = logger
        self._view: tuple[str, Camera] | None = None

    def update(
        self, humans: Humans, camera: Camera, header: Header, estimator: Estimator, config: NodeConfig, watch: Stopwatch
    ) -> tuple[Humans, Tracks, Motion | None]:
        """Takes in the people of one image.

        Args:
            humans: Whom the estimator found.
            camera: Camera of the image.
            header: Its header.
            estimator: Holds the body, which smoothing poses again.
            config: Settings at this image.
            watch: Takes the times of the stages "camera pose" (waiting for TF included), "track" and "smooth".

        Returns:
            The people, followed by those who are predicted or just lost; their identities; their motion. With `track`
            off, or images without stamps: the same people, numbered, and None.
        """
        self.T_world_camera = None
        if not config.track or not _stamped(header):
            return self._number(humans, config, watch)
        self.T_world_camera = self._camera_pose(header, config, watch)
        with watch.stage("track"):
            self._notice_camera(header.frame_id, camera)
            self._tracker.config = config
            tracked = self._tracker.update(humans, camera, _seconds(header), self.T_world_camera)
            self.too_weak = len(humans) - int(tracked.tracks.seen.sum())
        self._smoother.config = config
        if not config.smooth:
            self._smoother.reset()
            return tracked.humans, tracked.tracks, tracked.motion
        with watch.stage("smooth"):
            parameters = self._smoother.update(tracked, _seconds(header))
            device = estimator.backend.device
            smoothed = reposed(tracked.humans, parameters, estimator.body, camera, device=device)
        return smoothed, tracked.tracks, tracked.motion

    def time_jumped_back(self) -> None:
        """Forgets everybody, and transforms from the future."""
        self._start_anew()
        if self._poses is not None:
            self._poses.forget()

    def forget(self) -> None:
        """Forgets everybody."""
        self._tracker.reset()
        self._smoother.reset()
        self._view = None

    @property
    def unknown_poses(self) -> int:
        """Number of images for which TF did not say where the camera was."""
        return self._poses.unknown if self._poses is not None else 0

    def destroy(self) -> None:
        """Ends listening to TF."""
        if self._poses is not None:
            self._poses.destroy()

    def _number(self, humans: Humans, config: NodeConfig, watch: Stopwatch) -> tuple[Humans, Tracks, Motion | None]:
        """What is said of people whom nobody follows."""
        self.too_weak, self.problem = 0, _NO_STAMP if config.track else ""
        with watch.stage("track"):
            if self._view is not None:
                self.forget()
            return humans, Tracks.untracked(len(humans)), None

    def _camera_pose(self, header: Header, config: NodeConfig, watch: Stopwatch) -> NDArray[np.float64] | None:
        if self._poses is None:
            self.problem = ""
            return None
        with watch.stage("camera pose"):
            pose = self._poses.find(header, config.world_frame_timeout_s)
        self.problem = self._poses.problem
        return pose

    def _start_anew(self) -> None:
        if self._view is not None:
            self.resets += 1
        self.forget()

    def _notice_camera(self, frame_id: str, camera: Camera) -> None:
        if self._view is not None:
            before_id, before = self._view
            if before_id != frame_id or not same_camera(before, camera):
                what = f"from {before_id!r} to {frame_id!r}" if before_id != frame_id else "its size or calibration"
                self._logger.info(
                    f"the camera changed {what}; people are followed anew", throttle_duration_sec=_LOG_EVERY_S
                )
                self._start_anew()
        self._view = frame_id, camera


def same_camera(before: Camera, now: Camera) -> bool:
    """Says whether two images in a row may come from one camera: the same kind of image, and nearly the same lens."""
    kinds = [(c.width, c.height, c.calibrated, c.rectified, c.distortion_model) for c in (before, now)]
    return kinds[0] == kinds[1] and bool(np.isclose(before.fx, now.fx, rtol=_SAME_FOCAL_LENGTH, atol=0.0))


def _stamped(header: Header) -> bool:
    return bool(header.stamp.sec != 0 or header.stamp.nanosec != 0)


def _seconds(header: Header) -> float:
    return float(header.stamp.sec + header.stamp.nanosec * 1e-9)
