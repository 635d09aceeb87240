"""CDR bytes of a visualization_msgs/MarkerArray, field by field in the order of its definition."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from std_msgs.msg import Header
from visualization_msgs.msg import Marker

from ros2_multihmr.ros.cdr import CdrWriter

Points = NDArray[np.float64]
_NO_POINTS = np.zeros((0, 3))


class MarkerWriter:
    """Appends markers that share a header; `to_bytes` returns the serialized array.

    Args:
        count: How many markers there are going to be.
        header: Of every marker.
        lifetime_s: How long each stays on display that is not renewed [s].
    """

    def __init__(self, count: int, header: Header, lifetime_s: float = 0.0) -> None:
        self._header, self._lifetime = header, divmod(round(lifetime_s * 1e9), 1_000_000_000)
        self._writer = CdrWriter()
        self._writer.numbers("I", count)

    def add(
        self,
        namespace: str,
        track_id: int,
        kind: int,
        scale: tuple[float, ...],
        color: tuple[float, ...],
        *,
        position: tuple[float, ...] | list[float] = (0, 0, 0),
        points: Points = _NO_POINTS,
        text: str = "",
    ) -> None:
        """Appends a marker to show: scale, position and points in metres, color as red, green, blue, alpha."""
        self._write(namespace, track_id, kind, Marker.ADD, self._lifetime, scale, color, position, points, text)

    def delete(self, namespace: str, track_id: int) -> None:
        """Appends the end of one marker."""
        self._write(namespace, track_id, Marker.ARROW, Marker.DELETE)

    def delete_all(self) -> None:
        """Appends the end of every marker of the topic."""
        self._write("", 0, Marker.ARROW, Marker.DELETEALL)

    def to_bytes(self) -> bytes:
        """Returns the serialized MarkerArray."""
        return self._writer.to_bytes()

    def _write(
        self,
        namespace: str,
        track_id: int,
        kind: int,
        action: int,
        lifetime: tuple[int, int] = (0, 0),
        scale: tuple[float, ...] = (0, 0, 0),
        color: tuple[float, ...] = (0, 0, 0, 0),
        position: tuple[float, ...] | list[float] = (0, 0, 0),
        points: Points = _NO_POINTS,
        text: str = "",
    ) -> None:
        writer = self._writer
        writer.header(self._header)
        writer.string(namespace)
        writer.numbers("iii", track_id, kind, action)
        writer.numbers("10d", *position, 0, 0, 0, 1, *scale)
        writer.numbers("4f", *color)
        writer.numbers("iI", *lifetime)
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
