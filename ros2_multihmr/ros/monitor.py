"""A monitor of the graph: rates, latencies and people, as they arrive in a process of its own."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from multihmr.msg import HumanArray
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.time import Time
from rich.markup import escape
from rich.table import Table
from sensor_msgs.msg import CameraInfo

_WINDOW_S = 5.0
_BEST_EFFORT = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
STAGE_SUFFIX = " [ms]"
_LEVELS = {DiagnosticStatus.OK: "ok", DiagnosticStatus.WARN: "warning", DiagnosticStatus.ERROR: "error"}


class Arrivals:
    """Arrivals on one topic within the last seconds."""

    def __init__(self) -> None:
        self.count = 0
        self._times_s: deque[float] = deque()
        self._latencies_s: deque[float] = deque()

    def add(self, now_s: float, latency_s: float) -> None:
        """Notes a message that came at `now_s` (any steady clock), `latency_s` after its stamp."""
        self.count += 1
        self._times_s.append(now_s)
        self._latencies_s.append(latency_s)
        self._forget(now_s)

    def rate_hz(self, now_s: float) -> float:
        """Returns the mean rate over the window that ends now."""
        self._forget(now_s)
        times = self._times_s
        return (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 and times[-1] > times[0] else 0.0

    def latency_ms(self) -> float:
        """Returns the median latency within the window, NaN if nothing came."""
        return 1e3 * float(np.median(self._latencies_s)) if self._latencies_s else float("nan")

    def _forget(self, now_s: float) -> None:
        while self._times_s and self._times_s[0] < now_s - _WINDOW_S:
            self._times_s.popleft()
            self._latencies_s.popleft()


class Monitor(Node):
    """Listens to the camera and the node.

    Attributes:
        images, people: Arrivals of CameraInfo and HumanArray.
    """

    def __init__(self, camera_info: str, humans: str) -> None:
        super().__init__("monitor")
        self.images, self.people = Arrivals(), Arrivals()
        self._last: HumanArray | None = None
        self._status: DiagnosticStatus | None = None
        self._status_name = humans.strip("/").rpartition("/")[0].rpartition("/")[2]
        self.create_subscription(CameraInfo, camera_info, lambda m: self._arrived(self.images, m), _BEST_EFFORT)
        self._humans = humans
        self.create_subscription(HumanArray, humans, self._on_humans, 10)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)

    def _arrived(self, arrivals: Arrivals, message: Any) -> None:
        age = self.get_clock().now() - Time.from_msg(message.header.stamp, self.get_clock().clock_type)
        arrivals.add(time.monotonic(), age.nanoseconds * 1e-9)

    def _on_humans(self, message: HumanArray) -> None:
        self._last = message
        self._arrived(self.people, message)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        ours = [status for status in message.status if status.name.startswith(f"{self._status_name}:")]
        self._status = ours[-1] if ours else self._status

    @property
    def connected(self) -> bool:
        """True once somebody publishes people."""
        return self.count_publishers(self._humans) > 0

    def table(self) -> Table:
        """Returns what is known now as a table."""
        table = Table(show_header=False)
        for name, value in self.rows():
            table.add_row(escape(name), escape(value))
        return table

    def rows(self) -> list[tuple[str, str]]:
        """Returns what is known now as names and values."""
        now_s = time.monotonic()
        rows = [
            ("images", _flow(self.images, now_s)),
            ("people", _flow(self.people, now_s)),
        ]
        if self._last is not None:
            calibrated = "" if self._last.calibrated else ", distances guessed: no calibration"
            rows.append(("last image", f"{len(self._last.humans)} people{calibrated}"))
        if self._status is not None:
            values = {value.key: value.value for value in self._status.values}
            stages = [f"{key.removesuffix(STAGE_SUFFIX)} {values[key]}" for key in stage_keys(values)]
            rows.append(("stages [ms]", ", ".join(stages)))
            rows.append(("dropped", f"{values.get('dropped', '?')} of {values.get('received', '?')}"))
            rows.append((_LEVELS.get(self._status.level, "stale"), self._status.message))
        return rows


def stage_keys(values: dict[str, str]) -> list[str]:
    """Returns the keys of a diagnostics message that are times of stages."""
    return [key for key in values if key.endswith(STAGE_SUFFIX) and key != "image age [ms]"]


def _flow(arrivals: Arrivals, now_s: float) -> str:
    if not arrivals.count:
        return "none yet"
    return f"{arrivals.rate_hz(now_s):.1f} Hz, {arrivals.latency_ms():.0f} ms after the stamp, {arrivals.count} in all"
