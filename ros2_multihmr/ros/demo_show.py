"""What the demo shows: pictures and a video from the bag, tables of what flowed how fast, and what to make of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ros2_multihmr.labels import UNTRAINED_NOTE
from ros2_multihmr.ros.demo_report import Answers, Part, Picture, Recording, answers_of, image_names
from ros2_multihmr.ros.demo_truth import fullest, true_meshes
from ros2_multihmr.ros.received import marker_points, received_body, received_camera, received_humans, those_there
from ros2_multihmr.samples.sample import Sample
from ros2_multihmr.top_view import top_view

_OVERLAY_RATE_HZ = 10.0
_GAP = 8  # px between pictures side by side


def draw_top_view(answers: Answers, recording: Recording, truth: Sample | None = None) -> Picture:
    """Draws the people of one image from above, from the messages alone; and the outlines of those who are there."""
    people = answers.humans
    if people is None:
        raise ValueError("nothing came for this image: there is nothing to draw")
    body = received_body(recording.body_models[people.body_model])
    ids = [int(human.track_id) for human in those_there(people)]
    humans = received_humans(people, body, [marker_points(answers.meshes[identity]) for identity in ids])
    note = UNTRAINED_NOTE if people.untrained else ""
    outlines = list(true_meshes(truth)) if truth else []
    return top_view(humans, received_camera(people), ids=ids, note=note, outlines=outlines)


def write_pictures(out: Path, recording: Recording, parts: Sequence[Part]) -> list[Path]:
    """Writes overlay and top view of every photograph, and of a clip's fullest image; returns the files.

    Of a clip, that image and both stand side by side in one more picture, and all overlays become a video.

    What did not come is left out.
    """
    files: list[Path] = []
    for part, answers in zip(parts, answers_of(recording, parts)):
        if not part.truth:
            for name, one in zip(image_names(part, answers), answers):
                files += _write_both(out, name, one, recording)
            continue
        if len(answers) == len(part.truth):  # else nobody knows which image is which
            shown = fullest(part.truth)
            both = list(_write_both(out, part.name, answers[shown], recording, part.truth[shown]))
            files += both
            if len(both) == 2:
                files.append(_write_strip(out / f"{part.name}.jpg", part.truth[shown].image, both))
        if overlays := [one.overlay for one in answers if one.overlay is not None]:
            files.append(out / f"{part.name}_overlay.mp4")
            _write_video(files[-1], overlays)
    return files


def _write_both(
    out: Path, name: str, answers: Answers, recording: Recording, truth: Sample | None = None
) -> Iterator[Path]:
    """Writes overlay and top view of one image, as far as they came."""
    pictures = {"overlay": answers.overlay}
    if drawable(answers, recording):
        pictures["top_view"] = draw_top_view(answers, recording, truth)
    for kind, picture in pictures.items():
        if picture is not None:
            path = out / f"{name}_{kind}.png"
            Image.fromarray(picture).save(path)
            yield path


def _write_strip(path: Path, image: Picture, pictures: Sequence[Path]) -> Path:
    """Writes an image and pictures of it side by side, all as high as the image."""
    strip = Image.fromarray(image)
    for picture in map(Image.open, pictures):
        scaled = picture.resize((round(picture.width * strip.height / picture.height), strip.height))
        wider = Image.new("RGB", (strip.width + _GAP + scaled.width, strip.height), "white")
        wider.paste(strip, (0, 0))
        wider.paste(scaled, (strip.width + _GAP, 0))
        strip = wider
    strip.save(path, quality=90)
    return path


def drawable(answers: Answers, recording: Recording) -> bool:
    """Says whether all came that `draw_top_view` needs."""
    people = answers.humans
    if people is None or people.body_model not in recording.body_models:
        return False
    return all(human.track_id in answers.meshes for human in those_there(people))


def _write_video(path: Path, pictures: Sequence[Picture]) -> None:
    height, width = pictures[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), _OVERLAY_RATE_HZ, (width, height))
    for picture in pictures:
        writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    writer.release()


def show(console: Console, recording: Recording, parts: Sequence[Part], files: Sequence[Path], out: Path) -> None:
    """Prints what flowed, how fast, and where the files are."""
    flow = Table("", "images", "people", "rate [Hz]", *map(escape, ("median [ms]", "95 % [ms]")))
    for part, answers in zip(parts, answers_of(recording, parts)):
        flow.add_row(part.name, *_flow(answers))
    console.print("From an image's stamp to its HumanArray in the recorder's process:", flow)
    stages = Table("stage", escape("mean [ms]"))
    for stage, value in recording.stages_ms.items():
        stages.add_row(escape(stage), f"{value:.2f}")
    console.print("Inside the node:", stages)
    console.print(f"Pictures and videos: {', '.join(file.name for file in files)}")
    console.print("From above, the dark outlines of the clip's picture are where people really are.")
    console.print(f"Bag: {out / 'bag'} (MCAP; opens in Foxglove and with `ros2 bag play`)")
    console.print("basketball.jpg is by Erik Drost (CC BY 2.0); its overlay is an adaptation.")


def show_advice(console: Console, recording: Recording) -> None:
    """Says what to expect of these weights."""
    first = next((answers.humans for answers in recording.answers if answers.humans is not None), None)
    if first is None:
        return
    if first.untrained:
        console.print(
            f"[bold yellow]The weights ({escape(first.weights)}) are untrained: the bodies are random, no use. "
            "This shows that everything flows; for trained weights: --weights FILE.[/]"
        )
    else:
        console.print(
            f"The errors above are those of the weights {escape(first.weights)} on rendered people. On photographs "
            "nobody knows the truth: look at the pictures. Small weights that were trained on rendered people alone "
            "miss more people there, see some who are none, and place and pose them less exactly."
        )


def _flow(sent: Sequence[Answers]) -> tuple[str, ...]:
    answers = [a for a in sent if a.humans is not None]
    arrivals = [a.arrival_s for a in answers]
    people = sum(len(those_there(a.humans)) for a in answers if a.humans is not None)
    duration_s = arrivals[-1] - arrivals[0] if arrivals else 0.0
    rate = f"{(len(arrivals) - 1) / duration_s:.1f}" if duration_s > 0.0 else "-"
    delays = (
        [f"{delay:.0f}" for delay in np.percentile([1e3 * a.delay_s for a in answers], (50, 95))] if answers else []
    )
    return str(len(sent)), str(people), rate, *(delays or ("-", "-"))
