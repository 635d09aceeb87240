"""A monitor of the graph: rates, latencies and people, as they arrive in a process of its own."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from multihmr.msg import BodyModelInfo, Human, HumanArray
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.time import Time
from rich.markup import escape
from rich.table import Table
from sensor_msgs.msg import CameraInfo

_WINDOW_S = 5.0
_BEST_EFFORT = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
_LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
STAGE_SUFFIX = " [ms]"
_FAILED, _DROPPED = "failed", "dropped, "  # counts in the diagnostics: the latter begins a reason
_LEVELS = {DiagnosticStatus.OK: "ok", DiagnosticStatus.WARN: "warning", DiagnosticStatus.ERROR: "error"}


class Arrivals:
    """Arrivals on one topic within the last seconds.

    Attributes:
        count: Messages in all.
        last_s: When the last one came, on the clock of `add`.
        slowest_s: The greatest latency of all, but for the first message's: everything is slower the first time.
    """

    def __init__(self) -> None:
        self.count, self.last_s, self.slowest_s = 0, 0.0, 0.0
        self._times_s: deque[float] = deque()
        self._latencies_s: deque[float] = deque()

    def add(self, now_s: float, latency_s: float) -> None:
        """Notes a message that came at `now_s` (any steady clock), `latency_s` after its stamp."""
        self.slowest_s = max(self.slowest_s, latency_s) if self.count else 0.0
        self.count, self.last_s = self.count + 1, now_s
        self._times_s.append(now_s)
        self._latencies_s.append(latency_s)
        self._forget(now_s)

    def rate_hz(self, now_s: float) -> float:
        """Returns the mean rate over the window that ends now."""
        self._forget(now_s)
        times = self._times_s
        return (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 and times[-1] > times[0] else 0.0

    def latency_ms(self) -> float:
        """Returns the median latency of the window last asked for, NaN if nothing came in it."""
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
        self._status_s, self._stages, self._frozen, self._known = 0.0, "", False, False
        self._judgement: tuple[str, str] | tuple[()] = ()
        node = humans.rpartition("/")[0]
        self._status_name = node.rpartition("/")[2]
        self.create_subscription(CameraInfo, camera_info, lambda m: self._arrived(self.images, m), _BEST_EFFORT)
        self._humans = self.create_subscription(HumanArray, humans, self._on_humans, 10)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        # Last of all: subscribers are announced in order, so whoever answers this one knows the others, too.
        self.create_subscription(BodyModelInfo, f"{node}/body_model", self._on_body_model, _LATCHED)

    def _arrived(self, arrivals: Arrivals, message: Any) -> None:
        age = self.get_clock().now() - Time.from_msg(message.header.stamp, self.get_clock().clock_type)
        arrivals.add(time.monotonic(), age.nanoseconds * 1e-9)

    def _on_humans(self, message: HumanArray) -> None:
        self._last = message
        self._arrived(self.people, message)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        ours = [status for status in message.status if status.name.startswith(f"{self._status_name}:")]
        if not ours:
            return
        self._status, self._status_s = ours[-1], time.monotonic()
        if not (self._frozen and self._judgement):  # that no more images come is no news then
            self._judgement = (_LEVELS.get(self._status.level, "stale"), self._status.message)
        values = self._values()
        stages = [f"{key.removesuffix(STAGE_SUFFIX)} {values[key]}" for key in stage_keys(values)]
        self._stages = ", ".join(stages) or self._stages

    def _on_body_model(self, _message: BodyModelInfo) -> None:
        self._known = True

    def _values(self) -> dict[str, str]:
        return {value.key: value.value for value in self._status.values} if self._status is not None else {}

    @property
    def connected(self) -> bool:
        """True once the node is active, and no HumanArray of its can be missed any more."""
        return self._known and self._humans.get_publisher_count() > 0

    def freeze(self) -> None:
        """From now on, rates, latencies and warnings are those of the time in which something came."""
        self._frozen = True

    def settled(self, since_s: float) -> bool:
        """True if the node has said, after `since_s` (time.monotonic), that every image it received is dealt with."""
        counts = image_counts(self._values())
        done = counts["published"] + sum(lost_images(counts).values())
        return self._status_s > since_s and counts["received"] == done and self.people.count >= counts["published"]

    def image_counts(self) -> dict[str, int]:
        """Returns what the node last said became of its images, see `image_counts`."""
        return image_counts(self._values())

    @property
    def failure(self) -> str:
        """A sentence if images failed and the node has published for none; empty otherwise."""
        counts = self.image_counts()
        if counts["published"] or not counts[_FAILED]:
            return ""
        return (
            f"no image could be processed: {counts[_FAILED]} of {counts['received']} failed, "
            f"the last by {self._values().get('last error', '?')}"
        )

    def table(self) -> Table:
        """Returns what is known now as a table."""
        table = Table(show_header=False)
        for name, value in self.rows():
            table.add_row(escape(name), escape(value))
        return table

    def rows(self) -> list[tuple[str, str]]:
        """Returns what is known now as names and values."""
        now_s = time.monotonic()
        rows = [(name, self._flow(arrivals, now_s)) for name, arrivals in self._arrivals().items()]
        if self._last is not None:
            calibrated = "" if self._last.calibrated else ", distances guessed: no calibration"
            rows.append(("last image", f"{_people(self._last)}{calibrated}"))
        if self._judgement:
            values = self._values()
            rows.append(("stages [ms]", self._stages or "no image yet"))
            rows.append(("dropped", f"{values.get('dropped', '?')} of {values.get('received', '?')}"))
            if values.get(_FAILED, "0") != "0":
                rows.append((_FAILED, f"{values[_FAILED]}, the last by {values.get('last error', '?')}"))
            rows.append(self._judgement)
        return rows

    def _arrivals(self) -> dict[str, Arrivals]:
        return {"images": self.images, "people": self.people}

    def _flow(self, arrivals: Arrivals, now_s: float) -> str:
        if not arrivals.count:
            return "none came" if self._frozen else "none yet"
        rate_hz = arrivals.rate_hz(arrivals.last_s if self._frozen else now_s)
        latency_ms = arrivals.latency_ms()
        if math.isnan(latency_ms):
            return f"none in the last {_WINDOW_S:g} s, {arrivals.count} in all"
        return f"{rate_hz:.1f} Hz, {latency_ms:.0f} ms after the stamp, {arrivals.count} in all"


def _people(message: HumanArray) -> str:
    states = [human.tracking_state for human in message.humans]
    predicted, lost = states.count(Human.TRACK_PREDICTED), states.count(Human.TRACK_LOST)
    return f"{len(states) - predicted - lost} people" + (f", {predicted} more predicted" if predicted else "")


def image_counts(values: Mapping[str, str]) -> dict[str, int]:
    """Returns the numbers of images in a diagnostics message: received, published, failed, and dropped by reason."""
    counts = {"received": 0, "published": 0, _FAILED: 0}
    return counts | {k: int(v) for k, v in values.items() if k in counts or k.startswith(_DROPPED)}


def lost_images(counts: Mapping[str, int]) -> dict[str, int]:
    """Returns those of the counts that tell of images without people."""
    return {name: count for name, count in counts.items() if name == _FAILED or name.startswith(_DROPPED)}


def stage_keys(values: dict[str, str]) -> list[str]:
    """Returns the keys of a diagnostics message that are times of stages."""
    return [key for key in values if key.endswith(STAGE_SUFFIX) and key != "image age [ms]"]
