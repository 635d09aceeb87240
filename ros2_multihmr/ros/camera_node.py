"""The camera node: images and CameraInfo from a webcam, a video, a folder of pictures or one picture."""

from __future__ import annotations

import os
import sys
import threading
from array import array
from dataclasses import dataclass, fields
from typing import Any

import cv2
import numpy as np
import rclpy
from numpy.typing import NDArray
from rclpy.clock import Clock, ClockType
from rclpy.exceptions import ParameterException
from rclpy.executors import SingleThreadedExecutor
from rclpy.logging import get_logger
from rclpy.node import Node
from rclpy.qos import QoSPolicyKind, qos_profile_sensor_data
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from ros2_multihmr.calibration import Calibration, read_calibration
from ros2_multihmr.ros.declare import declare_parameters, read_parameters
from ros2_multihmr.ros.environment import set_defaults
from ros2_multihmr.ros.node import stop_on_signals, wrong_use
from ros2_multihmr.ros.start import init
from ros2_multihmr.settings import Settings, setting, setting_info
from ros2_multihmr.sources import Frame, endless, open_source

_LIVE_PERIOD_S = 1e-3  # a live source blocks until its next image: that is the pace
_WAIT_PERIOD_S = 0.1
_SETTLE_S = 0.5  # a new subscriber knows this node a moment after this node knows it
_POLL_S = 0.1
_LINGER_S = 1.0  # the last image is still on its way when the last callback returns
_QOS_OVERRIDES = QoSOverridingOptions((QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH, QoSPolicyKind.RELIABILITY))


@dataclass(frozen=True)
class CameraConfig(Settings):
    """The camera node's settings."""

    source: str = setting("", "Picture, folder of pictures, video file, webcam (0, /dev/video0) or stream (rtsp://...)")
    calibration: str = setting("", "YAML file of ROS's camera_calibration; empty: none")
    fov_deg: float = setting(
        0.0,
        "Field of view over the image's longer side, for a camera without calibration [degrees]; "
        "0: unknown, CameraInfo says uncalibrated",
        low=0.0,
        high=179.0,
    )
    rate_hz: float = setting(0.0, "Images per second [Hz]; 0: the source's own, 1 for pictures", low=0.0, high=1000.0)
    loop: bool = setting(True, "Start over after the last image; false: exit after it")
    wait_for_subscribers: int = setting(
        1,
        "Send the first image only when so many listen to the images or their CameraInfo; 0: at once",
        low=0,
        high=100,
    )
    frame_id: str = setting("camera_optical_frame", "Frame of the images: x right, y down, z forward")
    image_transport: str = setting(
        "raw",
        "raw publishes image_raw, compressed publishes image_raw/compressed (JPEG)",
        choices=("raw", "compressed"),
    )
    jpeg_quality: int = setting(95, "Quality of compressed images [percent]", low=1, high=100)

    def __post_init__(self) -> None:
        """Checks every value.

        Raises:
            ValueError: A value is not allowed; says which ones are.
        """
        super().__post_init__()
        if self.calibration and self.fov_deg:
            raise ValueError("calibration and fov_deg are both given: leave one out, they may contradict each other")


class CameraNode(Node):
    """Publishes the images of one source.

    Attributes:
        done: True once the last image of a source that does not loop is on its way.
        published: Number of images sent.
    """

    def __init__(self, **node_options: Any) -> None:
        """Opens the source.

        Raises:
            ValueError: A parameter, the source or the calibration cannot be used.
        """
        super().__init__("camera", namespace="camera", **node_options)
        declare_parameters(self, CameraConfig, "fixed while the node runs", read_only=True)
        self.config = read_parameters(self, CameraConfig)
        self.done = False
        self.published = 0
        self._calibration = read_calibration(self.config.calibration) if self.config.calibration else None
        self._source = open_source(self.config.source, self.config.rate_hz)
        self._frames = endless(self._source) if self.config.loop else self._source.frames()
        self._images, self._infos = self._create_publishers()
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._heard_since: Time | None = None
        if self.config.wait_for_subscribers:
            self._timer = self.create_timer(_WAIT_PERIOD_S, self._wait, clock=self._steady)
        else:
            self._start()
        self.get_logger().info(f"{self.config.source} goes to {self._images.topic_name}")

    def _create_publishers(self) -> tuple[Any, Any]:
        compressed = self.config.image_transport == "compressed"
        kind, topic = (CompressedImage, "image_raw/compressed") if compressed else (Image, "image_raw")
        return tuple(
            self.create_publisher(kind, topic, qos_profile_sensor_data, qos_overriding_options=_QOS_OVERRIDES)
            for kind, topic in ((kind, topic), (CameraInfo, "camera_info"))
        )

    def _wait(self) -> None:
        """Starts the flow of images once all listen, and know this node as well as this node knows them."""
        now, viewers = self._steady.now(), self._images.get_subscription_count()
        listeners = max(viewers, self._infos.get_subscription_count())
        if self._heard_since is None and viewers and listeners >= self.config.wait_for_subscribers:
            self._heard_since = now
        if self._heard_since is not None and (now - self._heard_since).nanoseconds >= _SETTLE_S * 1e9:
            self._timer.cancel()
            self._start()

    def _start(self) -> None:
        rate_hz = self.config.rate_hz or self._source.rate_hz
        period_s = _LIVE_PERIOD_S if self._source.live else 1.0 / rate_hz
        self._timer = self.create_timer(period_s, self._send_next, clock=self._steady)

    def _send_next(self) -> None:
        frame = next(self._frames, None)
        if frame is None:
            self._finish()
            return
        header = Header(stamp=self.get_clock().now().to_msg(), frame_id=self.config.frame_id)
        self._infos.publish(self._info(header, frame))
        self._images.publish(self._image(header, frame.image))
        self.published += 1

    def _finish(self) -> None:
        self._timer.cancel()
        self.get_logger().info(f"sent {self.published} images, skipped {self._source.skipped} that could not be read")
        self._timer = self.create_timer(_LINGER_S, self._end, clock=self._steady)

    def _end(self) -> None:
        self.done = True

    def _info(self, header: Header, frame: Frame) -> CameraInfo:
        height, width = frame.image.shape[:2]
        if self._calibration is not None:
            self._calibration.check_size(width, height, frame.name)
            return camera_info(header, self._calibration)
        if self.config.fov_deg:
            return camera_info(header, Calibration.from_fov(width, height, self.config.fov_deg))
        return CameraInfo(header=header, width=width, height=height)

    def _image(self, header: Header, image: NDArray[np.uint8]) -> Image | CompressedImage:
        if self.config.image_transport == "compressed":
            return compressed_image(header, image, self.config.jpeg_quality)
        return raw_image(header, image)


def camera_info(header: Header, calibration: Calibration) -> CameraInfo:
    """Returns the CameraInfo of a raw image; a camera without distortion gets plumb_bob with zeros, as tools expect."""
    camera = calibration.camera
    return CameraInfo(
        header=header,
        width=camera.width,
        height=camera.height,
        distortion_model=camera.distortion_model or "plumb_bob",
        d=list(camera.d) or [0.0] * 5,
        k=camera.k.ravel(),
        r=calibration.rectification.ravel(),
        p=calibration.projection.ravel(),
    )


def raw_image(header: Header, image: NDArray[np.uint8]) -> Image:
    """Returns an rgb8 Image of (H, W, 3) uint8 RGB."""
    height, width = image.shape[:2]
    data = array("B")  # a numpy array or a list would be copied element by element
    data.frombytes(np.ascontiguousarray(image).data)
    return Image(header=header, height=height, width=width, encoding="rgb8", step=3 * width, data=data)


def compressed_image(header: Header, image: NDArray[np.uint8], quality: int) -> CompressedImage:
    """Returns a JPEG CompressedImage of (H, W, 3) uint8 RGB; `quality` in percent."""
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    _, jpeg = cv2.imencode(".jpg", bgr, (cv2.IMWRITE_JPEG_QUALITY, quality))
    data = array("B")
    data.frombytes(jpeg.data)
    return CompressedImage(header=header, format="rgb8; jpeg compressed bgr8", data=data)


def main(args: list[str] | None = None) -> int:
    """Runs the camera node until its source ends or it is interrupted; returns the exit code, 2 for wrong use."""
    if {"-h", "--help"} & set(sys.argv if args is None else args):
        sys.stdout.write(usage())
        return 0
    set_defaults(os.environ)
    stop = stop_on_signals()
    try:
        init(args)
    except ValueError as error:
        return wrong_use("camera", str(error))
    try:
        _spin(CameraNode(), stop)
    except (ValueError, ParameterException) as error:
        get_logger("camera").fatal(str(error))
        return 1
    finally:
        rclpy.try_shutdown()
    return 0


def usage() -> str:
    """Returns how to start the node, and its parameters."""
    lines = [f"  {f.name:<22}{setting_info(f).description} [{f.default!r}]" for f in fields(CameraConfig)]
    return "\n".join(
        [
            "usage: multihmr camera --ros-args -p source:=SOURCE [-p NAME:=VALUE ...] [-r OLD:=NEW ...]",
            "",
            "Publishes /camera/image_raw and /camera/camera_info. Parameters:",
            *lines,
            "",
        ]
    )


def _spin(node: CameraNode, stop: threading.Event) -> None:
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    while not (stop.is_set() or node.done):
        executor.spin_once(timeout_sec=_POLL_S)
    executor.shutdown()  # left to the garbage collector, it would complain once ROS is down


if __name__ == "__main__":
    sys.exit(main())
