"""The node's life in its process: it is made, spun until a signal comes, and brought to a clean end."""

from __future__ import annotations

import logging
import threading
import time

import rclpy
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.impl.rcutils_logger import RcutilsLogger
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.logging import get_logger

from ros2_multihmr.ros.lifecycle import FINALIZED, state_of
from ros2_multihmr.ros.multihmr_node import MultiHMRNode

_POLL_S = 0.1
_REPEAT_AFTER_S = 10.0
_LINGER_S = 0.3  # the message that deletes the markers must be out before its publisher goes


def serve(stop: threading.Event) -> int:
    """Runs the node until `stop` is set; returns the process's exit status."""
    try:
        node = MultiHMRNode()
    except (ValueError, ParameterException) as error:
        get_logger("multihmr").fatal(str(error))
        rclpy.try_shutdown()
        return 1
    forward_logging(node.get_logger())
    if node.config.autostart:
        autostart(node)
    spin(node, stop)
    node.destroy_node()
    rclpy.try_shutdown()
    return 0


def autostart(node: MultiHMRNode) -> None:
    """Configures and activates the node; after a failure it waits for lifecycle commands, as without autostart."""
    if node.trigger_configure() != TransitionCallbackReturn.SUCCESS:
        node.get_logger().warning("waits for lifecycle commands: set the parameter right, then configure and activate")
    elif node.trigger_activate() != TransitionCallbackReturn.SUCCESS:
        node.get_logger().warning("waits for lifecycle commands: put right what is wrong, then activate")


def spin(node: MultiHMRNode, stop: threading.Event) -> None:
    """Serves the node until `stop` is set, then shuts it down."""
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    while not stop.is_set():
        try:
            # Python runs signal handlers between calls, so none may take long.
            executor.spin_once(timeout_sec=_POLL_S)
        except ExternalShutdownException:
            return
    if node.active:
        node.trigger_deactivate()
        time.sleep(_LINGER_S)
    if state_of(node) != FINALIZED:
        node.trigger_shutdown()
    executor.shutdown()


def forward_logging(logger: RcutilsLogger) -> None:
    """Sends what the package's core logs to ROS's log."""
    log = logging.getLogger("ros2_multihmr")
    log.addHandler(_RosHandler(logger))
    log.setLevel(logging.INFO)
    log.propagate = False


class _RosHandler(logging.Handler):
    def __init__(self, logger: RcutilsLogger) -> None:
        super().__init__()
        self._logger = logger
        self._last_s: dict[str, float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        # The same text, whatever numbers are in it, would otherwise come with every image.
        if record.created - self._last_s.get(str(record.msg), 0.0) < _REPEAT_AFTER_S:
            return
        self._last_s[str(record.msg)] = record.created
        text = self.format(record)
        # rclpy wants a line of its own for every severity.
        if record.levelno >= logging.ERROR:
            self._logger.error(text)
        elif record.levelno >= logging.WARNING:
            self._logger.warning(text)
        else:
            self._logger.info(text)
