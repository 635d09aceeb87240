"""Contact sheet: many samples at once, each above itself with its people drawn in."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from ros2_multihmr.body.body_model import BodyModel
from ros2_multihmr.palette import color_of
from ros2_multihmr.render import render
from ros2_multihmr.samples.sample import Sample

Picture = NDArray[np.uint8]

_TILE_PX = 288
_GAP_PX = 4
_COLUMNS = 8
_OPACITY = 0.6
_SEEN, _UNSEEN = (255, 255, 255), (40, 40, 40)


def contact_sheet(samples: Sequence[Sample], body: BodyModel) -> Picture:
    """Returns the samples in rows, and below each row the same with meshes and keypoints: white seen, dark hidden.

    Args:
        samples: At least one.
        body: Their body.

    Raises:
        ValueError: No samples.
    """
    if not samples:
        raise ValueError("contact sheet: expected at least one sample, got none")
    rows = []
    for start in range(0, len(samples), _COLUMNS):
        line = samples[start : start + _COLUMNS]
        rows += [_row([sample.image for sample in line]), _row([labelled(sample, body) for sample in line])]
    return np.concatenate(rows)


def labelled(sample: Sample, body: BodyModel) -> Picture:
    """Returns the image with its people's meshes and keypoints over it, as the labels have them."""
    labels, camera = sample.labels, sample.camera
    arrays = (labels.rotmats, labels.shape, labels.expression, labels.center)
    with torch.inference_mode():
        meshes = body(*map(torch.from_numpy, arrays)).vertices_lod.numpy()
    colors = np.array([color_of(int(identity) + 1) for identity in labels.identity]).reshape(-1, 3)
    drawn = render(meshes, body.info.faces_lod, camera, colors=colors)
    there = drawn.instance[..., None] >= 0
    mixed = np.where(there, _OPACITY * drawn.rgb + (1.0 - _OPACITY) * sample.image, sample.image)
    picture = np.ascontiguousarray(mixed.astype(np.uint8))
    for px, visible in zip(camera.project(labels.keypoints), labels.keypoint_visible, strict=True):
        inside = camera.contains(px)
        for (x, y), seen in zip(np.rint(px[inside]).astype(int).tolist(), visible[inside], strict=True):
            cv2.circle(picture, (x, y), 1, _SEEN if seen else _UNSEEN, -1)
    return picture


def _row(pictures: Sequence[Picture]) -> Picture:
    side = _TILE_PX + _GAP_PX
    row = np.zeros((side, _COLUMNS * side, 3), np.uint8)
    for place, picture in enumerate(pictures):
        scale = _TILE_PX / max(picture.shape[:2])
        size = [max(1, round(length * scale)) for length in picture.shape[1::-1]]
        tile = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1.0 else cv2.INTER_NEAREST)
        row[: size[1], place * side : place * side + size[0]] = tile
    return row
