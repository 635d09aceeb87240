"""The stand-ins for ROS packages that PyPI lacks do what the real packages' documentation says."""

import array
import itertools
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import ros_fakes  # noqa: F401  (sets the environment before ROS is loaded)

# isort: split

import cv2
import cv_bridge
import numpy as np
import pytest
import rclpy
import sensor_msgs_py
import tf2_ros
import tf_transformations as tf
from geometry_msgs.msg import TransformStamped
from rclpy.duration import Duration
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.time import Time
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import CompressedImage, Image, PointCloud2, PointField
from sensor_msgs_py import point_cloud2
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage

if not all((Path(p.__file__).parent / "STAND_IN").exists() for p in (cv_bridge, sensor_msgs_py, tf2_ros, tf)):
    pytest.skip("ROS's own packages are here, not the stand-ins", allow_module_level=True)

PIP_ROS = Path(__file__).resolve().parents[1] / "pip_ros"
BRIDGE = cv_bridge.CvBridge()
RNG = np.random.default_rng(0)
TF_MESSAGE_HASH = "RIHS01_e369d0f05a23ae52508854b66f6aa0437f3449d652e8cbf22d5abe85d020f087"
BAYER = ("rggb", "bggr", "gbrg", "grbg")
NAMED = {
    **{f"{colour}{bits}": (f"uint{bits}", channels) for bits in (8, 16)
       for colour, channels in {"mono": 1, "rgb": 3, "bgr": 3, "rgba": 4, "bgra": 4}.items()},
    **{f"bayer_{pattern}{bits}": (f"uint{bits}", 1) for bits in (8, 16) for pattern in BAYER},
    "yuv422": ("uint8", 2), "yuv422_yuy2": ("uint8", 2), "8UC3": ("uint8", 3), "16SC2": ("int16", 2),
    "32FC1": ("float32", 1), "64FC4": ("float64", 4), "32S": ("int32", 1),
}  # fmt: skip


def _noise(encoding: str, height: int = 6, width: int = 8) -> np.ndarray:
    dtype, channels = NAMED[encoding]
    noise = RNG.integers(0, 250, (height, width, channels)).astype(dtype)
    return noise[:, :, 0] if channels == 1 else noise


def _message(image: np.ndarray, encoding: str, *, padding: int = 0, big: bool = False) -> Image:
    """Writes an image by the message's definition: row after row, `padding` bytes of garbage after each."""
    rows = image.astype(image.dtype.newbyteorder(">" if big else "<")).reshape(len(image), -1).view(np.uint8)
    rows = np.concatenate([rows, np.full((len(rows), padding), 77, np.uint8)], axis=1)
    return Image(
        height=image.shape[0], width=image.shape[1], encoding=encoding, step=rows.shape[1],
        is_bigendian=int(big), data=array.array("B", rows.tobytes()),
    )  # fmt: skip


# ---- cv_bridge


@pytest.mark.parametrize("encoding", NAMED)
def test_message_round_trip(encoding):
    image, header = _noise(encoding), Header(frame_id="camera")
    if encoding == "32S":  # may be read, but a message is called 32SC1
        assert np.array_equal(BRIDGE.imgmsg_to_cv2(_message(image, encoding)), image)
        return
    message = BRIDGE.cv2_to_imgmsg(image, encoding, header)
    assert (message.height, message.width, message.encoding, message.header) == (6, 8, encoding, header)
    assert message.step == image.strides[0] and message.data.tobytes() == image.tobytes()
    back = BRIDGE.imgmsg_to_cv2(message)
    assert back.dtype == image.dtype and np.array_equal(back, image)


@pytest.mark.parametrize(
    ("encoding", "padding", "big"),
    list(itertools.product(["mono8", "rgb8", "mono16", "rgba16"], [0, 1, 8, 13], [False, True])),
)
def test_step_and_byte_order_are_honoured(encoding, padding, big):
    image = _noise(encoding)
    back = BRIDGE.imgmsg_to_cv2(_message(image, encoding, padding=padding, big=big))
    assert back.dtype == image.dtype and back.dtype.isnative and np.array_equal(back, image)


def test_message_of_a_non_contiguous_or_big_endian_array():
    image = _noise("rgb8")
    assert np.array_equal(BRIDGE.imgmsg_to_cv2(BRIDGE.cv2_to_imgmsg(image[::-1, ::2], "rgb8")), image[::-1, ::2])
    deep = _noise("mono16").astype(">u2")
    message = BRIDGE.cv2_to_imgmsg(deep, "mono16")
    assert message.is_bigendian == 1 and message.data.tobytes() == deep.tobytes()
    assert np.array_equal(BRIDGE.imgmsg_to_cv2(message), deep)


def test_passthrough_names_opencvs_type():
    for encoding in ("8UC3", "16SC2", "32FC1", "64FC4"):
        assert BRIDGE.cv2_to_imgmsg(_noise(encoding)).encoding == encoding
    assert BRIDGE.cv2_to_imgmsg(np.zeros((4, 5, 1), np.uint8)).encoding == "8UC1"


COLOURS = ("rgb", "bgr", "rgba", "bgra")


@pytest.mark.parametrize(("source", "target", "bits"), list(itertools.product(COLOURS, COLOURS, (8, 16))))
def test_colours_change_places(source, target, bits):
    image = _noise(f"{source}{bits}")
    got = BRIDGE.imgmsg_to_cv2(_message(image, f"{source}{bits}"), f"{target}{bits}")
    for channel, name in enumerate(target):
        opaque = name == "a" and "a" not in source
        wanted = np.full(image.shape[:2], 2**bits - 1) if opaque else image[:, :, source.index(name)]
        assert np.array_equal(got[:, :, channel], wanted)


def test_gray():
    gray = BRIDGE.imgmsg_to_cv2(_message(np.uint8([[[255, 0, 0], [0, 255, 0], [0, 0, 255]]]), "rgb8"), "mono8")
    assert gray.tolist() == [[76, 150, 29]]  # 0.299, 0.587, 0.114 of 255
    colour = BRIDGE.imgmsg_to_cv2(_message(gray, "mono8"), "bgra8")
    assert colour.tolist() == [[[76, 76, 76, 255], [150, 150, 150, 255], [29, 29, 29, 255]]]


def test_eight_and_sixteen_bits_are_scaled_to_the_full_range():
    deep = BRIDGE.imgmsg_to_cv2(_message(np.uint8([[0, 1, 128, 255]]), "mono8"), "mono16")
    assert deep.dtype == np.uint16 and deep.tolist() == [[0, 257, 32896, 65535]]
    flat = BRIDGE.imgmsg_to_cv2(_message(np.uint16([[0, 128, 129, 32896, 65535]]), "mono16"), "mono8")
    assert flat.dtype == np.uint8 and flat.tolist() == [[0, 0, 1, 128, 255]]
    both = BRIDGE.imgmsg_to_cv2(_message(np.uint16([[[65535, 0, 257]]]), "rgb16"), "bgr8")
    assert both.tolist() == [[[1, 0, 255]]]


def test_numbers_without_colour_keep_their_value():
    floats = np.float32([[-5, 3.5, 4.5, 1e6, np.nan]])
    assert BRIDGE.imgmsg_to_cv2(_message(floats, "32FC1"), "8UC1").tolist() == [[0, 4, 4, 255, 0]]
    assert BRIDGE.imgmsg_to_cv2(_message(floats, "32FC1"), "64FC1").dtype == np.float64
    image = _noise("rgb8")
    assert np.array_equal(BRIDGE.imgmsg_to_cv2(_message(image, "rgb8"), "8UC3"), image)


@pytest.mark.parametrize(("encoding", "order"), [("yuv422", (1, 0, 3, 2)), ("yuv422_yuy2", (0, 1, 2, 3))])
def test_yuv(encoding, order):
    """One pair of pixels is Y0 U Y1 V in yuy2, U Y0 V Y1 in yuv422; BT.601, luma 16..235."""
    pairs = {(81, 90, 81, 240): (255, 0, 0), (145, 54, 145, 34): (0, 255, 0), (41, 240, 41, 110): (0, 0, 255)}
    for yuv, rgb in pairs.items():
        pair = np.uint8([yuv[i] for i in order]).reshape(1, 2, 2)
        got = BRIDGE.imgmsg_to_cv2(_message(pair, encoding), "rgb8")
        assert np.abs(got.astype(int) - rgb).max() <= 2
    light = np.uint8([(16, 128, 235, 128)[i] for i in order]).reshape(1, 2, 2)
    assert BRIDGE.imgmsg_to_cv2(_message(light, encoding), "bgr8").tolist() == [[[0, 0, 0], [255, 255, 255]]]


@pytest.mark.parametrize(("pattern", "bits", "target"), list(itertools.product(BAYER, (8, 16), ("rgb", "bgr"))))
def test_bayer(pattern, bits, target):
    """The name gives the colours of the first two rows; a scene of one colour comes out as that colour."""
    colour = {"r": 200, "g": 100, "b": 50}
    tile = np.array([colour[name] for name in pattern], f"uint{bits}").reshape(2, 2)
    got = BRIDGE.imgmsg_to_cv2(_message(np.tile(tile, (4, 5)), f"bayer_{pattern}{bits}"), f"{target}{bits}")
    assert np.array_equal(got[1:-1, 1:-1], np.broadcast_to([colour[name] for name in target], (6, 8, 3)))


WRONG = [
    ("nv21", "passthrough", "Unrecognized image encoding"),
    ("nv12", "passthrough", "Unrecognized image encoding"),
    ("uyvy", "rgb8", "Unrecognized image encoding"),
    ("", "rgb8", "Unrecognized image encoding"),
    ("rgb8", "rgb9", "Unrecognized image encoding"),
    ("8UC3", "rgb8", "is not a color format"),
    ("rgb8", "8UC1", "same number of channels"),
    ("16SC2", "8UC3", "same number of channels"),
    ("rgb8", "yuv422", "Unsupported conversion"),
    ("bayer_rggb8", "rgba8", "Unsupported conversion"),
    ("bayer_rggb8", "bayer_rggb16", "Unsupported conversion"),
]


@pytest.mark.parametrize(("source", "target", "text"), WRONG)
def test_impossible_conversions(source, target, text):
    image = _noise(source) if source in NAMED else _noise("rgb8")
    with pytest.raises(cv_bridge.CvBridgeError, match=text):
        BRIDGE.imgmsg_to_cv2(_message(image, source), target)
    assert issubclass(cv_bridge.CvBridgeError, TypeError)


def test_too_little_data():
    message = _message(_noise("rgb8"), "rgb8")
    message.data = message.data[:-1]
    with pytest.raises(TypeError, match="buffer is too small"):
        BRIDGE.imgmsg_to_cv2(message, "rgb8")


def test_arrays_that_do_not_fit_the_encoding():
    for image, encoding in ((_noise("rgb8"), "mono8"), (_noise("mono16"), "mono8"), (_noise("rgb8"), "rgba8")):
        with pytest.raises(cv_bridge.CvBridgeError, match="incompatible type"):
            BRIDGE.cv2_to_imgmsg(image, encoding)
    with pytest.raises(TypeError, match="not a numpy array"):
        BRIDGE.cv2_to_imgmsg([[1, 2]], "mono8")
    with pytest.raises(TypeError, match="not a numpy array"):
        BRIDGE.cv2_to_compressed_imgmsg([[1, 2]])


def test_compressed_round_trip():
    bgr = _noise("bgr8")
    message = BRIDGE.cv2_to_compressed_imgmsg(bgr, "png")
    assert message.format == "png" and message.data.tobytes()[1:4] == b"PNG"
    assert np.array_equal(BRIDGE.compressed_imgmsg_to_cv2(message), bgr)
    assert np.array_equal(BRIDGE.compressed_imgmsg_to_cv2(message, "rgb8"), bgr[:, :, ::-1])
    deep = _noise("mono16")
    assert np.array_equal(BRIDGE.compressed_imgmsg_to_cv2(BRIDGE.cv2_to_compressed_imgmsg(deep, "png")), deep)
    smooth = np.full((16, 16, 3), (10, 120, 240), np.uint8)
    jpeg = BRIDGE.cv2_to_compressed_imgmsg(smooth)
    assert jpeg.format == "jpg" and jpeg.data.tobytes()[:2] == b"\xff\xd8"
    assert np.abs(BRIDGE.compressed_imgmsg_to_cv2(jpeg, "bgr8").astype(int) - smooth).max() <= 3


def test_compressed_garbage():
    message = CompressedImage(format="jpeg", data=array.array("B", b"no picture"))
    assert BRIDGE.compressed_imgmsg_to_cv2(message) is None
    with pytest.raises(cv_bridge.CvBridgeError, match="no picture"):
        BRIDGE.compressed_imgmsg_to_cv2(message, "rgb8")
    with pytest.raises(cv2.error):
        BRIDGE.compressed_imgmsg_to_cv2(CompressedImage(), "rgb8")
    gray = BRIDGE.cv2_to_compressed_imgmsg(_noise("mono8"), "png")
    with pytest.raises(cv_bridge.CvBridgeError):
        BRIDGE.compressed_imgmsg_to_cv2(gray, "mono8")  # whatever it is, a compressed picture is taken for bgr8


def test_opencvs_type_numbers():
    for encoding, number in {
        "bgr8": cv2.CV_8UC3,
        "mono16": cv2.CV_16UC1,
        "32FC2": cv2.CV_32FC2,
        "yuv422": cv2.CV_8UC2,
    }.items():
        assert cv_bridge.getCvType(encoding) == BRIDGE.encoding_to_cvtype2(encoding) == number
    assert BRIDGE.encoding_to_dtype_with_channels("rgba16") == ("uint16", 4)
    assert BRIDGE.dtype_with_channels_to_cvtype2(np.dtype("float32"), 3) == "32FC3"


# ---- sensor_msgs_py.point_cloud2

XYZ = [PointField(name=name, offset=4 * i, datatype=PointField.FLOAT32, count=1) for i, name in enumerate("xyz")]
XYZ_ID = [*XYZ, PointField(name="id", offset=12, datatype=PointField.UINT32, count=1)]


def test_cloud_layout():
    points, header = RNG.normal(size=(5, 3)), Header(frame_id="camera")
    cloud = point_cloud2.create_cloud_xyz32(header, points)
    assert (cloud.header, cloud.height, cloud.width, cloud.point_step, cloud.row_step) == (header, 1, 5, 12, 60)
    assert cloud.fields == XYZ and not cloud.is_bigendian and not cloud.is_dense
    assert cloud.data.tobytes() == points.astype("<f4").tobytes()
    assert np.array_equal(point_cloud2.read_points_numpy(cloud), points.astype(np.float32))
    assert point_cloud2.create_cloud_xyz32(header, points.tolist()) == cloud
    assert point_cloud2.create_cloud_xyz32(header, np.zeros((0, 3))).width == 0


def test_cloud_of_mixed_fields():
    dtype = point_cloud2.dtype_from_fields(XYZ_ID)
    assert dtype == np.dtype([("x", "f4"), ("y", "f4"), ("z", "f4"), ("id", "u4")])
    points = np.array([(1, 2, 3, 4), (5, 6, 7, 2**32 - 1)], dtype)
    cloud = point_cloud2.create_cloud(Header(), XYZ_ID, points)
    assert cloud.point_step == 16 and cloud.data.tobytes() == points.tobytes()
    assert np.array_equal(point_cloud2.read_points(cloud), points)
    assert point_cloud2.read_points(cloud, ["id", "x"]).tolist() == [(4, 1.0), (2**32 - 1, 5.0)]
    assert point_cloud2.read_points_list(cloud, ["id"])[1].id == 2**32 - 1
    assert point_cloud2.read_points_numpy(cloud, ["z", "x"]).tolist() == [[3, 1], [7, 5]]
    with pytest.raises(AssertionError, match="same datatype"):
        point_cloud2.read_points_numpy(cloud)


def test_cloud_fields_with_count_gaps_and_without_name():
    fields = [
        PointField(name="normal", offset=4, datatype=PointField.FLOAT64, count=2),
        PointField(name="", offset=20, datatype=PointField.UINT8, count=1),
    ]
    dtype = point_cloud2.dtype_from_fields(fields, 32)
    assert dtype.names == ("normal_0", "normal_1", "unnamed_field_1")
    assert [dtype.fields[name][1] for name in dtype.names] == [4, 12, 20] and dtype.itemsize == 32
    cloud = point_cloud2.create_cloud(Header(), fields, [(1.5, 2.5, 7)], 32)
    assert cloud.point_step == 32 and point_cloud2.read_points(cloud).tolist() == [(1.5, 2.5, 7)]


def test_cloud_choices():
    cloud = point_cloud2.create_cloud_xyz32(Header(), [(0, 0, 0), (1, np.nan, 1), (2, 2, 2)])
    assert point_cloud2.read_points_numpy(cloud, skip_nans=True)[:, 0].tolist() == [0, 2]
    assert point_cloud2.read_points_numpy(cloud, ["x"], skip_nans=True)[:, 0].tolist() == [0, 1, 2]
    assert point_cloud2.read_points_numpy(cloud, ["x"], uvs=[2, 0])[:, 0].tolist() == [2, 0]
    cloud.is_dense = True
    assert len(point_cloud2.read_points(cloud, skip_nans=True)) == 3
    with pytest.raises(AssertionError, match="Requests field"):
        point_cloud2.read_points(cloud, ["rgb"])
    with pytest.raises(AssertionError, match="not a sensor_msgs"):
        point_cloud2.read_points(Image())


def test_cloud_byte_order_and_rows():
    values = np.arange(18, dtype=np.float32).reshape(3, 2, 3)
    cloud = point_cloud2.create_cloud(Header(), XYZ, values)
    assert (cloud.width, cloud.height, cloud.row_step) == (3, 2, 36)
    assert np.array_equal(point_cloud2.read_points_numpy(cloud, reshape_organized_cloud=True), values)
    swapped = PointCloud2(width=6, height=1, fields=XYZ, point_step=12, row_step=72, is_bigendian=True)
    swapped.data = array.array("B", values.astype(">f4").tobytes())
    assert np.array_equal(point_cloud2.read_points_numpy(swapped), values.reshape(6, 3))


def test_clouds_that_cannot_be():
    with pytest.raises(AssertionError, match="same datatype"):
        point_cloud2.create_cloud(Header(), XYZ_ID, np.zeros((2, 4)))
    with pytest.raises(AssertionError, match="do not match"):
        point_cloud2.create_cloud(Header(), XYZ_ID, np.zeros(2, np.dtype([("x", "f4")])))
    with pytest.raises(AssertionError, match="Duplicate"):
        point_cloud2.dtype_from_fields([XYZ[0], XYZ[0]])
    with pytest.raises(AssertionError, match="count = 0"):
        point_cloud2.dtype_from_fields([PointField(name="x", datatype=PointField.INT8)])


# ---- tf2_ros and tf2_msgs


def _transform(child: str, x: float = 0.0) -> TransformStamped:
    transform = TransformStamped(header=Header(frame_id="camera"), child_frame_id=child)
    transform.transform.translation.x = x
    return transform


def test_broadcasters():
    rclpy.init()
    node = rclpy.create_node("broadcaster")
    try:
        moving, static = tf2_ros.TransformBroadcaster(node), tf2_ros.StaticTransformBroadcaster(node)
        static.sendTransform(_transform("lens", 1.0))
        static.sendTransform([_transform("lens", 2.0), _transform("mount")])
        heard, latched = [], []
        node.create_subscription(TFMessage, "/tf", heard.append, 10)
        late = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        node.create_subscription(TFMessage, "/tf_static", latched.append, late)
        end = time.monotonic() + 30
        while len(heard) < 3 or not latched:
            assert time.monotonic() < end, "nothing came within 30 s"
            if not heard and moving.pub_tf.get_subscription_count():
                for transforms in (_transform("a"), [_transform("b"), _transform("c")], (_transform("d"),)):
                    moving.sendTransform(transforms)
            rclpy.spin_once(node, timeout_sec=0.5)
        assert [[t.child_frame_id for t in m.transforms] for m in heard[:3]] == [["a"], ["b", "c"], ["d"]]
        assert [(t.child_frame_id, t.transform.translation.x) for t in latched[-1].transforms] == [
            ("lens", 1.0),
            ("mount", 0.0),
        ]
        (info,) = node.get_publishers_info_by_topic("/tf")
        assert str(info.topic_type_hash) == TF_MESSAGE_HASH
        assert info.qos_profile.reliability == ReliabilityPolicy.RELIABLE
        assert info.qos_profile.durability == DurabilityPolicy.VOLATILE
        (info,) = node.get_publishers_info_by_topic("/tf_static")
        assert info.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL
    finally:
        node.destroy_node()
        rclpy.shutdown()


def _moving(parent: str, child: str, stamp_s: float, x: float, turn_rad: float = 0.0) -> TransformStamped:
    moving = TransformStamped(
        header=Header(frame_id=parent, stamp=Time(seconds=stamp_s).to_msg()), child_frame_id=child
    )
    moving.transform.translation.x = x
    moving.transform.rotation.z, moving.transform.rotation.w = np.sin(turn_rad / 2), np.cos(turn_rad / 2)
    return moving


@pytest.fixture
def buffer():
    """map -> base moves and turns from 10 s to 12 s; base -> camera stands; island is connected to nothing of that."""
    buffer = tf2_ros.Buffer()
    for stamp_s in (12.0, 10.0, 11.0):
        buffer.set_transform(_moving("map", "base", stamp_s, stamp_s - 10.0, (stamp_s - 10.0) * np.pi / 4), "test")
    buffer.set_transform_static(_moving("base", "camera", 0.0, 1.0), "test")
    buffer.set_transform_static(_moving("sea", "island", 0.0, 1.0), "test")
    return buffer


def _found(buffer, target, source, seconds):
    found = buffer.lookup_transform(target, source, Time(seconds=seconds))
    assert (found.header.frame_id, found.child_frame_id) == (target, source)
    q, t = found.transform.rotation, found.transform.translation
    matrix = tf.quaternion_matrix((q.x, q.y, q.z, q.w))
    matrix[:3, 3] = (t.x, t.y, t.z)
    return matrix


def test_transforms_between_two_stamps_and_through_several_frames(buffer):
    angle = np.pi / 8
    expected = tf.translation_matrix((0.5, 0, 0)) @ tf.rotation_matrix(angle, (0, 0, 1))
    assert np.allclose(_found(buffer, "map", "base", 10.5), expected)
    assert np.allclose(_found(buffer, "map", "camera", 10.5), expected @ tf.translation_matrix((1, 0, 0)))
    assert np.allclose(_found(buffer, "camera", "map", 10.5), np.linalg.inv(_found(buffer, "map", "camera", 10.5)))
    assert np.allclose(_found(buffer, "map", "base", 12.0)[:3, 3], (2, 0, 0))
    assert np.allclose(_found(buffer, "map", "map", 99.0), np.eye(4))
    # What stands needs no stamp; the latest is asked for with zero.
    assert np.allclose(_found(buffer, "base", "camera", 99.0)[:3, 3], (1, 0, 0))
    latest = buffer.lookup_transform("map", "camera", Time())
    assert (latest.header.stamp.sec, latest.transform.translation.x) == (12, 2.0)


@pytest.mark.parametrize(
    "target, source, seconds, error, said",
    [
        ("map", "base", 9.9, tf2_ros.ExtrapolationException, "past"),
        ("map", "camera", 12.1, tf2_ros.ExtrapolationException, "future"),
        ("map", "island", 11.0, tf2_ros.ConnectivityException, "same tree"),
        ("map", "moon", 11.0, tf2_ros.LookupException, "moon"),
    ],
)
def test_transforms_that_are_not_known(buffer, target, source, seconds, error, said):
    assert issubclass(error, tf2_ros.TransformException)
    assert not buffer.can_transform(target, source, Time(seconds=seconds))
    with pytest.raises(error, match=said):
        buffer.lookup_transform(target, source, Time(seconds=seconds))


def test_transforms_are_forgotten_when_old_or_asked_to(buffer):
    buffer.set_transform(_moving("map", "base", 21.5, 0.0), "test")
    buffer.set_transform(_moving("map", "base", 21.6, 0.0), "test")
    assert not buffer.can_transform("map", "base", Time(seconds=11.0))
    assert buffer.can_transform("map", "base", Time(seconds=12.0))
    buffer.set_transform(_moving("map", "base", 11.0, 0.0), "test")
    assert not buffer.can_transform("map", "base", Time(seconds=11.0))
    buffer.clear()
    assert not buffer.can_transform("map", "base", Time()) and buffer.can_transform("base", "camera", Time())


def test_a_listener_fills_the_buffer_and_a_lookup_waits_for_it():
    rclpy.init()
    node = rclpy.create_node("listener")
    try:
        buffer = tf2_ros.Buffer()
        listener = tf2_ros.TransformListener(buffer, node, spin_thread=False)
        moving, static = tf2_ros.TransformBroadcaster(node), tf2_ros.StaticTransformBroadcaster(node)
        static.sendTransform(_moving("base", "camera", 0.0, 1.0))
        end = time.monotonic() + 30
        while not buffer.can_transform("map", "camera", Time(seconds=10.0)):
            assert time.monotonic() < end, "nothing came within 30 s"
            moving.sendTransform(_moving("map", "base", 10.0, 3.0))
            rclpy.spin_once(node, timeout_sec=0.1)
        waiting = threading.Timer(0.1, buffer.set_transform, (_moving("map", "base", 11.0, 4.0), "test"))
        waiting.start()
        late = buffer.lookup_transform("map", "camera", Time(seconds=11.0), timeout=Duration(seconds=30))
        assert late.transform.translation.x == 5.0
        listener.unregister()
        with pytest.raises(ValueError, match="spin_thread"):
            tf2_ros.TransformListener(buffer, node, spin_thread=True)
    finally:
        node.destroy_node()
        rclpy.shutdown()


# ---- tf_transformations


def test_transforms_of_one_axis():
    half = np.sqrt(0.5)
    assert np.allclose(tf.quaternion_from_euler(0, 0, np.pi / 2), (0, 0, half, half))
    assert np.allclose(tf.quaternion_about_axis(np.pi / 2, (5, 0, 0)), (half, 0, 0, half))
    turn = tf.rotation_matrix(np.pi / 2, (0, 0, 1), (1, 0, 0))
    assert np.allclose(turn @ (2, 0, 0, 1), (1, 1, 0, 1))
    assert np.allclose(tf.translation_matrix((1, 2, 3)) @ (0, 0, 0, 1), (1, 2, 3, 1))
    assert tf.translation_from_matrix(tf.translation_matrix((1, 2, 3))).tolist() == [1, 2, 3]
    assert np.array_equal(tf.identity_matrix(), np.eye(4))


SEQUENCES = [f + "".join(a) for f in "sr" for a in itertools.product("xyz", repeat=3) if a[0] != a[1] != a[2]]


@pytest.mark.parametrize("axes", SEQUENCES)
def test_euler_sequences(axes):
    assert len(SEQUENCES) == 24
    letters = axes[1:] if axes[0] == "s" else axes[1:].upper()  # scipy: small letters are static axes
    for angles in RNG.uniform(-3, 3, (20, 3)):
        matrix = Rotation.from_euler(letters, angles).as_matrix()
        assert np.allclose(tf.euler_matrix(*angles, axes)[:3, :3], matrix)
        assert np.allclose(tf.quaternion_matrix(tf.quaternion_from_euler(*angles, axes))[:3, :3], matrix)
        assert np.allclose(tf.euler_matrix(*tf.euler_from_matrix(matrix, axes), axes)[:3, :3], matrix)
        plain = np.sign(angles) * (0.5, 0.6, 0.7)
        if axes[1] != axes[3]:
            assert np.allclose(tf.euler_from_quaternion(tf.quaternion_from_euler(*plain, axes), axes), plain)
    for middle in (0, np.pi / 2, np.pi, -np.pi / 2):  # two of these are gimbal lock
        matrix = tf.euler_matrix(0.4, middle, -0.9, axes)
        assert np.allclose(tf.euler_matrix(*tf.euler_from_matrix(matrix, axes), axes), matrix, atol=1e-7)


def test_euler_sequences_as_tuples():
    for axes, name in {(0, 0, 0, 0): "sxyz", (2, 1, 0, 0): "szyx", (0, 0, 0, 1): "rzyx", (1, 1, 1, 1): "ryxy"}.items():
        assert np.allclose(tf.euler_matrix(1, 2, 3, axes), tf.euler_matrix(1, 2, 3, name))
    with pytest.raises(ValueError, match="unknown axis sequence 'sxxy'"):
        tf.euler_matrix(1, 2, 3, "sxxy")


def test_quaternions_agree_with_scipy():
    for _ in range(50):
        a, b = tf.random_quaternion(), tf.random_quaternion()
        ra, rb = Rotation.from_quat(a), Rotation.from_quat(b)
        assert np.allclose(tf.quaternion_matrix(3 * a)[:3, :3], ra.as_matrix())
        assert np.allclose(tf.quaternion_matrix(tf.quaternion_multiply(a, b))[:3, :3], (ra * rb).as_matrix())
        assert np.allclose(tf.quaternion_multiply(2 * a, tf.quaternion_inverse(2 * a)), (0, 0, 0, 1))
        assert np.allclose(tf.quaternion_conjugate(a), (-a[0], -a[1], -a[2], a[3]))
        back = tf.quaternion_from_matrix(tf.quaternion_matrix(a))
        assert back[3] >= 0 and np.allclose(back, a * np.sign(a[3]))
        stretched = tf.quaternion_matrix(a) @ np.diag((2, 3, 0.5, 1))
        assert np.allclose(tf.quaternion_from_matrix(stretched), back)
    assert np.array_equal(tf.quaternion_matrix((0, 0, 0, 0)), np.eye(4))


def test_slerp():
    start, end = tf.quaternion_about_axis(0.2, (0, 1, 0)), tf.quaternion_about_axis(1.4, (0, 1, 0))
    for fraction in (0, 0.25, 1):
        wanted = tf.quaternion_about_axis(0.2 + 1.2 * fraction, (0, 1, 0))
        assert np.allclose(tf.quaternion_slerp(start, end, fraction), wanted)
    other_way = tf.quaternion_slerp(start, np.negative(end), 0.5)
    assert np.allclose(np.abs(other_way @ tf.quaternion_about_axis(0.8, (0, 1, 0))), 1)
    long_way = tf.quaternion_slerp(start, np.negative(end), 0.5, shortestpath=False)
    assert np.allclose(np.abs(long_way @ tf.quaternion_about_axis(0.8 + np.pi, (0, 1, 0))), 1)


def test_rotation_from_matrix():
    for _ in range(20):
        matrix = tf.rotation_matrix(RNG.uniform(-6, 6), RNG.normal(size=3), RNG.normal(size=3))
        assert tf.is_same_transform(tf.rotation_matrix(*tf.rotation_from_matrix(matrix)), matrix)
    assert tf.rotation_from_matrix(np.eye(4))[0] == 0
    with pytest.raises(ValueError, match="shifts along"):
        tf.rotation_from_matrix(tf.translation_matrix((0, 0, 1)))
    with pytest.raises(ValueError, match="mirrors"):
        tf.rotation_from_matrix(np.diag((-1, 1, 1, 1)))


def test_transform_algebra():
    first, second = tf.random_rotation_matrix(), tf.translation_matrix((1, 2, 3))
    assert np.allclose(tf.concatenate_matrices(first, second), first @ second)
    assert np.array_equal(tf.concatenate_matrices(), np.eye(4))
    assert np.allclose(tf.inverse_matrix(second) @ (1, 2, 3, 1), (0, 0, 0, 1))
    assert tf.is_same_transform(first, 2 * first) and not tf.is_same_transform(first, second)
    vectors = RNG.normal(size=(4, 3))
    assert np.isclose(tf.vector_norm((3, 4)), 5) and np.allclose(
        tf.vector_norm(vectors, 1), np.linalg.norm(vectors, axis=1)
    )
    assert np.allclose(np.linalg.norm(tf.unit_vector(vectors, 1), axis=1), 1)
    assert np.allclose(tf.unit_vector((0, 0, 9)), (0, 0, 1))


# ---- the set-up refuses where the real packages are


@pytest.fixture
def real_ros(monkeypatch):
    """Returns the module of the set-up that looks for real packages."""
    monkeypatch.syspath_prepend(PIP_ROS)
    import real_ros

    return real_ros


def _package(folder: Path, name: str, marker: str = "") -> Path:
    package = folder / name
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    if marker:
        (package / marker).touch()
    return package


@pytest.mark.parametrize("name", ["cv_bridge", "sensor_msgs_py", "tf2_msgs", "tf2_ros", "tf_transformations"])
def test_setup_refuses_beside_each_real_package(real_ros, tmp_path, name):
    real = _package(tmp_path / "ros", name)
    _package(tmp_path / "own", name, real_ros.MARKER)
    (tmp_path / "work" / name).mkdir(parents=True)  # a folder of that name is no package
    ours = [str(tmp_path / "own"), str(tmp_path / "work")]
    real_ros.refuse_where_ros_is(ours)
    with pytest.raises(SystemExit, match=f"{name}: {real}"):
        real_ros.refuse_where_ros_is([*ours, str(tmp_path / "ros")])


@pytest.mark.parametrize("how", ["AMENT_PREFIX_PATH", "PYTHONPATH"])
def test_setup_script_stops_in_a_sourced_ros(tmp_path, how):
    site = tmp_path / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    _package(site, "tf2_ros")
    sourced = {"AMENT_PREFIX_PATH": str(tmp_path), "PYTHONPATH": str(site)}
    command = [sys.executable, "setup.py", "--version"]
    environment = {**os.environ, how: sourced[how]}
    result = subprocess.run(command, cwd=PIP_ROS, env=environment, capture_output=True, text=True)
    assert result.returncode == 1 and f"tf2_ros: {site / 'tf2_ros'}" in result.stderr
    assert "Do not install it here" in result.stderr


def test_stand_ins_are_marked(real_ros):
    assert real_ros.real_packages([str(PIP_ROS / "src")]) == {}
    packages = [path.parent.name for path in (PIP_ROS / "src").glob(f"*/{real_ros.MARKER}")]
    assert {*packages, "tf2_msgs"} == set(real_ros.NAMES)
