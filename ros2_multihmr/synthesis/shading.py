"""Shading: the light that comes from the points that a picture shows."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from ros2_multihmr.camera import Camera
from ros2_multihmr.synthesis.lights import RGB, Light, Lighting, ShadowMap, lit
from ros2_multihmr.synthesis.materials import evaluate
from ros2_multihmr.synthesis.renderer import Points, View
from ros2_multihmr.synthesis.surface import Material

Array = NDArray[np.float32]

_AROUND = np.float32(0.12)  # of a lamp's light goes to all sides
_SHARPNESS = np.float32(24.0)  # of highlights
_GAP, _STEEP = np.float32(1.6), np.float32(3.0)  # crevices end where what is around is half as near again
_DULL = 0.02  # a gloss that nobody sees
_LIFT_M = np.float32(0.02)  # off the surface, so that it throws no shadow on itself


def shade(
    view: View,
    camera: Camera,
    position: NDArray[np.float64],
    materials: Sequence[Material],
    lighting: Lighting,
    shadows: Sequence[ShadowMap | None],
) -> Array:
    """Returns (H, W, 3) linear light.

    Args:
        view: What the camera sees.
        camera: The camera.
        position: (3,) the camera's place in the world [m].
        materials: What `Points.material` points to.
        lighting: The scene's light.
        shadows: One per light of `lighting`, None for a light without shadows.
    """
    points = view.points
    rays = points.rays if points.hit.all() else points.rays[:, points.hit]
    places = rays * points.depth + position.astype(np.float32)[:, None]
    rays = rays / np.sqrt(_dot(rays, rays))
    slant = np.maximum(-_dot(rays, points.normal), np.float32(0.15))
    footprint = points.depth / np.float32(camera.fx) / np.sqrt(slant)
    albedo, gloss = evaluate(materials, points.material, points.texture, footprint)
    color = _ambient(points.normal[2], _crevices(view, camera)[points.pixel[points.hit]], lighting)
    shiny = np.flatnonzero(gloss > _DULL)
    shine = np.zeros((3, len(shiny)), np.float32)
    for light, shadow in zip(lighting.lights, shadows, strict=True):
        to_light, strength = _arriving(light, places)
        strength *= np.maximum(_dot(to_light, points.normal), 0.0)
        if shadow is not None:
            _darken(strength, light, shadow, places, points.normal)
        glint = _glint(rays[:, shiny], to_light[:, shiny], points.normal[:, shiny], strength[shiny])
        for channel, brightness in enumerate(light.color):
            color[channel] += np.float32(brightness) * strength
            shine[channel] += np.float32(brightness) * glint
    color *= albedo
    color[:, shiny] += gloss[shiny] * shine
    return _resolve(points, color, lighting, camera)


def _dot(first: Array, second: Array) -> Array:
    return np.asarray(np.einsum("cp,cp->p", first, second), np.float32)


def _darken(strength: Array, light: Light, shadow: ShadowMap, places: Array, normal: Array) -> None:
    """Takes away what does not reach the points; only those that the light would reach are looked up."""
    rows = np.flatnonzero(strength > 0.0)
    strength[rows] *= lit(light, shadow, places[:, rows] + _LIFT_M * normal[:, rows])


def _ambient(up: Array, left: Array, lighting: Lighting) -> Array:
    """(3, M) light from all around on points whose normals have a part `up`, of which a part is left."""
    share = 0.5 + 0.5 * up
    return np.stack([left * (low + share * (high - low)) for low, high in _channels(lighting.ground, lighting.sky)])


def _channels(low: RGB, high: RGB) -> list[tuple[np.float32, np.float32]]:
    return [(np.float32(a), np.float32(b)) for a, b in zip(low, high)]


def _arriving(light: Light, places: Array) -> tuple[Array, Array]:
    """Unit vectors to a light (3, M) and its strength (M,)."""
    direction = np.array(light.direction, np.float32)[:, None]
    if light.kind == "sun":
        return np.broadcast_to(-direction, places.shape), np.ones(places.shape[1], np.float32)
    to_light = np.array(light.position, np.float32)[:, None] - places
    squared = _dot(to_light, to_light) + np.float32(0.05)
    to_light /= np.sqrt(squared)
    ahead = np.maximum(-(direction[:, 0] @ to_light), 0.0)
    return to_light, (_AROUND + (np.float32(1.0) - _AROUND) * ahead) / squared


def _glint(rays: Array, to_light: Array, normal: Array, strength: Array) -> Array:
    """(M,) mirrored light (Blinn's half vector); unit vectors (3, M)."""
    half = to_light - rays
    along = _dot(half, normal) / np.maximum(np.sqrt(_dot(half, half)), np.float32(1e-6))
    return np.asarray(strength * np.maximum(along, 0.0) ** _SHARPNESS, np.float32)


def _crevices(view: View, camera: Camera) -> Array:
    """(H W,) part of the ambient light that is left where what is around is nearer: corners, under tables, feet."""
    nearness = np.divide(1.0, view.depth, out=np.zeros_like(view.depth), where=view.depth > 0.0)
    own, darkness = np.maximum(nearness, np.float32(1e-4)), np.zeros_like(nearness)
    for part in (0.015, 0.05):
        side = 2 * int(part * camera.width) + 1
        around = cv2.blur(nearness, (side, side))
        nearest = cv2.dilate(nearness, np.ones((side, side), np.uint8))
        in_front = np.maximum(around / own - np.float32(1.0), 0.0)
        # What stands far in front of a wall does not darken it.
        darkness += in_front * np.clip(_GAP - _STEEP * (nearest / own - np.float32(1.0)), 0.0, 1.0)
    return np.asarray(1.0 - np.minimum(3.5 * darkness, 0.6), np.float32).ravel()


def _resolve(points: Points, color: Array, lighting: Lighting, camera: Camera) -> Array:
    """Mixes each pixel from its points."""
    light = color
    if color.shape[1] < len(points.pixel):
        light = np.empty((3, len(points.pixel)), np.float32)
        light[:, points.hit] = color
        light[:, ~points.hit] = _sky(points.rays[:, ~points.hit], lighting)
    light *= points.weight
    count = camera.width * camera.height
    picture = [np.bincount(points.pixel, channel, count).astype(np.float32) for channel in light]
    return np.stack(picture, axis=1).reshape(camera.height, camera.width, 3)


def _sky(rays: Array, lighting: Lighting) -> Array:
    up = np.sqrt(np.clip(rays[2] / np.sqrt(_dot(rays, rays)), 0.0, 1.0))
    return np.stack([low + up * (high - low) for low, high in _channels(lighting.horizon, lighting.zenith)])
