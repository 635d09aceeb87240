"""Crowd: who is in a scene and where, so that people neither stand in each other nor in the camera."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np
from numpy.typing import NDArray

from ros2_multihmr.body import BodyModel
from ros2_multihmr.synthesis.actors import PlacedActor, place, sample_actor
from ros2_multihmr.synthesis.rooms import Ground
from ros2_multihmr.synthesis.views import Eye
from ros2_multihmr.synthesis.wardrobe import Split

Floats = NDArray[np.float64]
Rng = np.random.Generator

_TRIES = 12
_CAMERA_M = 0.45  # what the camera and who carries it take of the ground
_SHARE_INSIDE = 90  # percent of a body's vertices whose disc of the ground it takes: hands may reach out of it


def gather(
    rng: Rng, split: str, count: int, eye: Eye, body: BodyModel, ground: Ground, *, close_up: bool, farthest: float
) -> list[PlacedActor]:
    """Draws up to so many people before a camera and takes their ground; fewer where they find no place."""
    people: list[PlacedActor] = []
    spots: list[Floats] = []
    ground.take(0.0, 0.0, _CAMERA_M)
    grouped = rng.random() < 0.4
    for _ in range(count):
        actor = sample_actor(rng, body, split=cast(Split, split), close_up=close_up)
        spot = _spot(rng, eye, close_up, farthest)
        if grouped and spots:
            spot = _beside(rng, spots)
        person = place(actor, body, _heading(rng, spot, spots if grouped else []), spot)
        middle, radius = footprint(person)
        for _ in range(_TRIES):
            if ground.free(float(middle[0]), float(middle[1]), radius):
                ground.take(float(middle[0]), float(middle[1]), radius)
                people.append(person)
                spots.append(spot)
                break
            spot = _spot(rng, eye, close_up, farthest)
            person, middle = moved(person, spot - middle), spot
    return people


def moved(person: PlacedActor, by: Floats) -> PlacedActor:
    """Returns a person moved over the floor by (2,) [m]."""
    shift = np.append(by, 0.0).astype(np.float32)
    names = ("center", "joints", "keypoints", "vertices_lod")
    return replace(person, **{name: getattr(person, name) + shift for name in names})


def footprint(person: PlacedActor) -> tuple[Floats, float]:
    """Returns the middle (2,) and the radius of the ground that a person takes [m]."""
    flat = person.vertices_lod[:, :2].astype(np.float64)
    middle = (flat.min(axis=0) + flat.max(axis=0)) / 2.0
    away = np.hypot(*(flat - middle).T)
    inside = len(away) * _SHARE_INSIDE // 100
    return middle, float(np.partition(away, inside)[inside]) + 0.04


def _spot(rng: Rng, eye: Eye, close_up: bool, farthest: float) -> Floats:
    """(2,) a place on the floor in view; seldom at the border of it."""
    if close_up:
        distance = rng.uniform(1.1, min(3.4, farthest))
    else:
        distance = float(np.exp(rng.uniform(np.log(1.6), np.log(min(8.5, farthest)))))
        if rng.random() < 0.08:
            distance = rng.uniform(min(6.0, farthest), farthest)
    reach = 0.55 if close_up else 0.85
    bearing = eye.heading_rad - np.arctan(eye.half_width * rng.uniform(-reach, reach))
    return distance * np.array([np.cos(bearing), np.sin(bearing)])


def _beside(rng: Rng, spots: list[Floats]) -> Floats:
    angle, away = rng.uniform(0.0, 2.0 * np.pi), rng.uniform(0.6, 1.4)
    return np.asarray(spots[rng.integers(len(spots))] + away * np.array([np.cos(angle), np.sin(angle)]))


def _heading(rng: Rng, spot: Floats, others: list[Floats]) -> float:
    """The way a person faces: the camera, somebody else, or anywhere."""
    choice = rng.random()
    if others and choice < 0.5:
        towards = others[rng.integers(len(others))] - spot
    elif choice < 0.55:
        towards = -spot
    else:
        return float(rng.uniform(-np.pi, np.pi))
    return float(np.arctan2(towards[1], towards[0]) + rng.normal(0.0, 0.5))
