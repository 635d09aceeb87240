"""Calibration files: what ROS's tools write is read, what we write reads back, what is wrong is named."""

import numpy as np
import pytest
import yaml

from ros2_multihmr.calibration import Calibration, CalibrationError, read_calibration, write_calibration
from ros2_multihmr.camera import Camera

FILE = """\
image_width: 640
image_height: 480
camera_name: head_camera
camera_matrix:
  rows: 3
  cols: 3
  data: [438.783367, 0.000000, 305.593336, 0.000000, 437.302876, 243.738352, 0.000000, 0.000000, 1.000000]
distortion_model: plumb_bob
distortion_coefficients:
  rows: 1
  cols: 5
  data: [-0.361976, 0.110510, 0.001014, 0.000505, 0.000000]
rectification_matrix:
  rows: 3
  cols: 3
  data: [0.999978, 0.002789, -0.006046, -0.002816, 0.999986, -0.004401, 0.006034, 0.004417, 0.999972]
projection_matrix:
  rows: 3
  cols: 4
  data: [393.653800, 0.000000, 322.797939, 0.000000, 0.000000, 393.653800, 241.090902, 0.000000, 0.000000, 0.000000,
    1.000000, 0.000000]
"""


@pytest.fixture
def path(tmp_path):
    (tmp_path / "camera.yaml").write_text(FILE)
    return tmp_path / "camera.yaml"


def _edited(path, **changes):
    content = yaml.safe_load(FILE) | changes
    path.write_text(yaml.safe_dump({k: v for k, v in content.items() if v is not None}))
    return path


def test_reads_what_camera_calibration_writes(path):
    calibration = read_calibration(path)
    camera = calibration.camera
    assert (camera.width, camera.height, camera.distortion_model) == (640, 480, "plumb_bob")
    assert camera.d == (-0.361976, 0.110510, 0.001014, 0.000505, 0.0) and camera.calibrated
    assert camera.k[0, 0] == 438.783367 and camera.k[1, 2] == 243.738352
    assert calibration.rectification[0, 1] == 0.002789 and calibration.projection[1, 2] == 241.090902
    assert calibration.name == "head_camera"


def test_written_file_reads_back(path, tmp_path):
    first = read_calibration(path)
    write_calibration(tmp_path / "again.yaml", first)
    again = read_calibration(tmp_path / "again.yaml")
    assert np.array_equal(again.camera.k, first.camera.k) and again.camera.d == first.camera.d
    assert np.array_equal(again.rectification, first.rectification)
    assert np.array_equal(again.projection, first.projection) and again.name == first.name


def test_field_of_view_writes_and_reads_back(tmp_path):
    made = Calibration.from_fov(800, 600, 60.0)
    write_calibration(tmp_path / "fov.yaml", made)
    read = read_calibration(tmp_path / "fov.yaml")
    assert np.array_equal(read.camera.k, made.camera.k) and not any(read.camera.d)
    half_width = np.arctan(400 / read.camera.k[0, 0])
    assert np.isclose(np.degrees(2 * half_width), 60.0) and read.camera.k[0, 2] == 399.5


def test_missing_rectification_means_none(path):
    calibration = read_calibration(_edited(path, rectification_matrix=None, projection_matrix=None))
    assert np.array_equal(calibration.rectification, np.eye(3))
    assert np.array_equal(calibration.projection[:, :3], calibration.camera.k)


def test_fisheye_is_ros_equidistant(path):
    entry = {"rows": 1, "cols": 4, "data": [0.1, 0.01, 0.001, 0.0]}
    camera = read_calibration(_edited(path, distortion_model="fisheye", distortion_coefficients=entry)).camera
    assert camera.distortion_model == "equidistant" and len(camera.d) == 4


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"camera_matrix": None}, "camera_matrix"),
        ({"camera_matrix": {"rows": 3, "cols": 3, "data": [1.0] * 8}}, "3x3"),
        ({"camera_matrix": {"rows": 3, "cols": 3, "data": [0.0] * 9}}, "."),
        ({"image_width": "wide"}, "image_width"),
        ({"distortion_coefficients": {"rows": 1, "cols": 5, "data": [0, 0, float("nan"), 0, 0]}}, "finite"),
        ({"distortion_coefficients": {"rows": 1, "cols": 5, "data": ["a", 0, 0, 0, 0]}}, "."),
        ({"distortion_model": "thin_prism"}, "thin_prism"),
    ],
)
def test_what_is_wrong_is_named_with_the_file(path, changes, says):
    with pytest.raises(CalibrationError, match=says) as caught:
        read_calibration(_edited(path, **changes))
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("text", ["", "just words", "a: [", "%YAML:1.0\n---\nK: !!opencv-matrix\n   rows: 3\n"])
def test_other_files_are_refused(tmp_path, text):
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(CalibrationError, match=r"x\.yaml"):
        read_calibration(tmp_path / "x.yaml")


def test_missing_file():
    with pytest.raises(CalibrationError, match="cannot read"):
        read_calibration("/nowhere/camera.yaml")


def test_image_of_another_size_is_refused():
    with pytest.raises(CalibrationError, match="640x480 images, this one is 320x240"):
        Calibration.of(Camera.from_fov(640, 480, 60.0)).check_size(320, 240, "photo")
