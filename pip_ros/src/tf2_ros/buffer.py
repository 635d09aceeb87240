"""Transforms that were received, and what they make together between two frames at a time."""

from __future__ import annotations

import bisect
import threading
import time as clock
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from geometry_msgs.msg import TransformStamped
from numpy.typing import NDArray
from rclpy.duration import Duration
from rclpy.time import Time

Array = NDArray[np.float64]
_CACHE_S = 10.0
_POLL_S = 0.02


class TransformException(Exception):
    """There is no such transform."""


class LookupException(TransformException):
    """A frame is not known."""


class ConnectivityException(TransformException):
    """Nothing leads from one frame to the other."""


class ExtrapolationException(TransformException):
    """The time lies outside what is known."""


class InvalidArgumentException(TransformException):
    """A frame's name or a rotation is not allowed."""


@dataclass
class _Edge:
    """What is known of a frame in its parent, by rising stamp [ns]."""

    parent: str
    static: bool
    stamps: list[int] = field(default_factory=list)
    places: list[Array] = field(default_factory=list)
    turns_xyzw: list[Array] = field(default_factory=list)


class Buffer:
    """Keeps the last seconds of transforms; safe to use from several threads.

    A frame that gets another parent begins anew: what it was in the old one is forgotten.
    """

    def __init__(self, cache_time: Duration | None = None, node: Any = None) -> None:
        """Create an empty buffer.

        Args:
            cache_time: How long transforms are kept; default: 10 s.
            node: As in the real one, which offers a service there; not used.
        """
        self._cache_ns = int((cache_time or Duration(seconds=_CACHE_S)).nanoseconds)
        self._edges: dict[str, _Edge] = {}
        self._lock = threading.Lock()

    def set_transform(self, transform: TransformStamped, authority: str) -> None:
        """Add a transform that holds at its stamp; one older than what is kept is dropped."""
        self._add(transform, static=False)

    def set_transform_static(self, transform: TransformStamped, authority: str) -> None:
        """Add a transform that holds for ever."""
        self._add(transform, static=True)

    def clear(self) -> None:
        """Forget everything but what holds for ever."""
        with self._lock:
            self._edges = {child: edge for child, edge in self._edges.items() if edge.static}

    def can_transform(self, target_frame: str, source_frame: str, time: Time, timeout: Duration | None = None) -> bool:
        """Say whether `lookup_transform` would find something."""
        try:
            self.lookup_transform(target_frame, source_frame, time, timeout)
        except TransformException:
            return False
        return True

    def lookup_transform(
        self, target_frame: str, source_frame: str, time: Time, timeout: Duration | None = None
    ) -> TransformStamped:
        """Return what takes points of the source frame to the target frame.

        Args:
            target_frame: Frame to transform to; the header's frame of the result.
            source_frame: Frame to transform from; the child frame of the result.
            time: When; zero: the latest time at which everything is known.
            timeout: How long to wait for it, in real time; default: not at all.
        """
        end = clock.monotonic() + (timeout.nanoseconds * 1e-9 if timeout else 0.0)
        while True:
            try:
                with self._lock:
                    return self._between(target_frame, source_frame, int(time.nanoseconds))
            except TransformException:
                if clock.monotonic() >= end:
                    raise
            clock.sleep(_POLL_S)

    def _add(self, transform: TransformStamped, *, static: bool) -> None:
        child, parent = transform.child_frame_id.lstrip("/"), transform.header.frame_id.lstrip("/")
        place, turn = transform.transform.translation, transform.transform.rotation
        xyz, xyzw = np.array([place.x, place.y, place.z]), np.array([turn.x, turn.y, turn.z, turn.w])
        length = float(np.linalg.norm(xyzw))
        if not child or not parent or child == parent or not np.isfinite(xyz).all() or not abs(length - 1.0) < 1e-2:
            return  # as in the real one, which says so in its log
        stamp = int(Time.from_msg(transform.header.stamp).nanoseconds)
        with self._lock:
            edge = self._edges.get(child)
            if edge is None or edge.parent != parent or edge.static != static:
                edge = self._edges[child] = _Edge(parent, static)
            if static:
                edge.stamps, edge.places, edge.turns_xyzw = [0], [xyz], [xyzw / length]
            else:
                self._insert(edge, stamp, xyz, xyzw / length)

    def _insert(self, edge: _Edge, stamp: int, xyz: Array, xyzw: Array) -> None:
        if edge.stamps and stamp < edge.stamps[-1] - self._cache_ns:
            return
        at = bisect.bisect_left(edge.stamps, stamp)
        if at < len(edge.stamps) and edge.stamps[at] == stamp:
            return  # repeated data: the first stays
        for values, value in ((edge.stamps, stamp), (edge.places, xyz), (edge.turns_xyzw, xyzw)):
            values.insert(at, value)
        old = bisect.bisect_left(edge.stamps, edge.stamps[-1] - self._cache_ns)
        for values in (edge.stamps, edge.places, edge.turns_xyzw):
            del values[:old]

    def _between(self, target: str, source: str, stamp: int) -> TransformStamped:
        target, source = target.lstrip("/"), source.lstrip("/")
        up_source, up_target = self._ancestors(source), self._ancestors(target)
        common = next((frame for frame in up_source if frame in up_target), None)
        if common is None:
            raise ConnectivityException(
                f"Could not find a connection between '{target}' and '{source}' because they are not part of the "
                "same tree."
            )
        legs = [up[: up.index(common)] for up in (up_source, up_target)]
        moving = [self._edges[frame] for leg in legs for frame in leg if not self._edges[frame].static]
        if stamp == 0 and moving:
            stamp = min(edge.stamps[-1] for edge in moving)
        from_source, from_target = (self._to_ancestor(leg, stamp) for leg in legs)
        return _message(target, source, stamp, np.linalg.inv(from_target) @ from_source)

    def _ancestors(self, frame: str) -> list[str]:
        """The frame, its parent, and so on."""
        if frame not in self._edges and all(edge.parent != frame for edge in self._edges.values()):
            raise LookupException(f'"{frame}" passed to lookupTransform does not exist.')
        found = [frame]
        while found[-1] in self._edges:
            found.append(self._edges[found[-1]].parent)
            if found[-1] in found[:-1]:
                raise LookupException(f"The tf tree is invalid because it contains a loop at '{found[-1]}'.")
        return found

    def _to_ancestor(self, frames: list[str], stamp: int) -> Array:
        """What takes points of the first frame to the parent of the last."""
        whole = np.eye(4)
        for frame in frames:
            whole = _at(frame, self._edges[frame], stamp) @ whole
        return whole


def _at(frame: str, edge: _Edge, stamp: int) -> Array:
    """The edge's transform at a time, between the two that enclose it."""
    if edge.static:
        return _matrix(edge.places[0], edge.turns_xyzw[0])
    if not edge.stamps[0] <= stamp <= edge.stamps[-1]:
        direction = "past" if stamp < edge.stamps[0] else "future"
        raise ExtrapolationException(
            f"Lookup would require extrapolation into the {direction}. Requested time {stamp * 1e-9:f} but the data "
            f"of '{frame}' is from {edge.stamps[0] * 1e-9:f} to {edge.stamps[-1] * 1e-9:f}"
        )
    after = bisect.bisect_left(edge.stamps, stamp)
    if edge.stamps[after] == stamp:
        return _matrix(edge.places[after], edge.turns_xyzw[after])
    part = (stamp - edge.stamps[after - 1]) / (edge.stamps[after] - edge.stamps[after - 1])
    place = edge.places[after - 1] + part * (edge.places[after] - edge.places[after - 1])
    return _matrix(place, _slerp(edge.turns_xyzw[after - 1], edge.turns_xyzw[after], part))


def _slerp(first: Array, last: Array, part: float) -> Array:
    cosine = float(first @ last)
    last, cosine = (last, cosine) if cosine >= 0.0 else (-last, -cosine)
    angle = float(np.arccos(min(cosine, 1.0)))
    if angle < 1e-6:
        turn = first + part * (last - first)
    else:
        turn = np.sin((1.0 - part) * angle) * first + np.sin(part * angle) * last
    return np.asarray(turn / np.linalg.norm(turn))


def _matrix(place: Array, xyzw: Array) -> Array:
    x, y, z, w = xyzw
    matrix = np.eye(4)
    matrix[:3, :3] = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)),
        (2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)),
        (2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)),
    )
    matrix[:3, 3] = place
    return matrix


def _message(target: str, source: str, stamp: int, matrix: Array) -> TransformStamped:
    message = TransformStamped(child_frame_id=source)
    message.header.frame_id, message.header.stamp = target, Time(nanoseconds=stamp).to_msg()
    place, turn = message.transform.translation, message.transform.rotation
    place.x, place.y, place.z = matrix[:3, 3].tolist()
    turn.x, turn.y, turn.z, turn.w = _quaternion_xyzw(matrix[:3, :3])
    return message


def _quaternion_xyzw(rotation: Array) -> list[float]:
    """The eigenvector of Bar-Itzhack's symmetric matrix: no case is special."""
    (a, b, c), (d, e, f), (g, h, i) = rotation
    k = np.array(
        [[a - e - i, b + d, c + g, h - f], [b + d, e - a - i, f + h, c - g], [c + g, f + h, i - a - e, d - b],
         [h - f, c - g, d - b, a + e + i]]
    )  # fmt: skip
    vector = np.linalg.eigh(k)[1][:, -1]
    turn: list[float] = (vector if vector[3] >= 0.0 else -vector).tolist()
    return turn
