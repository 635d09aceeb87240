"""Views: cameras like those of robots, phones and rooms, and where they look."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ros2_multihmr.camera import Camera

Floats = NDArray[np.float64]

# Width to height, and how often.
ASPECTS = ((16, 9), (4, 3), (1, 1), (3, 4))
_ASPECT_SHARES = (0.35, 0.35, 0.18, 0.12)
_LENSES_DEG = {True: (40.0, 100.0), False: (40.0, 72.0)}  # over the width, landscape and portrait


class Eye(NamedTuple):
    """A camera before it is aimed.

    Attributes:
        camera: Intrinsics and image size.
        height_m: Above the floor.
        heading_rad: The direction that it looks to, about the vertical.
    """

    camera: Camera
    height_m: float
    heading_rad: float

    @property
    def half_width(self) -> float:
        """Tangent of half of its horizontal field of view."""
        return self.camera.width / (2.0 * self.camera.fx)


def sample_eye(rng: np.random.Generator, longer_side: int, *, close_up: bool) -> Eye:
    """Draws a camera at (0, 0, height): optics within 40 to 100 degrees over the width, height .4 to 2.6 m."""
    across, down = ASPECTS[rng.choice(len(ASPECTS), p=_ASPECT_SHARES)]
    scale = longer_side / max(across, down)
    width, height = round(across * scale), round(down * scale)
    low, high = _LENSES_DEG[width >= height]
    view = np.radians(rng.uniform(low, min(high, 75.0) if close_up else high))
    focal = width / 2.0 / np.tan(view / 2.0)
    off = rng.normal(0.0, 0.012, 2).clip(-0.04, 0.04) * longer_side
    k = np.eye(3)
    k[0, 0], k[1, 1] = focal, focal * np.clip(rng.normal(1.0, 0.004), 0.985, 1.015)
    k[:2, 2] = (width - 1) / 2.0 + off[0], (height - 1) / 2.0 + off[1]
    usual = rng.choice([0.6, 1.2, 1.55, 2.1], p=[0.2, 0.3, 0.35, 0.15])
    stands = float(np.clip(rng.normal(usual, 0.25), 0.4, 2.6))
    return Eye(Camera(k, width, height), stands, float(rng.uniform(0.0, 2.0 * np.pi)))


def sample_pitch(rng: np.random.Generator, eye: Eye, target: Floats) -> float:
    """Draws how far a camera looks down [rad]: at a target (3,) more or less, or level as robots' often do."""
    level = rng.random() < 0.2
    away = float(np.hypot(target[0], target[1]))
    aimed = 0.0 if level else float(np.arctan2(eye.height_m - target[2], max(away, 0.3)))
    return float(np.clip(aimed + rng.normal(0.0, 0.06), -0.7, 0.9))


def aim(eye: Eye, pitch_rad: float, roll_rad: float) -> Floats:
    """Returns T_camera_world (4, 4) of a camera that looks down by a pitch and is turned about its axis by a roll."""
    cosine, sine = np.cos(eye.heading_rad), np.sin(eye.heading_rad)
    forward = np.array([cosine * np.cos(pitch_rad), sine * np.cos(pitch_rad), -np.sin(pitch_rad)])
    right = np.array([sine, -cosine, 0.0])
    down = np.cross(forward, right)
    turned_right = np.cos(roll_rad) * right + np.sin(roll_rad) * down
    rotation = np.stack([turned_right, np.cross(forward, turned_right), forward])
    transform = np.eye(4)
    transform[:3, :3], transform[:3, 3] = rotation, -rotation @ (0.0, 0.0, eye.height_m)
    return transform


def sample_roll(rng: np.random.Generator) -> float:
    """Draws a camera's roll [rad]: none or a little, seldom more."""
    return float(rng.normal(0.0, 0.12 if rng.random() < 0.15 else 0.02))
