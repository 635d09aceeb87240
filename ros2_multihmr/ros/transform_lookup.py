"""TF transforms at the stamps of images: waits for those that are late, and never guesses one."""

from __future__ import annotations

import time

import numpy as np
from builtin_interfaces.msg import Time as TimeMessage
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.time import Time
from scipy.spatial.transform import Rotation
from tf2_ros import (
    Buffer,
    ConnectivityException,
    ExtrapolationException,
    LookupException,
    TransformException,
    TransformListener,
)

_POLL_S = 0.005
_LATEST = Time()
_REASONS = {  # the exceptions' own words name times, so that no two are the same
    LookupException: "one of the two is unknown",
    ConnectivityException: "nothing connects them",
    ExtrapolationException: "there is none for the image's time",
}


class UnknownTransformError(Exception):
    """TF does not know a transform; the text says why, in the same words as long as the reason stays."""


class TransformLookup:
    """Listens to TF.

    Args:
        node: Whoever spins it moves the transforms; `find` must be called from another thread.
    """

    def __init__(self, node: Node) -> None:
        self._buffer = Buffer()
        self._listener = TransformListener(self._buffer, node, spin_thread=False)

    def find(self, target: str, source: str, stamp: TimeMessage, timeout_s: float) -> NDArray[np.float64]:
        """Returns (4, 4) T_target_source.

        Args:
            target: Frame into which it takes points.
            source: Frame of the points.
            stamp: When.
            timeout_s: How long to wait for a transform that is late; one that nobody sends is not waited for.

        Raises:
            UnknownTransformError: TF does not know it.
        """
        end_s, when = time.monotonic() + timeout_s, Time.from_msg(stamp)
        try:
            while (
                not self._buffer.can_transform(target, source, when)
                and self._comes_later(target, source, when)
                and time.monotonic() < end_s
            ):
                time.sleep(_POLL_S)
            found = self._buffer.lookup_transform(target, source, when).transform
            t, q = found.translation, found.rotation
            pose = np.eye(4)
            pose[:3, :3] = Rotation.from_quat([q.x, q.y, q.z, q.w]).as_matrix()
            pose[:3, 3] = (t.x, t.y, t.z)
        except (TransformException, ValueError) as error:  # a ValueError: the quaternion is none
            raise UnknownTransformError(_REASONS.get(type(error), "what came is no transform")) from error
        return pose

    def forget(self) -> None:
        """Starts anew after time jumped back."""
        self._buffer.clear()

    def destroy(self) -> None:
        """Ends the subscriptions."""
        self._listener.unregister()

    def _comes_later(self, target: str, source: str, when: Time) -> bool:
        """True if the frames are connected, and what is known is older than asked for."""
        if not self._buffer.can_transform(target, source, _LATEST):
            return False
        latest = self._buffer.lookup_transform(target, source, _LATEST)
        return bool(Time.from_msg(latest.header.stamp) < when)
