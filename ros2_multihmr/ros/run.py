"""`multihmr run`: camera and node in one go, and a live table of what flows."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions
from rich.live import Live
from rich.markup import escape

from ros2_multihmr.calibration import read_calibration
from ros2_multihmr.estimator_config import EstimatorConfig
from ros2_multihmr.files.folders import check_folder
from ros2_multihmr.refining.refiner_config import RefinerConfig
from ros2_multihmr.report import open_console
from ros2_multihmr.ros.camera_node import CameraConfig
from ros2_multihmr.ros.monitor import Monitor
from ros2_multihmr.ros.parameters import NodeConfig
from ros2_multihmr.ros.params_file import check_params_file, file_text
from ros2_multihmr.ros.processes import (
    DISCOVERY_VARIABLE,
    RECORDED_IF_ASKED,
    RECORDING,
    ProcessGroup,
    local_environment,
    ros_arguments,
)
from ros2_multihmr.settings import setting
from ros2_multihmr.sources import open_source

NODE_MODULE = "ros2_multihmr.ros.node"
CAMERA_MODULE = "ros2_multihmr.ros.camera_node"
RECORDER_MODULE = "ros2_multihmr.ros.recorder"
NODE_REMAPS = {"image": "/camera/image_raw", "camera_info": "/camera/camera_info"}
_TABLE_PERIOD_S = 0.5
_POLL_S = 0.1
_READY_S = 120.0
_LAST_IMAGE_S = 10.0


@dataclass(frozen=True)
class Options(EstimatorConfig, RefinerConfig, CameraConfig):
    """Starts a camera and the node, shows what flows, and stops both on Ctrl-C."""

    params_file: str = setting("", "ROS parameter file for the node, beside the flags here")
    record: str = setting("", "New folder for a bag (MCAP) of what the node publishes; empty: no bag")
    record_outputs: tuple[str, ...] = setting(
        (), "Further topics of the node in the bag, which makes it work for them", choices=RECORDED_IF_ASKED
    )


ELSEWHERE = {
    field.name: f"{field.name} is a parameter of the node: write {file_text(field.name, field.default)} into a file, "
    "with the value that you want, and give that with --params-file FILE"
    for field in fields(NodeConfig)
    if field.name not in Options.__dataclass_fields__ and field.name != "autostart"  # it always starts here
}


def main(options: Options) -> int:
    """Runs the verb; returns 0 when asked to stop or at the end of the source, 1 if a process or every image failed."""
    open_source(options.source)  # mistakes are told here, before anything starts
    if options.calibration:
        read_calibration(options.calibration)
    if options.params_file:
        check_params_file(options.params_file)
    if options.record:
        check_folder(Path(options.record), "--record")
        if Path(options.record).exists():
            raise ValueError(
                f"--record {options.record}: is there already; give a new folder, or move the old one away"
            )
    if options.record_outputs and not options.record:
        raise ValueError("--record-outputs says what else is in a bag: give the bag a new folder with --record, too")
    console = open_console()
    local_only = DISCOVERY_VARIABLE not in os.environ
    os.environ.update(local_environment(os.environ))
    console.print("People are on /multihmr/humans, meshes on /multihmr/markers, frames on /tf. Ctrl-C stops.")
    if local_only:
        console.print(f"Seen on this machine alone; {DISCOVERY_VARIABLE}=SUBNET shows them to others.")
    try:
        with stop_signals() as stop, Live(console=console, refresh_per_second=2) as live:

            def on_line(name: str, line: str) -> None:
                live.console.print(escape(f"{name}: {line}"), highlight=False)

            with ProcessGroup(on_line, os.environ) as group:
                return _run(options, group, live, stop)
    finally:
        if not console.is_terminal:
            console.line()  # which Live ends its table with in a terminal alone


def node_arguments(options: EstimatorConfig, **more: Any) -> list[str]:
    """Returns the node's arguments: every setting of the estimator that is not at its default, and `more`."""
    return ros_arguments({**changed(options, EstimatorConfig), **more, "autostart": True}, NODE_REMAPS)


def changed(options: Any, kind: type[Any]) -> dict[str, Any]:
    """Returns the fields of `kind` whose values in `options` are not the defaults."""
    values = {field.name: (getattr(options, field.name), field.default) for field in fields(kind)}
    return {name: value for name, (value, default) in values.items() if value != default}


@contextmanager
def stop_signals() -> Iterator[threading.Event]:
    """Gives an event that SIGINT, SIGTERM and SIGHUP (a closed terminal) set; those that follow are ignored.

    The program is expected to end then, which a second Ctrl-C must not cut short.
    """
    stop, asked = threading.Event(), False

    def on_signal(*_: object) -> None:
        nonlocal asked
        if not asked:  # the event's lock must not be taken while it is taken
            asked = True
            stop.set()

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if asked else handler)


def _run(options: Options, group: ProcessGroup, live: Live, stop: threading.Event) -> int:
    transport = {"image_transport": options.image_transport} if options.image_transport != "raw" else {}
    file = ["--params-file", options.params_file] if options.params_file else []
    group.start("node", NODE_MODULE, [*node_arguments(options, **changed(options, RefinerConfig), **transport), *file])
    if options.record:
        more = {"outputs": options.record_outputs} if options.record_outputs else {}
        recorder = group.start("recorder", RECORDER_MODULE, ros_arguments({"out": options.record, **more}))
        if not group.wait_for_line(recorder, RECORDING, _READY_S, stop):
            return _end(live, group, stop)
    failure = _watch(live, group, ros_arguments(_camera_parameters(options)), stop)
    return _end(live, group, stop, failure)


def _end(live: Live, group: ProcessGroup, stop: threading.Event, failure: str = "") -> int:
    """Says why it is over, and what became of the images if all failed; returns the exit code."""
    ended = group.ended()
    if stop.is_set():
        live.console.print("stopping")
    elif [(process.name, process.exit_code()) for process in ended] == [("camera", 0)]:
        live.console.print("the source has ended")
    else:
        fates = [process.fate() for process in ended] or [f"nothing was ready within {_READY_S:g} s"]
        failure = "; ".join([*fates, *filter(None, [failure])])
    if failure:
        live.console.print(escape(failure))
    return 1 if failure else 0


def _camera_parameters(options: Options) -> dict[str, Any]:
    parameters = changed(options, CameraConfig)
    if options.wait_for_subscribers:
        listeners = 3 if options.record else 2  # node, table and recorder: none should miss the first image
        parameters["wait_for_subscribers"] = max(listeners, options.wait_for_subscribers)
    return parameters


def _watch(live: Live, group: ProcessGroup, camera_arguments: list[str], stop: threading.Event) -> str:
    """Starts the camera once the node is listened to; shows the table until asked to stop or a process has ended.

    Returns:
        See `Monitor.failure`.
    """
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    try:
        monitor, executor = Monitor(NODE_REMAPS["camera_info"], "/multihmr/humans"), SingleThreadedExecutor()
        executor.add_node(monitor)
        monitor.create_timer(_TABLE_PERIOD_S, lambda: live.update(monitor.table()))

        def spin_until(done: Callable[[], bool]) -> None:
            while not (done() or stop.is_set()):
                executor.spin_once(timeout_sec=_POLL_S)

        spin_until(lambda: monitor.connected or bool(group.ended()))
        if not (stop.is_set() or group.ended()):
            camera = group.start("camera", CAMERA_MODULE, camera_arguments)
            spin_until(lambda: bool(group.ended()))
            monitor.freeze()
            end_s = time.monotonic()
            if group.ended() == [camera]:  # the node may still work on the last image; it says when not
                spin_until(lambda: monitor.settled(end_s) or time.monotonic() > end_s + _LAST_IMAGE_S)
        live.update(monitor.table())
        executor.shutdown()  # left to the garbage collector, it would complain once ROS is down
        return monitor.failure
    finally:
        rclpy.try_shutdown()
