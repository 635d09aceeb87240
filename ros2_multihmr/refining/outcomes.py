"""Outcomes: what becomes of each person in a second look, and who is worth one."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ros2_multihmr.camera import Camera
from ros2_multihmr.humans import Humans
from ros2_multihmr.refining.refiner_config import RefinerConfig


class Outcome(IntEnum):
    """What became of a person."""

    REFINED = 0
    TOO_SMALL = 1
    AT_THE_BORDER = 2
    IMPOSSIBLE = 3  # the second look put the person where the camera cannot see


class Refinement(NamedTuple):
    """The people of one image after a second look.

    Attributes:
        humans: As many as before, in the same order.
        outcomes: (N,) `Outcome` of each; all but `REFINED` are as first found, to the bit.
    """

    humans: Humans
    outcomes: NDArray[np.int64]

    def count(self, outcome: Outcome) -> int:
        """How many people had this outcome."""
        return int((self.outcomes == outcome).sum())


def judge(bounds: NDArray[np.floating], humans: Humans, camera: Camera, config: RefinerConfig) -> NDArray[np.int64]:
    """Says who is worth a second look.

    Args:
        bounds: (N, 4) xmin, ymin, xmax, ymax of the people's meshes [px].
        humans: The people.
        camera: A pinhole camera, of whose image the pixels are.
        config: Settings.

    Returns:
        (N,) `Outcome.REFINED` for those who are; why not, for the others. Who reaches behind the camera is at its
        image's border.
    """
    low, high = np.float64(bounds[:, :2]), np.float64(bounds[:, 2:])
    edge = np.array([camera.width, camera.height]) - 0.5
    size, inside = high - low, (np.minimum(high, edge) - np.maximum(low, -0.5)).clip(0.0)
    area = size.prod(-1)
    part = np.divide(inside.prod(-1), area, out=np.zeros_like(area), where=np.isfinite(area) & (area > 0.0))
    outcomes = np.full(len(humans), Outcome.REFINED, np.int64)
    outcomes[size.max(-1, initial=0.0) < config.refine_min_px] = Outcome.TOO_SMALL
    reaches_behind = humans.box_min[:, 2] <= 0.0
    outcomes[reaches_behind | ~(part >= max(config.refine_min_inside, 1e-6))] = Outcome.AT_THE_BORDER
    return outcomes
