"""Everything that the node publishes; what nobody subscribes to is not computed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from builtin_interfaces.msg import Time
from multihmr.msg import BodyModelInfo, HumanArray
from numpy.typing import NDArray
from rclpy.event_handler import PublisherEventCallbacks
from rclpy.lifecycle import LifecycleNode, LifecyclePublisher
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy, qos_policy_name_from_kind
from sensor_msgs.msg import CompressedImage, Image, PointCloud2, PointField
from sensor_msgs_py.point_cloud2 import dtype_from_fields
from std_msgs.msg import Header
from visualization_msgs.msg import MarkerArray

from ros2_multihmr.estimator import Estimator
from ros2_multihmr.humans import Humans
from ros2_multihmr.labels import UNTRAINED_NOTE
from ros2_multihmr.overlay import overlay
from ros2_multihmr.ros.bridges.registry import Site, open_bridges
from ros2_multihmr.ros.capsule_output import CapsuleOutput
from ros2_multihmr.ros.cdr import compressed_image_cdr, image_cdr, point_cloud_cdr
from ros2_multihmr.ros.conversions import body_model_info
from ros2_multihmr.ros.human_cdr import human_array_cdr
from ros2_multihmr.ros.markers import MarkerBuilder
from ros2_multihmr.ros.output import BEST_EFFORT, RELIABLE, Output, Result, send, wanted
from ros2_multihmr.ros.pace import Pace
from ros2_multihmr.ros.parameters import NodeConfig
from ros2_multihmr.ros.predicted_paths import PathOutput
from ros2_multihmr.ros.proximity_output import ProximityOutput
from ros2_multihmr.ros.transforms import PeopleBroadcaster
from ros2_multihmr.stopwatch import Stopwatch
from ros2_multihmr.tracking.tracks import Tracks

_LATCHED = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)

VERTEX_FIELDS = [
    *(PointField(name=name, offset=4 * i, datatype=PointField.FLOAT32, count=1) for i, name in enumerate("xyz")),
    PointField(name="id", offset=12, datatype=PointField.UINT32, count=1),
]
_VERTEX = dtype_from_fields(VERTEX_FIELDS, point_step=16)


@dataclass(frozen=True)
class Demand:
    """What somebody wants of one image.

    Attributes:
        humans, markers, overlay, overlay_compressed, vertices, tf: Outputs to publish.
        more: Other outputs to publish.
        full_mesh: One of them needs the full mesh.
        nothing: There is no need to run the network.
    """

    humans: bool
    markers: bool
    overlay: bool
    overlay_compressed: bool
    vertices: bool
    tf: bool
    more: tuple[Output, ...]
    full_mesh: bool
    nothing: bool


class Publishers:
    """The node's publishers, created on configure and destroyed on cleanup.

    Args:
        node: The node.
        config: Its settings.
        estimator: Holds the network's configuration and the body.
        on_incompatible: Called with a topic and a policy's name where a subscriber's quality of service does not fit.
    """

    def __init__(
        self,
        node: LifecycleNode,
        config: NodeConfig,
        estimator: Estimator,
        on_incompatible: Callable[[str, str], None],
    ) -> None:
        network, body = estimator.backend.config, estimator.body.info
        self._node, self._network, self._body = node, network, body
        self._on_incompatible = on_incompatible
        self._humans = self._create(HumanArray, "~/humans", RELIABLE)
        self._body_model = self._create(BodyModelInfo, "~/body_model", _LATCHED)
        self._markers = self._create(MarkerArray, "~/markers", BEST_EFFORT)
        self._overlay = self._create(Image, "~/overlay", BEST_EFFORT)
        self._overlay_compressed = self._create(CompressedImage, "~/overlay/compressed", BEST_EFFORT)
        self._vertices = self._create(PointCloud2, "~/vertices", BEST_EFFORT)
        self.people = PeopleBroadcaster(node, config.frame_prefix, config.id_prefix)
        bridges = open_bridges(Site(node, config, body, self._create))
        self._proximity = ProximityOutput(node, config, estimator, self._create)
        self._capsules = CapsuleOutput(estimator, self._create)
        self._more: tuple[Output, ...] = (PathOutput(self._create), self._proximity, self._capsules, *bridges)
        self._builder = MarkerBuilder(body, untrained=network.untrained)
        self._pace = Pace()
        self._last_header = Header()

    def publish_body_model(self) -> None:
        """Publishes the latched description of the body."""
        self._body_model.publish(body_model_info(self._body))

    def demand(self, stamp: Time, config: NodeConfig, *, display: bool = True) -> Demand:
        """Returns what somebody wants of the image with this stamp; without `display`, markers and overlay wait."""
        humans, vertices = wanted(self._humans), wanted(self._vertices)
        pictures = wanted(self._overlay), wanted(self._overlay_compressed)
        markers = wanted(self._markers)
        own = bool(config.world_frame) + self._proximity.listens  # the node's own listeners want nothing of these
        tf = config.publish_tf and self._node.count_subscribers(self.people.topic_name) > own
        more = tuple(output for output in self._more if any(map(wanted, output.publishers)))
        nothing = not (humans or vertices or any(pictures) or markers or more or (tf and config.tf_is_demand))
        markers = markers and display and self._pace.is_due(_seconds(stamp), config.markers_rate_hz)
        return Demand(
            humans=humans,
            markers=markers,
            overlay=pictures[0] and display,
            overlay_compressed=pictures[1] and display,
            vertices=vertices,
            tf=tf,
            more=more,
            full_mesh=vertices
            or (humans and config.publish_vertices)
            or (markers and config.mesh_lod == "full")
            or (self._proximity in more and self._proximity.listens),
            nothing=nothing,
        )

    def publish(self, result: Result, demand: Demand, config: NodeConfig, watch: Stopwatch) -> None:
        """Publishes what is wanted of one image, everything with its header.

        Args:
            result: The image and its people.
            demand: What is wanted.
            config: Settings at this image.
            watch: Takes the times of the stages "convert out" and "publish".
        """
        self._last_header = result.header
        with watch.stage("convert out"):
            there = result.select(~result.tracks.lost)
        if demand.tf:
            with watch.stage("convert out"):
                frames = self.people.convert(there.header, there.humans, there.tracks)
            with watch.stage("publish"):
                self.people.send(frames)
        if demand.humans:
            send(self._humans, watch, lambda: self._human_array(result, config))
        if demand.markers:
            self._pace.done(_seconds(result.header.stamp), config.markers_rate_hz)
            full = config.mesh_lod == "full"
            send(
                self._markers,
                watch,
                lambda: self._builder.update(there.header, there.humans, there.tracks, there.motion, full=full),
            )
        if demand.vertices:
            send(self._vertices, watch, lambda: cloud(there.header, there.humans, there.tracks))
        for output in demand.more:
            output.publish(there, config, watch)
        if demand.overlay or demand.overlay_compressed:
            # A mesh painted over whatever hides its person would tell nobody anything.
            self._publish_overlay(result.select(result.tracks.seen), demand, config, watch)

    def clear_markers(self) -> None:
        """Deletes every marker on display."""
        self._markers.publish(self._builder.clear(self._last_header))
        for output in self._more:
            output.clear(self._last_header)

    def forget_time(self) -> None:
        """Starts anew after time jumped back."""
        self._pace = Pace()
        self._proximity.forget()
        self._capsules.forget()

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong with what somebody listens to, and what to do about it, a sentence each."""
        return tuple(problem for problem in (self.people.problem, self._proximity.problem) if problem)

    def destroy(self) -> None:
        """Destroys all publishers."""
        self.people.destroy(self._node)
        self._proximity.destroy()
        for publisher in (
            self._humans, self._body_model, self._markers, self._overlay, self._overlay_compressed, self._vertices,
            *(publisher for output in self._more for publisher in output.publishers),
        ):  # fmt: skip
            self._node.destroy_lifecycle_publisher(publisher)

    def _create(self, kind: type, topic: str, qos: QoSProfile) -> LifecyclePublisher:
        def on_event(event: Any) -> None:
            self._on_incompatible(
                self._node.resolve_topic_name(topic), qos_policy_name_from_kind(event.last_policy_kind)
            )

        events = PublisherEventCallbacks(incompatible_qos=on_event)
        return self._node.create_lifecycle_publisher(kind, topic, qos, event_callbacks=events)

    def _human_array(self, result: Result, config: NodeConfig) -> bytes:
        return human_array_cdr(
            result.header,
            result.humans,
            result.tracks,
            result.camera,
            weights=self._network.weights,
            untrained=self._network.untrained,
            vertices=config.publish_vertices,
            motion=result.motion,
        )

    def _publish_overlay(self, result: Result, demand: Demand, config: NodeConfig, watch: Stopwatch) -> None:
        with watch.stage("overlay"):
            note = UNTRAINED_NOTE if self._network.untrained else ""
            picture = overlay(result.image, result.humans, result.camera, ids=result.tracks.ids, note=note)
        if demand.overlay:
            send(self._overlay, watch, lambda: image_cdr(result.header, picture, "rgb8"))
        if demand.overlay_compressed:
            send(self._overlay_compressed, watch, lambda: _jpeg(result.header, picture, config.jpeg_quality))


def _seconds(stamp: Time) -> float:
    return float(stamp.sec + stamp.nanosec * 1e-9)


def cloud(header: Header, humans: Humans, tracks: Tracks) -> bytes:
    """Serializes the PointCloud2 of everybody's vertices, which `humans` must hold, each with its person's id."""
    points = np.empty(humans.vertices.shape[:2], _VERTEX)
    for i, axis in enumerate("xyz"):
        points[axis] = humans.vertices[..., i]
    points["id"] = tracks.ids[:, None]
    return point_cloud_cdr(header, VERTEX_FIELDS, points.ravel())


def _jpeg(header: Header, picture: NDArray[np.uint8], quality: int) -> bytes:
    _, data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return compressed_image_cdr(header, data.ravel(), "jpeg")
