"""The recorder: what the node publishes, into an MCAP bag; for machines without `ros2 bag`."""

from __future__ import annotations

import os
import sys
import threading
from dataclasses import dataclass
from functools import partial
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from multihmr.msg import BodyModelInfo, CapsuleArray, HumanArray, PredictedPathArray, ProximityArray
from rclpy.exceptions import ParameterException
from rclpy.executors import SingleThreadedExecutor
from rclpy.logging import get_logger
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from rosbags.interfaces import Connection
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from tf2_msgs.msg import TFMessage
from visualization_msgs.msg import MarkerArray

from ros2_multihmr.ros.bag import BagWriter
from ros2_multihmr.ros.declare import declare_parameters, read_parameters
from ros2_multihmr.ros.environment import set_defaults
from ros2_multihmr.ros.node import stop_on_signals, wrong_use
from ros2_multihmr.ros.processes import RECORDED_IF_ASKED, RECORDING
from ros2_multihmr.ros.start import init
from ros2_multihmr.settings import Settings, setting

_READY_PERIOD_S = 0.2
_STOP_PERIOD_S = 0.1
_DEPTH = 100  # writing to a slow disk must not lose messages
_OUTPUTS: dict[str, tuple[type[Any], bool]] = {  # message class, and whether the node sends it reliably
    "predicted_paths": (PredictedPathArray, True),
    "proximity": (ProximityArray, True),
    "capsules": (CapsuleArray, True),
    "vertices": (PointCloud2, False),
}


@dataclass(frozen=True)
class RecorderConfig(Settings):
    """The recorder's settings."""

    out: str = setting("", "Folder of the bag; must not exist")
    node: str = setting("/multihmr", "Full name of the node whose outputs are recorded")
    camera_info: str = setting("/camera/camera_info", "CameraInfo topic, recorded as the list of images sent")
    overlay: bool = setting(False, "Record the overlay, too, which makes the node draw it")
    outputs: tuple[str, ...] = setting(
        (), "Further topics of the node to record, which makes it work for them", choices=RECORDED_IF_ASKED
    )

    def __post_init__(self) -> None:
        """Checks every value.

        Raises:
            ValueError: A value is not allowed.
        """
        super().__post_init__()
        if not self.out:
            raise ValueError("out: give a new folder for the bag")


def _reliability(*, reliable: bool, latched: bool = False) -> QoSProfile:
    return QoSProfile(
        depth=_DEPTH,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )


def recorded_topics(config: RecorderConfig) -> dict[str, tuple[type[Any], QoSProfile]]:
    """Returns the topics to record, with message class and quality of service; the latched one is the last."""
    topics = {
        f"{config.node}/humans": (HumanArray, _reliability(reliable=True)),
        f"{config.node}/markers": (MarkerArray, _reliability(reliable=False)),
        "/tf": (TFMessage, _reliability(reliable=True)),
        "/diagnostics": (DiagnosticArray, _reliability(reliable=True)),
        config.camera_info: (CameraInfo, _reliability(reliable=False)),
    }
    if config.overlay:
        topics[f"{config.node}/overlay"] = (Image, _reliability(reliable=False))
    for name in config.outputs:
        kind, reliable = _OUTPUTS[name]
        topics[f"{config.node}/{name}"] = (kind, _reliability(reliable=reliable))
    return topics | {f"{config.node}/body_model": (BodyModelInfo, _reliability(reliable=True, latched=True))}


class Recorder(Node):
    """Writes the outputs of one node into a bag, as they come.

    Attributes:
        counts: Messages written per topic.
    """

    def __init__(self, **node_options: Any) -> None:
        """Creates the bag.

        Raises:
            ValueError: A parameter is not allowed, or the bag's folder is there already.
        """
        super().__init__("recorder", **node_options)
        declare_parameters(self, RecorderConfig, "fixed while the node runs", read_only=True)
        self.config = read_parameters(self, RecorderConfig)
        self._bag = BagWriter(self.config.out)
        self.counts: dict[str, int] = {}
        self._awaited: list[Subscription] = []
        topics = recorded_topics(self.config)
        for topic, (kind, qos) in topics.items():
            self.counts[topic] = 0
            callback = partial(self._write, self._bag.add_topic(topic, kind, qos))
            subscription = self.create_subscription(kind, topic, callback, qos, raw=True)
            # The camera starts last, when everybody listens: it is none of those waited for.
            if topic != self.config.camera_info:
                self._awaited.append(subscription)
        self._ready_timer = self.create_timer(_READY_PERIOD_S, self._tell_when_ready)

    def _write(self, topic: Connection, raw: bytes) -> None:
        self._bag.write(topic, raw, self.get_clock().now().nanoseconds)
        self.counts[topic.topic] += 1

    @property
    def ready(self) -> bool:
        """True once both sides know each other on every topic.

        Subscriptions are announced in order, the latched topic's last: a node that answers it knows the others, too.
        """
        latched = self.counts[f"{self.config.node}/body_model"] > 0
        return latched and all(subscription.get_publisher_count() for subscription in self._awaited)

    def _tell_when_ready(self) -> None:
        if self.ready:
            self._ready_timer.cancel()
            self.get_logger().info(f"{RECORDING} {len(self.counts)} topics into {self.config.out}")

    def close(self) -> None:
        """Finishes the bag; without this it cannot be read."""
        self._bag.close()


def main(args: list[str] | None = None) -> int:
    """Records until interrupted; returns the exit code, 2 for wrong use."""
    set_defaults(os.environ)
    stop = stop_on_signals()
    try:
        init(args)
    except ValueError as error:
        return wrong_use("recorder", str(error))
    try:
        _record(Recorder(), stop)
    except (ValueError, ParameterException) as error:
        get_logger("recorder").fatal(str(error))
        return 1
    finally:
        rclpy.try_shutdown()
    return 0


def _record(recorder: Recorder, stop: threading.Event) -> None:
    executor = SingleThreadedExecutor()
    executor.add_node(recorder)
    try:
        while not stop.is_set():
            executor.spin_once(timeout_sec=_STOP_PERIOD_S)
    finally:
        recorder.close()
    executor.shutdown()  # left to the garbage collector, it would complain once ROS is down
    recorder.get_logger().info(", ".join(f"{count} of {topic}" for topic, count in recorder.counts.items()))


if __name__ == "__main__":
    sys.exit(main())
