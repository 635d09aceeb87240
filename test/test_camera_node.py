"""The camera node: images and CameraInfo over DDS, and clear ends."""

import os
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
import rclpy
import yaml
from PIL import Image as Picture
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.qos import QoSReliabilityPolicy, qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from ros2_multihmr.calibration import Calibration, write_calibration
from ros2_multihmr.camera import Camera
from ros2_multihmr.ros.camera_node import CameraConfig, CameraNode, raw_image
from ros2_multihmr.ros.environment import share_file

WIDTH, HEIGHT = 40, 30
DEADLINE_S = 30.0


@pytest.fixture(autouse=True, scope="module")
def _ros():
    rclpy.init()
    yield
    rclpy.try_shutdown()


@pytest.fixture
def folder(tmp_path):
    """Three pictures of noise and what they hold."""
    (tmp_path / "pictures").mkdir()
    images = np.random.default_rng(0).integers(0, 255, (3, HEIGHT, WIDTH, 3), np.uint8)
    for i, image in enumerate(images):
        Picture.fromarray(image).save(tmp_path / "pictures" / f"{i}.png")
    return tmp_path / "pictures", images


def _exchange(parameters, image_kind=Image, image_topic="/camera/image_raw", count=3):
    """Runs a camera node beside a subscriber until `count` images and infos have come."""
    camera = CameraNode(parameter_overrides=[Parameter(name, value=value) for name, value in parameters.items()])
    listener, images, infos = rclpy.create_node("listener"), [], []
    listener.create_subscription(image_kind, image_topic, images.append, qos_profile_sensor_data)
    listener.create_subscription(CameraInfo, "/camera/camera_info", infos.append, qos_profile_sensor_data)
    executor, deadline = SingleThreadedExecutor(), time.monotonic() + DEADLINE_S
    for node in (camera, listener):
        executor.add_node(node)
    try:
        while min(len(images), len(infos)) < count and time.monotonic() < deadline:
            executor.spin_once(timeout_sec=0.1)
    finally:
        camera.destroy_node()
        listener.destroy_node()
    return images, infos


def test_every_picture_arrives_with_its_camera_info(folder, tmp_path):
    path, pictures = folder
    k = [[50.0, 0.0, 19.0], [0.0, 51.0, 14.0], [0.0, 0.0, 1.0]]
    calibration = Calibration.of(Camera(k, WIDTH, HEIGHT, "plumb_bob", (0.1, -0.02, 0.001, 0.002, 0.0)))
    write_calibration(tmp_path / "camera.yaml", calibration)
    parameters = {"source": str(path), "calibration": str(tmp_path / "camera.yaml"), "rate_hz": 50.0, "loop": False}
    images, infos = _exchange(parameters | {"frame_id": "eye"})
    assert [bytes(image.data) for image in images] == [picture.tobytes() for picture in pictures]
    assert [image.header.stamp for image in images] == [info.header.stamp for info in infos]
    assert {m.header.frame_id for m in (*images, *infos)} == {"eye"}
    assert {(i.width, i.height, i.step, i.encoding) for i in images} == {(WIDTH, HEIGHT, 3 * WIDTH, "rgb8")}
    assert (infos[0].width, infos[0].height, infos[0].distortion_model) == (WIDTH, HEIGHT, "plumb_bob")
    assert np.array_equal(infos[0].k, np.ravel(k)) and tuple(infos[0].d) == calibration.camera.d
    assert np.array_equal(infos[0].r, np.eye(3).ravel()) and infos[0].p[0] == 50.0 and infos[0].p[3] == 0.0


def test_stamps_of_a_looping_source_rise(folder):
    images, _ = _exchange({"source": str(folder[0] / "0.png"), "rate_hz": 100.0}, count=5)
    stamps = [(i.header.stamp.sec, i.header.stamp.nanosec) for i in images]
    assert len(stamps) >= 5 and stamps == sorted(set(stamps))


def test_camera_without_calibration_says_so(folder):
    _, infos = _exchange({"source": str(folder[0]), "rate_hz": 50.0}, count=1)
    assert not np.any(infos[0].k) and (infos[0].width, infos[0].height) == (WIDTH, HEIGHT)


def test_field_of_view_is_a_calibration(folder):
    _, infos = _exchange({"source": str(folder[0]), "fov_deg": 90.0, "rate_hz": 50.0}, count=1)
    assert np.allclose(infos[0].k, [20, 0, 19.5, 0, 20, 14.5, 0, 0, 1]) and np.allclose(infos[0].p[0:3], [20, 0, 19.5])


def test_compressed_images_decode(tmp_path):
    ramp = np.tile(np.linspace(0, 250, WIDTH, dtype=np.uint8)[None, :, None], (HEIGHT, 1, 3)) // (1, 2, 5)
    Picture.fromarray(ramp.astype(np.uint8)).save(tmp_path / "ramp.png")
    parameters = {"source": str(tmp_path / "ramp.png"), "image_transport": "compressed", "rate_hz": 50.0}
    images, infos = _exchange(parameters, CompressedImage, "/camera/image_raw/compressed", count=1)
    decoded = cv2.imdecode(np.frombuffer(images[0].data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert np.abs(decoded.astype(int) - ramp).mean() < 3.0
    assert "jpeg" in images[0].format and infos[0].width == WIDTH


def test_raw_image_takes_views(folder):
    picture = folder[1][0]
    message = raw_image(CameraInfo().header, picture[:, ::2])
    assert bytes(message.data) == picture[:, ::2].tobytes() and message.step == 3 * WIDTH // 2


def test_quality_of_service_is_sensor_data_and_overridable(folder):
    def offered(*overrides):
        parameters = [Parameter("source", value=str(folder[0])), *overrides]
        node = CameraNode(parameter_overrides=parameters)
        publishers = [p for p in node.publishers if p.topic_name == "/camera/image_raw"]
        policy = publishers[0].qos_profile.reliability
        node.destroy_node()
        return policy

    assert offered() == QoSReliabilityPolicy.BEST_EFFORT
    override = Parameter("qos_overrides./camera/image_raw.publisher.reliability", value="reliable")
    assert offered(override) == QoSReliabilityPolicy.RELIABLE


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({}, "no source"),
        ({"source": "/nowhere.jpg"}, "no such file"),
        ({"calibration": "/nowhere.yaml"}, "cannot read the calibration"),
        ({"calibration": "a.yaml", "fov_deg": 60.0}, "both given"),
        ({"sorce": "x"}, "did you mean source"),
        ({"image_transport": "theora"}, "raw, compressed"),
    ],
)
def test_bad_parameters_say_what_is_wrong(folder, parameters, says):
    parameters = ({"source": str(folder[0])} if parameters else {}) | parameters
    with pytest.raises(ValueError, match=says):
        CameraNode(parameter_overrides=[Parameter(name, value=value) for name, value in parameters.items()])


def test_parameter_file_holds_the_defaults():
    parameters = yaml.safe_load(share_file("config/camera.yaml").read_text())["/**"]["ros__parameters"]
    assert parameters == vars(CameraConfig())


def _start(*parameters):
    arguments = [part for parameter in parameters for part in ("-p", parameter)]
    command = [sys.executable, "-m", "ros2_multihmr.ros.camera_node", "--ros-args", *arguments]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ)


def test_process_ends_by_itself_after_the_last_picture(folder):
    process = _start(f"source:={folder[0]}", "loop:=false", "wait_for_subscribers:=0", "rate_hz:=100.0")
    errors = process.communicate(timeout=DEADLINE_S)[1]
    assert process.returncode == 0 and "sent 3 images" in errors


def test_process_waits_for_a_subscriber_and_ends_when_asked(folder):
    process = _start(f"source:={folder[0]}", "loop:=false", "rate_hz:=100.0")
    assert "goes to" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    errors = process.communicate(timeout=DEADLINE_S)[1]
    assert process.returncode == 0 and "sent" not in errors and "Traceback" not in errors


def test_process_refuses_a_calibration_of_another_size(folder, tmp_path):
    write_calibration(tmp_path / "c.yaml", Calibration.from_fov(640, 480, 60.0))
    process = _start(f"source:={folder[0]}", f"calibration:={tmp_path / 'c.yaml'}", "wait_for_subscribers:=0")
    errors = process.communicate(timeout=DEADLINE_S)[1]
    assert process.returncode == 1 and "640x480 images, this one is 40x30" in errors and "Traceback" not in errors


@pytest.mark.parametrize("module", ["camera_node", "recorder"])
@pytest.mark.parametrize("arguments", [["-p", "source"], ["--params-file", "/nowhere.yaml"], ["--unheard-of"]])
def test_programs_tell_wrong_ros_arguments_in_one_sentence(module, arguments):
    command = [sys.executable, "-m", f"ros2_multihmr.ros.{module}", "--ros-args", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert f"{module.partition('_')[0]}: ROS did not start" in done.stderr and arguments[-1] in done.stderr
