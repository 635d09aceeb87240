"""Shading: the light that comes from the points that a picture shows."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from ros2_multihmr.camera import Camera
from ros2_multihmr.synthesis.lights import Light, Lighting, ShadowMap, lit
from ros2_multihmr.synthesis.materials import evaluate
from ros2_multihmr.synthesis.renderer import Points, View
from ros2_multihmr.synthesis.surface import Material

Array = NDArray[np.float32]

_AROUND = np.float32(0.12)  # of a lamp's light goes to all sides
_SHARPNESS = 24.0  # of highlights


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
    rays = points.rays[points.hit]
    places = rays * points.depth[:, None] + position.astype(np.float32)
    slant = np.maximum(-np.einsum("pc,pc->p", rays, points.normal) / np.linalg.norm(rays, axis=1), np.float32(0.15))
    footprint = points.depth / np.float32(camera.fx) / np.sqrt(slant)
    albedo, gloss = evaluate(materials, points.material, points.texture, footprint)
    ambient = _ambient(points.normal, lighting)
    ambient *= _crevices(view, camera)[points.pixel[points.hit]][:, None]
    color, shine = ambient, np.zeros_like(ambient)
    shiny = np.flatnonzero(gloss > 0.02)
    for light, shadow in zip(lighting.lights, shadows, strict=True):
        to_light, strength = _arriving(light, places)
        strength *= np.maximum(np.einsum("pc,pc->p", to_light, points.normal), 0.0)
        if shadow is not None:
            _darken(strength, light, shadow, places, points.normal)
        color += strength[:, None] * np.array(light.color, np.float32)
        shine[shiny] += _highlight(rays[shiny], to_light[shiny], points.normal[shiny], strength[shiny], light)
    color *= albedo
    color[shiny] += gloss[shiny, None] * shine[shiny]
    return _resolve(points, color, lighting, camera)


def _darken(strength: Array, light: Light, shadow: ShadowMap, places: Array, normal: Array) -> None:
    """Takes away what does not reach the points; only those that the light would reach are looked up."""
    rows = np.flatnonzero(strength > 0.0)
    strength[rows] *= lit(light, shadow, places[rows] + np.float32(0.02) * normal[rows])


def _ambient(normal: Array, lighting: Lighting) -> Array:
    up = (0.5 + 0.5 * normal[:, 2:]).astype(np.float32)
    ground = np.array(lighting.ground, np.float32)
    return np.asarray(ground + up * (np.array(lighting.sky, np.float32) - ground), np.float32)


def _arriving(light: Light, places: Array) -> tuple[Array, Array]:
    """Unit vectors to a light (N, 3) and its strength (N,)."""
    if light.kind == "sun":
        towards = -np.array(light.direction, np.float32)
        return np.broadcast_to(towards, places.shape), np.ones(len(places), np.float32)
    away = np.array(light.position, np.float32) - places
    squared = np.einsum("pc,pc->p", away, away) + np.float32(0.05)
    to_light = away / np.sqrt(squared)[:, None]
    ahead = np.maximum(-(to_light @ np.array(light.direction, np.float32)), 0.0)
    return to_light, (_AROUND + (1.0 - _AROUND) * ahead) / squared


def _highlight(rays: Array, to_light: Array, normal: Array, strength: Array, light: Light) -> Array:
    half = to_light - rays / np.linalg.norm(rays, axis=1, keepdims=True)
    along = np.einsum("pc,pc->p", half, normal) / np.maximum(np.linalg.norm(half, axis=1), np.float32(1e-6))
    glint = strength * np.maximum(along, 0.0) ** np.float32(_SHARPNESS)
    return glint[:, None] * np.array(light.color, np.float32)


def _crevices(view: View, camera: Camera) -> Array:
    """(H W,) ambient light that is left where what is around comes nearer to the camera: corners, under tables, feet."""
    nearness = np.divide(1.0, view.depth, out=np.zeros_like(view.depth), where=view.depth > 0.0)
    darkness = np.zeros_like(nearness)
    for part in (0.02, 0.08):
        around = cv2.blur(nearness, (2 * int(part * camera.fx) + 1,) * 2)
        in_front = np.maximum(around / np.maximum(nearness, np.float32(1e-4)) - np.float32(1.0), 0.0)
        # Things far in front are not close by: their share falls again.
        darkness += in_front / (1.0 + (in_front * 8.0) ** 2)
    return np.asarray(1.0 - np.minimum(3.5 * darkness, 0.6), np.float32).ravel()


def _resolve(points: Points, color: Array, lighting: Lighting, camera: Camera) -> Array:
    """Mixes each pixel from its points."""
    light = np.empty((len(points.pixel), 3), np.float32)
    light[points.hit] = color
    if len(color) < len(light):
        light[~points.hit] = _sky(points.rays[~points.hit], lighting)
    light *= points.weight[:, None]
    count = camera.width * camera.height
    picture = np.stack([np.bincount(points.pixel, channel, count) for channel in light.T], axis=1)
    return picture.astype(np.float32).reshape(camera.height, camera.width, 3)


def _sky(rays: Array, lighting: Lighting) -> Array:
    up = np.clip(rays[:, 2:] / np.linalg.norm(rays, axis=1, keepdims=True), 0.0, 1.0)
    horizon = np.array(lighting.horizon, np.float32)
    return np.asarray(horizon + np.sqrt(up) * (np.array(lighting.zenith, np.float32) - horizon), np.float32)
