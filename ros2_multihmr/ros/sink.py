"""A subscriber process for benchmarks: it tells when each HumanArray arrived, and how old it was.

Usage: python -m ros2_multihmr.ros.sink, until SIGINT. A line of JSON comes on standard output every second.
"""

from __future__ import annotations

import json
import struct
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass

import rclpy
from multihmr.msg import HumanArray
from rclpy.clock import Clock, ClockType
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from tf2_msgs.msg import TFMessage
from visualization_msgs.msg import MarkerArray

from ros2_multihmr.ros.node import stop_on_signals

MODULE = "ros2_multihmr.ros.sink"
_TOLD_EVERY_S = 1.0
_OTHERS = {"/multihmr/markers": MarkerArray, "/tf": TFMessage}
_QOS = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
_STAMP = struct.Struct("<iI")  # a message's header begins with it, after four bytes of encapsulation


@dataclass(frozen=True)
class Arrival:
    """One HumanArray in the subscriber's process.

    Attributes:
        at_s: When it came, on a steady clock [s].
        age_ms: Time since its image's stamp, which is when the camera sent it [ms].
    """

    at_s: float
    age_ms: float


def age_ms(raw: bytes, now_ns: int) -> float:
    """Returns the age of a serialized message that begins with a Header [ms]."""
    seconds, nanoseconds = _STAMP.unpack_from(raw, 4)
    return float(now_ns - (seconds * 1_000_000_000 + nanoseconds)) * 1e-6


def arrivals(lines: Iterable[str]) -> list[Arrival]:
    """Reads what the process told; lines of others are left out."""
    told = [json.loads(line) for line in lines if line.startswith("[[")]
    return [Arrival(at_s, ms) for line in told for at_s, ms in line]


def _main() -> None:
    stop = stop_on_signals()
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node, executor = rclpy.create_node("sink"), SingleThreadedExecutor()
    clock, news, told_s = Clock(clock_type=ClockType.ROS_TIME), list[tuple[float, float]](), time.monotonic()

    def on_humans(raw: bytes) -> None:
        news.append((round(time.monotonic(), 4), round(age_ms(raw, clock.now().nanoseconds), 2)))

    node.create_subscription(HumanArray, "/multihmr/humans", on_humans, _QOS, raw=True)
    for topic, kind in _OTHERS.items():
        node.create_subscription(kind, topic, lambda raw: None, _QOS, raw=True)
    executor.add_node(node)
    while not stop.is_set():
        executor.spin_once(timeout_sec=0.1)
        if stop.is_set() or time.monotonic() - told_s > _TOLD_EVERY_S:
            told_s = time.monotonic()
            if news:
                sys.stdout.write(json.dumps(news) + "\n")
                sys.stdout.flush()
                news.clear()
    rclpy.try_shutdown()


if __name__ == "__main__":
    _main()
