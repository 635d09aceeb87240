"""Outfit: what one person wears, and the colours of skin and hair."""

from __future__ import annotations

from dataclasses import dataclass

from ros2_multihmr.synthesis.surface import Material


@dataclass(frozen=True)
class Garment:
    """Something worn, or hair: a region of the skin that is coloured and pushed outwards.

    Attributes:
        kind: One of `garments.KINDS`: which region.
        material: Index into the outfit's materials.
        thickness_m: How far it stands off the skin [m].
        ends: What the region needs to know of its borders, see `garments.KINDS`.
    """

    kind: str
    material: int
    thickness_m: float
    ends: tuple[float, ...] = ()


@dataclass(frozen=True)
class Skirt:
    """A skirt, or the lower part of a dress.

    Attributes:
        material: Index into the outfit's materials.
        length: Its hem: 1 at the knees, 2 at the ankles.
        flare: How much wider it gets for each thigh's length.
    """

    material: int
    length: float
    flare: float


@dataclass(frozen=True)
class Outfit:
    """How a person looks.

    Attributes:
        materials: The first is skin.
        garments: Inner ones first; later ones cover earlier ones.
        skirt: Worn over everything below the waist, if any.
    """

    materials: tuple[Material, ...]
    garments: tuple[Garment, ...]
    skirt: Skirt | None = None
