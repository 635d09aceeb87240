"""What people look like: skin, hair and clothes, drawn at random.

Everybody shares skin and hair colours. Cloth is drawn by number: a design's number settles its colours, its pattern and
the pattern's irregularities, and training and validation draw from ranges of numbers that do not meet (`DESIGNS`), so
no cloth that is learned from is tested on.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np

from ros2_multihmr.synthesis.outfit import Garment, Outfit, Skirt
from ros2_multihmr.synthesis.surface import Material

Split = Literal["train", "val"]
Color = tuple[float, float, float]
Rng = np.random.Generator

DESIGNS = {"train": (0, 1 << 20), "val": (1 << 20, (1 << 20) + (1 << 14))}

# sRGB, light to dark; tones spread over the range of the Monk scale.
_SKIN = "f4dcc8 edc9ab e3b995 d9a57f cf9a72 c08a63 b07a52 9a6643 835436 6d442b 593723 452a1b 38231a"
_HAIR = "16110d 1f1713 2c2018 3b2a1d 523a26 6b4c30 8a6540 b08d5b cfae77 a5552f 7a3b22 8e8a86 c9c6c2 e6e4e1"
_GREY_HAIR = 3  # the last ones
_DYED = "3c6fb0 b03a6f 5a9a57 7a4aa0"
_NEUTRALS = (
    "0e0e10 1b1b1e 2a2b2f 3c3e42 5a5c60 7d7f82 a3a5a6 c9c9c7 e8e7e3 f6f6f4 1c2333 26324a 33465f 5c4a3a 8a7358 b9a789 "
    "d8cbb2 3d4534 5d6647 4a2328 6a6258"
)
_DENIM = "1d2637 2a3a55 3b5278 5b769d 86a0c0 1a1a1e"
_BOTTOMS = "16161a 26272b 3a3c40 55565a 2b2f3d 4a4237 7d6e58 b5a484 8c8f92 dcd8cf 3f4636"
_LEATHER = "100f10 1d1a19 3a2417 5b3a22 7d5835 2b2b2e e9e8e5 f4f4f4 c8c4bc 707277 8e2426 25477d"


def linear(color: str) -> Color:
    """Returns linear RGB, 0 to 1, of sRGB in hexadecimal digits."""
    srgb = np.array([int(color[i : i + 2], 16) for i in (0, 2, 4)]) / 255
    return _color(np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4))


def _color(rgb: np.ndarray) -> Color:
    red, green, blue = np.clip(rgb, 0.0, 1.0).tolist()
    return red, green, blue


def _varied(rng: Rng, color: Color, amount: float) -> Color:
    return _color(np.array(color) * np.exp(rng.normal(0, amount)) * np.exp(rng.normal(0, amount / 3, 3)))


def _vivid(rng: Rng) -> Color:
    hue, chroma, value = rng.random(), rng.uniform(0.35, 0.95), rng.uniform(0.2, 0.95)
    ramp = np.clip(np.abs((hue * 6 + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1)
    return _color((value * (1 - chroma * (1 - ramp))) ** 2.2)


def _pick(rng: Rng, colors: str) -> Color:
    return _varied(rng, linear(str(rng.choice(colors.split()))), 0.15)


def cloth(number: int, kind: str) -> Material:
    """Returns design `number` of a kind of cloth: "top", "bottom", "denim", "leather"."""
    rng = np.random.default_rng([number, len(kind)])
    if kind != "top":
        pool = {"bottom": _BOTTOMS, "denim": _DENIM, "leather": _LEATHER}[kind]
        color = _vivid(rng) if rng.random() < 0.08 else _pick(rng, pool)
        material = Material(color, _varied(rng, color, 0.3), grain=0.12 if kind == "denim" else 0.06, seed=number)
        if kind == "leather":
            return replace(material, gloss=rng.uniform(0.05, 0.4))
        return replace(material, pattern=_pattern(rng, 0.12), scale_m=rng.uniform(0.01, 0.12))
    first, second = (_vivid(rng) if rng.random() < 0.35 else _pick(rng, _NEUTRALS) for _ in range(2))
    angle = rng.choice([0.0, np.pi / 2, rng.uniform(0, np.pi)])
    return Material(
        first, second, _pattern(rng, 0.45), rng.uniform(0.012, 0.2), float(angle), rng.uniform(0.02, 0.12), seed=number
    )


def _pattern(rng: Rng, chance: float) -> str:
    """A cloth's pattern; plain but with some chance."""
    if rng.random() >= chance:
        return "plain"
    names = ("stripes", "checks", "dots", "noise", "blotches", "gradient", "print")
    return names[rng.choice(len(names), p=(0.27, 0.2, 0.1, 0.1, 0.08, 0.05, 0.2))]


class _Closet:
    """Collects materials and garments of one person."""

    def __init__(self, rng: Rng, split: Split, skin: Material) -> None:
        self.rng, self.split = rng, split
        self.materials = [skin]
        self.garments: list[Garment] = []

    def cloth(self, kind: str) -> int:
        return self.add(cloth(int(self.rng.integers(*DESIGNS[self.split])), kind))

    def add(self, material: Material) -> int:
        self.materials.append(material)
        return len(self.materials) - 1

    def wear(self, kind: str, material: int, thickness_m: float, *ends: float) -> None:
        self.garments.append(Garment(kind, material, thickness_m, ends))


def sample_outfit(rng: Rng, *, split: Split, gender: float, age: float, upright: bool = True) -> Outfit:
    """Draws skin, hair and clothes.

    Args:
        rng: What they are drawn from.
        split: Whose designs the clothes are of.
        gender: 0 for a man, 1 for a woman, as far as beards and skirts go.
        age: Of the body's shape: 2/3 for the young adult, 1 for old.
        upright: True if skirts may hang: they do not fold as those of sitting people would.
    """
    tones = np.array([linear(color) for color in _SKIN.split()])
    tone = rng.uniform(0, len(tones) - 1)
    blend = np.array([np.interp(tone, np.arange(len(tones)), channel) for channel in tones.T])
    color = _varied(rng, _color(blend), 0.08)
    closet = _Closet(rng, split, Material(color, color, grain=0.03, gloss=0.12, seed=int(rng.integers(1 << 20))))
    _face(closet, color)
    _bottom(closet)
    _shoes(closet)
    shirt = _top(closet)
    _hair(closet, tone / len(tones), gender, age)
    skirt = _skirt(closet, shirt) if upright and gender > 0.5 and rng.random() < 0.35 else None
    return Outfit(tuple(closet.materials), tuple(closet.garments), skirt)


def _face(closet: _Closet, skin: Color) -> None:
    rng = closet.rng
    lips = _color(np.array(skin) * (0.85, 0.5, 0.5) + (0.03, 0.0, 0.0))
    closet.wear("lips", closet.add(Material(lips, lips, gloss=0.2)), 0.0, rng.uniform(0.014, 0.02))
    dark = _varied(closet.rng, (0.09, 0.07, 0.06), 0.4)  # iris, pupil and white, from afar
    closet.wear("eyes", closet.add(Material(dark, dark, gloss=0.5)), 0.0)


def _bottom(closet: _Closet) -> None:
    rng = closet.rng
    material = closet.cloth("denim" if rng.random() < 0.4 else "bottom")
    waist = rng.uniform(0.12, 0.3)
    kind = rng.random()
    length = rng.uniform(1.8, 2.02) if kind < 0.72 else rng.uniform(0.35, 1.15)
    thickness = rng.choice([0.004, rng.uniform(0.006, 0.018)])
    closet.wear("trousers", material, float(thickness), waist, length)


def _shoes(closet: _Closet) -> None:
    rng = closet.rng
    kind = rng.random()
    if kind < 0.08:
        return
    if kind < 0.35:
        closet.wear("socks", closet.cloth("bottom"), 0.004, rng.uniform(1.55, 1.9))
    thickness = rng.uniform(0.008, 0.016)
    shaft = rng.uniform(1.3, 1.75) if rng.random() < 0.15 else rng.uniform(1.9, 2.0)
    closet.wear("shoes", closet.cloth("leather"), thickness, shaft)


def _top(closet: _Closet) -> int:
    rng = closet.rng
    sleeve = rng.choice([rng.uniform(1.75, 1.98), rng.uniform(0.35, 0.85), rng.uniform(-0.1, 0.2)], p=[0.5, 0.42, 0.08])
    hem, neckline = rng.uniform(-0.22, 0.16), rng.uniform(0.075, 0.13)
    shirt = closet.cloth("top")
    closet.wear("shirt", shirt, rng.uniform(0.005, 0.016), hem, float(sleeve), neckline)
    if rng.random() < 0.28:
        material = closet.cloth("top" if rng.random() < 0.6 else "bottom")
        opening = rng.uniform(0.03, 0.09) if rng.random() < 0.6 else 0.0
        ends = (rng.uniform(-0.35, 0.1), rng.uniform(1.75, 1.98), rng.uniform(0.06, 0.1), opening)
        closet.wear("jacket", material, rng.uniform(0.014, 0.03), *ends)
    if rng.random() < 0.06:
        closet.wear("gloves", closet.cloth("leather"), 0.003, rng.uniform(1.85, 1.97))
    return shirt


def _skirt(closet: _Closet, shirt: int) -> Skirt:
    """A skirt of its own cloth, or with the shirt a dress; the trousers below are skin or tights."""
    rng = closet.rng
    dress = rng.random() < 0.5
    material = shirt if dress else closet.cloth("top" if rng.random() < 0.4 else "bottom")
    if rng.random() < 0.7:
        closet.garments = [garment for garment in closet.garments if garment.kind != "trousers"]
    return Skirt(material, rng.uniform(0.5, 1.6), rng.uniform(0.05, 0.45))


def _hair(closet: _Closet, darkness: float, gender: float, age: float) -> None:
    rng = closet.rng
    grey = rng.random() < np.clip((age - 0.75) * 4, 0.02, 0.9)
    colors = _HAIR.split()
    natural = len(colors) - _GREY_HAIR
    dark = int(rng.beta(0.8, 1 + 12 * darkness) * natural)  # light hair is rarer with dark skin
    name = colors[natural + rng.integers(_GREY_HAIR)] if grey else colors[dark]
    if rng.random() < 0.03:
        name = str(rng.choice(_DYED.split()))
    color = _varied(rng, linear(name), 0.15)
    streaks = _varied(rng, color, 0.4)
    seed = int(rng.integers(1 << 20))
    hair = closet.add(Material(color, streaks, "noise", 0.02, grain=0.25, gloss=0.25, seed=seed))
    if gender < 0.45 and rng.random() < 0.35:
        closet.wear("beard", hair, rng.uniform(0.002, 0.012), rng.uniform(-0.005, 0.03))
    bald = gender < 0.45 and rng.random() < 0.06 + 0.3 * (age > 0.85)
    line = rng.uniform(-0.015, 0.025)
    if not bald:
        closet.wear("hair", hair, rng.uniform(0.005, 0.035), line)
        if rng.random() < 0.15 + 0.5 * (gender > 0.5):
            closet.wear("long_hair", hair, rng.uniform(0.012, 0.03), rng.uniform(-0.3, -0.1))
    if rng.random() < 0.12:
        closet.wear(
            "hat", closet.cloth("top"), rng.uniform(0.025, 0.045), rng.uniform(0.03, 0.06), rng.uniform(0.0, 0.6)
        )
