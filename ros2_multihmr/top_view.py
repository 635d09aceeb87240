"""Top view: where the people stand in front of the camera, seen from above, on a grid in metres."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ros2_multihmr.camera import Camera
from ros2_multihmr.humans import Humans
from ros2_multihmr.labels import draw_label, draw_note, text_scale
from ros2_multihmr.palette import color_of
from ros2_multihmr.render import render

Picture = NDArray[np.uint8]
Array = NDArray[np.float64]

_PAPER = (250, 250, 247)
_LINES = (214, 216, 218)
_WORDS = (120, 124, 130)
_VIEW = (232, 240, 250)
_CAMERA = (60, 64, 72)
_OUTLINE = (20, 20, 24)
_MARGIN_M = 0.8
_HEIGHT_M = 500.0  # from so high above, perspective vanishes
_ARROW_M = 0.55


@dataclass(frozen=True)
class _Map:
    """Where points of the camera's frame lie in the picture: x to the right, z up."""

    size: int
    px_per_m: float
    left_m: float
    top_m: float

    def px(self, points: Array) -> Array:
        """(..., 3) points [m] to (..., 2) pixels."""
        offset = np.stack([points[..., 0] - self.left_m, self.top_m - points[..., 2]], axis=-1)
        px: Array = offset * self.px_per_m - 0.5
        return px

    def camera(self) -> tuple[Camera, Array]:
        """A camera that looks down on the map, and where it hangs [m]."""
        middle = self.size / 2.0 / self.px_per_m
        focal, center = self.px_per_m * _HEIGHT_M, (self.size - 1) / 2.0
        k = np.array([[focal, 0.0, center], [0.0, focal, center], [0.0, 0.0, 1.0]])
        return Camera(k, self.size, self.size), np.array([self.left_m + middle, -_HEIGHT_M, self.top_m - middle])


def top_view(
    humans: Humans,
    camera: Camera,
    *,
    ids: Sequence[int] | NDArray[np.integer] | None = None,
    note: str = "",
    size: int = 720,
    outlines: Sequence[NDArray[np.floating]] = (),
) -> Picture:
    """Draws people from above, each in the colour of its id, with heading and the uncertainty of its place.

    The map is the x-z plane of the optical frame: it is level where the camera is. Ellipses are one standard deviation.

    Args:
        humans: People in the optical frame of `camera`.
        camera: Its field of view is drawn.
        ids: One id per person; 1, 2, ... by falling score if not given.
        note: Shown in a strip below; empty for none.
        size: Side of the picture [px].
        outlines: (V, 3) points each, in the same frame, whose outline is drawn: where people truly are, for example.

    Returns:
        (size, size, 3) uint8 RGB.

    Raises:
        ValueError: Ids are missing.
    """
    ids = list(range(1, len(humans) + 1)) if ids is None else [int(identity) for identity in ids]
    if len(ids) != len(humans):
        raise ValueError(f"top_view: expected one id for each of {len(humans)} people, got {len(ids)}")
    chart, scale = _fit([humans.box_min, humans.box_max, *outlines], size), text_scale(size, size)
    picture = np.full((size, size, 3), _PAPER, np.uint8)
    _draw_view(picture, chart, camera)
    _draw_grid(picture, chart, scale)
    _draw_uncertainty(picture, chart, humans, ids)
    _draw_meshes(picture, chart, humans, ids)
    for origin, rotation, identity in zip(humans.origin, humans.rotation, ids, strict=True):
        _draw_person(picture, chart, origin, rotation[:, 0], identity, scale)
    for points in outlines:
        hull = cv2.convexHull(chart.px(np.asarray(points, np.float64)).astype(np.float32))
        cv2.polylines(picture, [np.round(hull).astype(np.int32)], True, _OUTLINE, max(1, round(2 * scale)), cv2.LINE_AA)
    if note:
        draw_note(picture, note, scale)
    return picture


def _fit(corners: Sequence[NDArray[np.floating]], size: int) -> _Map:
    """Fits camera and points (N, 3) into the square, the camera at its lower edge."""
    points = np.concatenate(corners).astype(np.float64)
    depth = max(4.0, points[:, 2].max(initial=0.0) + 2.0 * _MARGIN_M)
    half_width = max(2.0, np.abs(points[:, 0]).max(initial=0.0)) + _MARGIN_M
    span = max(depth, 2.0 * half_width)
    return _Map(size, size / span, -span / 2.0, span - _MARGIN_M)


def _draw_view(picture: Picture, chart: _Map, camera: Camera) -> None:
    edges = camera.rays([[-0.5, camera.cy], [camera.width - 0.5, camera.cy]])
    reach = 3.0 * (chart.top_m + _MARGIN_M)
    # A lens may bend the outermost pixels away altogether: then there is no straight edge to draw.
    if np.isfinite(edges).all():
        corners = chart.px(np.array([[0.0, 0.0, 0.0], *(edges * reach / edges[:, 2:])]))
        cv2.fillPoly(picture, [np.round(corners).astype(np.int32)], _VIEW, cv2.LINE_AA)


def _draw_grid(picture: Picture, chart: _Map, scale: float) -> None:
    step = next(s for s in (0.5, 1, 2, 5, 10, 20, 50, 100, 1e3, 1e4, 1e6) if s * chart.px_per_m >= chart.size / 10)
    count = int(np.ceil(chart.size / chart.px_per_m / step)) + 1
    for i in range(-count, count + 1):
        x, y = np.round(chart.px(np.array([i * step, 0.0, i * step]))).astype(int).tolist()
        cv2.line(picture, (x, 0), (x, chart.size), _LINES, 1)
        cv2.line(picture, (0, y), (chart.size, y), _LINES, 1)
        if i > 0:
            cv2.putText(
                picture, f"{i * step:g} m", (4, y - 4), cv2.FONT_HERSHEY_DUPLEX, 0.8 * scale, _WORDS, 1, cv2.LINE_AA
            )
    x, y = np.round(chart.px(np.zeros(3))).astype(int).tolist()
    side = max(4, round(14 * scale))
    corners = np.array([[x, y], [x - side, y - side], [x + side, y - side]])
    cv2.fillPoly(picture, [corners], _CAMERA, cv2.LINE_AA)
    cv2.rectangle(picture, (x - side, y), (x + side, y + side), _CAMERA, cv2.FILLED, cv2.LINE_AA)


def _draw_uncertainty(picture: Picture, chart: _Map, humans: Humans, ids: list[int]) -> None:
    for origin, covariance, identity in zip(humans.origin, humans.covariance, ids, strict=True):
        values, vectors = np.linalg.eigh(covariance[np.ix_((0, 2), (0, 2))].astype(np.float64))
        turn = np.linspace(0.0, 2.0 * np.pi, 60)
        circle = np.stack([np.cos(turn), np.sin(turn)]) * np.sqrt(values)[:, None]
        x, z = vectors @ circle + origin[[0, 2], None]
        line = chart.px(np.stack([x, np.zeros_like(x), z], axis=-1))
        cv2.polylines(picture, [np.round(line).astype(np.int32)], True, _rgb(identity), 1, cv2.LINE_AA)


def _draw_meshes(picture: Picture, chart: _Map, humans: Humans, ids: list[int]) -> None:
    camera, place = chart.camera()
    # Looking along y: x stays to the right, z goes up in the picture.
    seen = (humans.vertices_lod - place) @ np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
    colors = np.array([color_of(identity) for identity in ids]).reshape(-1, 3)
    rendering = render(seen, humans.body.faces_lod, camera, colors=colors)
    covered = rendering.instance >= 0
    picture[covered] = rendering.rgb[covered]


def _draw_person(
    picture: Picture,
    chart: _Map,
    origin: NDArray[np.float32],
    forward: NDArray[np.float32],
    identity: int,
    scale: float,
) -> None:
    start, tip = chart.px(np.stack([origin, origin + _ARROW_M * forward]).astype(np.float64))
    ends = [tuple(np.round(end).astype(int).tolist()) for end in (start, tip)]
    cv2.arrowedLine(picture, ends[0], ends[1], _CAMERA, max(1, round(2.5 * scale)), cv2.LINE_AA, 0, 0.3)
    draw_label(picture, str(identity), (start[0], start[1] - 0.3 * chart.px_per_m), color_of(identity), 0.9 * scale)


def _rgb(identity: int) -> tuple[int, int, int]:
    red, green, blue = color_of(identity)
    return int(255 * red), int(255 * green), int(255 * blue)
