"""Geometry: people's parameters as the points that the metrics compare, the same ones for every body."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from ros2_multihmr.body.body_model import BodyInfo, BodyModel
from ros2_multihmr.camera import Camera

Array = NDArray[np.float64]


def _sides(*names: str) -> tuple[str, ...]:
    return tuple(f"{side}_{name}" for name in names for side in ("left", "right"))


def _hand(side: str) -> tuple[str, ...]:
    fingers = ("thumb", "index", "middle", "ring", "pinky")
    return tuple(f"{side}_{finger}{part}" for finger in fingers for part in ("1", "2", "3", "_tip"))


BODY = ("head", "neck", *_sides("shoulder", "elbow", "wrist", "hip", "knee", "ankle"))
NAMES = (*BODY, *_hand("left"), *_hand("right"))
BODY_POINTS = slice(0, len(BODY))
HAND_POINTS = (slice(len(BODY), len(BODY) + 20), slice(len(BODY) + 20, len(BODY) + 40))
WRISTS = (BODY.index("left_wrist"), BODY.index("right_wrist"))
_HIPS = [BODY.index("left_hip"), BODY.index("right_hip")]


class Geometry(NamedTuple):
    """N people of one image, in its optical frame, metres.

    Attributes:
        keypoints: (N, 54, 3) the keypoints `NAMES`: 14 of the body, 20 of each hand.
        px: (N, 54, 2) where they are in the image [px]; NaN behind the camera.
        root: (N, 3) halfway between the hips.
        axes: (N, 3, 3) R_camera_body, REP-155 axes.
        vertices: (N, V, 3) the full mesh.
    """

    keypoints: Array
    px: Array
    root: Array
    axes: Array
    vertices: NDArray[np.float32]


@torch.inference_mode()
def describe(
    body: BodyModel, rotmats: ArrayLike, shape: ArrayLike, expression: ArrayLike, center: ArrayLike, camera: Camera
) -> Geometry:
    """Poses people and looks at them; the first four arrays as `BodyModel` takes them, float32."""
    tensors = [torch.from_numpy(np.asarray(array, np.float32)) for array in (rotmats, shape, expression, center)]
    posed = body(*tensors, vertices=True)
    keypoints = posed.keypoints.numpy().astype(np.float64)[:, places(body.info)]
    axes = np.asarray(rotmats, np.float64)[:, 0] @ body.info.body_axes
    return Geometry(keypoints, camera.project(keypoints), root_of(keypoints), axes, posed.vertices.numpy())


def places(body: BodyInfo) -> list[int]:
    """Returns where the keypoints `NAMES` are among a body's.

    Raises:
        ValueError: The body lacks some.
    """
    return _places(body.keypoint_names, body.name)


def root_of(keypoints: Array) -> Array:
    """Returns (N, 3) halfway between the hips, of (N, 54, 3) keypoints `NAMES`."""
    root: Array = keypoints[:, _HIPS].mean(axis=1)
    return root


def _places(names: Sequence[str], body: str) -> list[int]:
    place = {name: index for index, name in enumerate(names)}
    missing = [name for name in NAMES if name not in place]
    if missing:
        raise ValueError(f"evaluation: the body {body} has no keypoints {', '.join(missing)}")
    return [place[name] for name in NAMES]
