"""Messages serialized by hand are byte for byte those of the generated classes."""

import numpy as np
import pytest
from rclpy.serialization import deserialize_message
from ros_fakes import assert_serializes, header
from sensor_msgs.msg import CompressedImage, Image, PointCloud2, PointField

from ros2_multihmr.ros.cdr import CdrWriter, compressed_image_cdr, image_cdr, point_cloud_cdr

FRAME_IDS = ["", "c", "cam", "camera", "camera_optical_frame", "Kamera_für_draußen"]


@pytest.mark.parametrize("frame_id", FRAME_IDS)
@pytest.mark.parametrize(
    "shape, encoding", [((2, 3, 3), "rgb8"), ((1, 1), "mono8"), ((5, 7, 4), "bgra8"), ((0, 0, 3), "rgb8")]
)
def test_image(frame_id, shape, encoding):
    pixels = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    naive = Image(header=header(frame_id), height=shape[0], width=shape[1], encoding=encoding)
    naive.step = shape[1] * (shape[2] if len(shape) == 3 else 1) if pixels.size else 0
    naive.data = pixels.tobytes()
    assert_serializes(image_cdr(naive.header, pixels, encoding), naive)


def test_image_that_is_not_contiguous():
    pixels = np.random.default_rng(1).integers(0, 256, (6, 8, 3), np.uint8)[::2, ::-1]
    assert bytes(deserialize_message(image_cdr(header(), pixels, "rgb8"), Image).data) == pixels.tobytes()


@pytest.mark.parametrize("frame_id", FRAME_IDS)
@pytest.mark.parametrize("size", [0, 1, 2, 1001])
def test_compressed_image(frame_id, size):
    data = np.arange(size, dtype=np.uint8)
    naive = CompressedImage(header=header(frame_id), format="jpeg", data=data.tobytes())
    assert_serializes(compressed_image_cdr(naive.header, data, "jpeg"), naive)


@pytest.mark.parametrize("frame_id", FRAME_IDS)
@pytest.mark.parametrize("count", [0, 1, 10])
def test_point_cloud(frame_id, count):
    fields = [PointField(name=name, offset=4 * i, datatype=PointField.FLOAT32, count=1) for i, name in enumerate("xyz")]
    fields.append(PointField(name="id", offset=12, datatype=PointField.UINT32, count=1))
    points = np.zeros(count, [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("id", "<u4")])
    points["x"], points["id"] = np.arange(count), np.arange(count)
    naive = PointCloud2(
        header=header(frame_id), height=1, width=count, fields=fields, is_bigendian=False, is_dense=True
    )
    naive.point_step, naive.row_step, naive.data = 16, 16 * count, points.tobytes()
    assert_serializes(point_cloud_cdr(naive.header, fields, points), naive)


def test_numbers_are_aligned_to_their_size():
    writer = CdrWriter()
    writer.numbers("B", 1)
    writer.numbers("d", 1.0)
    writer.numbers("B", 2)
    writer.numbers("HH", 3, 4)
    assert writer.payload() == b"\x01" + bytes(7) + b"\0\0\0\0\0\0\xf0?" + b"\x02\0" + b"\x03\0\x04\0"
