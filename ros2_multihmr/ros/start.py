"""ROS starts in one of this package's programs; what it does not understand is told in one sentence."""

from __future__ import annotations

import re

import rclpy
from rclpy.signals import SignalHandlerOptions


def init(args: list[str] | None) -> None:
    """Initialises rclpy.

    Raises:
        ValueError: ROS does not understand the arguments, or cannot read a parameter file.
    """
    try:
        # rclpy's own handlers would end communication at once: the node could not delete its markers any more, and the
        # recorder's bag would end halfway through a message.
        rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    except RuntimeError as error:
        text = re.sub(r", at /\S+?:\d+", "", str(error)).replace("\n", " ")  # places in rcl's source code
        raise ValueError(f"ROS did not start: {text}; put right what follows --ros-args") from None
