"""A bridge of one topic: one message for every image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.lifecycle import LifecyclePublisher
from std_msgs.msg import Header

from ros2_multihmr.ros.output import Result, send
from ros2_multihmr.ros.parameters import NodeConfig
from ros2_multihmr.stopwatch import Stopwatch


class TopicBridge:
    """Publishes what a function makes of the people of an image; see `Output`.

    Attributes:
        publishers: The one publisher.

    Args:
        publisher: Where the messages go.
        convert: Makes a message of an image's people, those just lost left out.
    """

    def __init__(self, publisher: LifecyclePublisher, convert: Callable[[Result], Any]) -> None:
        self.publishers: tuple[LifecyclePublisher, ...] = (publisher,)
        self._convert = convert

    def publish(self, result: Result, config: NodeConfig, watch: Stopwatch) -> None:
        """Publishes one message."""
        send(self.publishers[0], watch, lambda: self._convert(result))

    def clear(self, header: Header) -> None:
        """Does nothing: these messages tell of an image, and nobody keeps them."""
