"""Which camera took this image: CameraInfo messages, kept and paired with images, turned into `Camera`."""

from __future__ import annotations

import threading
from collections import OrderedDict

import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo

from ros2_multihmr.camera import Camera
from ros2_multihmr.rectify import Rectifier

_KEPT = 30
# A focal length below this fraction of the longer side would see more than 178.8 degrees.
_SHORTEST_FOCAL = 0.01


class CameraInfoError(ValueError):
    """A CameraInfo that cannot be used; says what was expected, what came, and what to do."""


class CameraInfoCache:
    """Keeps the latest CameraInfo messages; one thread puts them in, another one asks."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._infos: OrderedDict[tuple[int, int], CameraInfo] = OrderedDict()
        self._paired = True

    def put(self, info: CameraInfo) -> None:
        """Adds a message."""
        key = _key(info.header.stamp)
        with self._changed:
            self._infos[key] = info
            self._infos.move_to_end(key)
            if len(self._infos) > _KEPT:
                self._infos.popitem(last=False)
            self._changed.notify_all()

    def get(self, stamp: Time, timeout_s: float) -> CameraInfo | None:
        """Returns the CameraInfo with this stamp if there is one, else the latest; None if there is none at all.

        Args:
            stamp: Stamp of the image.
            timeout_s: How long to wait for the exact stamp [s]. There is no waiting where the last image did not find
                its stamp either, because such a camera sends its calibration on its own.
        """
        key = _key(stamp)
        with self._changed:
            if self._paired or not self._infos:
                self._changed.wait_for(lambda: key in self._infos, timeout_s)
            self._paired = key in self._infos
            if self._paired:
                return self._infos[key]
            return next(reversed(self._infos.values()), None)


class CameraChooser:
    """Turns an image and its CameraInfo into the image and `Camera` that the estimator works on.

    Attributes:
        problem: Why the last image's camera was guessed, and what to do about it; empty if it was calibrated.

    Args:
        rectify: "auto", "always" or "never", as in `NodeConfig.rectify`.
        image_topic: Resolved name of the image topic.
        info_topic: Resolved name of the CameraInfo topic.
    """

    def __init__(self, rectify: str, image_topic: str, info_topic: str) -> None:
        self.problem = ""
        self._remap = rectify == "always"
        self._rectified = rectify == "auto" and image_topic.rpartition("/")[2].startswith("image_rect")
        self._info_topic = info_topic
        self._cached: tuple[bytes, Camera, Rectifier | None] | None = None

    def choose(
        self, image: NDArray[np.uint8], info: CameraInfo | None, fallback_fov_deg: float
    ) -> tuple[NDArray[np.uint8], Camera]:
        """Returns the image, rectified if so configured, and its camera.

        A CameraInfo that is missing or cannot be used is replaced by a guess, marked as not calibrated.

        Args:
            image: (H, W, 3) uint8 RGB, as received.
            info: Its CameraInfo, or None.
            fallback_fov_deg: Guessed field of view over the longer side [degrees].
        """
        height, width = image.shape[:2]
        try:
            camera, rectifier = self._calibrated(info, width, height)
        except ValueError as error:
            self.problem = f"{error}. Until then the field of view is guessed as {fallback_fov_deg:g} degrees."
            return image, Camera.from_fov(width, height, fallback_fov_deg)
        self.problem = ""
        return (rectifier(image) if rectifier else image), camera

    def _calibrated(self, info: CameraInfo | None, width: int, height: int) -> tuple[Camera, Rectifier | None]:
        if info is None:
            raise CameraInfoError(
                f"no CameraInfo on {self._info_topic}; let the camera driver publish it, or remap the topic camera_info"
            )
        check_size(info, width, height)
        key = calibration_key(info)
        if self._cached is None or self._cached[0] != key:
            camera = camera_from_info(info, rectified=self._rectified)
            rectifier = rectifier_from_info(info, camera) if self._remap else None
            self._cached = (key, rectifier.camera if rectifier else camera, rectifier)
        return self._cached[1:]


def camera_from_info(info: CameraInfo, *, rectified: bool) -> Camera:
    """Turns a CameraInfo into the camera of the image that it comes with, region of interest and binning applied.

    Args:
        info: Calibration of the full sensor.
        rectified: True for P and no distortion, False for K and D.

    Raises:
        ValueError: The camera is not calibrated, or the calibration is damaged.
    """
    if info.k[0] == 0.0:
        raise CameraInfoError("the camera is not calibrated, CameraInfo has K = 0; use camera_calibration")
    if not rectified:
        # All-zero coefficients say that there is no distortion, whatever the model is called.
        model, d = (info.distortion_model, tuple(info.d)) if any(info.d) else ("", ())
        return _region_of_interest(Camera(info.k.reshape(3, 3), info.width, info.height, model, d), info)
    return _region_of_interest(Camera(_p(info), info.width, info.height, rectified=True), info)


def rectifier_from_info(info: CameraInfo, raw: Camera) -> Rectifier:
    """Returns what turns a raw image into the one that P describes.

    Args:
        info: Calibration of the full sensor.
        raw: `camera_from_info` of it.

    Raises:
        ValueError: P or R is damaged.
    """
    rectified = _region_of_interest(Camera(_p(info), info.width, info.height), info)
    return Rectifier(raw, rectified.k, info.r.reshape(3, 3))


def check_size(info: CameraInfo, width: int, height: int) -> None:
    """Raises CameraInfoError if the CameraInfo belongs to images of another size."""
    expected = (
        (info.roi.width or info.width) // (info.binning_x or 1),
        (info.roi.height or info.height) // (info.binning_y or 1),
    )
    if expected != (width, height):
        raise CameraInfoError(
            f"the CameraInfo is for images of {expected[0]} x {expected[1]} pixels, but the image has "
            f"{width} x {height}; use the calibration of this camera and resolution"
        )


def calibration_key(info: CameraInfo) -> bytes:
    """Returns bytes that are equal for equal calibrations, whatever the header says."""
    roi = info.roi
    sizes = (info.height, info.width, info.binning_x, info.binning_y)
    region = (roi.x_offset, roi.y_offset, roi.height, roi.width)
    arrays = (info.k, info.r, info.p, np.asarray(info.d, np.float64))
    return repr((info.distortion_model, sizes, region)).encode() + b"".join(values.tobytes() for values in arrays)


def _key(stamp: Time) -> tuple[int, int]:
    return stamp.sec, stamp.nanosec


def _region_of_interest(camera: Camera, info: CameraInfo) -> Camera:
    _check_focal_length(camera)
    roi = info.roi
    if roi.x_offset + roi.width > info.width or roi.y_offset + roi.height > info.height:
        raise CameraInfoError(
            f"the CameraInfo's region of interest, {roi.width} x {roi.height} pixels at ({roi.x_offset}, "
            f"{roi.y_offset}), is not inside the sensor of {info.width} x {info.height}; width and height of a "
            "CameraInfo are the full sensor's, put the camera driver right"
        )
    if roi.width or roi.height or roi.x_offset or roi.y_offset:
        camera = camera.crop(roi.x_offset, roi.y_offset, roi.width or camera.width, roi.height or camera.height)
    return camera.binned(info.binning_x, info.binning_y)


def _check_focal_length(camera: Camera) -> None:
    shortest_px = _SHORTEST_FOCAL * max(camera.width, camera.height)
    if min(camera.fx, camera.fy) < shortest_px:
        raise CameraInfoError(
            f"the CameraInfo's focal lengths must be at least {shortest_px:g} pixels for {camera.width} x "
            f"{camera.height} images, got fx={camera.fx:g}, fy={camera.fy:g}; calibrate again with camera_calibration"
        )


def _p(info: CameraInfo) -> NDArray[np.float64]:
    p: NDArray[np.float64] = np.asarray(info.p, np.float64).reshape(3, 4)[:, :3]
    if p[0, 0] == 0.0:
        raise CameraInfoError("the CameraInfo has P = 0, which a rectified image needs; use camera_calibration")
    return p
