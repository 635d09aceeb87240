"""Skirts: tubes around both legs, from the waist down, that follow thighs and shins."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ros2_multihmr.body.parts import PARTS
from ros2_multihmr.synthesis.outfit import Skirt

Array = NDArray[np.floating[Any]]
_AROUND = 28
_RINGS = 9
_WAIST = -0.28  # where the tube begins: above the hips by so much of a thigh
_SPACE_M = 0.012  # between the skin and the cloth
_ALLOWED = 92.0  # percent of the skin beside a ring that a ring encloses


class Tube(NamedTuple):
    """A skirt's mesh.

    Attributes:
        vertices: (V, 3) [m].
        texture: (V, 3) unrolled: around, 0, up [m].
        faces: (F, 3) counter-clockwise from outside.
        part: (F,) uint8 body part + 1.
    """

    vertices: Array
    texture: Array
    faces: NDArray[np.intp]
    part: NDArray[np.uint8]


def skirt_around(joint: dict[str, Array], lower_body: Array, skirt: Skirt) -> Tube:
    """Makes the tube.

    Args:
        joint: Places (3,) of the posed hips, knees, ankles, pelvis and spine2 by name [m].
        lower_body: (N, 3) the skin of hips and thighs, which the tube encloses [m].
        skirt: How long and wide it is.
    """
    along = np.linspace(_WAIST, skirt.length, _RINGS)
    centers = np.stack([[_center(joint, side, s) for side in ("left", "right")] for s in along])
    middle = centers.mean(1)
    down = np.gradient(middle, axis=0)
    down /= np.linalg.norm(down, axis=1, keepdims=True)
    left = centers[:, 0] - centers[:, 1]
    left -= (left * down).sum(1, keepdims=True) * down
    left /= np.linalg.norm(left, axis=1, keepdims=True)
    front = np.cross(left, -down)
    angle = np.linspace(0, 2 * np.pi, _AROUND + 1)
    out = np.cos(angle)[:, None] * left[:, None] + np.sin(angle)[:, None] * front[:, None]
    base = np.where((np.cos(angle) >= 0)[:, None], centers[:, None, 0], centers[:, None, 1])
    radius = _radius(lower_body, centers[1:4], down[1:4]) + _SPACE_M
    widths = radius * (1 + skirt.flare * np.clip(along - _WAIST, 0, None)) * (1 + 0.9 * np.minimum(along, 0))
    vertices = base + widths[:, None, None] * out
    around = np.broadcast_to(angle * radius * 1.6, vertices.shape[:2])
    up = np.broadcast_to(-along[:, None] * np.linalg.norm(joint["left_knee"] - joint["left_hip"]), vertices.shape[:2])
    texture = np.stack([around, np.zeros_like(around), up], -1)
    return Tube(vertices.reshape(-1, 3), texture.reshape(-1, 3), *_faces(along, np.cos(angle)))


def _center(joint: dict[str, Array], side: str, along: float) -> Array:
    """Inside a leg: 0 at the hip, 1 at the knee, 2 at the ankle; below 0 up the trunk."""
    hip, knee, ankle = (joint[f"{side}_{name}"] for name in ("hip", "knee", "ankle"))
    if along < 0:
        spine = joint["spine2"] - joint["pelvis"]
        up = -along * np.linalg.norm(knee - hip) * spine / np.linalg.norm(spine)
        hips = (joint["left_hip"] + joint["right_hip"]) / 2
        center: Array = hips + (hip - hips) * (1 + 0.6 * along) + up
        return center
    return hip + along * (knee - hip) if along < 1 else knee + (along - 1) * (ankle - knee)


def _radius(skin: Array, centers: Array, down: Array) -> float:
    """What a ring needs to enclose most of the skin beside it."""
    largest = 0.0
    for (left, right), axis in zip(centers, down, strict=True):
        off = skin - (left + right) / 2
        beside = skin[np.abs(off @ axis) < 0.06]
        if len(beside):
            legs = [beside - leg - ((beside - leg) @ axis)[:, None] * axis for leg in (left, right)]
            near = np.minimum(*(np.linalg.norm(leg, axis=1) for leg in legs))
            largest = max(largest, float(np.percentile(near, _ALLOWED)))
    return float(np.clip(largest, 0.06, 0.22))


def _faces(along: Array, leftness: Array) -> tuple[NDArray[np.intp], NDArray[np.uint8]]:
    ring, spoke = np.meshgrid(np.arange(_RINGS - 1), np.arange(_AROUND), indexing="ij")
    a = (ring * (_AROUND + 1) + spoke).ravel()
    b, c, d = a + 1, a + _AROUND + 1, a + _AROUND + 2
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([b, d, c], 1)])
    legs = np.where(along[ring] < 1, "thigh", "shin")
    names = np.where(along[ring + 1] <= 0.15, "hips", np.where(leftness[spoke] >= 0, "left_", "right_"))
    part = [PARTS.index(n if n == "hips" else n + leg) + 1 for n, leg in zip(names.ravel(), legs.ravel(), strict=True)]
    return faces, np.tile(np.array(part, np.uint8), 2)
