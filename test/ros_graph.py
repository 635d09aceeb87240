"""A small ROS graph for tests: somebody who sends images and listens to people, alone or beside the node itself."""

from __future__ import annotations

import array
import gc
import time
from collections import defaultdict
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import rclpy
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from multihmr.msg import BodyModelInfo, CapsuleArray, HumanArray, PredictedPathArray, ProximityArray
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from ros_fakes import FakeBackend, Person
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from tf2_msgs.msg import TFMessage
from visualization_msgs.msg import MarkerArray

from ros2_multihmr.body import BodyModel, create_body
from ros2_multihmr.estimator import Estimator
from ros2_multihmr.ros.multihmr_node import MultiHMRNode

BEST_EFFORT = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
MANY_RELIABLE = QoSProfile(depth=200, reliability=ReliabilityPolicy.RELIABLE)
MANY_BEST_EFFORT = QoSProfile(depth=200, reliability=ReliabilityPolicy.BEST_EFFORT)
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
TOPICS = {
    "humans": ("/multihmr/humans", HumanArray, MANY_RELIABLE),
    "body_model": ("/multihmr/body_model", BodyModelInfo, LATCHED),
    "markers": ("/multihmr/markers", MarkerArray, MANY_BEST_EFFORT),
    "overlay": ("/multihmr/overlay", Image, MANY_BEST_EFFORT),
    "overlay_compressed": ("/multihmr/overlay/compressed", CompressedImage, MANY_BEST_EFFORT),
    "vertices": ("/multihmr/vertices", PointCloud2, MANY_BEST_EFFORT),
    "predicted_paths": ("/multihmr/predicted_paths", PredictedPathArray, MANY_RELIABLE),
    "path_lines": ("/multihmr/predicted_paths/markers", MarkerArray, MANY_BEST_EFFORT),
    "proximity": ("/multihmr/proximity", ProximityArray, MANY_RELIABLE),
    "capsules": ("/multihmr/capsules", CapsuleArray, MANY_RELIABLE),
    "capsule_markers": ("/multihmr/capsules/markers", MarkerArray, MANY_BEST_EFFORT),
    "tf": ("/tf", TFMessage, MANY_RELIABLE),
    "diagnostics": ("/diagnostics", DiagnosticArray, MANY_RELIABLE),
}
PATIENCE_S = 60.0
WIDTH, HEIGHT = 64, 48


@lru_cache(maxsize=1)
def anny() -> BodyModel:
    """The free body; reading it takes a while."""
    return create_body("anny")


class Listener:
    """Sends images and listens to what the node makes of them. All in one thread: messages move while `until` waits.

    Attributes:
        other: The node that sends and listens.
        received: Messages by topic's key.
    """

    def __init__(self) -> None:
        self.context = Context()
        rclpy.init(context=self.context)
        self.other = Node("other", context=self.context, enable_rosout=False)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.other)
        self.received: dict[str, list[Any]] = defaultdict(list)
        self.images = self.infos = None
        self._second = 100

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, *topics: str, image: str = "/image", kind: type = Image, qos: QoSProfile = BEST_EFFORT) -> Any:
        """Listens to topics, and waits until everybody knows everybody."""
        for key in topics:
            self.listen(key)
        self.images = self.other.create_publisher(kind, image, qos)
        self.infos = self.other.create_publisher(CameraInfo, "/camera_info", MANY_RELIABLE)
        self.until(lambda: self.images.get_subscription_count() and self.infos.get_subscription_count())
        self.until(lambda: all(self.other.count_publishers(TOPICS[key][0]) for key in topics))
        return self

    def stop(self) -> None:
        """Ends everything."""
        self.executor.shutdown()
        self.other.destroy_node()
        rclpy.shutdown(context=self.context)
        # Only few participants find each other on one machine, and this one would stay until Python collects garbage.
        self.context.destroy()
        gc.collect()

    def listen(self, key: str, qos: QoSProfile | None = None) -> Any:
        """Subscribes to one of the node's topics."""
        topic, kind, default = TOPICS[key]
        return self.other.create_subscription(kind, topic, self.received[key].append, qos or default)

    # ---- messages

    def image(self, **fields: Any) -> Image:
        """A small good image, a second younger than the one before; `fields` replace what is in it."""
        self._second += 1
        message = Image(height=HEIGHT, width=WIDTH, encoding="rgb8", step=3 * WIDTH)
        message.data = array.array("B", bytes(HEIGHT * WIDTH * 3))
        message.header.frame_id = "camera_optical_frame"
        message.header.stamp = Time(sec=self._second, nanosec=7)
        for name, value in fields.items():
            setattr(message, name, value)
        return message

    def info(self, image: Any, **fields: Any) -> CameraInfo:
        """A good calibration for `image`; `fields` replace what is in it."""
        info = CameraInfo(header=image.header, width=WIDTH, height=HEIGHT, distortion_model="plumb_bob", d=[0.0] * 5)
        info.k = np.array([60.0, 0, 31.5, 0, 60, 23.5, 0, 0, 1])
        info.p = np.array([50.0, 0, 30, 0, 0, 50, 20, 0, 0, 0, 1, 0])
        info.r = np.eye(3).ravel()
        for name, value in fields.items():
            setattr(info, name, value)
        return info

    def send(self, image: Any = None, info: CameraInfo | None = None, **fields: Any) -> Any:
        """Publishes an image after its calibration; returns the image."""
        image = image if image is not None else self.image(**fields)
        self.infos.publish(info or self.info(image))
        self.images.publish(image)
        return image

    # ---- waiting

    def until(self, condition: Callable[[], Any], patience_s: float = PATIENCE_S) -> None:
        """Lets messages move until `condition` holds; fails if that takes too long."""
        end = time.monotonic() + patience_s
        while not condition():
            assert time.monotonic() < end, f"waited {patience_s} s in vain"
            self.executor.spin_once(timeout_sec=0.02)

    def last(self, key: str, count: int = 1) -> Any:
        """Waits until `count` messages have come on a topic, and returns the last."""
        self.until(lambda: len(self.received[key]) >= count)
        return self.received[key][-1]

    def settle(self, seconds: float = 0.3) -> None:
        """Lets messages move for a while, where the promise is that nothing comes."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.executor.spin_once(timeout_sec=0.02)

    def diagnostics(self) -> tuple[int, str, dict[str, str]]:
        """Waits for a fresh report; returns level, message and values."""
        seen = len(self.received["diagnostics"])
        status = self.last("diagnostics", seen + 1).status[0]
        return status.level[0], status.message, {value.key: value.value for value in status.values}


class Graph(Listener):
    """The same, with the node beside it in this process.

    Attributes:
        node: The node.
        backend: What its estimator runs.
    """

    def __init__(
        self, people: int = 2, *, untrained: bool = False, create: Any = None, args: tuple[str, ...] = ()
    ) -> None:
        super().__init__()
        everyone = [Person(x=30.0 + 10 * i, depth=4.0 + i, score=0.9 - 0.05 * i) for i in range(people)]
        self.backend = FakeBackend(anny().info, everyone, untrained=untrained)
        create = create or (lambda config: Estimator(self.backend, anny(), config))
        cli_args = ["--ros-args", *args] if args else None
        self.node = MultiHMRNode(create, context=self.context, enable_rosout=False, cli_args=cli_args)
        self.executor.add_node(self.node)

    def start(self, *topics: str, **options: Any) -> Graph:
        """Activates the node, listens to topics, and waits until everybody knows everybody."""
        assert self.node.trigger_configure().name == "SUCCESS"
        assert self.node.trigger_activate().name == "SUCCESS"
        super().start(*topics, **options)
        self.until(lambda: all(self.node.count_subscribers(TOPICS[key][0]) for key in topics))
        return self

    def stop(self) -> None:
        """Ends everything."""
        if self.node._state_machine.current_state[1] != "finalized":
            self.node.trigger_shutdown()
        self.node.destroy_node()
        super().stop()

    def send(self, *args: Any, **fields: Any) -> Any:
        """As `Listener.send`, and waits until the node has dealt with the image."""
        before = self.finished()
        image = super().send(*args, **fields)
        self.until(lambda: self.finished() > before)
        return image

    def finished(self) -> int:
        """Number of images whose fate is known."""
        return sum(self.fates().values())

    def fates(self) -> dict[str, int]:
        """Number of images by fate."""
        return {fate.name: count for fate, count in self.node.statistics.counts[1].items()}
