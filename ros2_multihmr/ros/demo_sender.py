"""The demo's way of sending images: as fast as the graph can take them, and again where one was dropped."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rclpy.executors import SingleThreadedExecutor
from rich.console import Console

from ros2_multihmr.ros.demo_report import Part
from ros2_multihmr.ros.monitor import Monitor, lost_images
from ros2_multihmr.ros.processes import Process, ProcessGroup, ros_arguments
from ros2_multihmr.ros.run import CAMERA_MODULE, NODE_REMAPS

READY_S = 120.0
_FIRST_RATE_HZ, _MOST_RATE_HZ = 1.0, 10.0
_BUSY_SHARE = 0.4  # the next image comes when the last one is surely done: here, nothing should be dropped
_ATTEMPTS = 4
_LINGER_S = 1.0  # what is still under way to the recorder
_CAMERA_S, _ANSWER_S = 120.0, 20.0


class DemoError(RuntimeError):
    """A process of the demo failed."""


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
        sent, rate_hz = [], _FIRST_RATE_HZ
        for part in parts:
            sent.append(self._send(part, rate_hz))
            rate_hz = min(_MOST_RATE_HZ, _BUSY_SHARE / max(self._monitor.people.slowest_s, 1e-3))
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
    parameters = {"source": part.source, "rate_hz": rate_hz, "loop": False, "wait_for_subscribers": listeners}
    return parameters | {"calibration": part.calibration, "fov_deg": 0.0 if part.calibration else part.fov_deg}


def _failed(group: ProcessGroup) -> list[Process]:
    return [process for process in group.ended() if process.exit_code() != 0 or process.name != "camera"]


def failure(group: ProcessGroup, out: Path) -> str:
    """Says which process of the demo failed, with its last lines."""
    failed = _failed(group)
    if not failed:
        return f"nothing was ready within {READY_S:g} s; the logs are in {out}"
    return "\n".join([f"{failed[0].fate()}; the last lines of {out / failed[0].name}.log:", *list(failed[0].tail)])
