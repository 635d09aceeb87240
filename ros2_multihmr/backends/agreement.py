"""How far two runs of the same network are apart."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ros2_multihmr.model.raw_outputs import RawOutputs

# Largest differences of people that both runs found. Depths relative, places in pixels of the network's input.
TOLERANCES = {
    "float32": {
        "lost": 0.0,
        "scores": 1e-4,
        "loc_px": 1e-2,
        "depth": 1e-3,
        "rotmats": 1e-3,
        "shape": 1e-3,
        "expression": 1e-3,
    },
    "float16": {
        "lost": 0.1,
        "scores": 3e-2,
        "loc_px": 2.0,
        "depth": 5e-2,
        "rotmats": 2e-1,
        "shape": 2e-1,
        "expression": 2e-1,
    },
    "int8": {
        "lost": 0.2,
        "scores": 1e-1,
        "loc_px": 4.0,
        "depth": 1e-1,
        "rotmats": 1.0,
        "shape": 5e-1,
        "expression": 5e-1,
    },
}


@dataclass(frozen=True)
class Agreement:
    """Differences of two runs over some images.

    Attributes:
        people: Who was found by either run.
        lost: Share of them that the other run did not find.
        largest: Largest difference of each field among those that both found.
    """

    people: int
    lost: float
    largest: dict[str, float]

    def text(self) -> str:
        """Returns the differences in a few words."""
        largest = ", ".join(f"{name} {value:.1g}" for name, value in self.largest.items())
        return f"{self.people} people compared, {self.lost:.1%} lost, largest differences: {largest}"

    def beyond(self, tolerances: dict[str, float]) -> list[str]:
        """Returns what is over its tolerance, in words; a difference that is no number is over, too."""
        found = {"lost": self.lost, **self.largest}
        words = [f"{name} {found[name]:.2g}, allowed {limit:g}" for name, limit in tolerances.items()]
        return [text for text, (name, limit) in zip(words, tolerances.items()) if not found[name] <= limit]


def compare(pairs: Iterable[tuple[RawOutputs, RawOutputs]]) -> Agreement:
    """Compares runs image by image; people are the same if the same token found them."""
    fields = [name for name in TOLERANCES["float32"] if name != "lost"]
    differences: dict[str, list[float]] = {name: [0.0] for name in fields}
    people = both = 0
    for expected, came in pairs:
        ours, theirs = _places(expected), _places(came)
        common = sorted(set(ours) & set(theirs))
        people, both = people + len(set(ours) | set(theirs)), both + len(common)
        for name in fields if common else ():
            a, b = (
                _rows(getattr(raw, name), [at[key] for key in common]) for raw, at in ((expected, ours), (came, theirs))
            )
            scale = a.abs() if name == "depth" else torch.ones(())
            if a.numel():
                differences[name].append(float(((a - b).abs() / scale).amax()))
    largest = {name: float(np.max(values)) for name, values in differences.items()}  # what is no number stays none
    return Agreement(people, 1 - both / people if people else 0.0, largest)


def _places(raw: RawOutputs) -> dict[tuple[int, ...], tuple[int, int]]:
    """Image and slot of each person, by image, row and column."""
    found = raw.mask.cpu().nonzero().tolist()
    return {(image, *raw.cells[image, slot].tolist()): (image, slot) for image, slot in found}


def _rows(values: Tensor, places: list[tuple[int, int]]) -> Tensor:
    image, slot = zip(*places)
    return values.cpu().double()[list(image), list(slot)]
