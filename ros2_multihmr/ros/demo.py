"""`multihmr demo`: photographs and a video through camera, node and recorder processes, into pictures and a bag."""

from __future__ import annotations

import os
import shutil
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions
from rich.console import Console
from rich.markup import escape

from ros2_multihmr.assets import asset
from ros2_multihmr.estimator_config import EstimatorConfig
from ros2_multihmr.ros.demo_report import Part, problems, read_recording
from ros2_multihmr.ros.demo_show import show, write_pictures
from ros2_multihmr.ros.monitor import Monitor
from ros2_multihmr.ros.processes import (
    RECORDING,
    Process,
    ProcessGroup,
    local_environment,
    random_domain,
    ros_arguments,
)
from ros2_multihmr.ros.run import (
    CAMERA_MODULE,
    NODE_MODULE,
    NODE_REMAPS,
    RECORDER_MODULE,
    node_arguments,
    stop_signals,
)
from ros2_multihmr.settings import setting
from ros2_multihmr.sources import open_source, read_image

_PHOTOGRAPH = "samples/basketball.jpg"
_FOV_DEG = 60.0  # the photographs' cameras are unknown
_PHOTO_RATE_HZ, _VIDEO_RATE_HZ = 1.0, 10.0
_VIDEO_SIZE = (480, 360)
_BUSY_SHARE = 0.4  # the next image comes when the last one is surely done: here, nothing may be dropped
_READY_S, _CAMERA_S, _ANSWER_S = 120.0, 120.0, 10.0


class DemoError(RuntimeError):
    """A process of the demo failed."""


@dataclass(frozen=True)
class Options(EstimatorConfig):
    """Sends sample photographs and a video through a real ROS 2 graph of three processes, and shows what comes out."""

    out: str = setting("out/demo", "Folder for pictures, bag and logs; an earlier demo's bag there is replaced")
    video_images: int = setting(40, "Length of the video [images]", low=2, high=1000)


def main(options: Options) -> int:
    """Runs the verb; returns 0 if every image got everything, 1 otherwise."""
    console, out, start = Console(), Path(options.out), time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    samples = asset(_PHOTOGRAPH).parent
    photographs = list(open_source(str(samples)).frames())
    video, video_fov_deg = make_video(out / "video.mp4", options.video_images)
    parts = [
        Part("photographs", str(samples), _FOV_DEG, tuple(frame.name for frame in photographs)),
        Part("video", str(video), video_fov_deg, tuple(f"video_{i:03d}" for i in range(options.video_images))),
    ]
    try:
        exchange(options, parts, out, console)
    except DemoError as error:
        console.print(f"[red]{escape(str(error))}[/]")
        return 1
    recording = read_recording(out / "bag")
    missing = problems(recording, parts)
    if not missing:
        show(console, recording, parts, write_pictures(out, recording, parts))
        console.print(f"Done in {time.monotonic() - start:.0f} s: every image got its HumanArray, TF and MarkerArray.")
    for problem in missing:
        console.print(f"[red]{escape(problem)}[/]")
    return 1 if missing else 0


def make_video(path: Path, count: int) -> tuple[Path, float]:
    """Writes a video that pans over a sample photograph from left to right.

    Returns:
        The file, and the field of view of its images over their longer side [degrees].
    """
    photograph = read_image(asset(_PHOTOGRAPH))
    height, width = photograph.shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), _VIDEO_RATE_HZ, _VIDEO_SIZE)
    for x in np.linspace(0, width - _VIDEO_SIZE[0], count).round().astype(int):
        y = (height - _VIDEO_SIZE[1]) // 2
        writer.write(cv2.cvtColor(photograph[y : y + _VIDEO_SIZE[1], x : x + _VIDEO_SIZE[0]], cv2.COLOR_RGB2BGR))
    writer.release()
    half_tangent = np.tan(np.radians(_FOV_DEG) / 2.0) * max(_VIDEO_SIZE) / max(width, height)
    return path, float(np.degrees(2.0 * np.arctan(half_tangent)))


def exchange(options: EstimatorConfig, parts: list[Part], out: Path, console: Console) -> None:
    """Runs node and recorder, and a camera for each part; leaves `out`/bag and logs.

    Raises:
        DemoError: A process failed, or was too slow.
    """
    bag = out / "bag"
    if bag.is_dir() and all(path.suffix in (".mcap", ".yaml") for path in bag.iterdir()):
        shutil.rmtree(bag)  # an earlier demo's; anything else there is not ours to remove
    os.environ.update(local_environment(os.environ) | random_domain())
    with stop_signals() as stop, ProcessGroup(Logs(out).write, os.environ) as group:
        with console.status("starting node and recorder"):
            # Every image gets markers, whatever its stamp.
            group.start("node", NODE_MODULE, node_arguments(options, markers_rate_hz=0.0))
            recorder = group.start("recorder", RECORDER_MODULE, ros_arguments({"out": str(bag), "overlay": True}))
            if not group.wait_for_line(recorder, RECORDING, _READY_S, stop):
                raise KeyboardInterrupt if stop.is_set() else DemoError(failure(group, out))
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        try:
            _send_parts(parts, group, out, stop, console)
        finally:
            rclpy.try_shutdown()


def _send_parts(parts: list[Part], group: ProcessGroup, out: Path, stop: threading.Event, console: Console) -> None:
    monitor, executor = Monitor(NODE_REMAPS["camera_info"], "/multihmr/humans"), SingleThreadedExecutor()
    executor.add_node(monitor)
    while not monitor.connected and not stop.is_set() and not _failed(group):
        executor.spin_once(timeout_sec=0.1)
    rate_hz, sent = _PHOTO_RATE_HZ, 0
    for part in parts:
        camera = group.start("camera", CAMERA_MODULE, ros_arguments(_camera_parameters(part, rate_hz)))
        deadline, sent = time.monotonic() + _CAMERA_S + len(part.names) / rate_hz, sent + len(part.names)
        with console.status("") as status:
            while camera.exit_code() is None or monitor.people.count < sent:
                executor.spin_once(timeout_sec=0.1)
                status.update(f"{part.name} at {rate_hz:.1f} Hz: {monitor.people.count} of {sent} images answered")
                if camera.exit_code() == 0:
                    deadline = min(deadline, time.monotonic() + _ANSWER_S)
                if stop.is_set():
                    raise KeyboardInterrupt
                if _failed(group) or time.monotonic() > deadline:
                    raise DemoError(failure(group, out))
        rate_hz = min(_VIDEO_RATE_HZ, _BUSY_SHARE / max(1e-3 * monitor.people.latency_ms(), 1e-3))
    executor.spin_once(timeout_sec=1.0)  # what is still under way to the recorder


def _camera_parameters(part: Part, rate_hz: float) -> dict[str, Any]:
    listeners = 3  # node, recorder and monitor: none may miss the first image
    parameters = {"source": part.source, "fov_deg": part.fov_deg, "rate_hz": rate_hz, "loop": False}
    return parameters | {"wait_for_subscribers": listeners}


def _failed(group: ProcessGroup) -> list[Process]:
    return [process for process in group.ended() if process.exit_code() != 0 or process.name != "camera"]


def failure(group: ProcessGroup, out: Path) -> str:
    """Says which process of the demo failed, with its last lines."""
    failed = _failed(group)
    if not failed:
        return f"not every image was answered; the logs are in {out}"
    return "\n".join([f"{failed[0].fate()}; the last lines of {out / failed[0].name}.log:", *list(failed[0].tail)])


class Logs:
    """A log file per process."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._begun = folder, set[str]()
        self._lock = threading.Lock()

    def write(self, name: str, line: str) -> None:
        """Adds a line to a process's log, begun anew by its first line."""
        with self._lock, (self._folder / f"{name}.log").open("a" if name in self._begun else "w") as file:
            file.write(line + "\n")
            self._begun.add(name)
