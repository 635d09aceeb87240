"""How many big images arrive in another process, and how late: with the shipped Fast DDS profile, and without it."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import qos_profile_sensor_data
from rclpy.time import Time
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from ros2_multihmr.hardware import hardware
from ros2_multihmr.report import Section, open_report, tell
from ros2_multihmr.ros.camera_node import raw_image
from ros2_multihmr.ros.environment import PROFILE_VARIABLES
from ros2_multihmr.ros.processes import ProcessGroup, local_environment, random_domain
from ros2_multihmr.ros.sink import age_ms
from ros2_multihmr.settings import Settings, setting

_MODULE = "ros2_multihmr.ros.transport_benchmark"
_TOPIC = "transport_benchmark"
_CONNECT_S, _SETTLE_S, _SILENCE_S = 30.0, 1.0, 3.0


@dataclass(frozen=True)
class Options(Settings):
    """Sends best-effort images from one process to another, with the shipped Fast DDS profile and without it."""

    width: int = setting(1280, "Image width [px]", low=1, high=10000)
    height: int = setting(720, "Image height [px]", low=1, high=10000)
    rate_hz: float = setting(20.0, "Images per second [Hz]", low=0.1, high=1000.0)
    count: int = setting(100, "Images to send", low=1, high=100000)
    out: str = setting("", "Folder for transport.json and transport.md; empty: only show")


@dataclass(frozen=True)
class Arrivals:
    """What arrived.

    Attributes:
        setup: Which environment.
        sent, arrived: Numbers of images.
        p50_ms, p95_ms: Time from stamp to callback [ms]; NaN if nothing arrived.
        process_ms: Processor time of the receiver, per image [ms]; NaN for less than two of them.
        profiles: Fast DDS profiles that sender and receiver ran with, by their own account; empty for none.
    """

    setup: str
    sent: int
    arrived: int
    p50_ms: float
    p95_ms: float
    process_ms: float
    profiles: tuple[str, str]


def main(options: Options) -> int:
    """Measures all set-ups; returns 0 if every image arrived with the shipped one."""
    console = open_report(options.out)
    shipped, default = environments(os.environ).items()
    rows = []
    for (setup, environment), as_bytes in ((shipped, False), (shipped, True), (default, False)):
        with console.status(f"{setup}: {options.count} images of {options.width}x{options.height}"):
            rows.append(measure(setup, environment, options, as_bytes=as_bytes))
    section = Section(_title(options), _HEADINGS, [_cells(row) for row in rows], [_NOTE])
    # The files' names alone: their places mean nothing on another machine.
    results = [asdict(row) | {"profiles": [Path(profile).name for profile in row.profiles]} for row in rows]
    tell(console, options.out, "transport", [section], hardware(), options=asdict(options), results=results)
    return 0 if rows[0].arrived == options.count else 1


def environments(environ: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Returns the compared environments by name: with the shipped profile first, then without any."""
    shipped = local_environment({name: value for name, value in environ.items() if name not in PROFILE_VARIABLES})
    default = {name: value for name, value in shipped.items() if name not in PROFILE_VARIABLES}
    return {"shipped profile": shipped, "Fast DDS default": default}


def measure(setup: str, environment: dict[str, str], options: Options, *, as_bytes: bool = False) -> Arrivals:
    """Runs a sender and a receiver process in `environment`.

    Args:
        setup: Its name.
        environment: Theirs.
        options: What is sent.
        as_bytes: The receiver takes messages serialized, as nobody's object.

    Raises:
        RuntimeError: One of them failed; carries its last lines.
    """
    environment = environment | random_domain()
    sizes = [str(value) for value in (options.width, options.height, options.rate_hz, options.count)]
    with ProcessGroup(lambda name, line: None, environment) as group:
        receiver = group.start("receiver", _MODULE, ["receive as bytes" if as_bytes else "receive", *sizes])
        sender = group.start("sender", _MODULE, ["send", *sizes])
        limit_s = 2 * _CONNECT_S + options.count / options.rate_hz * 2
        for process in (sender, receiver):
            if process.wait(limit_s) != 0:
                raise RuntimeError(f"the {process.name} failed: {' / '.join(process.tail)}")
    sent, received = json.loads(sender.tail[-1]), json.loads(receiver.tail[-1])
    p50, p95 = np.percentile(received["ms"], (50, 95)) if received["ms"] else (np.nan, np.nan)
    profiles, name = (sent["profile"], received["profile"]), f"{setup}, taken as bytes" if as_bytes else setup
    process_ms = float(received["process_ms"])
    return Arrivals(name, options.count, len(received["ms"]), float(p50), float(p95), process_ms, profiles)


def _send(width: int, height: int, rate_hz: float, count: int) -> None:
    node = rclpy.create_node("transport_sender")
    publisher = node.create_publisher(Image, _TOPIC, qos_profile_sensor_data)
    _wait(lambda: publisher.get_subscription_count() > 0, "nobody subscribed")
    time.sleep(_SETTLE_S)
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    start = time.monotonic()
    for i in range(count):
        time.sleep(max(0.0, start + i / rate_hz - time.monotonic()))
        stamp = node.get_clock().now().to_msg()
        publisher.publish(raw_image(Header(stamp=stamp, frame_id=str(i)), pixels))
    time.sleep(_SETTLE_S)
    _tell({})


def _receive(width: int, height: int, rate_hz: float, count: int, *, as_bytes: bool = False) -> None:
    node = rclpy.create_node("transport_receiver")
    latencies_ms: list[float] = []
    processed_s: list[float] = []

    def on_image(message: Image) -> None:
        age = node.get_clock().now() - Time.from_msg(message.header.stamp, node.get_clock().clock_type)
        if message.width == width and message.height == height:
            latencies_ms.append(age.nanoseconds * 1e-6)
            processed_s.append(time.process_time())

    def on_bytes(raw: bytes) -> None:
        latencies_ms.append(age_ms(raw, node.get_clock().now().nanoseconds))
        processed_s.append(time.process_time())

    on_any: Callable[[Any], None] = on_bytes if as_bytes else on_image
    node.create_subscription(Image, _TOPIC, on_any, qos_profile_sensor_data, raw=as_bytes)
    _wait(lambda: node.count_publishers(_TOPIC) > 0, "nobody publishes")
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    deadline = time.monotonic() + _SETTLE_S + count / rate_hz + _SILENCE_S
    while len(latencies_ms) < count and time.monotonic() < deadline:
        executor.spin_once(timeout_sec=0.1)
    between = len(processed_s) - 1
    each_s = (processed_s[-1] - processed_s[0]) / between if between > 0 else float("nan")
    _tell({"ms": latencies_ms, "process_ms": 1e3 * each_s})


def _tell(result: dict[str, Any]) -> None:
    profile = os.environ.get(PROFILE_VARIABLES[0], "")
    sys.stdout.write(json.dumps(result | {"profile": profile}) + "\n")


def _wait(condition: Callable[[], bool], problem: str) -> None:
    deadline = time.monotonic() + _CONNECT_S
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{problem} within {_CONNECT_S:g} s")
        time.sleep(0.05)


_HEADINGS = ("set-up", "arrived", "median [ms]", "95 % [ms]", "receiver's processor time [ms an image]")
_NOTE = (
    "From the stamp, which an image gets as it is sent, to the callback. Taken as bytes: no message object is made of "
    "it; so does the node take raw images."
)


def _title(options: Options) -> str:
    return f"best-effort {options.width}x{options.height} rgb8 images at {options.rate_hz:g} Hz between two processes"


def _cells(row: Arrivals) -> tuple[str, ...]:
    return row.setup, f"{row.arrived} of {row.sent}", f"{row.p50_ms:.1f}", f"{row.p95_ms:.1f}", f"{row.process_ms:.2f}"


def _role(role: str, width: str, height: str, rate_hz: str, count: str) -> None:
    rclpy.init()
    roles: dict[str, Callable[[int, int, float, int], None]] = {
        "send": _send,
        "receive": _receive,
        "receive as bytes": partial(_receive, as_bytes=True),
    }
    roles[role](int(width), int(height), float(rate_hz), int(count))
    rclpy.try_shutdown()


if __name__ == "__main__":
    _role(*sys.argv[1:])
