"""What Nav2's obstacle layer does with point clouds, after its documentation, as far as a test of its settings needs.

A window that rolls with the base; per source a buffer of the newest cloud, points outside of the source's heights left
out; an update clears along the rays of clearing sources, then marks the points of marking sources within their range.
https://docs.nav2.org/configuration/packages/costmap-plugins/obstacle.html
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
# Of the layer, and of each of its sources.
LAYER_PARAMETERS = {
    "plugin", "enabled", "footprint_clearing_enabled", "min_obstacle_height", "max_obstacle_height",
    "combination_method", "observation_sources", "tf_filter_tolerance",
}  # fmt: skip
SOURCE_PARAMETERS = {
    "topic", "sensor_frame", "observation_persistence", "expected_update_rate", "data_type", "min_obstacle_height",
    "max_obstacle_height", "inf_is_valid", "marking", "clearing", "obstacle_max_range", "obstacle_min_range",
    "raytrace_max_range", "raytrace_min_range",
}  # fmt: skip
# Nav2's defaults of a source, where they matter here.
_DEFAULTS = {
    "marking": True, "clearing": False, "min_obstacle_height": 0.0, "max_obstacle_height": 0.0,
    "obstacle_max_range": 2.5, "obstacle_min_range": 0.0, "raytrace_max_range": 3.0,
}  # fmt: skip


class ObstacleLayer:
    """One obstacle layer of a rolling costmap.

    Attributes:
        marked: (H, W) lethal cells; a row is one y.
        corner: (2,) x and y of the corner of cell (0, 0) [m].

    Args:
        costmap: The costmap's parameters.
        layer: The layer's name.
    """

    def __init__(self, costmap: dict[str, Any], layer: str) -> None:
        self._settings, self.resolution = costmap[layer], float(costmap["resolution"])
        size = [round(costmap[side] / self.resolution) for side in ("height", "width")]
        self.marked, self.corner = np.zeros(size, bool), np.zeros(2)
        names = self._settings["observation_sources"].split()
        self.sources = {name: _DEFAULTS | self._settings[name] for name in names}
        self._clouds: dict[str, tuple[Array, Array]] = {}

    def receive(self, topic: str, points: Array, origin: Array) -> None:
        """Takes a cloud: (N, 3) points, and the (3,) place of its sensor, both in the costmap's frame [m]."""
        for name, source in self.sources.items():
            if source["topic"] == topic:
                high, low = source["max_obstacle_height"], source["min_obstacle_height"]
                self._clouds[name] = points[(points[:, 2] >= low) & (points[:, 2] <= high)], origin

    def update(self, base: Array) -> None:
        """Updates the layer around a base at (2,) [m]."""
        self._roll(base)
        for name, (points, origin) in self._clouds.items():
            if self.sources[name]["clearing"]:
                self._clear(points[:, :2], origin[:2], self.sources[name]["raytrace_max_range"])
        for name, (points, origin) in self._clouds.items():
            if self.sources[name]["marking"]:
                self._mark(points, origin, self.sources[name])

    def cells(self, points: Array) -> NDArray[np.int64]:
        """Returns the (N, 2) x and y indices of the cells of (N, 2) points."""
        return np.floor((points - self.corner) / self.resolution).astype(np.int64)

    def inside(self, cells: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Says which cells are in the window."""
        return ((cells >= 0) & (cells < self.marked.shape[::-1])).all(axis=1)

    def _roll(self, base: Array) -> None:
        height, width = self.marked.shape
        wanted = base - 0.5 * self.resolution * np.array([width, height])
        steps = np.trunc((wanted - self.corner) / self.resolution).astype(int)
        kept, (y, x) = np.zeros_like(self.marked), np.nonzero(self.marked)
        moved = np.stack([x, y], axis=1) - steps
        moved = moved[self.inside(moved)]
        kept[moved[:, 1], moved[:, 0]] = True
        self.marked, self.corner = kept, self.corner + steps * self.resolution

    def _clear(self, ends: Array, origin: Array, reach_m: float) -> None:
        """Bresenham's lines from the sensor to the ends, as far as the window goes and the rays reach."""
        far = self.corner + self.resolution * np.array(self.marked.shape[::-1]) - 1e-3
        away = ends - origin
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(away > 0, (far - origin) / away, (self.corner - origin) / away)
        share[away == 0] = np.inf
        start = self.cells(origin[None])
        stop = self.cells(origin + np.minimum(1.0, share.min(axis=1))[:, None] * away)
        lines = stop - start
        long = np.abs(lines).max(axis=1)
        parts = np.minimum(1.0, reach_m / self.resolution / np.maximum(np.hypot(*lines.T), 1e-9))
        for line, steps, part in zip(lines, long, parts):
            along = np.arange(int(part * steps) + 1)[:, None]
            cells = start + np.sign(line) * ((along * np.abs(line) + steps // 2) // max(steps, 1))
            cells = cells[self.inside(cells)]
            self.marked[cells[:, 1], cells[:, 0]] = False

    def _mark(self, points: Array, origin: Array, source: dict[str, Any]) -> None:
        away = np.linalg.norm(points - origin, axis=1)
        low, high = self._settings["min_obstacle_height"], self._settings["max_obstacle_height"]
        counts = (points[:, 2] >= low) & (points[:, 2] <= high)
        counts &= (away >= source["obstacle_min_range"]) & (away < source["obstacle_max_range"])
        cells = self.cells(points[counts, :2])
        cells = cells[self.inside(cells)]
        self.marked[cells[:, 1], cells[:, 0]] = True
