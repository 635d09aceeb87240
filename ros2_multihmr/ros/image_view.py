"""A sensor_msgs/Image read where its bytes lie: the generated class would copy the pixels several times first."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from std_msgs.msg import Header

_START = 4  # the encapsulation, of which the second byte tells the order of bytes; alignment counts from its end


@dataclass(frozen=True)
class ImageView:
    """The fields of a sensor_msgs/Image, under the same names; nobody can write to `data`."""

    header: Header
    height: int
    width: int
    encoding: str
    is_bigendian: int
    step: int
    data: NDArray[np.uint8]


def image_view(raw: bytes) -> ImageView:
    """Reads a serialized sensor_msgs/Image (OMG CDR, XCDR1).

    Args:
        raw: As a subscription with `raw=True` gives it; `data` stays part of it.

    Raises:
        ValueError: The bytes end before the pixels begin.
    """
    order = "<" if raw[1:2] == b"\1" else ">"
    try:
        sec, nanosec = struct.unpack_from(f"{order}iI", raw, _START)
        frame_id, at = _string(raw, _START + 8, order)
        height, width = struct.unpack_from(f"{order}II", raw, at := _aligned(at))
        encoding, at = _string(raw, at + 8, order)
        step, size = struct.unpack_from(f"{order}II", raw, _aligned(at + 1))
        data = np.frombuffer(raw, np.uint8)[_aligned(at + 1) + 8 :][:size]
        header = Header(stamp=Time(sec=sec, nanosec=nanosec), frame_id=frame_id)
        return ImageView(header, height, width, encoding, raw[at], step, data)
    except (struct.error, IndexError) as error:
        raise ValueError(f"image: expected a serialized sensor_msgs/Image, got {len(raw)} bytes: {error}") from error


def _string(raw: bytes, at: int, order: str) -> tuple[str, int]:
    """Returns a string and where it ends."""
    at = _aligned(at)
    (size,) = struct.unpack_from(f"{order}I", raw, at)
    return raw[at + 4 : at + 3 + size].decode(errors="replace"), at + 4 + size


def _aligned(at: int) -> int:
    return at + -(at - _START) % 4
