"""What the node listens to: images, raw or compressed, and their CameraInfo."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import QoSPolicyKind, QoSProfile, ReliabilityPolicy, qos_policy_name_from_kind
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from ros2_multihmr.ros.image_view import image_view

_IMAGE_DEPTH = 1
_CAMERA_INFO_DEPTH = 10
_OVERRIDABLE = (QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH, QoSPolicyKind.RELIABILITY, QoSPolicyKind.DURABILITY)


class Inputs:
    """The node's subscriptions, from activate to deactivate; best effort unless overridden by parameters.

    Args:
        node: The node.
        transport: "raw" for sensor_msgs/Image, "compressed" for sensor_msgs/CompressedImage.
        on_image: Called with every image, an ImageView where the transport is raw.
        on_unreadable: Called in place of `on_image` with what is wrong with an image that cannot be read; the transport
            "compressed" leaves that to whoever takes the picture out of the message.
        on_info: Called with every CameraInfo.
        on_incompatible: Called with a topic and a policy's name where a publisher's quality of service does not fit.

    Raises:
        RuntimeError: A parameter names a quality of service that does not exist.
    """

    def __init__(
        self,
        node: Node,
        transport: str,
        on_image: Callable[[Any], None],
        on_unreadable: Callable[[ValueError], None],
        on_info: Callable[[CameraInfo], None],
        on_incompatible: Callable[[str, str], None],
    ) -> None:
        self._node, self._on_incompatible = node, on_incompatible
        self._subscriptions: list[Any] = []
        try:
            self._subscribe(CameraInfo, info_topic(node), on_info, _CAMERA_INFO_DEPTH)
            kind, topic = subscribed_image(node, transport)
            if kind is Image:
                self._subscribe(kind, topic, _viewed(on_image, on_unreadable), _IMAGE_DEPTH, raw=True)
            else:
                self._subscribe(kind, topic, on_image, _IMAGE_DEPTH)
        except Exception:
            self.destroy()
            raise

    def destroy(self) -> None:
        """Ends the subscriptions."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)

    def _subscribe(
        self, kind: type, topic: str, callback: Callable[[Any], None], depth: int, *, raw: bool = False
    ) -> None:
        def on_event(event: Any) -> None:
            self._on_incompatible(topic, qos_policy_name_from_kind(event.last_policy_kind))

        subscription = self._node.create_subscription(
            kind,
            topic,
            callback,
            QoSProfile(depth=depth, reliability=ReliabilityPolicy.BEST_EFFORT),
            event_callbacks=SubscriptionEventCallbacks(incompatible_qos=on_event),
            qos_overriding_options=QoSOverridingOptions(_OVERRIDABLE),
            raw=raw,
        )
        self._subscriptions.append(subscription)


def _viewed(on_image: Callable[[Any], None], on_unreadable: Callable[[ValueError], None]) -> Callable[[bytes], None]:
    """Returns a subscription's callback for serialized images; it never raises over one, which would end the spin."""

    def callback(raw: bytes) -> None:
        try:
            view = image_view(raw)
        except ValueError as error:
            on_unreadable(error)
        else:
            on_image(view)

    return callback


def image_topic(node: Node) -> str:
    """Returns the resolved name of the image topic, without the transport."""
    return str(node.resolve_topic_name("image"))


def info_topic(node: Node) -> str:
    """Returns the resolved name of the CameraInfo topic."""
    return str(node.resolve_topic_name("camera_info"))


def subscribed_image(node: Node, transport: str) -> tuple[type, str]:
    """Returns type and resolved name of the topic that images come from, for a transport "raw" or "compressed"."""
    if transport == "compressed":
        return CompressedImage, f"{image_topic(node)}/compressed"
    return Image, image_topic(node)
