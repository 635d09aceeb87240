"""Surface: one textured mesh of a scene, person or thing. Material: how it is coloured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PATTERNS = ("plain", "stripes", "checks", "dots", "noise", "blotches", "planks", "tiles", "bricks", "gradient", "print")


@dataclass(frozen=True)
class Material:
    """How a surface is coloured, evaluated at every pixel.

    Attributes:
        color: Main linear RGB reflectance, 0 to 1.
        second: The pattern's other colour.
        pattern: One of `PATTERNS`.
        scale_m: Size of the pattern's repeat [m].
        angle_rad: Turn of the pattern in the texture's plane.
        grain: Strength of a fine irregularity of brightness, 0 to .5.
        gloss: Strength of the highlight, 0 to 1.
        seed: What the pattern's irregularities are drawn from.
    """

    color: tuple[float, float, float]
    second: tuple[float, float, float]
    pattern: str = "plain"
    scale_m: float = 0.2
    angle_rad: float = 0.0
    grain: float = 0.05
    gloss: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class Surface:
    """One mesh of a scene; world frame: z up, floor at z = 0, metres.

    Attributes:
        vertices: (V, 3) float32.
        faces: (F, 3) integer, counter-clockwise from outside.
        texture: (V, 3) float32 where each vertex lies in its materials' patterns [m]; moves with the surface.
        materials: What `material` points to.
        material: (F,) integer index into `materials`.
        smooth: True to shade with normals interpolated over the mesh, False for flat faces.
        person: Index of the scene's person, -1 for things.
        part: (F,) uint8 body part + 1 (`body.parts.PARTS`), zeros for things.
    """

    vertices: NDArray[np.float32]
    faces: NDArray[np.integer]
    texture: NDArray[np.float32]
    materials: tuple[Material, ...]
    material: NDArray[np.integer]
    smooth: bool
    person: int
    part: NDArray[np.uint8]
