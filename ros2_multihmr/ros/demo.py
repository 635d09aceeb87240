"""`multihmr demo`: photographs and a video through camera, node and recorder processes, into pictures and a bag."""

from __future__ import annotations

import math
import os
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
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
from ros2_multihmr.folders import check_folder, make_folder
from ros2_multihmr.ros.demo_report import Part, problems, read_recording
from ros2_multihmr.ros.demo_show import show, write_pictures
from ros2_multihmr.ros.monitor import Monitor, lost_images
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
_BUSY_SHARE = 0.4  # the next image comes when the last one is surely done: here, nothing should be dropped
_ATTEMPTS = 4
_LINGER_S = 1.0  # what is still under way to the recorder
_READY_S, _CAMERA_S, _ANSWER_S = 120.0, 120.0, 20.0


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
    check_out(out)
    make_folder(out, "--out")
    samples = asset(_PHOTOGRAPH).parent
    photographs = list(open_source(str(samples)).frames())
    video, video_fov_deg = make_video(out / "video.mp4", options.video_images)
    parts = [
        Part("photographs", str(samples), _FOV_DEG, tuple(frame.name for frame in photographs)),
        Part("video", str(video), video_fov_deg, tuple(f"video_{i:03d}" for i in range(options.video_images))),
    ]
    try:
        sent = exchange(options, parts, out, console)
    except DemoError as error:
        console.print(f"[red]{escape(str(error))}[/]")
        return 1
    return report(sent, out, console, start)


def check_out(out: Path) -> None:
    """Refuses a folder that the demo cannot use.

    Raises:
        ValueError: It cannot be a folder, or its bag is none of the demo's, which is not ours to remove.
    """
    check_folder(out, "--out")
    bag = out / "bag"
    if bag.is_dir() and all(path.suffix in (".mcap", ".yaml") for path in bag.iterdir()):
        return
    if bag.exists() or bag.is_symlink():
        raise ValueError(f"{bag}: not a bag of an earlier demo; move it away, or give another folder with --out")


def report(parts: list[Part], out: Path, console: Console, start_s: float) -> int:
    """Shows what the bag holds, and says what is missing in it; returns the exit code."""
    recording = read_recording(out / "bag", parts)
    show(console, recording, parts, write_pictures(out, recording, parts), out)
    missing = problems(recording, parts)
    for problem in missing:
        console.print(f"[red]{escape(problem)}[/]")
    all_came = (
        "not every image got everything, see above" if missing else "every image got its HumanArray, TF and MarkerArray"
    )
    console.print(f"Done in {time.monotonic() - start_s:.0f} s: {all_came}.")
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


def exchange(options: EstimatorConfig, parts: list[Part], out: Path, console: Console) -> list[Part]:
    """Runs node and recorder, and a camera for each part; leaves `out`/bag and logs.

    Returns:
        The parts, with what became of them.

    Raises:
        DemoError: A process failed.
    """
    bag = out / "bag"
    if bag.is_dir():
        shutil.rmtree(bag)  # an earlier demo's, see `check_out`
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
            return Sender(group, out, stop, console).send(parts)
        finally:
            rclpy.try_shutdown()


class Sender:
    """Sends parts through the graph, each slowly enough that nothing is dropped: at half the rate if something was.

    Args:
        group: The graph, with node and recorder; a camera joins it per attempt.
        out: Where the logs are.
        stop: Ends it early.
        console: Shows the progress.
    """

    def __init__(self, group: ProcessGroup, out: Path, stop: threading.Event, console: Console) -> None:
        self._group, self._out, self._stop, self._console = group, out, stop, console
        self._monitor, self._executor = (
            Monitor(NODE_REMAPS["camera_info"], "/multihmr/humans"),
            SingleThreadedExecutor(),
        )
        self._executor.add_node(self._monitor)

    def send(self, parts: list[Part]) -> list[Part]:
        """Sends the parts one after the other, and returns them with what became of them.

        Raises:
            DemoError: A process failed.
            KeyboardInterrupt: `stop` was set.
        """
        self._spin_until(lambda: self._monitor.connected)
        sent, rate_hz = [], _PHOTO_RATE_HZ
        for part in parts:
            sent.append(self._send(part, rate_hz))
            rate_hz = min(_VIDEO_RATE_HZ, _BUSY_SHARE / max(self._monitor.people.slowest_s, 1e-3))
        return sent

    def _send(self, part: Part, rate_hz: float) -> Part:
        """Sends one part, more than once if need be."""
        for attempt in range(1, _ATTEMPTS + 1):
            sent, complete = self._attempt(part, rate_hz)
            if complete or attempt == _ATTEMPTS:
                break
            rate_hz /= 2.0
            self._console.print(f"{part.name}: this machine is busy, images were dropped; again at {rate_hz:.2g} Hz")
        return sent

    def _attempt(self, part: Part, rate_hz: float) -> tuple[Part, bool]:
        begin_ns, counts, people = time.time_ns(), self._monitor.image_counts(), self._monitor.people
        before, total = people.count, len(part.names)
        with self._console.status("") as status:

            def answered(end: Callable[[], bool]) -> bool:
                status.update(f"{part.name} at {rate_hz:.2g} Hz: {people.count - before} of {total} images answered")
                return end()

            camera = self._group.start("camera", CAMERA_MODULE, ros_arguments(_camera_parameters(part, rate_hz)))
            self._spin_until(lambda: answered(lambda: camera.exit_code() == 0), _CAMERA_S + total / rate_hz)
            if camera.exit_code() is None:
                raise DemoError(f"the camera did not end; the logs are in {self._out}")
            end_s = time.monotonic()
            # The node's word is waited for even if all is answered: what it says of the next attempt begins there.
            self._spin_until(lambda: answered(lambda: self._monitor.settled(end_s)), _ANSWER_S)
        self._spin_until(lambda: False, limit_s=_LINGER_S)
        losses = new_losses(counts, self._monitor.image_counts(), total)
        return replace(part, sent_ns=(begin_ns, time.time_ns()), losses=losses), people.count - before >= total

    def _spin_until(self, done: Callable[[], bool], limit_s: float = math.inf) -> None:
        """Listens until something is done, or for a limited time; raises if a process fails, or `stop` is set."""
        deadline = time.monotonic() + limit_s
        while not done() and time.monotonic() < deadline:
            self._executor.spin_once(timeout_sec=0.1)
            if self._stop.is_set():
                raise KeyboardInterrupt
            if _failed(self._group):
                raise DemoError(failure(self._group, self._out))


def new_losses(before: Mapping[str, int], after: Mapping[str, int], sent: int) -> dict[str, int]:
    """Returns what became of the images without people among the last `sent`, by reason."""
    losses = {why: count - before.get(why, 0) for why, count in lost_images(after).items()}
    return losses | {"never reached the node": sent - (after["received"] - before["received"])}


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
        return f"nothing was ready within {_READY_S:g} s; the logs are in {out}"
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
