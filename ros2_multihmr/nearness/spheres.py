"""Spheres around a robot's links, as parameters name them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

_NAMED = re.compile(r"(?P<name>[^\s:]+)\s*:\s*(?P<frame>[^\s:]+)\s+(?P<numbers>.+)")


@dataclass(frozen=True)
class Sphere:
    """A sphere that moves with a TF frame.

    Attributes:
        name: Its name in messages.
        frame: The frame.
        center: Its middle in that frame [m].
        radius_m: Its radius [m].
    """

    name: str
    frame: str
    center: tuple[float, float, float] = (0.0, 0.0, 0.0)
    radius_m: float = 0.0


def parse_spheres(frames: Sequence[str], spheres: Sequence[str]) -> tuple[Sphere, ...]:
    """Reads the parameters `proximity_frames` and `proximity_spheres`.

    Args:
        frames: TF frames: points, each named like its frame.
        spheres: Each "name: frame radius" or "name: frame x y z radius", lengths in metres.

    Raises:
        ValueError: Something is no frame or no sphere, or a name is used twice; says what, and what was expected.
    """
    points = [Sphere(frame, _frame("proximity_frames", frame)) for frame in frames]
    found = (*points, *(_sphere(text) for text in spheres))
    names = [sphere.name for sphere in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(
            "proximity_frames, proximity_spheres: expected every name once, got more than once: " + ", ".join(twice)
        )
    return found


def _sphere(text: str) -> Sphere:
    match = _NAMED.fullmatch(text.strip())
    try:
        numbers = [float(word) for word in match["numbers"].split()] if match else []
    except ValueError:
        numbers = []
    if match is None or len(numbers) not in (1, 4) or not all(map(math.isfinite, numbers)) or numbers[-1] < 0.0:
        raise ValueError(
            f'proximity_spheres: expected "name: frame radius" or "name: frame x y z radius" in metres, got {text!r}'
        )
    x, y, z = numbers[:3] if len(numbers) == 4 else (0.0, 0.0, 0.0)
    return Sphere(match["name"], _frame("proximity_spheres", match["frame"]), (x, y, z), numbers[-1])


def _frame(parameter: str, frame: str) -> str:
    if frame.startswith("/") or len(frame.split()) != 1 or ":" in frame:
        raise ValueError(f"{parameter}: expected the name of a TF frame, without a slash in front, got {frame!r}")
    return frame
