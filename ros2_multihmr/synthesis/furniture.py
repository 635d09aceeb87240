"""Things: furniture, plants, lamps and heaps of bodies, from boxes, cylinders and blobs."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ros2_multihmr.synthesis.materials import sample_material
from ros2_multihmr.synthesis.pieces import Pair, Piece, assemble, blob, box, cylinder
from ros2_multihmr.synthesis.surface import Material, Surface

Floats = NDArray[np.float64]
Rng = np.random.Generator


class Thing(NamedTuple):
    """A thing that stands on the floor: its pieces, materials, and the radius of the ground that it takes [m]."""

    pieces: list[Piece]
    materials: list[Material]
    radius: float
    smooth: bool = False

    def at(self, place: Pair, heading_rad: float) -> Surface:
        """Returns it in the world, on the floor at (x, y)."""
        return assemble(
            self.pieces, self.materials, (place[0], place[1], 0.0), heading_rad, smooth=self.smooth
        )  # fmt: skip


def table(rng: Rng, split: str) -> Thing:
    """A table; some low."""
    length, width = rng.uniform(0.6, 1.8), rng.uniform(0.5, 0.9)
    height = rng.uniform(0.35, 0.5) if rng.random() < 0.3 else rng.uniform(0.68, 0.78)
    x, y, leg = length / 2, width / 2, rng.uniform(0.02, 0.04)
    pieces = [box((-x, -y, height - 0.04), (x, y, height))]
    for sx in (-1, 1):
        for sy in (-1, 1):
            at = np.array([sx * (x - 0.06), sy * (y - 0.06)])
            pieces.append(box((*(at - leg), 0.0), (*(at + leg), height - 0.04), 1))
    for _ in range(rng.integers(0, 4)):
        pieces.append(_trinket(rng, x - 0.12, y - 0.12, height))
    materials = [sample_material(rng, "wood", split), sample_material(rng, "thing", split)]
    return Thing(pieces, [*materials, sample_material(rng, "thing", split)], max(x, y) + 0.1)


def _trinket(rng: Rng, x: float, y: float, height: float) -> Piece:
    """Something small that stands on a board."""
    at = rng.uniform((-x, -y), (x, y))
    size, tall = rng.uniform(0.03, 0.12), rng.uniform(0.03, 0.3)
    if rng.random() < 0.5:
        return cylinder(at, (size / 2, size / 2), (height, height + tall), 2, 8)
    return box((*(at - size), height), (*(at + size), height + tall), 2)


def chair(rng: Rng, split: str, seat_height: float = 0.45) -> Thing:
    """A chair whose seat is about the origin; its back is behind (-x)."""
    wide, deep, thick = rng.uniform(0.19, 0.25), rng.uniform(0.2, 0.24), rng.uniform(0.03, 0.08)
    back = seat_height + rng.uniform(0.3, 0.5)
    pieces = [box((-deep, -wide, seat_height - thick), (deep, wide, seat_height))]
    pieces.append(box((-deep - 0.05, -wide, seat_height + rng.uniform(-thick, 0.15)), (-deep, wide, back)))
    if rng.random() < 0.7:
        for x in (-deep - 0.02, deep - 0.03):
            for y in (-wide + 0.02, wide - 0.02):
                pieces.append(box((x - 0.018, y - 0.018, 0.0), (x + 0.018, y + 0.018, seat_height - thick), 1))
    else:
        pieces.append(cylinder((0, 0), (0.03, 0.03), (0.05, seat_height - thick), 1, 8))
        pieces.append(cylinder((0, 0), (0.27, 0.06), (0.0, 0.07), 1, 10))
    role = "cloth" if rng.random() < 0.5 else "wood"
    return Thing(pieces, [sample_material(rng, role, split), sample_material(rng, "thing", split)], 0.35)


def stool(rng: Rng, split: str, seat_height: float = 0.45) -> Thing:
    """A stool, box or bench."""
    size = rng.uniform(0.17, 0.24)
    if rng.random() < 0.5:
        pieces = [cylinder((0, 0), (size, size), (seat_height - 0.05, seat_height))]
        pieces += [cylinder((0, 0), (size * 0.8, 0.04), (0.0, seat_height - 0.05), 1, 8)]
    else:
        pieces = [box((-size, -size * rng.uniform(1, 3), 0.0), (size, size * rng.uniform(1, 3), seat_height))]
    return Thing(pieces, [sample_material(rng, "thing", split), sample_material(rng, "wood", split)], 0.3)


def sofa(rng: Rng, split: str, seat_height: float = 0.42) -> Thing:
    """A sofa or armchair; its back is behind (-x)."""
    half, deep, arm = rng.uniform(0.35, 1.0), rng.uniform(0.3, 0.4), rng.uniform(0.12, 0.22)
    back = seat_height + rng.uniform(0.3, 0.5)
    pieces = [
        box((-deep, -half, 0.06), (deep, half, seat_height)),
        box((-deep - 0.2, -half, 0.06), (-deep, half, back)),
        box((-deep - 0.2, half, 0.06), (deep, half + arm, seat_height + 0.18)),
        box((-deep - 0.2, -half - arm, 0.06), (deep, -half, seat_height + 0.18)),
    ]
    for _ in range(rng.integers(0, 3)):
        y = rng.uniform(-half + 0.2, half - 0.2) if half > 0.5 else half
        pieces.append(blob((-deep + 0.1, y, seat_height + 0.18), (0.1, 0.2, 0.19), 1))
    materials = [sample_material(rng, "cloth", split), sample_material(rng, "cloth", split)]
    return Thing(pieces, materials, half + arm)


def cabinet(rng: Rng, split: str) -> Thing:
    """A cupboard, chest or shelf with what stands in it; its front is at +x."""
    deep, half, height = (float(rng.uniform(*span)) for span in ((0.15, 0.3), (0.2, 0.8), (0.5, 2.2)))
    materials = [sample_material(rng, "wood", split), *(sample_material(rng, "thing", split) for _ in range(4))]
    if rng.random() < 0.5:
        pieces = [box((-deep, -half, 0.0), (deep, half, height))]
        rows, columns = max(1, round(height / 0.5)), max(1, round(half / 0.4))
        for y in np.linspace(-half, half, columns + 1)[:-1].tolist():
            for z in np.linspace(0.03, height, rows + 1)[:-1].tolist():
                far = (deep + 0.015, y + 2 * half / columns - 0.02, z + height / rows - 0.04)
                pieces.append(box((deep, y + 0.02, z), far, 1 if materials[1].grain > 0.06 else 0))
        return Thing(pieces, materials, half)
    pieces = [box((-deep, -half, 0.0), (-deep + 0.02, half, height))]
    pieces += [box((-deep, side - 0.02, 0.0), (deep, side + 0.02, height)) for side in (-half, half)]
    for z in np.arange(0.05, height + 0.01, max(0.28, height / 5)).tolist():
        pieces.append(box((-deep, -half, z - 0.03), (deep, half, z)))
        y = -half + 0.03
        while y < half - 0.1 and z < height - 0.25:
            wide = rng.uniform(0.03, 0.16)
            top = (deep - rng.uniform(0.02, 0.1), y + wide - 0.005, z + rng.uniform(0.1, 0.25))
            if rng.random() < 0.8:
                pieces.append(box((-deep + 0.02, y, z), top, int(rng.integers(1, 5))))
            y += wide
    return Thing(pieces, materials, half)


def plant(rng: Rng, split: str) -> Thing:
    """A plant in a pot."""
    radius, pot, tall = rng.uniform(0.1, 0.22), rng.uniform(0.2, 0.45), rng.uniform(0.4, 1.5)
    pieces = [
        cylinder((0, 0), (radius * 0.8, radius), (0.0, pot)),
        cylinder((0, 0), (0.03, 0.02), (pot, pot + tall), 1),
    ]
    for _ in range(rng.integers(5, 14)):
        at = (*rng.normal(0.0, 0.16, 2), pot + tall * rng.uniform(0.3, 1.0))
        pieces.append(blob(at, rng.uniform(0.04, 0.2, 3), 2))
    roles = ("thing", "wood", "leaf")
    return Thing(pieces, [sample_material(rng, role, split) for role in roles], radius + 0.1, smooth=True)


def floor_lamp(rng: Rng, split: str) -> Thing:
    """A lamp on a pole; it does not shine."""
    height, shade = rng.uniform(1.3, 1.9), rng.uniform(0.12, 0.25)
    pieces = [
        cylinder((0, 0), (0.15, 0.13), (0.0, 0.03)),
        cylinder((0, 0), (0.015, 0.015), (0.03, height), 0, 6),
        cylinder((0, 0), (shade, shade * 0.7), (height - 0.15, height + 0.15), 1),
    ]
    return Thing(pieces, [sample_material(rng, role, split) for role in ("thing", "cloth")], 0.2, smooth=True)


def coat_stand(rng: Rng, split: str) -> Thing:
    """Clothes on a pole: as tall as a person, and none."""
    height = rng.uniform(1.4, 1.9)
    pieces = [cylinder((0, 0), (0.2, 0.03), (0.0, 0.05)), cylinder((0, 0), (0.02, 0.02), (0.05, height), 0, 6)]
    for _ in range(rng.integers(1, 4)):
        top, drop = height - rng.uniform(0.05, 0.25), rng.uniform(0.4, 0.9)
        at, wide = rng.normal(0.0, 0.08, 2), rng.uniform(0.1, 0.22)
        pieces.append(cylinder(at, (wide, wide * 0.4), (top - drop, top), int(rng.integers(1, 3)), 9))
    if rng.random() < 0.5:
        pieces.append(blob((0, 0, height + 0.05), (0.1, 0.12, 0.09), 2))
    return Thing(pieces, [sample_material(rng, role, split) for role in ("wood", "cloth", "cloth")], 0.3, smooth=True)


def tree(rng: Rng, split: str) -> Thing:
    """A tree or bush."""
    trunk = rng.uniform(0.0, 2.5)
    pieces = [cylinder((0, 0), (0.2, 0.12), (0.0, trunk + 0.8), 0, 8)]
    size = rng.uniform(0.5, 1.6)
    for _ in range(rng.integers(4, 12)):
        at = rng.normal(0.0, 0.5 * size, 3) + (0.0, 0.0, trunk + size)
        pieces.append(blob(at, size * rng.uniform(0.3, 0.8, 3), 1))
    return Thing(pieces, [sample_material(rng, role, split) for role in ("wood", "leaf")], 0.6, smooth=True)


def parcel(rng: Rng, split: str) -> Thing:
    """A box, ball, bin or column of any size: no body, whatever it looks like."""
    size = np.exp(rng.uniform(np.log(0.1), np.log(0.6), 3))
    kind = rng.integers(0, 4)
    if kind == 0:
        pieces = [blob((0, 0, size[2]), size * (1, 1, 1))]
    elif kind == 1:
        pieces = [cylinder((0, 0), (size[0] / 2, size[1] / 2), (0.0, 3 * size[2]))]
    else:
        pieces = [box((-size[0], -size[1], 0.0), (size[0], size[1], 2 * size[2]))]
    return Thing(pieces, [sample_material(rng, "thing", split)], float(size[:2].max()), smooth=bool(kind == 0))


def pillar(rng: Rng, split: str) -> Thing:
    """A square pillar, higher than any room: who passes behind it is hidden as a whole."""
    half = (PILLAR_HALF_M, PILLAR_HALF_M)
    pieces = [box((-half[0], -half[1], 0.0), (*half, _PILLAR_HEIGHT_M))]
    return Thing(pieces, [sample_material(rng, "wall", split)], 1.5 * PILLAR_HALF_M)


PILLAR_HALF_M, _PILLAR_HEIGHT_M = 0.32, 3.6
SEATS: tuple[Callable[[Rng, str, float], Thing], ...] = (chair, chair, stool, sofa)
STANDING = (table, table, chair, sofa, plant, floor_lamp, coat_stand, parcel, cabinet)
