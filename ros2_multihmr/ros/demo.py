"""`multihmr demo`: photographs and a clip through camera, node and recorder processes, into pictures, errors, a bag."""

from __future__ import annotations

import os
import shutil
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import rclpy
from rclpy.signals import SignalHandlerOptions
from rich.console import Console
from rich.markup import escape

from ros2_multihmr.assets import asset
from ros2_multihmr.estimator_config import EstimatorConfig
from ros2_multihmr.files.folders import check_folder, make_folder
from ros2_multihmr.report import open_console
from ros2_multihmr.ros.demo_report import Part, answers_of, problems, read_recording
from ros2_multihmr.ros.demo_sender import READY_S, DemoError, Sender, failure
from ros2_multihmr.ros.demo_show import show, show_advice, write_pictures
from ros2_multihmr.ros.demo_truth import clip_part, show_errors
from ros2_multihmr.ros.processes import (
    RECORDING,
    ProcessGroup,
    local_environment,
    random_domain,
    ros_arguments,
)
from ros2_multihmr.ros.run import (
    NODE_MODULE,
    RECORDER_MODULE,
    node_arguments,
    stop_signals,
)
from ros2_multihmr.settings import setting
from ros2_multihmr.sources import open_source

_PHOTOGRAPH = "samples/basketball.jpg"
_FOV_DEG = 60.0  # the photographs' cameras are unknown


@dataclass(frozen=True)
class Options(EstimatorConfig):
    """Sends photographs and a rendered clip through a real ROS 2 graph, and compares what comes out with the truth."""

    out: str = setting("out/demo", "Folder for pictures, bag and logs; an earlier demo's bag there is replaced")
    clip_images: int = setting(40, "How many images of the clip are sent, from its begin on", low=1, high=40)


def main(options: Options) -> int:
    """Runs the verb; returns 0 if every image got everything, 1 otherwise."""
    console, out, start = open_console(), Path(options.out), time.monotonic()
    check_out(out)
    make_folder(out, "--out")
    with TemporaryDirectory() as folder:
        parts = [photographs(), clip_part(Path(folder), options.clip_images)]
        try:
            sent = exchange(options, parts, out, console)
        except DemoError as error:
            console.print(f"[red]{escape(str(error))}[/]")
            return 1
    return report(sent, out, console, start)


def photographs() -> Part:
    """The photographs that come with the package."""
    folder = asset(_PHOTOGRAPH).parent
    return Part("photographs", str(folder), _FOV_DEG, tuple(frame.name for frame in open_source(str(folder)).frames()))


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
    for part, answers in zip(parts, answers_of(recording, parts)):
        if part.truth:
            show_errors(console, part, answers, recording)
    show_advice(console, recording)
    missing = problems(recording, parts)
    for problem in missing:
        console.print(f"[red]{escape(problem)}[/]")
    all_came = "something is missing, see above" if missing else "every image got its HumanArray, TF and MarkerArray"
    console.print(f"Done in {time.monotonic() - start_s:.0f} s: {all_came}.")
    return 1 if missing else 0


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
            if not group.wait_for_line(recorder, RECORDING, READY_S, stop):
                raise KeyboardInterrupt if stop.is_set() else DemoError(failure(group, out))
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        try:
            return Sender(group, out, stop, console).send(parts)
        finally:
            rclpy.try_shutdown()


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
