"""People as REP-155 has them (ROS4HRI, hri_msgs): a list of body ids, and topics below /humans/bodies/<id>.

A body's frame is the one that the node sends anyway, `body_<id>` (see `NodeConfig.body_frame`): nothing is sent twice.
A body's topics are there from when the person enters until the person is lost, while somebody listens to any of this.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from geometry_msgs.msg import PointStamped, TwistStamped
from hri_msgs.msg import IdsList, NormalizedRegionOfInterest2D, Skeleton2D
from rclpy.event_handler import PublisherEventCallbacks
from rclpy.node import Node
from rclpy.publisher import Publisher
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Header

from ros2_multihmr.body.body_model import BodyInfo
from ros2_multihmr.ros.bridges.hri_joints import JointAngles
from ros2_multihmr.ros.bridges.hri_picture import Skeleton, cropped, region
from ros2_multihmr.ros.bridges.registry import Site
from ros2_multihmr.ros.cdr import image_cdr
from ros2_multihmr.ros.output import RELIABLE, Result, send, wanted
from ros2_multihmr.ros.parameters import NodeConfig
from ros2_multihmr.stopwatch import Stopwatch

NAMESPACE = "/humans/bodies"
# rclpy must not get event handlers from the thread that runs the network: its executor may be looking through them.
_NO_EVENTS = PublisherEventCallbacks(use_default_callbacks=False)
_TYPES: dict[str, type] = {
    "roi": NormalizedRegionOfInterest2D,
    "cropped": Image,
    "skeleton2d": Skeleton2D,
    "joint_states": JointState,
    "position": PointStamped,
    "velocity": TwistStamped,
}
_OF_THE_PICTURE = {"roi", "cropped", "skeleton2d"}  # who is predicted is not in it
_Build: TypeAlias = Callable[[Result, int, str], Any]


def open_bridge(site: Site) -> HriBridge:
    """Opens `/humans/bodies/tracked`."""
    return HriBridge(site.node, site.create(IdsList, f"{NAMESPACE}/tracked", RELIABLE), site.body)


class HriBridge:
    """Publishes the ids of all bodies, and what somebody wants to know of each; see `Output`.

    Args:
        node: Creates the publishers of bodies.
        tracked: Where the ids go.
        body: Names of the body's parts.
    """

    def __init__(self, node: Node, tracked: Publisher, body: BodyInfo) -> None:
        self._node, self._tracked = node, tracked
        self._bodies: dict[str, dict[str, Publisher]] = {}
        self._messages = BodyMessages(body)

    @property
    def publishers(self) -> tuple[Publisher, ...]:
        """Of the list and of all bodies."""
        return self._tracked, *(publisher for body in self._bodies.values() for publisher in body.values())

    def publish(self, result: Result, config: NodeConfig, watch: Stopwatch) -> None:
        """Publishes what is wanted of one image."""
        ids = [f"{config.hri_id_prefix}{track_id}" for track_id in result.tracks.ids.tolist()]
        with watch.stage("convert out"):
            self._enter(ids)
        send(self._tracked, watch, lambda: IdsList(header=result.header, ids=ids))
        for index, body_id in enumerate(ids):
            self._describe(result, index, body_id, watch)
        self._leave(set(self._bodies) - set(ids))

    def clear(self, header: Header) -> None:
        """Says that nobody is tracked any more."""
        if self._bodies:
            self._tracked.publish(IdsList(header=header))
        self._leave(set(self._bodies))

    def _describe(self, result: Result, index: int, body_id: str, watch: Stopwatch) -> None:
        seen = bool(result.tracks.seen[index])
        for topic, publisher in self._bodies[body_id].items():
            if (topic in _OF_THE_PICTURE and not seen) or not wanted(publisher):
                continue
            with watch.stage("convert out"):
                message = self._messages.build(topic, result, index, body_id)
            with watch.stage("publish"):
                if message is not None:
                    publisher.publish(message)

    def _enter(self, ids: list[str]) -> None:
        for body_id in ids:
            if body_id not in self._bodies:
                self._bodies[body_id] = {
                    topic: self._node.create_publisher(
                        kind, f"{NAMESPACE}/{body_id}/{topic}", RELIABLE, event_callbacks=_NO_EVENTS
                    )
                    for topic, kind in _TYPES.items()
                }

    def _leave(self, ids: set[str]) -> None:
        for body_id in ids:
            for publisher in self._bodies.pop(body_id).values():
                self._node.destroy_publisher(publisher)


class BodyMessages:
    """Builds what is published below a body's namespace, every message with the header of the image.

    Args:
        body: Names of the body's parts.

    Raises:
        ValueError: The body lacks a keypoint that is needed.
    """

    def __init__(self, body: BodyInfo) -> None:
        self._skeleton, self._angles = Skeleton(body.keypoint_names), JointAngles(body.keypoint_names)
        self._builders: dict[str, _Build] = {
            "roi": self._roi,
            "cropped": self._cropped,
            "skeleton2d": self._skeleton2d,
            "joint_states": self._joint_states,
            "position": self._position,
            "velocity": self._velocity,
        }

    def build(self, topic: str, result: Result, index: int, body_id: str) -> Any:
        """Builds the message of one topic (`_TYPES`) about one person; None if there is nothing to say."""
        return self._builders[topic](result, index, body_id)

    def _roi(self, result: Result, index: int, body_id: str) -> NormalizedRegionOfInterest2D | None:
        corners = region(result.humans, index, result.camera)
        if corners is None:
            return None
        message = NormalizedRegionOfInterest2D(header=result.header, c=float(result.humans.scores[index]))
        message.xmin, message.ymin, message.xmax, message.ymax = corners.tolist()
        return message

    def _cropped(self, result: Result, index: int, body_id: str) -> bytes | None:
        corners = region(result.humans, index, result.camera)
        return None if corners is None else image_cdr(result.header, cropped(result.image, corners), "rgb8")

    def _skeleton2d(self, result: Result, index: int, body_id: str) -> Skeleton2D:
        message = Skeleton2D(header=result.header)
        for point, (x, y, c) in zip(message.skeleton, self._skeleton.points(result.humans, index, result.camera)):
            point.x, point.y, point.c = float(x), float(y), float(c)
        return message

    def _joint_states(self, result: Result, index: int, body_id: str) -> JointState:
        angles = self._angles(result.humans.keypoints_3d[index], result.humans.rotation[index])
        names = [f"{name}_{body_id}" for name in angles]
        return JointState(header=result.header, name=names, position=list(angles.values()))

    def _position(self, result: Result, index: int, body_id: str) -> PointStamped:
        message = PointStamped(header=result.header)
        message.point.x, message.point.y, message.point.z = result.humans.origin[index].tolist()
        return message

    def _velocity(self, result: Result, index: int, body_id: str) -> TwistStamped | None:
        if result.motion is None or not result.motion.valid[index]:
            return None
        message, linear = TwistStamped(header=result.header), result.motion.velocity[index].tolist()
        message.twist.linear.x, message.twist.linear.y, message.twist.linear.z = linear
        return message
