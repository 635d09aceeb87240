"""Overlay: the people found, drawn over the image in which they were found."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from ros2_multihmr.camera import Camera
from ros2_multihmr.humans import Humans
from ros2_multihmr.labels import draw_label, draw_note, text_scale
from ros2_multihmr.palette import color_of
from ros2_multihmr.render import Rendering, render

Picture = NDArray[np.uint8]

_MOST_PIXELS = 4.2e6  # of a rendering; larger images get an enlarged one, which still has edges finer than a screen's
_OPACITY = 0.88
_OUTLINE = 0.55


def overlay(
    image: Picture,
    humans: Humans,
    camera: Camera,
    *,
    ids: Sequence[int] | NDArray[np.integer] | None = None,
    note: str = "",
    full_mesh: bool = False,
) -> Picture:
    """Draws people's meshes over the image, each in the colour of its id, with the id above the head.

    Args:
        image: (H, W, 3) uint8 RGB.
        humans: People in the optical frame of `camera`.
        camera: Camera of this image; lens distortion is drawn as the image shows it.
        ids: One id per person; 1, 2, ... by falling score if not given.
        note: Shown in a strip below, for example a warning; empty for none.
        full_mesh: True to draw the full meshes, which `humans` must have then.

    Returns:
        (H, W, 3) uint8 RGB, a new picture.

    Raises:
        ValueError: The image is not of the camera's size, ids are missing, or the full meshes were not computed.
    """
    ids = list(range(1, len(humans) + 1)) if ids is None else [int(identity) for identity in ids]
    _check(image, humans, camera, ids, full_mesh)
    meshes, faces = (humans.vertices, humans.body.faces) if full_mesh else (humans.vertices_lod, humans.body.faces_lod)
    colors = np.array([color_of(identity) for identity in ids]).reshape(-1, 3)
    coarse = math.ceil(math.sqrt(camera.width * camera.height / _MOST_PIXELS))
    small = camera.resized(-(-camera.width // coarse), -(-camera.height // coarse)) if coarse > 1 else camera
    picture = _blend(image, _enlarged(render(meshes, faces, small, colors=colors), camera))
    scale = text_scale(camera.width, camera.height)
    for box, identity, color in sorted(zip(humans.bbox, ids, colors, strict=True), key=lambda person: -person[1]):
        draw_label(picture, str(identity), ((box[0] + box[2]) / 2.0, box[1]), color, scale)
    if note:
        draw_note(picture, note, scale)
    return picture


def _check(image: Picture, humans: Humans, camera: Camera, ids: list[int], full_mesh: bool) -> None:
    if image.shape != (camera.height, camera.width, 3) or image.dtype != np.uint8:
        raise ValueError(
            f"overlay: expected a uint8 image ({camera.height}, {camera.width}, 3) as its camera has, "
            f"got {image.dtype} {image.shape}"
        )
    if len(ids) != len(humans):
        raise ValueError(f"overlay: expected one id for each of {len(humans)} people, got {len(ids)}")
    if full_mesh and len(humans) and not humans.has_vertices:
        raise ValueError("overlay: the full meshes were not computed; call estimate with vertices=True")


def _enlarged(rendering: Rendering, camera: Camera) -> Rendering:
    if rendering.instance.shape == (camera.height, camera.width):
        return rendering
    size = (camera.width, camera.height)
    rgb, depth, instance = (cv2.resize(field, size, interpolation=cv2.INTER_NEAREST) for field in rendering)
    return Rendering(np.asarray(rgb, np.uint8), np.asarray(depth, np.float32), np.asarray(instance, np.int32))


def _blend(image: Picture, rendering: Rendering) -> Picture:
    """Lays the rendering over the image, with soft edges and a darker line around each person."""
    rows, columns = (np.flatnonzero((rendering.instance >= 0).any(axis=axis)) for axis in (1, 0))
    picture = image.copy()
    if len(rows) == 0:
        return picture
    window = np.s_[max(rows[0] - 1, 0) : rows[-1] + 2, max(columns[0] - 1, 0) : columns[-1] + 2]
    instance = rendering.instance[window]
    opacity = np.where(instance >= 0, np.uint8(255 * _OPACITY), np.uint8(0))
    strength = np.where(_outline(instance), np.uint8(255 * _OPACITY * _OUTLINE), opacity)
    # Colour times opacity and opacity are blurred alike, so that no black creeps in at the edges. OpenCV's arithmetic
    # on bytes is ten times faster than numpy's on floats.
    layer = cv2.blur(_scaled(rendering.rgb[window], strength), (3, 3))
    under = _scaled(image[window], cv2.blur(255 - opacity, (3, 3)))
    picture[window] = cv2.add(under, layer)
    return picture


def _scaled(picture: Picture, factor: cv2.typing.MatLike) -> Picture:
    return np.asarray(cv2.multiply(picture, cv2.merge([factor, factor, factor]), scale=1.0 / 255.0), np.uint8)


def _outline(instance: NDArray[np.int32]) -> NDArray[np.bool_]:
    """People's pixels beside a pixel of somebody else or of nobody."""
    line = np.zeros(instance.shape, np.bool_)
    for here, there in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])):
        differs = instance[here] != instance[there]
        line[here] |= differs
        line[there] |= differs
    return line & (instance >= 0)
