"""Histograms: what kinds of people and images a data set has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import ArrayLike

from ros2_multihmr.samples.sample import Sample


class Histograms:
    """Counts people and images by kind.

    Attributes:
        counts: Name, then group, then number; groups are named by their lower edge.
    """

    _EDGES: Mapping[str, tuple[float, ...]] = {
        "people by distance [m]": (0, 1, 2, 3, 4, 5, 6, 8, 10, 15),
        "people by visible part": (0, 0.25, 0.5, 0.75, 0.95),
        "images by people": (*range(0, 7), 10),
        "images by field of view [deg]": (0, 30, 45, 60, 75, 90, 110),
    }

    def __init__(self) -> None:
        self.counts: dict[str, dict[str, int]] = {
            name: {f"{edge:g}": 0 for edge in edges} for name, edges in self._EDGES.items()
        }

    def add(self, sample: Sample) -> None:
        """Counts a sample and its people."""
        labels, camera = sample.labels, sample.camera
        width_over_focal = max(camera.width / camera.fx, camera.height / camera.fy)
        values: Iterator[ArrayLike] = iter(
            (
                np.linalg.norm(labels.center, axis=1),
                labels.visibility,
                [len(labels)],
                [2.0 * np.degrees(np.arctan(width_over_focal / 2.0))],
            )
        )
        for (name, edges), of_sample in zip(self._EDGES.items(), values):
            for group in np.searchsorted(edges, np.asarray(of_sample), side="right") - 1:
                self.counts[name][f"{edges[group]:g}"] += 1
