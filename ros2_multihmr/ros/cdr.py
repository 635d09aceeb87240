"""CDR bytes of big messages, written by hand.

A generated message class wants a Python object for every point of a mesh, which takes 160 ms for one person of 20,000
triangles. Its serialized form is simple, and `Publisher.publish` takes it as it is: little-endian numbers, each aligned
to its own size from the start of the payload, strings and sequences with their length in front (OMG CDR, XCDR1). The
tests prove the bytes equal to those of the generated classes.
"""

from __future__ import annotations

import struct

import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from sensor_msgs.msg import PointField
from std_msgs.msg import Header

_ENCAPSULATION = b"\x00\x01\x00\x00"  # CDR, little endian


class CdrWriter:
    """Appends fields in the order of a message definition; `to_bytes` returns the serialized message."""

    def __init__(self) -> None:
        self._parts: list[bytes | memoryview] = [_ENCAPSULATION]
        self._offset = 0

    def numbers(self, layout: str, *values: float) -> None:
        """Appends consecutive numbers of one size.

        Args:
            layout: `struct` format without byte order; all of its types have the size of the first.
            values: One number per type.
        """
        code = struct.Struct("<" + layout)
        self.append(code.pack(*values), code.size // len(values))

    def string(self, text: str) -> None:
        """Appends a string."""
        encoded = text.encode() + b"\0"
        self.numbers("I", len(encoded))
        self.append(encoded, 1)

    def sequence(self, array: NDArray[np.generic], count: int | None = None) -> None:
        """Appends a sequence of numbers, or of structures that hold numbers of one size and nothing else.

        Args:
            array: Little-endian numbers in C order.
            count: Length of the sequence, where an element is more than one number.
        """
        self.numbers("I", array.size if count is None else count)
        if array.size:
            # An empty sequence is not followed by the padding of its elements.
            self.append(np.ascontiguousarray(array).data.cast("B"), array.dtype.alignment)

    def time(self, stamp: Time) -> None:
        """Appends a builtin_interfaces/Time."""
        self.numbers("iI", stamp.sec, stamp.nanosec)

    def header(self, header: Header) -> None:
        """Appends a std_msgs/Header."""
        self.time(header.stamp)
        self.string(header.frame_id)

    def to_bytes(self) -> bytes:
        """Returns the serialized message."""
        return b"".join(self._parts)

    def payload(self) -> bytes:
        """Returns the fields alone, for use with `append`."""
        return self.to_bytes()[len(_ENCAPSULATION) :]

    def append(self, data: bytes | memoryview, alignment: int) -> None:
        """Appends serialized data whose first field is aligned to `alignment` bytes."""
        padding = -self._offset % alignment
        self._parts += (bytes(padding), data)
        self._offset += padding + len(data)


def image_cdr(header: Header, image: NDArray[np.uint8], encoding: str) -> bytes:
    """Serializes a sensor_msgs/Image.

    Args:
        header: Stamp and frame.
        image: (H, W, C) or (H, W) uint8 pixels.
        encoding: Name of the pixels' order, for example rgb8.
    """
    height, width = image.shape[:2]
    writer = CdrWriter()
    writer.header(header)
    writer.numbers("II", height, width)
    writer.string(encoding)
    writer.numbers("?", False)
    writer.numbers("I", image.size // max(height, 1))
    writer.sequence(image)
    return writer.to_bytes()


def compressed_image_cdr(header: Header, data: NDArray[np.uint8], compression: str) -> bytes:
    """Serializes a sensor_msgs/CompressedImage; `data` is a 1D uint8 array, `compression` its format (jpeg, png)."""
    writer = CdrWriter()
    writer.header(header)
    writer.string(compression)
    writer.sequence(data)
    return writer.to_bytes()


def point_cloud_cdr(header: Header, fields: list[PointField], points: NDArray[np.void]) -> bytes:
    """Serializes a dense, unordered sensor_msgs/PointCloud2.

    Args:
        header: Stamp and frame.
        fields: What a point is made of.
        points: (N,) records as `fields` describe them, little endian.
    """
    step = points.dtype.itemsize
    writer = CdrWriter()
    writer.header(header)
    writer.numbers("II", 1, len(points))
    writer.numbers("I", len(fields))
    for field in fields:
        writer.string(field.name)
        writer.numbers("I", field.offset)
        writer.numbers("B", field.datatype)
        writer.numbers("I", field.count)
    writer.numbers("?", False)
    writer.numbers("II", step, step * len(points))
    writer.sequence(np.ascontiguousarray(points).view(np.uint8))
    writer.numbers("?", True)
    return writer.to_bytes()
