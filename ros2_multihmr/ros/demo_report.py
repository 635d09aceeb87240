"""Reads the demo's bag back: checks that every image got its answers, and draws and counts what came."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from visualization_msgs.msg import Marker

from ros2_multihmr.ros.bag import read_bag
from ros2_multihmr.ros.monitor import STAGE_SUFFIX, stage_keys
from ros2_multihmr.ros.received import those_there
from ros2_multihmr.samples.sample import Sample

Stamp = tuple[int, int]
Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Part:
    """Images that one camera process sends.

    Attributes:
        name: What they are called.
        source: Where they come from.
        fov_deg: Field of view over their longer side [degrees]; 0 where a calibration says more.
        names: A name per image, in the order in which they are sent.
        calibration: The camera's calibration file; empty: `fov_deg` holds.
        truth: What is true of each image; empty where nobody knows.
        sent_ns: From when to when they were sent and answered [ns since the epoch]; None if not known.
        losses: What the node says became of images without people, by reason.
    """

    name: str
    source: str
    fov_deg: float
    names: tuple[str, ...]
    calibration: str = ""
    truth: tuple[Sample, ...] = ()
    sent_ns: tuple[int, int] | None = None
    losses: Mapping[str, int] = field(default_factory=dict)


class Topics(NamedTuple):
    """Names of the recorded topics."""

    camera_info: str = "/camera/camera_info"
    humans: str = "/multihmr/humans"
    markers: str = "/multihmr/markers"
    overlay: str = "/multihmr/overlay"
    body_model: str = "/multihmr/body_model"
    tf: str = "/tf"
    diagnostics: str = "/diagnostics"


TOPICS = Topics()


@dataclass(frozen=True)
class Answers:
    """What came for one image.

    Attributes:
        stamp: Its stamp.
        humans: Its HumanArray, None if none came.
        delay_s: Time from the stamp to the HumanArray's arrival, NaN if none came.
        arrival_s: When that was.
        frames: TF frames with its stamp.
        meshes: Mesh markers with its stamp, by id.
        overlay: (H, W, 3) uint8 RGB, None if none came.
    """

    stamp: Stamp
    humans: Any | None
    delay_s: float
    arrival_s: float
    frames: int
    meshes: dict[int, Any]
    overlay: Picture | None


@dataclass(frozen=True)
class Recording:
    """A bag of the demo.

    Attributes:
        answers: What came, image by image.
        marker_arrays: Number of MarkerArrays.
        body_models: The descriptions of bodies, by name.
        stages_ms: Mean time per stage, weighted by images [ms].
    """

    answers: list[Answers]
    marker_arrays: int
    body_models: dict[str, Any]
    stages_ms: dict[str, float]


def read_recording(path: Path, parts: Sequence[Part] = (), topics: Topics = TOPICS) -> Recording:
    """Reads a bag.

    Args:
        path: The bag.
        parts: What happened outside their times, earlier attempts for example, is left out; empty: everything counts.
        topics: Names of the recorded topics.

    Raises:
        ValueError: It cannot be read.
    """
    bag = read_bag(path)
    times = [part.sent_ns for part in parts if part.sent_ns is not None]
    humans = {_stamp(m.header): (m, time_ns) for time_ns, m in bag.get(topics.humans, [])}
    frames = Counter(_stamp(t.header) for _, m in bag.get(topics.tf, []) for t in m.transforms)
    # The one that takes everything off the display when the node stops is no image's.
    images = [m for m in bag.get(topics.markers, []) if [k.action for k in m[1].markers] != [Marker.DELETEALL]]
    arrays = [m for time_ns, m in images if _within(time_ns, times)]
    meshes = _meshes(arrays)
    overlays = {_stamp(m.header): m for _, m in bag.get(topics.overlay, [])}
    answers = []
    # Either shows that an image was sent: CameraInfo is best effort, and may be lost where the people are not.
    stamps = sorted({_stamp(m.header) for _, m in bag.get(topics.camera_info, [])} | set(humans))
    for stamp in (stamp for stamp in stamps if _within(stamp[0] * 10**9 + stamp[1], times)):
        message, time_ns = humans.get(stamp, (None, 0))
        delay_s = (time_ns - stamp[0] * 10**9 - stamp[1]) * 1e-9 if message else float("nan")
        picture = _picture(overlays[stamp]) if stamp in overlays else None
        answers.append(Answers(stamp, message, delay_s, time_ns * 1e-9, frames[stamp], meshes.get(stamp, {}), picture))
    models = {m.name: m for _, m in bag.get(topics.body_model, [])}
    return Recording(answers, len(arrays), models, _stages_ms([m for _, m in bag.get(topics.diagnostics, [])]))


def answers_of(recording: Recording, parts: Sequence[Part]) -> list[list[Answers]]:
    """Returns each part's answers: by the time at which it was sent; by number where that is not known."""
    found, begin = [], 0
    for part in parts:
        if part.sent_ns is None:
            found.append(recording.answers[begin : (begin := begin + len(part.names))])
        else:
            found.append([a for a in recording.answers if _within(a.stamp[0] * 10**9 + a.stamp[1], [part.sent_ns])])
    return found


def image_names(part: Part, answers: Sequence[Answers]) -> list[str]:
    """Returns the names of a part's images; numbered ones where an image is unknown, and the others may be shifted."""
    if len(answers) == len(part.names):
        return list(part.names)
    return [f"{part.name}_{number:03d}" for number in range(1, len(answers) + 1)]


def problems(recording: Recording, parts: Sequence[Part]) -> list[str]:
    """Returns what is missing, a sentence each; empty if every image sent got everything."""
    sent, found = sum(len(part.names) for part in parts), []
    if recording.marker_arrays != sent:
        found.append(f"{sent} images were sent, {recording.marker_arrays} MarkerArrays came")
    for part, answers in zip(parts, answers_of(recording, parts)):
        if len(answers) != len(part.names):
            found.append(f"{part.name}: {len(part.names)} images were sent, {len(answers)} came")
        for name, one in zip(image_names(part, answers), answers):
            found += [f"{part.name}, {name}: {text}" for text in _missing(one, recording)]
        found += [f"{part.name}, says the node: {count} x {why}" for why, count in part.losses.items() if count]
        if part.truth and not any(those_there(one.humans) for one in answers if one.humans):
            found.append(f"{part.name}: nobody was found in any image, though people are in them")
    return found


def _within(time_ns: int, times: Sequence[tuple[int, int]]) -> bool:
    return not times or any(begin <= time_ns < end for begin, end in times)


def _missing(answers: Answers, recording: Recording) -> list[str]:
    if answers.humans is None:
        return ["no HumanArray"]
    humans = those_there(answers.humans)
    people, missing = len(humans), []
    if answers.humans.body_model not in recording.body_models:
        missing.append(f"no BodyModelInfo for {answers.humans.body_model!r}")
    if answers.frames != people:
        missing.append(f"{people} people, but {answers.frames} TF frames")
    if sorted(answers.meshes) != sorted(human.track_id for human in humans):
        missing.append(f"{people} people, but mesh markers of {len(answers.meshes)}")
    if answers.overlay is None:
        missing.append("no overlay")
    return missing


def _meshes(arrays: list[Any]) -> dict[Stamp, dict[int, Any]]:
    meshes: dict[Stamp, dict[int, Any]] = defaultdict(dict)
    for marker in (marker for array in arrays for marker in array.markers):
        if marker.ns == "mesh" and marker.action == Marker.ADD:
            meshes[_stamp(marker.header)][int(marker.id)] = marker
    return meshes


def _stamp(header: Any) -> Stamp:
    return int(header.stamp.sec), int(header.stamp.nanosec)


def _picture(message: Any) -> Picture:
    return np.asarray(message.data, np.uint8).reshape(message.height, message.width, 3)


def _stages_ms(diagnostics: list[Any]) -> dict[str, float]:
    """The means of the periods are means over their images: weighted by the number of those."""
    sums: dict[str, float] = defaultdict(float)
    weights: dict[str, float] = defaultdict(float)
    published = 0
    for message in diagnostics:
        for values in ({v.key: v.value for v in status.values} for status in message.status):
            total = int(values.get("published", 0))
            images, published = total - published, total
            for key in stage_keys(values):
                sums[key] += images * float(values[key])
                weights[key] += images
    return {key.removesuffix(STAGE_SUFFIX): sums[key] / weights[key] for key in sums if weights[key]}
