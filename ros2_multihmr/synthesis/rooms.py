"""Places: rooms with walls and what hangs on them, and open ground with what stands around."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ros2_multihmr.synthesis.furniture import STANDING, Thing, cabinet, parcel, plant, tree
from ros2_multihmr.synthesis.materials import sample_material
from ros2_multihmr.synthesis.pieces import Piece, assemble, box
from ros2_multihmr.synthesis.surface import Surface

Floats = NDArray[np.float64]
Rng = np.random.Generator


class Place(NamedTuple):
    """Surroundings: first those that throw no shadows, then things; a room's corners, None in the open."""

    shell: list[Surface]
    things: list[Surface]
    room: tuple[Floats, Floats] | None


class Ground:
    """Which discs of the ground are taken."""

    def __init__(self) -> None:
        self._discs: list[tuple[float, float, float]] = []

    def free(self, x: float, y: float, radius: float) -> bool:
        """True if a disc overlaps no other."""
        return all((x - a) ** 2 + (y - b) ** 2 > (radius + r) ** 2 for a, b, r in self._discs)

    def take(self, x: float, y: float, radius: float) -> None:
        """Takes a disc."""
        self._discs.append((x, y, radius))


def make_room(rng: Rng, split: str, low: Floats, high: Floats, ground: Ground, camera_height: float) -> Place:
    """Makes a furnished room around a rectangle of the floor, corners (2,), that it must hold."""
    near, far = low - rng.uniform(0.2, 2.0, 2), high + rng.uniform(0.2, 2.0, 2)
    height = max(rng.uniform(2.3, 3.2), camera_height + 0.2)
    corners = np.append(near, 0.0), np.append(far, height)
    shell = [_walls(rng, split, *corners), *_fittings(rng, split, *corners)]
    things = []
    for _ in range(rng.integers(2, 10)):
        if rng.random() < 0.45:
            things += _against_wall(rng, split, ground, near, far)
        else:
            thing = STANDING[rng.integers(len(STANDING))](rng, split)
            things += stand(rng, thing, ground, near, far)
    return Place(shell, things, corners)


def stand(rng: Rng, thing: Thing, ground: Ground, low: Floats, high: Floats, tries: int = 4) -> list[Surface]:
    """Puts a thing anywhere within a rectangle where the ground is free; nothing if it finds no place."""
    middle, reach = (low + high) / 2, np.maximum((high - low) / 2 - thing.radius, 0.0)
    for _ in range(tries):
        x, y = rng.uniform(middle - reach, middle + reach)
        if ground.free(x, y, thing.radius):
            ground.take(x, y, thing.radius)
            return [thing.at((x, y), rng.choice([0.0, np.pi / 2, np.pi, rng.uniform(0, 2 * np.pi)]))]
    return []


def _against_wall(rng: Rng, split: str, ground: Ground, low: Floats, high: Floats) -> list[Surface]:
    thing = cabinet(rng, split)
    side = int(rng.integers(4))
    along = rng.uniform(low + thing.radius * 0.9, np.maximum(high - thing.radius * 0.9, low + thing.radius))
    inward = [
        (low[0] + 0.32, along[1]),
        (along[0], low[1] + 0.32),
        (high[0] - 0.32, along[1]),
        (along[0], high[1] - 0.32),
    ]
    x, y = inward[side]
    if not ground.free(x, y, thing.radius):
        return []
    ground.take(x, y, thing.radius)
    return [thing.at((x, y), side * np.pi / 2)]


def _walls(rng: Rng, split: str, low: Floats, high: Floats) -> Surface:
    """Floor, ceiling and four walls, seen from inside; one wall may have another material."""
    materials = [sample_material(rng, role, split) for role in ("floor", "ceiling", "wall", "wall")]
    other = int(rng.integers(-3, 4))
    inside_out = box(low, high)
    pieces = []
    for side in range(6):
        rows = slice(4 * side, 4 * side + 4)
        material = {4: 1, 5: 0}.get(side, 3 if side == other else 2)
        pieces.append(Piece(inside_out.vertices[rows], _QUAD[:, ::-1], inside_out.texture[rows], material))
    return assemble(pieces, materials)


def _fittings(rng: Rng, split: str, low: Floats, high: Floats) -> list[Surface]:
    """Baseboards, windows, doors, pictures and rugs."""
    pieces: list[Piece] = []
    roles = ("wood", "wood", "picture", "picture", "thing", "cloth", "picture")
    materials = [sample_material(rng, role, split) for role in roles]
    if rng.random() < 0.7:
        pieces += _baseboards(low, high, rng.uniform(0.05, 0.14))
    for side in range(4):
        pieces += _on_wall(rng, side, low, high)
    if rng.random() < 0.4:
        size = rng.uniform(0.5, 1.4, 2)
        middle = rng.uniform(low[:2], high[:2])
        flat = np.clip([middle - size, middle + size], low[:2], high[:2])
        pieces.append(box((*flat[0], 0.0), (*flat[1], 0.008), int(rng.integers(5, 7))))
    return [assemble(pieces, materials)] if pieces else []


def _baseboards(low: Floats, high: Floats, height: float) -> list[Piece]:
    (x0, y0), (x1, y1), t = low[:2], high[:2], 0.015
    return [
        box((x0, y0, 0), (x1, y0 + t, height)),
        box((x0, y1 - t, 0), (x1, y1, height)),
        box((x0, y0, 0), (x0 + t, y1, height)),
        box((x1 - t, y0, 0), (x1, y1, height)),
    ]


def _on_wall(rng: Rng, side: int, low: Floats, high: Floats) -> list[Piece]:
    """Things that hang side by side on a wall: walls are +x, -x, +y, -y."""
    across = 1 if side < 2 else 0
    pieces, at = [], low[across] + rng.uniform(0.2, 1.5)
    while at < high[across] - 0.5:
        wide = min(rng.uniform(0.3, 1.5), high[across] - at - 0.1)
        kind = rng.integers(0, 4)
        if kind == 0:  # a door
            wide, z0, z1 = min(0.85, wide + 0.4), 0.0, min(2.05, high[2] - 0.1)
            pieces += _framed(side, at, wide, z0, z1, low, high, (1, int(rng.choice([1, 4]))))
        else:
            middle, half = rng.uniform(1.1, 1.8), rng.uniform(0.15, 0.6)
            z0, z1 = max(0.4, middle - half), min(high[2] - 0.1, middle + half)
            pieces += _framed(side, at, wide, z0, z1, low, high, (int(rng.integers(0, 2)), int(rng.integers(2, 5))))
        at += wide + rng.uniform(0.3, 2.5)
    return pieces


def _framed(
    side: int, at: float, wide: float, z0: float, z1: float, low: Floats, high: Floats, materials: tuple[int, int]
) -> list[Piece]:
    pieces = []
    for (depth, rim), material in zip(((0.02, 0.0), (0.026, 0.045)), materials):
        a, b = at + rim, at + wide - rim
        if side < 2:
            x = (high[0] - depth, high[0] + 0.01) if side == 0 else (low[0] - 0.01, low[0] + depth)
            pieces.append(box((x[0], a, z0 + rim), (x[1], b, z1 - rim), material))
        else:
            y = (high[1] - depth, high[1] + 0.01) if side == 2 else (low[1] - 0.01, low[1] + depth)
            pieces.append(box((a, y[0], z0 + rim), (b, y[1], z1 - rim), material))
    return pieces


def make_open(rng: Rng, split: str, low: Floats, high: Floats, ground: Ground) -> Place:
    """Makes ground under the sky, with buildings, trees and things around a rectangle, corners (2,)."""
    plain = Piece(np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]]) * 150.0, _QUAD, _GROUND_TEXTURE, 0)
    shell = [assemble([plain], [sample_material(rng, "ground", split)])]
    things = []
    middle, reach = (low + high) / 2, float(np.linalg.norm(high - low)) / 2
    for _ in range(rng.integers(0, 7)):
        things.append(_building(rng, split, middle, reach))
    for _ in range(rng.integers(0, 8)):
        angle, away = rng.uniform(0, 2 * np.pi), reach + rng.uniform(0.5, 20.0)
        things.append(tree(rng, split).at(middle + away * np.array([np.cos(angle), np.sin(angle)]), angle))
    for _ in range(rng.integers(0, 6)):
        thing = (parcel, plant, cabinet)[rng.integers(3)](rng, split)
        things += stand(rng, thing, ground, low - 1.5, high + 1.5)
    return Place(shell, things, None)


def _building(rng: Rng, split: str, middle: Floats, reach: float) -> Surface:
    angle, away = rng.uniform(0, 2 * np.pi), reach + rng.uniform(6.0, 40.0)
    size = rng.uniform(2.5, 9.0, 2)
    place = middle + (away + size.max()) * np.array([np.cos(angle), np.sin(angle)])
    pieces = [box((*-size, 0.0), (*size, rng.uniform(2.5, 18.0)))]
    return assemble(pieces, [sample_material(rng, "facade", split)], (*place, 0.0), rng.choice([0.0, angle]))


def make_clutter(rng: Rng, split: str, low: Floats, high: Floats, ground: Ground, camera_height: float) -> Place:
    """Makes a room or open ground full of patterned boxes, discs and blobs, also in the air, beside a rectangle."""
    place = make_room(rng, split, low, high, ground, camera_height) if rng.random() < 0.5 else make_open(
        rng, split, low, high, ground
    )  # fmt: skip
    near, far = low - 1.5, high + 1.5
    if place.room is not None:
        near, far = place.room[0][:2] + 0.05, place.room[1][:2] - 0.05
    things = list(place.things)
    for _ in range(rng.integers(8, 26)):
        things += _floating(rng, split, ground, near, far) if rng.random() < 0.6 else stand(
            rng, parcel(rng, split), ground, near, far
        )  # fmt: skip
    return Place(place.shell, things, place.room)


def _floating(rng: Rng, split: str, ground: Ground, low: Floats, high: Floats) -> list[Surface]:
    thing = parcel(rng, split)
    x, y = rng.uniform(low, high)
    if not ground.free(x, y, thing.radius * 1.8):
        return []
    ground.take(x, y, thing.radius)
    axes = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    axes *= np.sign(np.linalg.det(axes))
    height = rng.uniform(0.2, 2.4)
    return [assemble(thing.pieces, thing.materials, (x, y, height), smooth=thing.smooth, turn=axes)]


_QUAD = np.array([[0, 1, 2], [0, 2, 3]])
_GROUND_TEXTURE = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]]) * 150.0
