"""RViz markers of all people: mesh, skeleton, label and velocity, as one serialized MarkerArray.

RViz shows no mesh file sent with a marker, so a mesh goes out as a triangle list. Its number of points is constant
(RViz reuses its buffers) and it has one color (colors per point turn the lighting off).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from std_msgs.msg import Header
from visualization_msgs.msg import Marker

from ros2_multihmr.body.body_model import BodyInfo
from ros2_multihmr.humans import Humans
from ros2_multihmr.palette import color_of
from ros2_multihmr.ros.marker_cdr import MarkerWriter
from ros2_multihmr.ros.pace import Lifetime
from ros2_multihmr.tracking.motion_state import Motion
from ros2_multihmr.tracking.tracks import Tracks

NAMESPACES = ("mesh", "skeleton", "label")
VELOCITY = "velocity"  # of those who move
BONE_WIDTH_M = 0.02
LABEL_HEIGHT_M = 0.12
LABEL_ABOVE_HEAD_M = 0.35
ARROW_M = (0.04, 0.1, 0.12)  # width of the shaft and of the head, length of the head
ARROW_S = 1.0  # an arrow leads to where its person is after so long
STANDS_M_S = 0.1  # an arrow of less would only tremble
PREDICTED_ALPHA = 0.4

Color = tuple[float, float, float, float]


class MarkerBuilder:
    """Serializes the markers of one image after the other, and remembers whose markers are on display.

    Args:
        body: Names and topology of the body.
        untrained: True to say so on every label.
    """

    def __init__(self, body: BodyInfo, *, untrained: bool) -> None:
        self._faces = body.faces.astype(np.intp).ravel()
        self._faces_lod = body.faces_lod.astype(np.intp).ravel()
        self._bones = skeleton_edges(body).ravel()
        self._head = body.center_joint
        self._note = "\nuntrained weights" if untrained else ""
        self._displayed: set[tuple[str, int]] = set()
        self._lifetime = Lifetime()

    def update(
        self, header: Header, humans: Humans, tracks: Tracks, motion: Motion | None = None, *, full: bool = False
    ) -> bytes:
        """Serializes a MarkerArray that shows `humans`, and deletes every other marker shown before.

        Args:
            header: Header of the image.
            humans: N people.
            tracks: Their ids; who is predicted is shown half transparent.
            motion: How they move; None if nobody follows them. Who moves has an arrow, to the place in a second.
            full: True for the full mesh, which `humans` must then hold; False for the reduced one.
        """
        ids: list[int] = tracks.ids.tolist()
        alphas = np.where(tracks.predicted, PREDICTED_ALPHA, 1.0).tolist()
        colors: list[Color] = [(*color_of(track_id), alpha) for track_id, alpha in zip(ids, alphas)]
        arrows = _moving(motion)
        shown = {(namespace, track_id) for namespace in NAMESPACES for track_id in ids}
        shown |= {(VELOCITY, ids[i]) for i in arrows}
        gone = sorted(self._displayed - shown)
        stamp = header.stamp
        lifetime_s = self._lifetime.renewed(stamp.sec + stamp.nanosec * 1e-9)
        writer = MarkerWriter(len(shown) + len(gone), header, lifetime_s)
        self._write_meshes(writer, humans, ids, colors, full)
        self._write_skeletons(writer, humans, ids, colors)
        self._write_labels(writer, humans, tracks)
        if motion is not None:
            _write_arrows(writer, humans, motion, arrows, ids, colors)
        for namespace, track_id in gone:
            writer.delete(namespace, track_id)
        self._displayed = shown
        return writer.to_bytes()

    def clear(self, header: Header) -> bytes:
        """Serializes a MarkerArray that deletes every marker of the topic."""
        self._displayed = set()
        writer = MarkerWriter(1, header)
        writer.delete_all()
        return writer.to_bytes()

    def _write_meshes(
        self, writer: MarkerWriter, humans: Humans, ids: list[int], colors: list[Color], full: bool
    ) -> None:
        vertices, faces = (humans.vertices, self._faces) if full else (humans.vertices_lod, self._faces_lod)
        corners = vertices.astype("<f8").take(faces, axis=1)
        for track_id, color, points in zip(ids, colors, corners):
            writer.add("mesh", track_id, Marker.TRIANGLE_LIST, (1, 1, 1), color, points=points)

    def _write_skeletons(self, writer: MarkerWriter, humans: Humans, ids: list[int], colors: list[Color]) -> None:
        ends = humans.joints.astype("<f8").take(self._bones, axis=1)
        for track_id, color, points in zip(ids, colors, ends):
            writer.add("skeleton", track_id, Marker.LINE_LIST, (BONE_WIDTH_M, 0, 0), color, points=points)

    def _write_labels(self, writer: MarkerWriter, humans: Humans, tracks: Tracks) -> None:
        positions = humans.joints[:, self._head] + LABEL_ABOVE_HEAD_M * humans.rotation[:, :, 2]
        told = ["predicted" if p else f"{s:.0%}" for p, s in zip(tracks.predicted.tolist(), humans.scores.tolist())]
        for track_id, position, text in zip(tracks.ids.tolist(), positions.tolist(), told):
            label = f"{track_id} ({text}){self._note}"
            writer.add(
                "label", track_id, Marker.TEXT_VIEW_FACING, (0, 0, LABEL_HEIGHT_M), (1, 1, 1, 1),
                position=position, text=label,
            )  # fmt: skip


def skeleton_edges(body: BodyInfo) -> NDArray[np.intp]:
    """Returns the (E, 2) pairs of joints that a skeleton draws: every posed joint with its nearest posed ancestor."""
    posed = sorted({0, *body.body_joints, *body.left_hand_joints, *body.right_hand_joints})
    edges = []
    for joint in posed:
        parent = body.parents[joint]
        while parent > 0 and parent not in posed:
            parent = body.parents[parent]
        if parent >= 0:
            edges.append((parent, joint))
    return np.array(edges, np.intp).reshape(-1, 2)


def _moving(motion: Motion | None) -> list[int]:
    """Indices of those who are known to move."""
    if motion is None:
        return []
    fast = np.linalg.norm(motion.velocity, axis=1) >= STANDS_M_S
    indices: list[int] = np.flatnonzero(motion.valid & fast).tolist()
    return indices


def _write_arrows(
    writer: MarkerWriter, humans: Humans, motion: Motion, moving: list[int], ids: list[int], colors: list[Color]
) -> None:
    starts = humans.origin.astype("<f8")
    ends = starts + ARROW_S * motion.velocity
    for i in moving:
        points = np.stack([starts[i], ends[i]]).astype("<f8")
        writer.add(VELOCITY, ids[i], Marker.ARROW, ARROW_M, colors[i], points=points)
