"""From one image message to everything that is published about it: convert in, run, convert out, publish."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from rclpy.clock import Clock
from rclpy.impl.rcutils_logger import RcutilsLogger
from rclpy.time import Time
from sensor_msgs.msg import CompressedImage, Image

from ros2_multihmr.camera import Camera
from ros2_multihmr.estimator import Estimator
from ros2_multihmr.ros.camera_info import CameraChooser, CameraInfoCache
from ros2_multihmr.ros.conversions import image_from_compressed, image_from_message
from ros2_multihmr.ros.diagnostics import Fate, Statistics
from ros2_multihmr.ros.follower import Follower
from ros2_multihmr.ros.image_view import ImageView
from ros2_multihmr.ros.load import LoadRule
from ros2_multihmr.ros.output import Result
from ros2_multihmr.ros.parameters import NodeConfig
from ros2_multihmr.ros.publishers import Publishers
from ros2_multihmr.ros.second_look import SecondLook
from ros2_multihmr.stopwatch import Stopwatch

ImageMessage: TypeAlias = Image | ImageView | CompressedImage
_LOG_EVERY_S = 5.0
_EXPLAINED = (ValueError, FloatingPointError, MemoryError)


class Pipeline:
    """Processes images one after the other; a bad one is logged, counted and skipped.

    Attributes:
        estimator: Finds the people; may be exchanged between two images.
        config: Settings; may be exchanged between two images.
        load: What gives way when the machine is too slow.

    Args:
        estimator: Finds the people.
        config: Settings.
        cameras: Turns an image and its CameraInfo into image and camera.
        infos: CameraInfo messages.
        has_camera_info: Says whether anybody publishes CameraInfo, so that waiting for it makes sense.
        second_look: Refines the people, if that is wanted.
        follower: Tells who is who.
        publishers: Where the results go.
        statistics: Counts what becomes of the images.
        clock: Tells an image's age.
        logger: Log of the node.
    """

    def __init__(
        self,
        estimator: Estimator,
        config: NodeConfig,
        cameras: CameraChooser,
        infos: CameraInfoCache,
        has_camera_info: Callable[[], bool],
        second_look: SecondLook,
        follower: Follower,
        publishers: Publishers,
        statistics: Statistics,
        clock: Clock,
        logger: RcutilsLogger,
    ) -> None:
        self.estimator, self.config, self.load = estimator, config, LoadRule()
        self._cameras, self._infos, self._has_camera_info = cameras, infos, has_camera_info
        self._second_look, self._follower = second_look, follower
        self._publishers, self._statistics = publishers, statistics
        self._clock, self._logger = clock, logger
        self._last_stamp: Time | None = None
        self._warned: set[str] = set()

    def __call__(self, message: ImageMessage) -> None:
        """Processes one image; never raises."""
        try:
            with self.load.work():
                fate = self._process(message)
        except Exception as error:  # whatever an image or a network does, the next image has its chance
            self.report_failure(error)
        else:
            if fate is not None:
                self._statistics.dropped(fate)

    def _process(self, message: ImageMessage) -> Fate | None:
        config, estimator, watch, header = self.config, self.estimator, Stopwatch(), message.header
        self._notice_time_jump(Time.from_msg(header.stamp))
        if config.max_age_s > 0.0 and self._age_s(message) > config.max_age_s:
            return Fate.TOO_OLD
        demand = self._publishers.demand(header.stamp, config, display=self.load.display_due())
        if demand.nothing:
            return Fate.NOBODY_LISTENS
        with watch.stage("convert in"):
            image, camera = self._convert_in(message, config)
        humans = estimator.estimate(image, camera, vertices=demand.full_mesh, stopwatch=watch)
        humans = self._second_look(image, camera, humans, config, watch)
        humans, tracks, motion = self._follower.update(humans, camera, header, estimator, config, watch)
        result = Result(header, image, camera, humans, tracks, motion, self._follower.T_world_camera)
        self._publishers.publish(result, demand, config, watch)
        self._warn_once(self._cameras.problem, self._follower.problem, *self._publishers.problems)
        self._statistics.published(
            watch.seconds, self._age_s(message), int(tracks.seen.sum()), estimator.overflow, int(tracks.predicted.sum())
        )
        return None

    def _convert_in(self, message: ImageMessage, config: NodeConfig) -> tuple[NDArray[np.uint8], Camera]:
        compressed = isinstance(message, CompressedImage)
        image = image_from_compressed(message) if compressed else image_from_message(message)
        timeout_s = config.camera_info_timeout_s if self._has_camera_info() else 0.0
        info = self._infos.get(message.header.stamp, timeout_s)
        return self._cameras.choose(image, info, config.fallback_fov_deg)

    def _age_s(self, message: ImageMessage) -> float:
        age_s: float = (
            self._clock.now() - Time.from_msg(message.header.stamp, self._clock.clock_type)
        ).nanoseconds * 1e-9
        return age_s

    def _notice_time_jump(self, stamp: Time) -> None:
        if self._last_stamp is not None and stamp < self._last_stamp:
            self._logger.info("image stamps jumped back; starting anew")
            self._follower.time_jumped_back()
            self._publishers.forget_time()
        self._last_stamp = stamp

    def report_failure(self, error: Exception) -> None:
        """Logs, not too often, and counts an image that could not be processed; any thread may call."""
        text = f"{type(error).__name__}: {error}"
        # These say what is wrong with the input or the machine; anything else is a defect, whose place matters.
        details = "" if isinstance(error, _EXPLAINED) else "\n" + "".join(traceback.format_exception(error))
        self._logger.error(f"image skipped: {text}{details}", throttle_duration_sec=_LOG_EVERY_S)
        self._statistics.failed(text)

    def _warn_once(self, *problems: str) -> None:
        for problem in problems:
            if problem and problem not in self._warned:
                self._warned.add(problem)
                self._logger.warning(problem)
