"""Transforms that were received, and what they make together between two frames at a time."""

from __future__ import annotations

import threading
import time as clock
from dataclasses import replace
from typing import Any

import numpy as np
from geometry_msgs.msg import TransformStamped
from numpy.typing import NDArray
from rclpy.clock import JumpThreshold
from rclpy.duration import Duration
from rclpy.logging import get_logger
from rclpy.time import Time

from .time_cache import (
    ConnectivityException,
    ExtrapolationException,
    InvalidArgumentException,
    LookupException,
    Sample,
    StaticCache,
    TimeCache,
    TransformException,
)

Array = NDArray[np.float64]
_CACHE_S = 10.0
_POLL_S = 0.02
_NORM_TOLERANCE = 0.01  # of a quaternion's squared length


class Buffer:
    """Keeps the last seconds of transforms; safe to use from several threads. As tf2's BufferCore."""

    def __init__(self, cache_time: Duration | None = None, node: Any = None) -> None:
        """Create an empty buffer.

        Args:
            cache_time: How long transforms are kept; default: 10 s.
            node: Where its clock jumps back, the buffer is cleared; the real one offers a service there, too.
        """
        self._cache_ns = int((cache_time or Duration(seconds=_CACHE_S)).nanoseconds)
        self._caches: dict[str, TimeCache | StaticCache] = {}
        self._frames: set[str] = set()
        self._lock = threading.Lock()
        if node is not None:
            back = JumpThreshold(min_forward=None, min_backward=Duration(seconds=-1), on_clock_change=True)
            self._jumps = node.get_clock().create_jump_callback(back, post_callback=lambda _: self.clear())

    def set_transform(self, transform: TransformStamped, authority: str) -> None:
        """Add a transform that holds at its stamp; one older than what is kept is dropped, and the log says so."""
        self._add(transform, authority, static=False)

    def set_transform_static(self, transform: TransformStamped, authority: str) -> None:
        """Add a transform that holds for ever."""
        self._add(transform, authority, static=True)

    def clear(self) -> None:
        """Forget everything but what holds for ever."""
        with self._lock:
            for cache in self._caches.values():
                cache.clear()

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

    def _add(self, transform: TransformStamped, authority: str, *, static: bool) -> None:
        child, parent = (name.removeprefix("/") for name in (transform.child_frame_id, transform.header.frame_id))
        place, turn = transform.transform.translation, transform.transform.rotation
        sample = Sample(parent, np.array([place.x, place.y, place.z]), np.array([turn.x, turn.y, turn.z, turn.w]))
        problem = _problem(child, sample)
        if problem:
            get_logger("tf2").error(f'{problem}: ignoring transform of "{child}" from authority "{authority}"')
            return
        stamp = int(Time.from_msg(transform.header.stamp).nanoseconds)
        sample = replace(sample, turn_xyzw=sample.turn_xyzw / np.linalg.norm(sample.turn_xyzw))
        with self._lock:
            self._frames |= {child, parent}
            if not isinstance(self._caches.get(child), StaticCache if static else TimeCache):
                self._caches[child] = StaticCache() if static else TimeCache(self._cache_ns)
            taken = self._caches[child].insert(stamp, sample)
        if not taken:
            get_logger("tf2").warning(
                f"TF_OLD_DATA ignoring data from the past for frame {child} at time {stamp * 1e-9:f} according to "
                f"authority {authority}"
            )

    def _between(self, target: str, source: str, stamp: int) -> TransformStamped:
        if target == source:
            known = self._caches.get(target)
            return _message(target, source, stamp or (known.latest_ns if known else 0), np.eye(4))
        for frame in (target, source):
            self._check(frame)
        stamp = stamp or self._latest_common(target, source)
        source_in, top, problem = self._climb(source, target, stamp)
        if target in source_in:
            return _message(target, source, stamp, source_in[target])
        target_in, _, target_problem = self._climb(target, source, stamp)
        if source in target_in:
            return _message(target, source, stamp, np.linalg.inv(target_in[source]))
        if top in target_in:
            return _message(target, source, stamp, np.linalg.inv(target_in[top]) @ source_in[top])
        failed = target_problem or problem
        if failed is not None:
            raise ExtrapolationException(
                f"{failed}, when looking up transform from frame [{source}] to frame [{target}]"
            )
        raise _not_connected(target, source)

    def _check(self, frame: str) -> None:
        if not frame or frame.startswith("/"):
            said = "be empty" if not frame else "start with a '/'"
            raise InvalidArgumentException(
                f'Invalid argument "{frame}" passed to lookupTransform - in tf2 frame_ids cannot {said}'
            )
        if frame not in self._frames:
            raise LookupException(f'"{frame}" passed to lookupTransform does not exist. ')

    def _climb(self, start: str, goal: str, stamp: int) -> tuple[dict[str, Array], str, TransformException | None]:
        """Where the start is in each frame above it, up to the goal or the root; the last, and why it is the last."""
        found, frame = {start: np.eye(4)}, start
        while frame != goal and frame in self._caches:
            try:
                step = self._caches[frame].at(stamp)
            except ExtrapolationException as error:
                return found, frame, error
            if step.parent in found:
                raise LookupException(f"The tf tree is invalid because it contains a loop at '{frame}'.")
            found[step.parent] = step.matrix() @ found[frame]
            frame = step.parent
        return found, frame, None

    def _latest_common(self, target: str, source: str) -> int:
        """The latest time at which all frames between the two are known, by their latest parents."""
        up_source, up_target = (self._latest_ancestors(frame) for frame in (source, target))
        common = next((frame for frame in up_source if frame in up_target), None)
        if common is None:
            raise _not_connected(target, source)
        between = [frame for up in (up_source, up_target) for frame in up[: up.index(common)]]
        return min((self._caches[frame].latest_ns for frame in between if self._caches[frame].latest_ns), default=0)

    def _latest_ancestors(self, frame: str) -> list[str]:
        found = [frame]
        while frame in self._caches and self._caches[frame].latest_parent():
            frame = self._caches[frame].latest_parent()
            if frame in found:
                raise LookupException(f"The tf tree is invalid because it contains a loop at '{frame}'.")
            found.append(frame)
        return found


def _problem(child: str, sample: Sample) -> str:
    """The name that tf2 has for what is wrong with a transform."""
    if child == sample.parent:
        return "TF_SELF_TRANSFORM"
    if not child:
        return "TF_NO_CHILD_FRAME_ID"
    if not sample.parent:
        return "TF_NO_FRAME_ID"
    if np.isnan(sample.place).any() or np.isnan(sample.turn_xyzw).any():
        return "TF_NAN_INPUT"
    return (
        "" if abs(float(sample.turn_xyzw @ sample.turn_xyzw) - 1.0) < _NORM_TOLERANCE else "TF_DENORMALIZED_QUATERNION"
    )


def _not_connected(target: str, source: str) -> ConnectivityException:
    return ConnectivityException(
        f"Could not find a connection between '{target}' and '{source}' because they are not part of the same tree. "
        "Tf has two or more unconnected trees."
    )


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
