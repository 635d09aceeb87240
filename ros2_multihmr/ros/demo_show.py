"""What the demo shows: pictures and a video from the bag, and tables of what flowed how fast."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ros2_multihmr.labels import UNTRAINED_NOTE
from ros2_multihmr.ros.demo_report import Answers, Part, Picture, Recording
from ros2_multihmr.ros.received import marker_points, received_body, received_camera, received_humans
from ros2_multihmr.top_view import top_view

_OVERLAY_RATE_HZ = 10.0


def draw_top_view(answers: Answers, recording: Recording) -> Picture:
    """Draws the people of one image from above, from the messages alone."""
    people = answers.humans
    if people is None:
        raise ValueError("nothing came for this image: there is nothing to draw")
    body = received_body(recording.body_models[people.body_model])
    ids = [int(human.track_id) for human in people.humans]
    humans = received_humans(people, body, [marker_points(answers.meshes[identity]) for identity in ids])
    return top_view(humans, received_camera(people), ids=ids, note=UNTRAINED_NOTE if people.untrained else "")


def write_pictures(out: Path, recording: Recording, parts: Sequence[Part]) -> list[Path]:
    """Writes overlay and top view of every photograph, and the video's overlays as a video; returns the files."""
    files: list[Path] = []
    for name, answers in _named(recording, parts[0]):
        for kind, picture in (("overlay", answers.overlay), ("top_view", draw_top_view(answers, recording))):
            files.append(out / f"{name}_{kind}.png")
            Image.fromarray(np.asarray(picture)).save(files[-1])
    files.append(out / "video_overlay.mp4")
    _write_video(files[-1], [a.overlay for a in recording.answers[len(parts[0].names) :] if a.overlay is not None])
    return files


def _named(recording: Recording, part: Part) -> list[tuple[str, Answers]]:
    return list(zip(part.names, recording.answers))


def _write_video(path: Path, pictures: Sequence[Picture]) -> None:
    height, width = pictures[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), _OVERLAY_RATE_HZ, (width, height))
    for picture in pictures:
        writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    writer.release()


def show(console: Console, recording: Recording, parts: Sequence[Part], files: Sequence[Path]) -> None:
    """Prints what flowed, how fast, and where the files are."""
    flow, begin = Table("", "images", "people", "rate [Hz]", *map(escape, ("median [ms]", "95 % [ms]"))), 0
    for part in parts:
        answers = recording.answers[begin : (begin := begin + len(part.names))]
        flow.add_row(part.name, *_flow(answers))
    console.print("From an image's stamp to its HumanArray in the recorder's process:", flow)
    stages = Table("stage", escape("mean [ms]"))
    for stage, value in recording.stages_ms.items():
        stages.add_row(escape(stage), f"{value:.2f}")
    console.print("Inside the node:", stages)
    first = recording.answers[0].humans
    console.print(f"Pictures and videos: {', '.join(file.name for file in files)}")
    console.print(f"Bag: {files[0].parent / 'bag'} (MCAP; opens in Foxglove and with `ros2 bag play`)")
    console.print("basketball.jpg is by Erik Drost (CC BY 2.0); its overlays and the video are adaptations.")
    if first is not None and first.untrained:
        console.print(
            f"[bold yellow]The weights ({escape(first.weights)}) are untrained: the bodies are random, no use. "
            "This shows that everything flows; for trained weights: --weights FILE.[/]"
        )


def _flow(answers: Sequence[Answers]) -> tuple[str, ...]:
    arrivals = [a.arrival_s for a in answers]
    delays_ms = [1e3 * a.delay_s for a in answers]
    people = sum(len(a.humans.humans) for a in answers if a.humans is not None)
    rate_hz = (len(arrivals) - 1) / (arrivals[-1] - arrivals[0])
    middle, high = np.percentile(delays_ms, (50, 95))
    return str(len(answers)), str(people), f"{rate_hz:.1f}", f"{middle:.0f}", f"{high:.0f}"
