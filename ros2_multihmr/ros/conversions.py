"""Conversions between ROS messages and the core's types: images in, people and the body's description out."""

from __future__ import annotations

import array
import itertools
import sys
from collections.abc import Sequence

import cv2
import numpy as np
from builtin_interfaces.msg import Duration
from cv_bridge import CvBridge
from geometry_msgs.msg import Point, Quaternion
from multihmr.msg import BodyModelInfo, Human, HumanArray
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from ros2_multihmr.body.body_model import BodyInfo
from ros2_multihmr.camera import Camera
from ros2_multihmr.humans import Humans
from ros2_multihmr.ros.image_view import ImageView
from ros2_multihmr.rotations import rotmat_to_quaternion_xyzw
from ros2_multihmr.tracking.motion_state import Motion
from ros2_multihmr.tracking.tracks import Tracks

Rgb = NDArray[np.uint8]

# Encodings with a color meaning, and how many bytes one pixel takes.
_BAYER = {f"bayer_{order}{bits}": bits // 8 for order in ("rggb", "bggr", "gbrg", "grbg") for bits in (8, 16)}
_YUV_422 = {"yuv422": 2, "uyvy": 2, "yuv422_yuy2": 2, "yuyv": 2}
_YUV_420 = {"nv12": cv2.COLOR_YUV2RGB_NV12, "nv21": cv2.COLOR_YUV2RGB_NV21}
PIXEL_BYTES = {
    "rgb8": 3, "bgr8": 3, "rgba8": 4, "bgra8": 4, "mono8": 1, "mono16": 2, **_YUV_422, **_BAYER,
    **dict.fromkeys(_YUV_420, 1), "8UC3": 3, "8UC1": 1, "16UC1": 2,
}  # fmt: skip
# OpenCV's names for pixels say nothing about color; drivers that use them send what OpenCV's cameras give.
_NAMES_OF_CV_BRIDGE = {
    "uyvy": "yuv422", "yuyv": "yuv422_yuy2", "8UC3": "bgr8", "8UC1": "mono8", "16UC1": "mono16",
}  # fmt: skip
# How files begin, and what stands at their end: OpenCV fills the missing part of a cut JPEG with gray.
_FILE_ENDS = {b"\xff\xd8": b"\xff\xd9", b"\x89PNG": b"IEND"}
_FILE_END_WITHIN = 64

_UNKNOWN_COVARIANCE = (np.eye(6) * 1e6).ravel()
_BRIDGE = CvBridge()


class ImageError(ValueError):
    """An image message that cannot be read; says what was expected, what came, and what to do."""


def image_from_message(message: Image | ImageView) -> Rgb:
    """Reads a sensor_msgs/Image; nobody else has the pixels that are returned, but the message.

    Args:
        message: Any encoding of `PIXEL_BYTES`, where 8UC3 is taken as bgr8, 8UC1 as mono8 and 16UC1 as mono16; rows
            may be padded, 16-bit pixels may be big endian.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        ImageError: The encoding is unknown, the image is empty, or its sizes do not fit together.
    """
    _check_image(message)
    if message.encoding in _YUV_420:
        return _from_yuv_420(message)
    packed = _packed(message)
    image = _BRIDGE.imgmsg_to_cv2(packed, "passthrough" if message.encoding == "rgb8" else "rgb8")
    image = np.ascontiguousarray(image, dtype=np.uint8)
    return image if image.flags.writeable else image.copy()


def image_from_compressed(message: CompressedImage) -> Rgb:
    """Reads a sensor_msgs/CompressedImage that holds a JPEG or PNG file; pixels as they are, EXIF rotation ignored.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        ImageError: The data is no complete picture.
    """
    data = np.frombuffer(message.data, np.uint8)
    for beginning, end in _FILE_ENDS.items():
        if data[: len(beginning)].tobytes() == beginning and end not in data[-_FILE_END_WITHIN:].tobytes():
            raise ImageError(f"compressed image: data was cut off, {len(data)} bytes of {message.format!r} have no end")
    image = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION) if len(data) else None
    if image is None:
        raise ImageError(
            f"compressed image: expected a JPEG or PNG file, got {len(data)} bytes of format {message.format!r} "
            "that cannot be decoded"
        )
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def human_array(
    header: Header,
    humans: Humans,
    tracks: Tracks,
    camera: Camera,
    *,
    weights: str,
    untrained: bool,
    vertices: bool,
    motion: Motion | None = None,
) -> HumanArray:
    """Builds the message of one image.

    Args:
        header: Header of the image.
        humans: N people.
        tracks: Their identities.
        camera: Camera that `humans` refers to.
        weights: Name of the network's weights.
        untrained: True if the network was never trained.
        vertices: True to add the full mesh, which `humans` must then hold.
        motion: How they move, in the same frame; None if nobody follows them.
    """
    message = HumanArray(header=header, body_model=humans.body.name, weights=weights, untrained=untrained)
    message.image_width, message.image_height = camera.width, camera.height
    message.k = camera.k.ravel()
    message.distortion_model = camera.distortion_model
    message.d = array.array("d", camera.d)
    message.calibrated, message.rectified = camera.calibrated, camera.rectified
    quaternions = rotmat_to_quaternion_xyzw(humans.rotation).tolist()
    slices = pose_slices(humans.body)
    for i, quaternion in enumerate(quaternions):
        message.humans.append(_human(humans, tracks, i, quaternion, slices, vertices))
    if motion is not None:
        _add_twists(message.humans, motion)
    return message


def body_model_info(body: BodyInfo) -> BodyModelInfo:
    """Builds the latched message that says what the numbers of `Human` mean."""
    info = BodyModelInfo(name=body.name, gender=body.gender, pose_convention=body.pose_convention)
    info.flat_hand_mean = body.flat_hand_mean
    for name in ("joint_names", "shape_names", "expression_names", "keypoint_names"):
        setattr(info, name, list(getattr(body, name)))
    info.parents = array.array("i", body.parents)
    for name in ("body_joints", "left_hand_joints", "right_hand_joints", "jaw_joints", "eye_joints"):
        setattr(info, name, array.array("I", getattr(body, name)))
    for name in ("faces", "vertices_lod", "faces_lod"):
        setattr(info, name, _array("I", getattr(body, name).astype(np.uint32)))
    return info


def duration_message(seconds: float) -> Duration:
    """Turns seconds into a builtin_interfaces/Duration."""
    nanoseconds = round(seconds * 1e9)
    return Duration(sec=nanoseconds // 1_000_000_000, nanosec=nanoseconds % 1_000_000_000)


def _human(
    humans: Humans, tracks: Tracks, i: int, quaternion: list[float], slices: dict[str, slice], vertices: bool
) -> Human:
    human = Human(track_id=int(tracks.ids[i]), tracking_state=int(tracks.states[i]), score=float(humans.scores[i]))
    human.age = duration_message(float(tracks.ages_s[i]))
    human.pose.pose.position = _point(humans.origin[i])
    x, y, z, w = quaternion
    human.pose.pose.orientation = Quaternion(x=x, y=y, z=z, w=w)
    human.pose.covariance = humans.covariance[i].astype(np.float64).ravel()
    human.twist.covariance = _UNKNOWN_COVARIANCE
    human.bbox = humans.bbox[i]
    human.box_min, human.box_max = _point(humans.box_min[i]), _point(humans.box_max[i])
    human.translation = humans.translation[i]
    human.global_orient = humans.rotvecs[i, 0]
    for name, joints in slices.items():
        setattr(human, name, _array("f", humans.rotvecs[i, joints]))
    human.betas, human.expression = _array("f", humans.shape[i]), _array("f", humans.expression[i])
    for name in ("keypoints_3d", "keypoints_2d", "keypoint_scores"):
        setattr(human, name, _array("f", getattr(humans, name)[i]))
    if vertices:
        human.vertices = _array("f", humans.vertices[i])
    return human


def _add_twists(people: Sequence[Human], motion: Motion) -> None:
    """Says how people move where that is estimated; nobody estimates how they turn, and the covariance says so."""
    moving = zip(people, motion.valid.tolist(), motion.velocity.tolist(), motion.twist_covariance())
    for human, valid, velocity, covariance in moving:
        if valid:
            linear = human.twist.twist.linear
            linear.x, linear.y, linear.z = velocity
            human.twist.covariance = covariance.ravel()
            human.twist_valid = True


def pose_slices(body: BodyInfo) -> dict[str, slice]:
    """Which of `Humans.rotvecs` each pose field holds; the root comes first and is none of them."""
    groups = {
        "body_pose": body.body_joints,
        "left_hand_pose": body.left_hand_joints,
        "right_hand_pose": body.right_hand_joints,
        "jaw_pose": body.jaw_joints,
        "eye_pose": body.eye_joints,
    }
    ends = list(itertools.accumulate((len(joints) for joints in groups.values()), initial=1))
    return {name: slice(start, end) for name, start, end in zip(groups, ends, ends[1:])}


def _array(code: str, values: NDArray[np.generic]) -> array.array[float]:
    # A message field takes an array.array as it is; a numpy array it would convert number by number.
    converted: array.array[float] = array.array(code)
    converted.frombytes(np.ascontiguousarray(values).data.cast("B") if values.size else b"")
    return converted


def _point(xyz: NDArray[np.float32]) -> Point:
    x, y, z = xyz.tolist()
    return Point(x=x, y=y, z=z)


def _check_image(message: Image | ImageView) -> None:
    if message.encoding not in PIXEL_BYTES:
        known = ", ".join(sorted(PIXEL_BYTES))
        raise ImageError(f"image: unknown encoding {message.encoding!r}; expected one of {known}")
    if message.width == 0 or message.height == 0:
        raise ImageError(f"image: it is empty, {message.width} x {message.height} pixels")
    if message.encoding in _YUV_420 and (message.width % 2 or message.height % 2):
        raise ImageError(f"image: {message.encoding} needs even sizes, got {message.width} x {message.height}")
    row = message.width * PIXEL_BYTES[message.encoding]
    if message.step < row:
        raise ImageError(
            f"image: step {message.step} is too small, {message.width} pixels of {message.encoding} take {row} bytes"
        )
    rows = message.height * 3 // 2 if message.encoding in _YUV_420 else message.height
    if len(message.data) < rows * message.step:
        raise ImageError(
            f"image: data was cut off, expected {rows * message.step} bytes ({rows} rows of {message.step}), "
            f"got {len(message.data)}"
        )


def _packed(message: Image | ImageView) -> Image | ImageView:
    """The message as cv_bridge reads it everywhere: no padding, native byte order, the encoding's older name.

    The real cv_bridge skews images padded by part of a pixel, and fails on big-endian ones with numpy 2.
    """
    pixel_bytes = PIXEL_BYTES[message.encoding]
    row = message.width * pixel_bytes
    name = _NAMES_OF_CV_BRIDGE.get(message.encoding, message.encoding)
    swapped = name.endswith("16") and bool(message.is_bigendian) != (sys.byteorder == "big")
    padded = message.step != row or len(message.data) != row * message.height
    if not (swapped or padded or name != message.encoding):
        return message
    rows = np.frombuffer(message.data, np.uint8)[: message.height * message.step].reshape(message.height, message.step)
    pixels = np.ascontiguousarray(rows[:, :row])
    if swapped:
        pixels = pixels.view(np.uint16).byteswap().view(np.uint8)
    packed = Image(height=message.height, width=message.width, encoding=name, step=row)
    packed.is_bigendian = int(sys.byteorder == "big")
    packed.data = _array("B", pixels)
    return packed


def _from_yuv_420(message: Image | ImageView) -> Rgb:
    rows = message.height * 3 // 2
    planes = np.frombuffer(message.data, np.uint8)[: rows * message.step].reshape(rows, message.step)
    pixels = np.ascontiguousarray(planes[:, : message.width])
    return np.asarray(cv2.cvtColor(pixels, _YUV_420[message.encoding]), np.uint8)
