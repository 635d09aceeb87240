"""Fills a buffer with what comes on /tf and /tf_static."""

from __future__ import annotations

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from tf2_msgs.msg import TFMessage

from .buffer import Buffer

_DEPTH = 100


class TransformListener:
    """Subscribes to transforms for a buffer; whoever spins the node moves them."""

    def __init__(
        self,
        buffer: Buffer,
        node: Node,
        *,
        spin_thread: bool = False,
        qos: QoSProfile | int | None = None,
        static_qos: QoSProfile | int | None = None,
    ) -> None:
        """Create the subscriptions.

        Args:
            buffer: Takes the transforms.
            node: Node to subscribe with.
            spin_thread: Not possible here.
            qos: Profile or history depth of /tf; default: reliable, volatile, depth 100.
            static_qos: The same of /tf_static; default: reliable, transient local, depth 100.

        Raises:
            ValueError: A thread is asked for.
        """
        if spin_thread:
            raise ValueError("spin_thread: this stand-in for tf2_ros has no thread of its own; spin the node")
        self.buffer, self.node = buffer, node
        latched = QoSProfile(depth=_DEPTH, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.tf_sub = node.create_subscription(
            TFMessage, "/tf", self.callback, QoSProfile(depth=_DEPTH) if qos is None else qos
        )
        self.tf_static_sub = node.create_subscription(
            TFMessage, "/tf_static", self.static_callback, latched if static_qos is None else static_qos
        )

    def unregister(self) -> None:
        """Destroy the subscriptions."""
        self.node.destroy_subscription(self.tf_sub)
        self.node.destroy_subscription(self.tf_static_sub)

    def callback(self, data: TFMessage) -> None:
        """Take transforms that hold at their stamp."""
        for transform in data.transforms:
            self.buffer.set_transform(transform, "default_authority")

    def static_callback(self, data: TFMessage) -> None:
        """Take transforms that hold for ever."""
        for transform in data.transforms:
            self.buffer.set_transform_static(transform, "default_authority")
