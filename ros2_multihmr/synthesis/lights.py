"""Lights of a scene, and the shadows that they throw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ros2_multihmr.rasterizer import rasterize
from ros2_multihmr.synthesis.triangles import Triangles, cut_near, faces_viewer, touches

Array = NDArray[np.float32]
Floats = NDArray[np.float64]
RGB = tuple[float, float, float]

SHADOW_PX = 320
_BIAS_M = 0.03


@dataclass(frozen=True)
class Light:
    """One light; world frame, metres.

    Attributes:
        kind: "sun" shines along `direction`, "lamp" from `position` in a wide cone along `direction`.
        position: Where a lamp is; a point that the shadows of a sun are centred on.
        direction: Unit vector along which it shines.
        color: Linear RGB; of a lamp, what falls on a surface at 1 m.
        shadows: True to throw shadows.
        reach_m: Half the side of the square around `position` that a sun's shadows cover.
        softness: Width of the shadows' edges, in parts of their map's side.
    """

    kind: str
    position: RGB
    direction: RGB
    color: RGB
    shadows: bool
    reach_m: float = 8.0
    softness: float = 0.004


@dataclass(frozen=True)
class Lighting:
    """All light of a scene, linear RGB.

    Attributes:
        sky: Falls from above.
        ground: Falls from below.
        lights: The others.
        zenith: Colour of the sky overhead, seen where no surface is.
        horizon: Colour of the sky above the horizon.
    """

    sky: RGB
    ground: RGB
    lights: tuple[Light, ...]
    zenith: RGB = (0.3, 0.5, 0.9)
    horizon: RGB = (0.8, 0.85, 0.9)


class ShadowMap(NamedTuple):
    """How near to a light things are, over the square that it looks at."""

    T_light_world: Floats
    nearest: Array  # (S, S) 1 / z for a lamp; -z for a sun
    scale: float


def sample_lighting(rng: np.random.Generator, *, room: tuple[Floats, Floats] | None, focus: Floats) -> Lighting:
    """Draws the light of a scene.

    Args:
        rng: Source of chance.
        room: Lowest and highest corner of the room; None under the sky.
        focus: (3,) what the shadows should be good around, on the floor.
    """
    tint = _tint(rng, 0.12)
    if room is None:
        return _daylight(rng, focus)
    level = rng.uniform(0.15, 0.55)
    lights = [_lamp(rng, room, focus, shadows=True)]
    if rng.random() < 0.6:
        lights.append(_window(rng, room, focus))
    for _ in range(rng.integers(0, 2)):
        lights.append(_lamp(rng, room, focus, shadows=False))
    bounce = rng.uniform(0.5, 0.9) * level
    return Lighting(_scaled(tint, level), _scaled(_tint(rng, 0.1), bounce), tuple(lights))


def shadow_map(light: Light, triangles: Triangles) -> ShadowMap:
    """Finds what of the triangles (world frame) is nearest to a light."""
    transform = _look_along(light)
    seen = triangles.moved(transform)
    if light.kind == "sun":
        points = seen.points
        scale = SHADOW_PX / (2.0 * light.reach_m)
        flat, far = points[..., :2] * scale, points[..., 2].max(initial=1.0) + 1.0
        nearness, offset = far - points[..., 2], far
    else:
        points = cut_near(seen).points
        scale, offset = SHADOW_PX / (2.0 * _CONE), 0.0
        nearness = 1.0 / points[..., 2]
        flat = points[..., :2] * nearness[..., None] * scale
    corners = flat + (SHADOW_PX - 1) / 2.0
    near_map = faces_viewer(corners) & touches(corners, SHADOW_PX, SHADOW_PX)
    nearest = rasterize(corners[near_map], nearness[near_map], SHADOW_PX, SHADOW_PX).nearness
    nearest = np.where(nearest > 0.0, nearest - np.float32(offset), np.float32(-1e9))
    return ShadowMap(transform, nearest, scale)


def lit(light: Light, shadow: ShadowMap, points: Array) -> Array:
    """(N,) share of a light that reaches points (3, N) of the world, by percentage-closer filtering."""
    transform = shadow.T_light_world.astype(np.float32)
    local = transform[:3, :3] @ points + transform[:3, 3:]
    z = local[2] - np.float32(_BIAS_M)
    if light.kind == "sun":
        own, flat = -z, local[:2]
    else:
        own = 1.0 / np.maximum(z, np.float32(0.05))
        flat = local[:2] * own
    place = flat * np.float32(shadow.scale) + np.float32((SHADOW_PX - 1) / 2.0)
    # Outside of the map and behind the lamp nothing throws shadows.
    column, row = np.abs(place - np.float32(SHADOW_PX / 2.0))
    rows = np.flatnonzero((np.maximum(column, row) < SHADOW_PX / 2.0 - 3.0) & (z > 0.05))
    share = np.ones(points.shape[1], np.float32)
    share[rows] = _filtered(shadow.nearest, place[:, rows], own[rows], light.softness * SHADOW_PX)
    return share


def _filtered(nearest: Array, place: Array, own: Array, reach: float) -> Array:
    """Mean over taps around each place of what is in front of nothing; bilinear between the map's pixels."""
    total = np.zeros(len(own), np.float32)
    table, last = nearest.ravel(), np.int32(SHADOW_PX - 2)
    taps = ((-0.5, -0.9), (0.9, -0.5), (0.5, 0.9), (-0.9, 0.5))
    # A different turn for every point trades steps for grain, which the sensor's blur takes away.
    phase = np.modf(place[0] * np.float32(12.9898) + place[1] * np.float32(78.233))[0]
    for across, down in taps:
        x = place[0] + reach * (across + phase - np.float32(0.5))
        y = place[1] + reach * (down - phase + np.float32(0.5))
        column = np.clip((x + 0.5).astype(np.int32), 0, last)
        row = np.clip((y + 0.5).astype(np.int32), 0, last)
        total += table[row * SHADOW_PX + column] <= own
    return total / np.float32(len(taps))


_CONE = 1.9  # tangent of half the angle that a lamp's shadow map covers


def _look_along(light: Light) -> Floats:
    """T_light_world: z along the light."""
    z = np.array(light.direction)
    side = np.cross([0.0, 1.0, 0.0] if abs(z[1]) < 0.9 else [1.0, 0.0, 0.0], z)
    x = side / np.linalg.norm(side)
    rotation = np.stack([x, np.cross(z, x), z])
    transform = np.eye(4)
    transform[:3, :3], transform[:3, 3] = rotation, -rotation @ np.array(light.position)
    return transform


def _lamp(rng: np.random.Generator, room: tuple[Floats, Floats], focus: Floats, *, shadows: bool) -> Light:
    low, high = room
    place = np.clip(focus[:2] + rng.normal(0.0, 2.2, 2), low[:2] + 0.3, high[:2] - 0.3)
    height = float(high[2]) - rng.uniform(0.1, 0.5)
    aim = np.append(focus[:2] + rng.normal(0.0, 0.5, 2), 0.5) - (*place, height)
    power = rng.uniform(0.7, 1.8) * min(float(aim @ aim), 12.0)
    return Light(
        "lamp",
        (float(place[0]), float(place[1]), height),
        _rgb(aim / np.linalg.norm(aim)),
        _scaled(_tint(rng, 0.15), power),
        shadows,
        softness=float(rng.uniform(0.002, 0.008)),
    )


def _window(rng: np.random.Generator, room: tuple[Floats, Floats], focus: Floats) -> Light:
    """Daylight from a side, flat; its source is outside, the walls let it through."""
    heading, fall = rng.uniform(0.0, 2.0 * np.pi), rng.uniform(0.3, 1.0)
    direction = np.array([np.cos(heading), np.sin(heading), -fall])
    direction /= np.linalg.norm(direction)
    size = float(np.linalg.norm((room[1] - room[0])[:2]))
    color = _scaled(_tint(rng, 0.15), rng.uniform(0.3, 1.2))
    return Light("sun", _rgb(focus), _rgb(direction), color, True, min(6.0, size), float(rng.uniform(0.002, 0.008)))


def _daylight(rng: np.random.Generator, focus: Floats) -> Lighting:
    cloudy = rng.random()
    heading, fall = rng.uniform(0.0, 2.0 * np.pi), rng.uniform(0.4, 2.0)
    direction = np.array([np.cos(heading), np.sin(heading), -fall])
    direction /= np.linalg.norm(direction)
    blue = 1.0 - 0.7 * cloudy
    zenith = (1.0 - 0.65 * blue, 1.0 - 0.4 * blue, 1.0)
    sun = Light(
        *("sun", _rgb(focus), _rgb(direction), _scaled((1.0, 0.93, 0.82), 2.2 * (1.0 - 0.85 * cloudy)), True),
        *(float(rng.uniform(5.0, 9.0)), float(0.002 + 0.007 * cloudy)),
    )
    level = rng.uniform(0.5, 0.8)
    return Lighting(
        _scaled(zenith, level), _scaled(_tint(rng, 0.1), 0.5 * level), (sun,), _scaled(zenith, rng.uniform(0.6, 1.1)),
        _scaled((0.95, 0.97, 1.0), rng.uniform(0.7, 1.2)),
    )  # fmt: skip


def _tint(rng: np.random.Generator, spread: float) -> RGB:
    """A white that is warm or cold."""
    warm = float(np.clip(rng.normal(0.03, spread), -0.25, 0.35))
    return 1.0 + warm, 1.0, 1.0 - warm


def _scaled(color: RGB, factor: float) -> RGB:
    return color[0] * factor, color[1] * factor, color[2] * factor


def _rgb(values: Floats) -> RGB:
    return float(values[0]), float(values[1]), float(values[2])
