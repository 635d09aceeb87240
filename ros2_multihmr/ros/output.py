"""Outputs: topics beside those that every user of the node wants, each in a file of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from rclpy.lifecycle import LifecyclePublisher
from rclpy.qos import QoSProfile, ReliabilityPolicy
from std_msgs.msg import Header

from ros2_multihmr.camera import Camera
from ros2_multihmr.humans import Humans
from ros2_multihmr.ros.parameters import NodeConfig
from ros2_multihmr.stopwatch import Stopwatch
from ros2_multihmr.tracking.motion_state import Motion
from ros2_multihmr.tracking.tracks import Tracks

RELIABLE = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)
BEST_EFFORT = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
CreatePublisher: TypeAlias = Callable[[type, str, QoSProfile], LifecyclePublisher]


@dataclass(frozen=True)
class Result:
    """What is known of one image.

    Attributes:
        header: Header of the image message, verbatim.
        image: (H, W, 3) uint8 RGB, the image that `camera` describes.
        camera: Its camera.
        humans: The people in it, and those who are predicted or just lost.
        tracks: Their identities.
        motion: How they move; None if nobody follows them.
        T_world_camera: (4, 4) pose of the image's frame in `world_frame`; None if it is not known.
    """

    header: Header
    image: NDArray[np.uint8]
    camera: Camera
    humans: Humans
    tracks: Tracks
    motion: Motion | None = None
    T_world_camera: NDArray[np.float64] | None = None

    def select(self, keep: NDArray[np.bool_]) -> Result:
        """Returns the same of the people whom the mask `keep` names."""
        if keep.all():
            return self
        motion = self.motion.select(keep) if self.motion is not None else None
        return replace(self, humans=self.humans.select(keep), tracks=self.tracks.select(keep), motion=motion)


class Output(Protocol):
    """Publishes something about the people of an image; exists from configure to cleanup."""

    @property
    def publishers(self) -> tuple[LifecyclePublisher, ...]:
        """What it publishes with; an output is wanted while one of these has a subscriber."""

    def publish(self, result: Result, config: NodeConfig, watch: Stopwatch) -> None:
        """Publishes what is wanted of one image.

        Args:
            result: The image and its people, those just lost left out.
            config: Settings at this image.
            watch: Takes the times of the stages "convert out" and "publish".
        """

    def clear(self, header: Header) -> None:
        """Takes everything off the display; `header` is the last image's."""


def wanted(publisher: LifecyclePublisher) -> bool:
    """True while somebody subscribes."""
    return bool(publisher.get_subscription_count() > 0)


def send(publisher: LifecyclePublisher, watch: Stopwatch, build: Callable[[], Any]) -> None:
    """Builds a message and publishes it, in the stages "convert out" and "publish"."""
    with watch.stage("convert out"):
        message = build()
    with watch.stage("publish"):
        publisher.publish(message)
