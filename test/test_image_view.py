"""Images read from their bytes are those that the generated class reads."""

import numpy as np
import pytest
from rclpy.serialization import deserialize_message, serialize_message
from ros_fakes import header
from sensor_msgs.msg import Image

from ros2_multihmr.ros.cdr import image_cdr
from ros2_multihmr.ros.conversions import image_from_message
from ros2_multihmr.ros.image_view import image_view

FIELDS = ("header", "height", "width", "encoding", "is_bigendian", "step")
RNG = np.random.default_rng(0)


def serialized(frame_id="camera", encoding="rgb8", big_endian=0, rows=4, pad=0):
    step = 5 * (3 if "8" in encoding and "mono" not in encoding else 2) + pad
    message = Image(
        header=header(frame_id), height=rows, width=5, encoding=encoding, step=step, is_bigendian=big_endian
    )
    message.data = RNG.integers(0, 256, rows * step, np.uint8).tobytes()
    return serialize_message(message)


@pytest.mark.parametrize("frame_id", ["", "c", "ca", "cam", "came", "für"])
@pytest.mark.parametrize("encoding", ["rgb8", "bgr8", "mono16", "16UC1"])
@pytest.mark.parametrize("pad", [0, 3])
def test_fields_and_pixels_are_those_of_the_class(frame_id, encoding, pad):
    raw = serialized(frame_id, encoding, big_endian=int(encoding == "mono16"), pad=pad)
    message, view = deserialize_message(raw, Image), image_view(raw)
    assert [getattr(view, name) for name in FIELDS] == [getattr(message, name) for name in FIELDS]
    assert view.data.tobytes() == bytes(message.data) and np.shares_memory(view.data, np.frombuffer(raw, np.uint8))
    image = image_from_message(view)
    np.testing.assert_array_equal(image, image_from_message(message))
    assert image.flags.writeable and image.flags.c_contiguous


def test_an_image_without_pixels():
    raw = image_cdr(header(), np.zeros((0, 0, 3), np.uint8), "rgb8")
    assert image_view(raw).data.size == 0


def test_bytes_of_the_other_order():
    values = [b"\0\0\0\0", (7).to_bytes(4, "big"), (8).to_bytes(4, "big"), (2).to_bytes(4, "big"), b"c\0\0\0"]
    values += [(n).to_bytes(4, "big") for n in (1, 2, 6)] + [b"mono8\0", b"\0", b"\0"]
    values += [(2).to_bytes(4, "big"), (2).to_bytes(4, "big"), b"\x05\x06"]
    view = image_view(b"".join(values))
    assert (view.header.stamp.sec, view.header.stamp.nanosec, view.header.frame_id) == (7, 8, "c")
    assert (view.height, view.width, view.encoding, view.step, view.data.tolist()) == (1, 2, "mono8", 2, [5, 6])


@pytest.mark.parametrize("size", [0, 3, 8, 20, 30, 40])
def test_bytes_that_end_too_soon(size):
    with pytest.raises(ValueError, match="expected a serialized"):
        image_view(serialized()[:size])


def test_pixels_that_are_cut_off_are_told():
    with pytest.raises(ValueError, match="data was cut off"):
        image_from_message(image_view(serialized()[:-20]))
