"""Calibration: the YAML file of ROS's `camera_calibration`, as a `Camera` with its rectification."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from ros2_multihmr.camera import Camera

# Names that calibration tools write, and the name that sensor_msgs/CameraInfo knows.
_MODEL_NAMES = {"fisheye": "equidistant", "": "plumb_bob"}


class CalibrationError(ValueError):
    """A calibration file that cannot be used; says what was expected, what came and what to do."""


@dataclass(frozen=True)
class Calibration:
    """One camera, as `sensor_msgs/CameraInfo` describes it.

    Attributes:
        camera: K, distortion and size of the raw image.
        rectification: (3, 3) R, turns the raw camera's axes into the rectified one's.
        projection: (3, 4) P of the rectified image [px].
        name: Name of the camera, empty if the file has none.
    """

    camera: Camera
    rectification: NDArray[np.float64]
    projection: NDArray[np.float64]
    name: str = ""

    @staticmethod
    def of(camera: Camera) -> Calibration:
        """Returns the calibration of a camera that is its own rectified camera: R = I, P = [K 0]."""
        return Calibration(camera, np.eye(3), np.hstack([camera.k, np.zeros((3, 1))]))

    @staticmethod
    def from_fov(width: int, height: int, fov_deg: float) -> Calibration:
        """Returns an undistorted camera whose longer side sees `fov_deg` degrees."""
        return Calibration.of(Camera.from_fov(width, height, fov_deg))

    def check_size(self, width: int, height: int, what: str) -> None:
        """Raises CalibrationError if an image of another size came; `what` names the image."""
        camera = self.camera
        if (camera.width, camera.height) != (width, height):
            raise CalibrationError(
                f"{what}: the calibration is for {camera.width}x{camera.height} images, this one is {width}x{height}; "
                "give the calibration made at this size, or a field of view instead"
            )


def read_calibration(path: Path | str) -> Calibration:
    """Reads a calibration file.

    Args:
        path: YAML file as `camera_calibration` and `camera_info_manager` write it.

    Raises:
        CalibrationError: The file is missing, is no such file, or holds numbers that no camera has.
    """
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CalibrationError(f"{path}: cannot read the calibration: {error}") from error
    if not isinstance(content, dict):
        raise CalibrationError(
            f"{path}: expected the YAML file that ROS's camera_calibration writes, got {content!r:.80}"
        )
    try:
        return _calibration(content)
    except (TypeError, ValueError) as error:
        raise CalibrationError(f"{path}: {error}") from error


def _calibration(content: dict[str, Any]) -> Calibration:
    k = _matrix(content, "camera_matrix", (3, 3))
    model = str(content.get("distortion_model") or "")
    camera = Camera(
        k=k,
        width=_size(content, "image_width"),
        height=_size(content, "image_height"),
        distortion_model=_MODEL_NAMES.get(model, model),
        d=tuple(float(v) for v in _matrix(content, "distortion_coefficients", None).ravel()),
    )
    rectification = np.eye(3)
    projection = np.hstack([k, np.zeros((3, 1))])
    if "rectification_matrix" in content:
        rectification = _matrix(content, "rectification_matrix", (3, 3))
    if "projection_matrix" in content:
        projection = _matrix(content, "projection_matrix", (3, 4))
    return Calibration(camera, rectification, projection, str(content.get("camera_name") or ""))


def _size(content: dict[str, Any], key: str) -> int:
    value = content.get(key)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{key}: expected a whole number of pixels, got {value!r}")
    return value


def _matrix(content: dict[str, Any], key: str, shape: tuple[int, int] | None) -> NDArray[np.float64]:
    entry = content.get(key)
    if not isinstance(entry, dict) or not isinstance(entry.get("data"), list):
        raise ValueError(f"{key}: expected rows, cols and data, got {entry!r:.80}")
    data = np.array(entry["data"], np.float64)
    shape = shape or (1, data.size)
    if data.size != shape[0] * shape[1] or not np.isfinite(data).all():
        raise ValueError(f"{key}: expected {shape[0]}x{shape[1]} finite numbers, got {entry['data']!r:.80}")
    return data.reshape(shape)


def write_calibration(path: Path | str, calibration: Calibration) -> None:
    """Writes a file that `read_calibration`, `camera_info_manager` and other ROS tools read.

    Raises:
        OSError: The file cannot be written.
    """
    camera = calibration.camera
    content = {
        "image_width": camera.width,
        "image_height": camera.height,
        "camera_name": calibration.name or "camera",
        "camera_matrix": _entry(camera.k),
        "distortion_model": camera.distortion_model or "plumb_bob",
        "distortion_coefficients": _entry(np.array([camera.d or (0.0,) * 5])),
        "rectification_matrix": _entry(calibration.rectification),
        "projection_matrix": _entry(calibration.projection),
    }
    Path(path).write_text(yaml.safe_dump(content, sort_keys=False, default_flow_style=None), encoding="utf-8")


def _entry(matrix: NDArray[np.float64]) -> dict[str, Any]:
    return {"rows": matrix.shape[0], "cols": matrix.shape[1], "data": [float(v) for v in matrix.ravel()]}
