"""`multihmr benchmark messages`: how long the big messages take to build, beside plain message objects."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from time import process_time
from typing import Any

import cv2
import numpy as np
from builtin_interfaces.msg import Time
from rclpy.serialization import serialize_message
from rich.console import Console
from rich.progress import Progress
from std_msgs.msg import Header

from ros2_multihmr.assets import asset
from ros2_multihmr.camera import Camera
from ros2_multihmr.hardware import hardware
from ros2_multihmr.humans import Humans
from ros2_multihmr.report import Section, open_report, tell
from ros2_multihmr.ros import node_benchmark
from ros2_multihmr.ros.conversions import human_array
from ros2_multihmr.ros.human_cdr import human_array_cdr
from ros2_multihmr.ros.markers import MarkerBuilder
from ros2_multihmr.ros.plain_messages import plain_cloud, plain_markers
from ros2_multihmr.ros.publishers import cloud
from ros2_multihmr.settings import Settings, setting
from ros2_multihmr.sources import read_image
from ros2_multihmr.tracking.motion_state import Motion
from ros2_multihmr.tracking.tracks import Tracks

HEADINGS = (
    "message",
    "size [MB]",
    "ours [ms]",
    "plain objects [ms]",
    "serialized [ms]",
    "times faster",
    "goal [ms]",
)
_GOALS_MS = {"markers, reduced meshes": 2.0, "markers, full meshes": 12.0}
_WIDTH, _HEIGHT, _FOV_DEG = 1280, 720, 60.0
_AGILITY = 0.2


@dataclass(frozen=True)
class Options(Settings):
    """Builds the messages of one image with many people, as the node does and as plain objects, turn by turn."""

    people: int = setting(10, "People in the image", low=1, high=100)
    repeats: int = setting(50, "Measured runs of ours", low=1, high=100000)
    plain_repeats: int = setting(5, "Measured runs of the plain way, which is slow", low=1, high=10000)
    out: str = setting("", "Folder for messages.json and messages.md; empty: only show")


@dataclass(frozen=True)
class Ways:
    """One message in two ways.

    Attributes:
        ours: Returns the serialized message.
        plain: Returns the message.
    """

    ours: Callable[[], bytes]
    plain: Callable[[], Any]


@dataclass(frozen=True)
class Row:
    """Processor time that one message takes, medians [ms].

    Attributes:
        what: Its name.
        megabytes: Its serialized size [MB].
        ours_ms: Ours, serialized.
        built_ms: The plain way, message objects alone.
        plain_ms: The plain way, serialized.
    """

    what: str
    megabytes: float
    ours_ms: float
    built_ms: float
    plain_ms: float

    def cells(self) -> tuple[str, ...]:
        """Returns the table's row."""
        times = (f"{value:.2f}" for value in (self.megabytes, self.ours_ms, self.built_ms, self.plain_ms))
        goal = f"{_GOALS_MS[self.what]:g}" if self.what in _GOALS_MS else ""
        return self.what, *times, f"{self.plain_ms / self.ours_ms:.1f}", goal


def main(options: Options) -> int:
    """Runs the verb.

    Raises:
        ValueError: There are fewer candidates for people in the image than asked for.
    """
    console = open_report(options.out)
    with console.status(f"finding {options.people} people"):
        humans = _people(options.people)
    rows = measure(humans, options, console)
    title = f"messages of one image with {options.people} people of {humans.vertices.shape[1]:,} vertices"
    section = Section(title, HEADINGS, [row.cells() for row in rows], _notes(rows, humans))
    results = [asdict(row) for row in rows]
    tell(console, options.out, "messages", [section], hardware(), settings=asdict(options), messages=results)
    return 0


def measure(humans: Humans, options: Options, console: Console) -> list[Row]:
    """Measures every message of these people.

    Raises:
        ValueError: Ours is not the plain message: a defect.
    """
    rows = []
    with Progress(console=console, transient=True) as progress:
        for what, ways in progress.track(all_ways(humans).items(), description="measuring"):
            if not alike(ways.ours(), ways.plain()):
                raise ValueError(f"{what}: what is measured is not the same message in both ways")
            rows.append(_row(what, ways, options))
    return rows


def all_ways(humans: Humans) -> dict[str, Ways]:
    """Returns every message that is big, of people who all move."""
    header = Header(stamp=Time(sec=100), frame_id="camera_optical_frame")
    tracks, motion = Tracks.untracked(len(humans)), _walking(humans)
    camera = Camera.from_fov(_WIDTH, _HEIGHT, _FOV_DEG)
    said: dict[str, Any] = {"weights": "embedded", "untrained": False, "motion": motion}

    def people(vertices: bool) -> Ways:
        arguments = header, humans, tracks, camera
        return Ways(
            lambda: human_array_cdr(*arguments, vertices=vertices, **said),
            lambda: human_array(*arguments, vertices=vertices, **said),
        )

    def markers(full: bool) -> Ways:
        return Ways(
            lambda: MarkerBuilder(humans.body, untrained=False).update(header, humans, tracks, motion, full=full),
            lambda: plain_markers(header, humans, tracks, motion, full=full),
        )

    return {
        "people": people(vertices=False),
        "people with vertices": people(vertices=True),
        "markers, reduced meshes": markers(full=False),
        "markers, full meshes": markers(full=True),
        "vertices as a point cloud": Ways(
            lambda: cloud(header, humans, tracks), lambda: plain_cloud(header, humans, tracks)
        ),
    }


def alike(data: bytes, message: Any) -> bool:
    """Says whether bytes are those of a message.

    The generated classes leave what lies between two aligned fields as it is in memory, where ours has zeros, and
    reserve up to eight bytes at the end for the alignment of empty sequences.
    """
    ours, theirs = np.frombuffer(data, np.uint8), np.frombuffer(serialize_message(message), np.uint8)
    spare = len(theirs) - len(ours)
    return 0 <= spare <= 8 and not ours[ours != theirs[: len(ours)]].any()


def _row(what: str, ways: Ways, options: Options) -> Row:
    ours, built, plain = [], [], []
    for _ in range(options.plain_repeats):
        start = process_time()
        message = ways.plain()
        built.append(process_time() - start)
        serialize_message(message)
        plain.append(process_time() - start)
        del message
        # The first one pays for what the plain way left in the caches.
        ours += [_seconds(ways.ours) for _ in range(1 + math.ceil(options.repeats / options.plain_repeats))][1:]
    medians = [1e3 * float(np.median(values)) for values in (ours[: options.repeats], built, plain)]
    return Row(what, len(ways.ours()) / 1e6, *medians)


def _seconds(call: Callable[[], Any]) -> float:
    start = process_time()
    call()
    return process_time() - start


def _people(count: int) -> Humans:
    image = read_image(asset("samples/basketball.jpg"))
    image = np.asarray(cv2.resize(image, (_WIDTH, _HEIGHT), interpolation=cv2.INTER_AREA), np.uint8)
    options = node_benchmark.Options(people=count, width=_WIDTH, height=_HEIGHT, mesh_lod="full")
    return node_benchmark.find_people(image, options).humans


def _walking(humans: Humans) -> Motion:
    count = len(humans)
    velocity = np.tile([0.5, 0.0, 1.0], (count, 1))
    covariance = np.tile(np.eye(6), (count, 1, 1))
    return Motion(humans.origin.astype(np.float64), velocity, covariance, np.ones(count, bool), _AGILITY)


def _notes(rows: Sequence[Row], humans: Humans) -> list[str]:
    by_name = {row.what: row.ours_ms for row in rows}
    both = by_name["people"] + by_name["markers, reduced meshes"]
    body = humans.body
    return [
        "Processor time, medians. Ours is serialized when it is built; plain objects are built, and then serialized as "
        "`publish` does. Both ways took turns; their bytes are the same.",
        f"Reduced meshes have {len(body.faces_lod):,} triangles, full ones {len(body.faces):,}. People and reduced "
        f"markers together: {both:.2f} ms.",
    ]
