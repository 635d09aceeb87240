"""RViz markers of all people: a mesh, a skeleton and a label each, as one serialized MarkerArray.

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
from ros2_multihmr.ros.cdr import CdrWriter
from ros2_multihmr.tracking.tracker import Tracks

NAMESPACES = ("mesh", "skeleton", "label")
BONE_WIDTH_M = 0.02
LABEL_HEIGHT_M = 0.12
LABEL_ABOVE_HEAD_M = 0.35
PREDICTED_ALPHA = 0.4

Points = NDArray[np.float64]
_NO_POINTS = np.zeros((0, 3))


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
        self._displayed: set[int] = set()

    def update(self, header: Header, humans: Humans, tracks: Tracks, *, full: bool = False) -> bytes:
        """Serializes a MarkerArray that shows `humans`, and deletes the markers of everyone else shown before.

        Args:
            header: Header of the image.
            humans: N people.
            tracks: Their ids; who is predicted is shown half transparent.
            full: True for the full mesh, which `humans` must then hold; False for the reduced one.
        """
        ids = [int(track_id) for track_id in tracks.ids]
        gone = sorted(self._displayed - set(ids))
        writer = CdrWriter()
        writer.numbers("I", len(NAMESPACES) * (len(ids) + len(gone)))
        self._write_meshes(writer, header, humans, tracks, full)
        self._write_skeletons(writer, header, humans, ids)
        self._write_labels(writer, header, humans, tracks)
        for track_id in gone:
            for namespace in NAMESPACES:
                _write_marker(writer, header, namespace, track_id, action=Marker.DELETE)
        self._displayed = set(ids)
        return writer.to_bytes()

    def clear(self, header: Header) -> bytes:
        """Serializes a MarkerArray that deletes every marker of the topic."""
        self._displayed = set()
        writer = CdrWriter()
        writer.numbers("I", 1)
        _write_marker(writer, header, "", 0, action=Marker.DELETEALL)
        return writer.to_bytes()

    def _write_meshes(self, writer: CdrWriter, header: Header, humans: Humans, tracks: Tracks, full: bool) -> None:
        vertices, faces = (humans.vertices, self._faces) if full else (humans.vertices_lod, self._faces_lod)
        corners = vertices.astype("<f8").take(faces, axis=1)
        for track_id, predicted, points in zip(tracks.ids.tolist(), tracks.predicted.tolist(), corners):
            color = (*color_of(track_id), PREDICTED_ALPHA if predicted else 1.0)
            _write_marker(
                writer, header, "mesh", track_id, kind=Marker.TRIANGLE_LIST, scale=(1, 1, 1), color=color, points=points
            )

    def _write_skeletons(self, writer: CdrWriter, header: Header, humans: Humans, ids: list[int]) -> None:
        ends = humans.joints.astype("<f8").take(self._bones, axis=1)
        for track_id, points in zip(ids, ends):
            _write_marker(
                writer,
                header,
                "skeleton",
                track_id,
                kind=Marker.LINE_LIST,
                scale=(BONE_WIDTH_M, 0, 0),
                color=(1, 1, 1, 1),
                points=points,
            )

    def _write_labels(self, writer: CdrWriter, header: Header, humans: Humans, tracks: Tracks) -> None:
        positions = humans.joints[:, self._head] + LABEL_ABOVE_HEAD_M * humans.rotation[:, :, 2]
        told = ["predicted" if p else f"{s:.0%}" for p, s in zip(tracks.predicted.tolist(), humans.scores.tolist())]
        for track_id, position, text in zip(tracks.ids.tolist(), positions.tolist(), told):
            _write_marker(
                writer,
                header,
                "label",
                track_id,
                kind=Marker.TEXT_VIEW_FACING,
                position=position,
                scale=(0, 0, LABEL_HEIGHT_M),
                color=(1, 1, 1, 1),
                text=f"{track_id} ({text}){self._note}",
            )


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


def _write_marker(
    writer: CdrWriter,
    header: Header,
    namespace: str,
    track_id: int,
    *,
    kind: int = Marker.ARROW,
    action: int = Marker.ADD,
    position: tuple[float, ...] | list[float] = (0, 0, 0),
    scale: tuple[float, ...] = (0, 0, 0),
    color: tuple[float, ...] = (0, 0, 0, 0),
    points: Points = _NO_POINTS,
    text: str = "",
) -> None:
    """Appends one visualization_msgs/Marker, field by field in the order of its definition."""
    writer.header(header)
    writer.string(namespace)
    writer.numbers("iii", track_id, kind, action)
    writer.numbers("10d", *position, 0, 0, 0, 1, *scale)
    writer.numbers("4f", *color)
    writer.numbers("iI", 0, 0)  # lifetime: until it is deleted
    writer.numbers("?", False)  # frame_locked
    writer.sequence(points, count=len(points))
    writer.append(_COLORS_TO_UV_COORDINATES, 4)
    writer.string(text)
    writer.append(_MESH_RESOURCE_TO_END, 4)


def _colors_to_uv_coordinates() -> bytes:
    writer = CdrWriter()
    writer.numbers("I", 0)  # colors
    writer.string("")  # texture_resource
    writer.header(Header())  # texture, a CompressedImage
    writer.string("")
    writer.numbers("II", 0, 0)  # its data; uv_coordinates
    return writer.payload()


def _mesh_resource_to_end() -> bytes:
    writer = CdrWriter()
    writer.string("")  # mesh_resource
    writer.string("")  # mesh_file: name and data
    writer.numbers("I", 0)
    writer.numbers("?", False)  # mesh_use_embedded_materials
    return writer.payload()


# Empty fields between those that a marker uses; they begin on a multiple of four bytes wherever they stand.
_COLORS_TO_UV_COORDINATES = _colors_to_uv_coordinates()
_MESH_RESOURCE_TO_END = _mesh_resource_to_end()
