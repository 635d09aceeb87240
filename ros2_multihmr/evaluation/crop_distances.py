"""Distances between crops' features: are one person's crops closer to each other than to different people's?

The contrastive loss asks for that. Crops of one person share most of their pixels, so any encoder brings them near each
other to some degree; a network that was trained without the loss tells how much.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from ros2_multihmr.report import Section

Array = NDArray[np.float64]

_BINS, _WIDTH, _HEIGHT, _MARGIN = 60, 480, 150, 28
_OWN, _OTHERS, _INK = (31, 119, 180), (214, 110, 30), (60, 60, 60)
_LARGEST = 2.0  # of 1 - cosine


class Distances(NamedTuple):
    """1 - cosine between crops' features, from 0 to 2.

    Attributes:
        name: Of the network.
        own: (K,) between two crops of one person.
        others: (L,) between crops of different people.
    """

    name: str
    own: Array
    others: Array

    @property
    def closer(self) -> float:
        """How often two crops of one person are closer than two of different people; .5 is chance."""
        if not len(self.own) or not len(self.others):
            return float("nan")
        ranks = np.searchsorted(np.sort(self.others), self.own, side="left")
        ties = np.searchsorted(np.sort(self.others), self.own, side="right") - ranks
        return float(1.0 - (ranks + 0.5 * ties).mean() / len(self.others))


def distances_of(name: str, features: Tensor) -> Distances:
    """Measures unit vectors (P, N, D) of P people's N crops."""
    people, crops, _ = features.shape
    flat = features.flatten(0, 1).double()
    apart = (1.0 - flat @ flat.T).cpu().numpy()
    person = np.repeat(np.arange(people), crops)
    same, upper = person[:, None] == person, np.triu(np.ones_like(apart, bool), 1)
    return Distances(name, apart[same & upper], apart[~same & upper])


def distance_section(found: Sequence[Distances]) -> Section:
    """Makes a table, one row per network."""
    headings = ("features of", "one person's crops", "different people's", "closer")
    rows = [
        (one.name, _quartiles(one.own), _quartiles(one.others), "-" if np.isnan(one.closer) else f"{one.closer:.3f}")
        for one in found
    ]
    notes = [
        "1 - cosine between crops' features: median (quartiles). Closer: how often two crops of one person are closer "
        "than two of different people; .5 is chance. With the head of the contrastive loss where the file has it.",
    ]
    return Section("Distances between crops' features", headings, rows, notes)


def distance_picture(found: Sequence[Distances]) -> Image.Image:
    """Draws a histogram per network: one person's crops in blue, different people's in orange, each of area 1."""
    picture = Image.new("RGB", (_WIDTH, max(len(found), 1) * _HEIGHT), "white")
    draw = ImageDraw.Draw(picture)
    for index, one in enumerate(found):
        top = index * _HEIGHT
        draw.text((_MARGIN, top + 6), f"{one.name}: crops of one person (blue), of different people (orange)", _INK)
        shares = [_shares(values) for values in (one.own, one.others)]
        highest = max(float(share.max()) for share in shares) or 1.0
        for share, color in zip(shares, (_OWN, _OTHERS)):
            draw.line(_outline(share / highest, top), fill=color, width=2)
        base = top + _HEIGHT - _MARGIN
        draw.line([(_MARGIN, base), (_WIDTH - _MARGIN, base)], fill=_INK)
        for tick in (0.0, 0.5, 1.0, 1.5, 2.0):
            draw.text((_x(tick) - 8, base + 6), f"{tick:g}", _INK)
    return picture


@torch.inference_mode()
def gated(features: Tensor) -> Tensor:
    """What the contrastive head reads of features (P, N, D), as unit vectors: for networks without the head."""
    return torch.nn.functional.normalize(features * torch.sigmoid(torch.relu(features)), dim=-1)


def _quartiles(values: Array) -> str:
    if not len(values):
        return "-"
    low, middle, high = np.percentile(values, (25, 50, 75))
    return f"{middle:.3f} ({low:.3f} to {high:.3f})"


def _shares(values: Array) -> Array:
    counts = np.histogram(values, bins=_BINS, range=(0.0, _LARGEST))[0].astype(np.float64)
    shares: Array = counts / max(counts.sum(), 1.0)
    return shares


def _outline(heights: Array, top: int) -> list[tuple[float, float]]:
    base, room = top + _HEIGHT - _MARGIN, _HEIGHT - 2 * _MARGIN
    edges = np.linspace(0.0, _LARGEST, _BINS + 1)
    points = [(_x(0.0), float(base))]
    for left, right, height in zip(edges, edges[1:], heights):
        points += [(_x(left), base - height * room), (_x(right), base - height * room)]
    return [*points, (_x(_LARGEST), float(base))]


def _x(distance: float) -> float:
    return _MARGIN + distance / _LARGEST * (_WIDTH - 2 * _MARGIN)
