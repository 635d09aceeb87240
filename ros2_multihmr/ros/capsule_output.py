"""Everybody as capsules, for collision checkers and for RViz: `~/capsules`, `~/capsules/markers`."""

from __future__ import annotations

import numpy as np
from geometry_msgs.msg import Point
from multihmr.msg import Capsule, CapsuleArray
from numpy.typing import NDArray
from rclpy.lifecycle import LifecyclePublisher
from std_msgs.msg import Header
from visualization_msgs.msg import Marker, MarkerArray

from ros2_multihmr.body.parts import PARTS
from ros2_multihmr.estimator import Estimator
from ros2_multihmr.nearness.capsules import CapsuleKeeper, CapsuleModel, Capsules
from ros2_multihmr.palette import color_of
from ros2_multihmr.ros.marker_cdr import MarkerWriter
from ros2_multihmr.ros.output import BEST_EFFORT, RELIABLE, CreatePublisher, Result, send, wanted
from ros2_multihmr.ros.pace import Lifetime, Pace
from ros2_multihmr.ros.parameters import NodeConfig
from ros2_multihmr.stopwatch import Stopwatch

NAMESPACE = "capsules"
ALPHA = 0.4
_MERIDIANS, _RINGS = 12, 6  # of a drawn capsule; the rings are those of one sphere, the two at the equator counted


class CapsuleOutput:
    """Publishes capsules; is an `Output`.

    Attributes:
        publishers: Of the capsules, and of their markers.

    Args:
        estimator: Its body is fitted.
        create: Creates a publisher from message type, topic and quality of service.
    """

    def __init__(self, estimator: Estimator, create: CreatePublisher) -> None:
        self._capsules = create(CapsuleArray, "~/capsules", RELIABLE)
        self._markers = create(MarkerArray, "~/capsules/markers", BEST_EFFORT)
        self.publishers: tuple[LifecyclePublisher, ...] = (self._capsules, self._markers)
        self._estimator = estimator
        self._keeper: CapsuleKeeper | None = None
        self._displayed: set[int] = set()
        self._lifetime, self._pace = Lifetime(), Pace()

    def publish(self, result: Result, config: NodeConfig, watch: Stopwatch) -> None:
        """Publishes what is wanted of one image; see `Output`."""
        stamp_s = result.header.stamp.sec + result.header.stamp.nanosec * 1e-9
        draw = wanted(self._markers) and self._pace.is_due(stamp_s, config.markers_rate_hz)
        if not (draw or wanted(self._capsules)):
            return
        with watch.stage("capsules"):
            if self._keeper is None:
                self._keeper = CapsuleKeeper(CapsuleModel(self._estimator.body, self._estimator.backend.device))
            capsules = self._keeper.update(result.humans, result.tracks.ids)
        if wanted(self._capsules):
            untrained = self._estimator.backend.config.untrained
            send(self._capsules, watch, lambda: capsule_array(result, capsules, untrained=untrained))
        if draw:
            self._pace.done(stamp_s, config.markers_rate_hz)
            send(self._markers, watch, lambda: self._draw(result, capsules, stamp_s))

    def clear(self, header: Header) -> None:
        """Takes all capsules off the display."""
        self._displayed = set()
        self._markers.publish(MarkerArray(markers=[Marker(header=header, action=Marker.DELETEALL)]))

    def forget(self) -> None:
        """Starts anew after time jumped back."""
        self._lifetime, self._pace = Lifetime(), Pace()

    def _draw(self, result: Result, capsules: Capsules, stamp_s: float) -> bytes:
        ids: list[int] = result.tracks.ids.tolist()
        gone = sorted(self._displayed - set(ids))
        writer = MarkerWriter(len(ids) + len(gone), result.header, self._lifetime.renewed(stamp_s))
        for track_id, corners in zip(ids, capsule_triangles(capsules), strict=True):
            color = (*color_of(track_id), ALPHA)
            writer.add(NAMESPACE, track_id, Marker.TRIANGLE_LIST, (1, 1, 1), color, points=corners)
        for track_id in gone:
            writer.delete(NAMESPACE, track_id)
        self._displayed = set(ids)
        return writer.to_bytes()


def capsule_array(result: Result, capsules: Capsules, *, untrained: bool) -> CapsuleArray:
    """Builds the message of one image.

    Args:
        result: The image and its N people.
        capsules: Their capsules.
        untrained: True if the network was never trained.
    """
    message = CapsuleArray(header=result.header, calibrated=result.camera.calibrated, untrained=untrained)
    people = zip(result.tracks.ids.tolist(), capsules.starts, capsules.ends, capsules.radii.tolist(), strict=True)
    for track_id, starts, ends, radii in people:
        for part, (x, y, z), (u, v, w), radius in zip(PARTS, starts.tolist(), ends.tolist(), radii, strict=True):
            line = {"start": Point(x=x, y=y, z=z), "end": Point(x=u, y=v, z=w)}
            message.capsules.append(Capsule(track_id=track_id, part=part, radius=radius, **line))
    return message


def capsule_triangles(capsules: Capsules) -> NDArray[np.float64]:
    """Returns (N, M, 3) corners of triangles, three after three, that show the capsules of N people."""
    directions, at_end, triangles = _pattern()
    along = capsules.ends - capsules.starts
    length = np.linalg.norm(along, axis=-1, keepdims=True)
    axis = np.where(length > 1e-9, along / np.maximum(length, 1e-9), (0.0, 0.0, 1.0))
    # Any direction that is not the axis will do to begin with.
    helper = np.where(np.abs(axis[..., :1]) < 0.9, (1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
    first = np.cross(helper, axis)
    first /= np.linalg.norm(first, axis=-1, keepdims=True)
    basis = np.stack([first, np.cross(axis, first), axis], axis=-2)  # (N, P, 3, 3), its rows
    centers = np.where(at_end[:, None], capsules.ends[:, :, None], capsules.starts[:, :, None])
    points = centers + capsules.radii[..., None, None] * (directions @ basis)
    corners: NDArray[np.float64] = points[:, :, triangles.ravel()].reshape(len(points), -1, 3)
    return corners


def _pattern() -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.intp]]:
    """(Q, 3) directions about an axis z, (Q,) at which end they start, (T, 3) triangles between them, seen outside."""
    half = np.linspace(-np.pi / 2, 0.0, _RINGS // 2 + 1)
    heights, turns = np.concatenate([half, -half[::-1]]), 2 * np.pi * np.arange(_MERIDIANS) / _MERIDIANS
    height, turn = (grid.ravel() for grid in np.meshgrid(heights, turns, indexing="ij"))
    directions = np.stack([np.cos(height) * np.cos(turn), np.cos(height) * np.sin(turn), np.sin(height)], axis=1)
    ring, step = (grid.ravel() for grid in np.indices((len(heights) - 1, _MERIDIANS)))
    a, b = ring * _MERIDIANS + step, ring * _MERIDIANS + (step + 1) % _MERIDIANS
    triangles = np.concatenate([np.stack([a, b, b + _MERIDIANS], 1), np.stack([a, b + _MERIDIANS, a + _MERIDIANS], 1)])
    return directions, np.arange(len(height)) >= len(half) * _MERIDIANS, triangles
