"""Images in, cameras from CameraInfo, people out."""

import array
import threading

import cv2
import numpy as np
import pytest
from builtin_interfaces.msg import Time
from multihmr.msg import BodyModelInfo, HumanArray
from rclpy.serialization import deserialize_message, serialize_message
from ros_fakes import header, random_humans, small_body
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, RegionOfInterest

from ros2_multihmr.camera import Camera
from ros2_multihmr.ros.camera_info import CameraChooser, CameraInfoCache, camera_from_info
from ros2_multihmr.ros.conversions import (
    ImageError,
    body_model_info,
    duration_message,
    human_array,
    image_from_compressed,
    image_from_message,
)
from ros2_multihmr.tracking.motion_state import Motion
from ros2_multihmr.tracking.tracks import Tracks

RNG = np.random.default_rng(3)
RED_TO_BLUE = np.zeros((4, 6, 3), np.uint8)
RED_TO_BLUE[:, :3, 0], RED_TO_BLUE[:, 3:, 2] = 200, 150


def image_message(pixels, encoding, step=None, big_endian=False):
    rows = np.ascontiguousarray(pixels).reshape(len(pixels), -1)
    if rows.dtype == np.uint16:
        rows = rows.astype(">u2" if big_endian else "<u2")
    rows = rows.view(np.uint8)
    step = step or rows.shape[1]
    padded = np.full((len(rows), step), 77, np.uint8)
    padded[:, : rows.shape[1]] = rows
    message = Image(header=header(), height=len(rows), width=pixels.shape[1], encoding=encoding, step=step)
    message.is_bigendian = int(big_endian)
    message.data = array.array("B", padded.tobytes())
    return message


def yuv_of(rgb):
    """BT.601 as video has it: luma 16 to 235, chroma 16 to 240."""
    matrix = np.array([[65.481, 128.553, 24.966], [-37.797, -74.203, 112.0], [112.0, -93.786, -18.214]])
    return np.round(np.asarray(rgb) / 255.0 @ matrix.T + (16, 128, 128)).astype(np.uint8)


# ---- images


@pytest.mark.parametrize("padding", [0, 1, 2, 5, 64])
@pytest.mark.parametrize(
    "encoding, code",
    [("rgb8", None), ("bgr8", cv2.COLOR_RGB2BGR), ("rgba8", cv2.COLOR_RGB2RGBA), ("bgra8", cv2.COLOR_RGB2BGRA)]
    + [("8UC3", cv2.COLOR_RGB2BGR)],
)
def test_color_encodings_and_padded_rows(encoding, code, padding):
    pixels = RNG.integers(0, 256, (5, 7, 3), np.uint8)
    stored = pixels if code is None else cv2.cvtColor(pixels, code)
    message = image_message(stored, encoding, step=stored[0].size + padding)
    np.testing.assert_array_equal(image_from_message(message), pixels)


@pytest.mark.parametrize("padding", [0, 3])
@pytest.mark.parametrize("encoding", ["mono8", "8UC1"])
def test_mono8(encoding, padding):
    gray = RNG.integers(0, 256, (5, 7), np.uint8)
    image = image_from_message(image_message(gray, encoding, step=7 + padding))
    np.testing.assert_array_equal(image, np.repeat(gray[..., None], 3, axis=2))


@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("padding", [0, 1, 6])
@pytest.mark.parametrize("encoding", ["mono16", "16UC1"])
def test_mono16_of_either_byte_order(encoding, big_endian, padding):
    gray = (np.arange(35, dtype=np.uint16) * 1800).reshape(5, 7)
    image = image_from_message(image_message(gray, encoding, step=14 + padding, big_endian=big_endian))
    np.testing.assert_allclose(image[..., 0], gray / 257.0, atol=1.0)
    np.testing.assert_array_equal(image[..., 0], image[..., 2])


@pytest.mark.parametrize(
    "encoding, order", [("yuv422", "uyvy"), ("uyvy", "uyvy"), ("yuv422_yuy2", "yuyv"), ("yuyv", "yuyv")]
)
def test_yuv422(encoding, order):
    yuv = yuv_of(RED_TO_BLUE)
    packed = np.empty((4, 6, 2), np.uint8)
    luma, chroma = (1, 0) if order == "uyvy" else (0, 1)
    packed[..., luma] = yuv[..., 0]
    # One U and one V for two pixels; the edge in the middle of RED_TO_BLUE falls inside a pair, so leave that pair out.
    packed[:, 0::2, chroma], packed[:, 1::2, chroma] = yuv[:, 0::2, 1], yuv[:, 0::2, 2]
    image = image_from_message(image_message(packed, encoding))
    np.testing.assert_allclose(image[:, [0, 1, 4, 5]].astype(int), RED_TO_BLUE[:, [0, 1, 4, 5]], atol=4)


@pytest.mark.parametrize("encoding", ["nv12", "nv21"])
@pytest.mark.parametrize("padding", [0, 10])
def test_yuv420(encoding, padding):
    color = np.full((4, 6, 3), (200, 30, 20), np.uint8)
    y, u, v = yuv_of(color)[0, 0]
    planes = np.full((6, 6), y, np.uint8)
    planes[4:, 0::2], planes[4:, 1::2] = (u, v) if encoding == "nv12" else (v, u)
    message = image_message(planes, encoding, step=6 + padding)
    message.height = 4
    np.testing.assert_allclose(image_from_message(message).astype(int), color, atol=4)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("order", ["rggb", "bggr", "gbrg", "grbg"])
def test_bayer(order, bits):
    color = {"r": 250, "g": 100, "b": 10}
    tile = np.array([[color[order[0]], color[order[1]]], [color[order[2]], color[order[3]]]], np.uint16)
    mosaic = np.tile(tile, (6, 6)) * (257 if bits == 16 else 1)
    image = image_from_message(
        image_message(mosaic.astype(np.uint16 if bits == 16 else np.uint8), f"bayer_{order}{bits}")
    )
    np.testing.assert_allclose(image[4:-4, 4:-4].reshape(-1, 3).mean(axis=0), [250, 100, 10], atol=3)


def test_an_image_of_one_pixel():
    pixel = np.array([[[1, 2, 3]]], np.uint8)
    np.testing.assert_array_equal(image_from_message(image_message(pixel, "bgr8")), pixel[..., ::-1])


def test_an_image_of_8k():
    pixels = np.zeros((4320, 7680, 3), np.uint8)
    pixels[-1, -1] = (1, 2, 3)
    message = Image(height=4320, width=7680, encoding="bgr8", step=7680 * 3)
    message.data = array.array("B", pixels.tobytes())
    image = image_from_message(message)
    assert image.shape == (4320, 7680, 3) and image[-1, -1].tolist() == [3, 2, 1]


@pytest.mark.parametrize(
    "change, said",
    [
        ({"encoding": "rgb9"}, "unknown encoding 'rgb9'; expected one of"),
        ({"encoding": "rgb16"}, "unknown encoding 'rgb16'; expected one of"),
        ({"encoding": "32FC1"}, "unknown encoding '32FC1'"),
        ({"encoding": ""}, "unknown encoding ''"),
        ({"step": 17}, "step 17 is too small, 6 pixels of rgb8 take 18 bytes"),
        ({"height": 5}, "cut off, expected 90 bytes (5 rows of 18), got 72"),
        ({"width": 0, "step": 0}, "empty, 0 x 4"),
        ({"height": 0}, "empty, 6 x 0"),
        ({"data": array.array("B")}, "cut off, expected 72 bytes"),
        ({"encoding": "nv12", "width": 5, "step": 5}, "even sizes, got 5 x 4"),
    ],
)
def test_a_damaged_image_says_what_is_wrong(change, said):
    message = image_message(RED_TO_BLUE, "rgb8")
    for name, value in change.items():
        setattr(message, name, value)
    with pytest.raises(ImageError) as error:
        image_from_message(message)
    assert said in str(error.value)


def compressed(data, name="jpeg"):
    return CompressedImage(header=header(), format=name, data=bytes(data))


def encoded(pixels, extension):
    return cv2.imencode(extension, pixels)[1].tobytes()


def test_compressed_jpeg_and_png():
    bgr = cv2.cvtColor(cv2.resize(RED_TO_BLUE, (60, 40), interpolation=cv2.INTER_NEAREST), cv2.COLOR_RGB2BGR)
    np.testing.assert_array_equal(image_from_compressed(compressed(encoded(bgr, ".png"), "png")), bgr[..., ::-1])
    image = image_from_compressed(compressed(encoded(bgr, ".jpg")))
    assert np.abs(image[:, :20].astype(int) - (200, 0, 0)).max() < 10


@pytest.mark.parametrize("shape, dtype", [((8, 9), np.uint8), ((8, 9, 4), np.uint8), ((8, 9), np.uint16)])
def test_compressed_pictures_of_other_kinds_become_rgb8(shape, dtype):
    image = image_from_compressed(compressed(encoded(np.full(shape, 255, dtype), ".png"), "png"))
    assert image.shape == (8, 9, 3) and image.dtype == np.uint8


@pytest.mark.parametrize("extension", [".jpg", ".png"])
def test_a_compressed_image_that_was_cut_off(extension):
    data = encoded(RNG.integers(0, 256, (64, 64, 3), np.uint8), extension)
    with pytest.raises(ImageError, match="cut off"):
        image_from_compressed(compressed(data[: len(data) // 2]))


@pytest.mark.parametrize("data", [b"", b"no picture", bytes(1000)])
def test_a_compressed_image_that_is_none(data):
    with pytest.raises(ImageError, match="expected a JPEG or PNG file"):
        image_from_compressed(compressed(data))


# ---- cameras


def camera_info(width=640, height=480, fx=500.0, fy=510.0, cx=320.5, cy=239.0, d=(), model="plumb_bob", stamp=(12, 0)):
    info = CameraInfo(width=width, height=height, distortion_model=model, d=list(d))
    info.header.stamp = Time(sec=stamp[0], nanosec=stamp[1])
    info.k = np.array([fx, 0, cx, 0, fy, cy, 0, 0, 1.0])
    info.r = np.eye(3).ravel()
    info.p = np.array([fx * 0.9, 0, cx + 3, 0, 0, fy * 0.9, cy - 2, 0, 0, 0, 1, 0])
    return info


def test_raw_camera_is_k_and_d():
    camera = camera_from_info(camera_info(d=(0.1, -0.2, 0.001, 0.002, 0.05)), rectified=False)
    np.testing.assert_array_equal(camera.k, [[500, 0, 320.5], [0, 510, 239], [0, 0, 1]])
    assert (camera.distortion_model, camera.d) == ("plumb_bob", (0.1, -0.2, 0.001, 0.002, 0.05))
    assert camera.calibrated and not camera.rectified


def test_rectified_camera_is_p_without_distortion():
    camera = camera_from_info(camera_info(d=(0.1, -0.2, 0.001, 0.002, 0.05)), rectified=True)
    np.testing.assert_array_equal(camera.k, [[450, 0, 323.5], [0, 459, 237], [0, 0, 1]])
    assert not camera.has_distortion and camera.d == () and camera.rectified and camera.calibrated


@pytest.mark.parametrize("model", ["plumb_bob", "rational_polynomial", "equidistant", "", "a model that nobody knows"])
def test_zero_coefficients_are_no_distortion_whatever_the_model(model):
    camera = camera_from_info(camera_info(d=[0.0] * 5, model=model), rectified=False)
    assert camera.distortion_model == "" and camera.d == ()


@pytest.mark.parametrize("rectified", [False, True])
def test_binning_and_region_of_interest(rectified):
    info = camera_info(cx=320.0, cy=240.0, fx=500.0, fy=500.0)
    info.p = np.array([500.0, 0, 320, 0, 0, 500, 240, 0, 0, 0, 1, 0])
    info.roi.x_offset, info.roi.y_offset, info.roi.width, info.roi.height = 100, 50, 401, 300
    info.binning_x, info.binning_y = 2, 4
    camera = camera_from_info(info, rectified=rectified)
    assert (camera.width, camera.height) == (200, 75)
    np.testing.assert_allclose(
        camera.k, [[250, 0, (320 - 100 + 0.5) / 2 - 0.5], [0, 125, (240 - 50 + 0.5) / 4 - 0.5], [0, 0, 1]]
    )


def chooser(rectify="auto", topic="/camera/image_raw"):
    return CameraChooser(rectify, topic, "/camera/camera_info")


IMAGE = np.zeros((480, 640, 3), np.uint8)


@pytest.mark.parametrize(
    "rectify, topic, fx, rectified",
    [
        ("auto", "/camera/image_raw", 500, False),
        ("auto", "/camera/image_rect", 450, True),
        ("auto", "/camera/image_rect_color", 450, True),
        ("auto", "/image_rect/image_raw", 500, False),
        ("never", "/camera/image_rect", 500, False),
        ("always", "/camera/image_raw", 450, True),
    ],
)
def test_which_matrix_is_used(rectify, topic, fx, rectified):
    _, camera = chooser(rectify, topic).choose(IMAGE, camera_info(), 60.0)
    assert camera.fx == pytest.approx(fx) and camera.rectified == rectified and camera.calibrated


def test_always_moves_the_image_to_p():
    info = camera_info(fx=500.0, fy=500.0, cx=319.5, cy=239.5, d=(-0.3, 0.1, 0.0, 0.0, 0.0))
    info.p = np.array([400.0, 0, 300, 0, 0, 400, 220, 0, 0, 0, 1, 0])
    raw = camera_from_info(info, rectified=False)
    point = np.array([0.4, -0.25, 1.0])
    u, v = raw.project(point)
    picture = IMAGE.copy()
    cv2.circle(picture, (round(u), round(v)), 6, (255, 255, 255), -1)
    image, camera = chooser("always").choose(picture, info, 60.0)
    rows, columns = np.nonzero(image[..., 0] > 100)
    np.testing.assert_allclose([columns.mean(), rows.mean()], camera.project(point), atol=1.0)
    np.testing.assert_allclose(camera.project(point), [400 * 0.4 + 300, 400 * -0.25 + 220])


@pytest.mark.parametrize(
    "rectify, change, said",
    [
        ("auto", {"k": np.zeros(9)}, "not calibrated"),
        ("auto", {"width": 320}, "for images of 320 x 480 pixels, but the image has 640 x 480"),
        ("auto", {"binning_x": 2}, "for images of 320 x 480 pixels, but the image has 640 x 480"),
        ("auto", {"d": [0.1, float("nan"), 0.0, 0.0, 0.0]}, "finite"),
        ("auto", {"d": [0.1, 0.2, 0.3]}, "coefficients, got 3"),
        ("auto", {"k": np.array([np.nan, 0, 1, 0, 1, 1, 0, 0, 1])}, "finite"),
        ("auto", {"k": np.array([500, 0, 1, 0, -500, 1, 0, 0, 1.0])}, "positive"),
        ("auto", {"k": np.array([1e-3, 0, 320, 0, 500, 240, 0, 0, 1.0])}, "focal lengths must be at least 6.4 pixels"),
        ("auto", {"k": np.array([500, 0, 320, 0, 6.3, 240, 0, 0, 1.0])}, "fy=6.3; calibrate again"),
        ("always", {"p": np.array([1e-3, 0, 320, 0, 0, 500, 240, 0, 0, 0, 1, 0])}, "focal lengths"),
        ("auto", {"roi": RegionOfInterest(x_offset=1, width=640, height=480)}, "640 x 480 pixels at (1, 0), is not"),
        ("auto", {"height": 400, "roi": RegionOfInterest(width=640, height=480)}, "inside the sensor of 640 x 400"),
        ("auto", {"distortion_model": "made_up", "d": [0.1]}, "unknown distortion model 'made_up'"),
        ("always", {"p": np.zeros(12)}, "P = 0"),
        ("always", {"r": np.zeros(9)}, "rotation"),
    ],
)
def test_an_unusable_camera_info_is_replaced_by_a_guess_that_says_so(rectify, change, said):
    info, cameras = camera_info(), chooser(rectify)
    for name, value in change.items():
        setattr(info, name, value)
    image, camera = cameras.choose(IMAGE, info, 90.0)
    assert not camera.calibrated and camera.fx == pytest.approx(320.0)
    assert image is IMAGE
    assert said in cameras.problem and "guessed as 90 degrees" in cameras.problem
    _, camera = cameras.choose(IMAGE, camera_info(), 90.0)
    assert camera.calibrated and cameras.problem == ""


def test_no_camera_info_names_the_topic():
    cameras = chooser()
    _, camera = cameras.choose(IMAGE, None, 60.0)
    assert not camera.calibrated and "/camera/camera_info" in cameras.problem


def test_a_calibration_that_changes_takes_effect_at_once():
    cameras = chooser()
    assert cameras.choose(IMAGE, camera_info(fx=500.0), 60.0)[1].fx == 500.0
    assert cameras.choose(IMAGE, camera_info(fx=600.0), 60.0)[1].fx == 600.0


def test_the_same_calibration_gives_the_same_camera():
    cameras = chooser()
    first = cameras.choose(IMAGE, camera_info(stamp=(1, 0)), 60.0)[1]
    assert cameras.choose(IMAGE, camera_info(stamp=(2, 0)), 60.0)[1] is first


# ---- pairing


def test_the_exact_stamp_is_preferred_to_the_latest():
    cache = CameraInfoCache()
    infos = [camera_info(stamp=(second, 0)) for second in range(1, 4)]
    for info in infos:
        cache.put(info)
    assert cache.get(Time(sec=2), 0.0) is infos[1]
    assert cache.get(Time(sec=9), 0.0) is infos[2]


def test_without_any_camera_info_there_is_none():
    assert CameraInfoCache().get(Time(sec=1), 0.0) is None


def test_an_image_waits_for_its_camera_info():
    cache, found = CameraInfoCache(), []
    cache.put(camera_info(stamp=(1, 0)))
    thread = threading.Thread(target=lambda: found.append(cache.get(Time(sec=2), 30.0)))
    thread.start()
    cache.put(camera_info(stamp=(2, 0)))
    thread.join(20.0)
    assert found[0].header.stamp.sec == 2


def test_a_camera_that_sends_its_calibration_once_is_not_waited_for_again():
    cache = CameraInfoCache()
    cache.put(camera_info(stamp=(1, 0)))
    assert cache.get(Time(sec=2), 0.01).header.stamp.sec == 1
    # With the next one it would wait for an hour.
    assert cache.get(Time(sec=3), 3600.0).header.stamp.sec == 1


def test_memory_of_camera_infos_is_bounded():
    cache = CameraInfoCache()
    for second in range(1000):
        cache.put(camera_info(stamp=(second, 0)))
    assert cache.get(Time(sec=0), 0.0).header.stamp.sec == 999


# ---- people

BODY = small_body()
CAMERA = Camera([[500, 0, 320], [0, 505, 240], [0, 0, 1]], 640, 480, "plumb_bob", (0.1, 0.2, 0.0, 0.0, 0.3))


def people(count, vertices=True):
    humans = random_humans(BODY, count)
    return humans, human_array(
        header(), humans, Tracks.untracked(count), CAMERA, weights="w", untrained=True, vertices=vertices
    )


@pytest.mark.parametrize("count", [0, 1, 10])
def test_human_array_survives_the_wire(count):
    _, message = people(count)
    received = deserialize_message(serialize_message(message), HumanArray)
    assert len(received.humans) == count
    assert received == message


def test_human_array_says_which_camera_and_network():
    _, message = people(1)
    assert message.header == header()
    assert (message.image_width, message.image_height) == (640, 480)
    np.testing.assert_array_equal(message.k, CAMERA.k.ravel())
    assert (message.distortion_model, tuple(message.d)) == ("plumb_bob", (0.1, 0.2, 0.0, 0.0, 0.3))
    assert (message.calibrated, message.rectified, message.weights, message.untrained) == (True, False, "w", True)
    assert message.body_model == "small/1/test"


def test_human_carries_every_array():
    humans, message = people(3)
    for i, human in enumerate(message.humans):
        assert (human.track_id, human.tracking_state, human.age.sec, human.twist_valid) == (i + 1, 0, 0, False)
        assert human.score == humans.scores[i]
        position = human.pose.pose.position
        np.testing.assert_array_equal([position.x, position.y, position.z], humans.origin[i])
        np.testing.assert_allclose(human.pose.covariance, humans.covariance[i].ravel())
        np.testing.assert_array_equal(human.bbox, humans.bbox[i])
        np.testing.assert_array_equal([human.box_max.x, human.box_max.y, human.box_max.z], humans.box_max[i])
        np.testing.assert_array_equal([human.box_min.x, human.box_min.y, human.box_min.z], humans.box_min[i])
        np.testing.assert_array_equal(human.translation, humans.translation[i])
        np.testing.assert_array_equal(human.betas, humans.shape[i])
        np.testing.assert_array_equal(human.expression, humans.expression[i])
        for name in ("keypoints_3d", "keypoints_2d", "keypoint_scores", "vertices"):
            np.testing.assert_array_equal(getattr(human, name), getattr(humans, name)[i].ravel())


def test_pose_fields_follow_the_joints_of_the_body_model_info():
    humans, message = people(2)
    info = body_model_info(BODY)
    for i, human in enumerate(message.humans):
        rotvecs = dict(zip(BODY.posed_joints, humans.rotvecs[i]))
        np.testing.assert_array_equal(human.global_orient, rotvecs[0])
        for field in ("body", "left_hand", "right_hand", "jaw", "eye"):
            joints = getattr(info, f"{field}_joints")
            expected = [value for joint in joints for value in rotvecs[joint]]
            np.testing.assert_array_equal(getattr(human, f"{field}_pose"), expected)


def test_unknown_twist_is_never_all_zero():
    _, message = people(1)
    np.testing.assert_array_equal(message.humans[0].twist.covariance.reshape(6, 6), 1e6 * np.eye(6))


def test_pose_is_the_rotation():
    humans, message = people(4)
    for i, human in enumerate(message.humans):
        q = human.pose.pose.orientation
        x, y, z, w = q.x, q.y, q.z, q.w
        third = [2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)]
        np.testing.assert_allclose(third, humans.rotation[i, :, 2], atol=1e-5)


def test_vertices_are_empty_unless_asked_for():
    _, message = people(2, vertices=False)
    assert all(len(human.vertices) == 0 for human in message.humans)


def test_keypoints_behind_the_camera_stay_nan():
    humans = random_humans(BODY, 1)
    humans.keypoints_2d[0, 0] = np.nan
    message = human_array(header(), humans, Tracks.untracked(1), CAMERA, weights="", untrained=False, vertices=False)
    received = deserialize_message(serialize_message(message), HumanArray)
    assert np.isnan(received.humans[0].keypoints_2d[:2]).all()


def test_tracks_are_carried():
    tracks = Tracks(np.array([7], np.uint32), np.array([2], np.uint8), np.array([1.25]))
    message = human_array(header(), random_humans(BODY, 1), tracks, CAMERA, weights="", untrained=False, vertices=False)
    human = message.humans[0]
    assert (human.track_id, human.tracking_state, human.age.sec, human.age.nanosec) == (7, 2, 1, 250_000_000)


@pytest.mark.parametrize("seconds, sec, nanosec", [(0.0, 0, 0), (1.9999999999, 2, 0), (0.5, 0, 500_000_000)])
def test_duration(seconds, sec, nanosec):
    duration = duration_message(seconds)
    assert (duration.sec, duration.nanosec) == (sec, nanosec)


def test_body_model_info_survives_the_wire_and_names_everything():
    info = deserialize_message(serialize_message(body_model_info(BODY)), BodyModelInfo)
    assert tuple(info.joint_names) == BODY.joint_names and tuple(info.parents) == BODY.parents
    assert tuple(info.keypoint_names) == BODY.keypoint_names and tuple(info.shape_names) == BODY.shape_names
    np.testing.assert_array_equal(np.reshape(info.faces, (-1, 3)), BODY.faces)
    np.testing.assert_array_equal(np.reshape(info.faces_lod, (-1, 3)), BODY.faces_lod)
    np.testing.assert_array_equal(info.vertices_lod, BODY.vertices_lod)
    assert (info.name, info.flat_hand_mean, list(info.eye_joints)) == ("small/1/test", True, [])


def test_velocities_are_told_where_they_are_estimated():
    rng, count = np.random.default_rng(0), 3
    half = rng.normal(size=(count, 6, 6))
    motion = Motion(
        rng.normal(size=(count, 3)), rng.normal(size=(count, 3)), half @ half.transpose(0, 2, 1),
        np.array([True, False, True]), agility=0.2,
    )  # fmt: skip
    message = human_array(
        header(), random_humans(BODY, count), Tracks.untracked(count), CAMERA, weights="", untrained=False,
        vertices=False, motion=motion,
    )  # fmt: skip
    assert [human.twist_valid for human in message.humans] == [True, False, True]
    for i, human in enumerate(message.humans):
        told = human.twist.twist
        covariance = np.reshape(human.twist.covariance, (6, 6))
        velocity = motion.velocity[i] if human.twist_valid else np.zeros(3)
        assert [told.linear.x, told.linear.y, told.linear.z] == velocity.tolist()
        assert told.angular.x == told.angular.y == told.angular.z == 0.0
        expected = 1e6 * np.eye(6)
        if human.twist_valid:
            expected[:3, :3] = motion.covariance[i, 3:, 3:]
        np.testing.assert_array_equal(covariance, expected)
