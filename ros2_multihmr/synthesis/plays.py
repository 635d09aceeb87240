"""Plays: clips in which people are hard to follow; six kinds, everything else drawn from a seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ros2_multihmr.body.body_model import BodyModel
from ros2_multihmr.synthesis.clips import ClipConfig, ClipFrame, clip, collision
from ros2_multihmr.synthesis.config import SPLITS
from ros2_multihmr.synthesis.motion import Spot, Stay, Walk, Way

Rng = np.random.Generator
_CHILD, _ADULT = (0.32, 0.45), (0.62, 0.85)  # phenotype age
_DROPPED = 0.3  # part of the images that never come
_OUT = 0.68  # half of what the widest camera sees, per distance
_TRIES, _STREAM = 300, 1_000_033


@dataclass(frozen=True)
class Play:
    """Who goes where, before what camera.

    Attributes:
        ways: Where people go, one each.
        ages: Their phenotype ages.
        pillars: Where pillars stand on the floor (x, y) [m].
        camera: One of `clips.CAMERAS`.
        dropped: Part of the images that never come.
    """

    ways: tuple[Way, ...]
    ages: tuple[float, ...]
    pillars: tuple[Spot, ...] = ()
    camera: str = "still"
    dropped: float = 0.0


def play(kind: str, seed: int, config: ClipConfig) -> Play:
    """Draws a play.

    Args:
        kind: One of `KINDS`.
        seed: Not negative.
        config: Settings of the clip; its people and its camera are the play's.

    Raises:
        ValueError: No kind has that name, or people would meet; the clip may be too long.
    """
    if kind not in KINDS:
        raise ValueError(f"play: no kind is called {kind!r}; known are {', '.join(KINDS)}")
    rng = np.random.default_rng((SPLITS.index(config.split), seed, list(KINDS).index(kind), _STREAM))
    for _ in range(_TRIES):
        drawn = KINDS[kind](rng, config.duration_s)
        if not collision(drawn.ways, replace(config, camera=drawn.camera), drawn.pillars):
            return drawn
    raise ValueError(f"play: found no ways on which people keep apart for {config.duration_s:g} s; make it shorter")


def perform(kind: str, seed: int, config: ClipConfig, body: BodyModel) -> Iterator[ClipFrame]:
    """Makes the clip of a play, image by image; the same arguments and machine give the same bytes.

    Args:
        kind: One of `KINDS`.
        seed: Not negative.
        config: Settings; those of people and camera are not used.
        body: The "anny" body, on the CPU.

    Raises:
        ValueError: See `play`.
    """
    drawn = play(kind, seed, config)
    place = list(KINDS).index(kind)
    yield from clip(
        len(KINDS) * seed + place,  # everybody else in every play
        replace(config, camera=drawn.camera),
        body,
        drawn.ways,
        ages=drawn.ages,
        pillars=drawn.pillars,
        times_s=taken_s(config, drawn.dropped, seed).tolist(),
    )


def taken_s(config: ClipConfig, dropped: float, seed: int) -> NDArray[np.float64]:
    """Returns (N,) when images are taken [s]: all of the settings, or without those that never come."""
    rng, times = np.random.default_rng((seed, _STREAM)), config.times_s
    return times[(rng.random(len(times)) >= dropped) | (np.arange(len(times)) == 0)]


def _adults(rng: Rng, count: int) -> tuple[float, ...]:
    return tuple(rng.uniform(*_ADULT, count).tolist())


def _crossing(rng: Rng, duration_s: float, nearest_m: float = 3.3) -> Play:
    """Four people pass the camera's axis at about the same time, one behind the other, in turn from left and right."""
    ways = []
    for index in range(4):
        away = nearest_m + 0.95 * index + rng.uniform(-0.04, 0.04)
        side = (-1.0) ** index
        reach, speed = _OUT * away + 0.5, rng.uniform(0.85, 1.15)
        start = reach - speed * (duration_s / 2.0 + rng.uniform(-0.4, 0.4))
        ways.append(Walk(((away, side * reach), (away, 0.0), (away, -side * reach)), speed, start))
    return Play(tuple(ways), _adults(rng, 4))


def _hidden(rng: Rng, duration_s: float) -> Play:
    """Three people pass behind two pillars, which hide them as a whole, and behind one another."""
    ways = []
    for index, away in enumerate((4.3, 5.3, 6.3)):
        side = (-1.0) ** index
        reach, speed = _OUT * away + 0.4, rng.uniform(0.8, 1.1)
        start = reach - speed * (duration_s / 2.0 + rng.uniform(-0.5, 0.5))
        ways.append(Walk(((away, side * reach), (away + rng.uniform(-0.1, 0.1), -side * reach)), speed, start))
    return Play(tuple(ways), _adults(rng, 3), pillars=((2.6, 0.5), (2.6, -0.55)))


def _leaving(rng: Rng, duration_s: float) -> Play:
    """Two people leave the image, each at a side, and come back deeper in the room; one stands."""
    ways: list[Way] = []
    for side, away in ((1.0, 3.4), (-1.0, 5.5)):
        out = _OUT * away + 0.9 + rng.uniform(0.0, 0.3)
        inside, back = 0.15 * away, away + 1.05
        points = (away, side * inside), (away, side * 0.8 * out), (away + 0.5, side * out)
        again = (back, side * 0.8 * out), (back, side * inside), (back, -side * inside)
        ways.append(Walk((*points, *again), rng.uniform(1.0, 1.25), rng.uniform(-0.3, 0.3)))
    ways.append(Stay((8.0, float(rng.uniform(-1.5, 1.5))), np.pi + float(rng.normal(0.0, 0.5))))
    return Play(tuple(ways), _adults(rng, 3))


def _family(rng: Rng, duration_s: float) -> Play:
    """Two children run rings around an adult."""
    x, y = rng.uniform(3.9, 4.5), rng.uniform(-0.4, 0.4)
    radius, speed, turn = rng.uniform(1.05, 1.25), rng.uniform(1.2, 1.6), rng.uniform(0.0, 2.0 * np.pi)
    ways: list[Way] = [Stay((x, y), np.pi + float(rng.normal(0.0, 0.4)))]
    for phase in (turn, turn + np.pi):
        angles = phase + np.pi / 2.0 * np.arange(4)
        ring = [(x + radius * float(np.cos(angle)), y + radius * float(np.sin(angle))) for angle in angles]
        ways.append(Walk(tuple(ring), speed, closed=True))
    return Play(tuple(ways), (*_adults(rng, 1), *rng.uniform(*_CHILD, 2).tolist()))


def _moving_camera(rng: Rng, duration_s: float) -> Play:
    """Four people cross while the camera drives towards them and looks about."""
    return replace(_crossing(rng, duration_s, nearest_m=4.6), camera="patrol")


def _dropped(rng: Rng, duration_s: float) -> Play:
    """Four people cross; three in ten images never come."""
    return replace(_crossing(rng, duration_s), dropped=_DROPPED)


KINDS: dict[str, Callable[[Rng, float], Play]] = {
    "crossing": _crossing,
    "hidden by pillars": _hidden,
    "leaving and entering": _leaving,
    "two children and an adult": _family,
    "moving camera": _moving_camera,
    "dropped frames": _dropped,
}
