"""Sample: an image and what is true of it. Every data set, synthetic or recorded, gives its images this way."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from ros2_multihmr.body.body_model import BodyInfo
from ros2_multihmr.camera import Camera

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Labels:
    """P people of one image; float32, metres, radians; frame: the image's optical frame.

    The first five arrays are what `BodyModel` takes, so vertices follow from them exactly.

    Attributes:
        body: Name of the body, see `body.create_body`.
        rotmats: (P, R, 3, 3) rotations of `BodyInfo.posed_joints`; the first turns the model's axes into the camera's.
        shape: (P, S) shape parameters.
        expression: (P, E) expression parameters.
        center: (P, 3) where `BodyInfo.center_joint` is.
        keypoints: (P, K, 3) keypoints, as `BodyOutput.keypoints`.
        keypoint_visible: (P, K) 1 where the keypoint is inside the image and nothing but its own body hides it, else 0.
        visibility: (P,) part of the person's silhouette, inside the image or not, that the image shows, 0 to 1.
        identity: (P,) int32 who it is, the same in all images of a clip.
    """

    body: str
    rotmats: Array
    shape: Array
    expression: Array
    center: Array
    keypoints: Array
    keypoint_visible: Array
    visibility: Array
    identity: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.center)

    def select(self, keep: NDArray[np.bool_] | NDArray[np.intp]) -> Labels:
        """Returns the people that `keep` names, a mask or indices."""
        return Labels(self.body, **{name: getattr(self, name)[keep] for name in ARRAYS})

    @staticmethod
    def empty(name: str, body: BodyInfo) -> Labels:
        """Nobody, of the body `name`."""
        tails = label_tails(body)
        arrays = {key: np.zeros((0, *tail), _dtype(key)) for key, tail in tails.items()}
        return Labels(name, **arrays)

    def check(self, body: BodyInfo) -> None:
        """Checks every array's shape and type.

        Raises:
            ValueError: An array has the wrong shape or type; says which, what was expected and what came.
        """
        for name, tail in label_tails(body).items():
            array, expected = getattr(self, name), (len(self), *tail)
            if array.shape != expected or array.dtype != _dtype(name):
                raise ValueError(
                    f"Labels.{name}: expected {np.dtype(_dtype(name))} {expected} for {len(self)} people of "
                    f"{self.body}, got {array.dtype} {array.shape}"
                )


@dataclass(frozen=True)
class Dense:
    """What is true of every pixel of an image.

    Attributes:
        instance: (H, W) uint8 index of the person + 1, 0 for background.
        part: (H, W) uint8 body part + 1 (`body.parts.PARTS`), 0 for background.
        depth: (H, W) float16 distance along the optical axis [m], 0 where nothing is.
    """

    instance: NDArray[np.uint8]
    part: NDArray[np.uint8]
    depth: NDArray[np.float16]


@dataclass(frozen=True)
class Sample:
    """One image with its truth.

    Attributes:
        key: Name, unique in its data set, without dots or slashes.
        image: (H, W, 3) uint8 RGB.
        camera: The camera that took it.
        labels: Its people.
        dense: Truth per pixel, None where a data set has none.
    """

    key: str
    image: NDArray[np.uint8]
    camera: Camera
    labels: Labels
    dense: Dense | None = None


ARRAYS = tuple(field.name for field in fields(Labels) if field.name != "body")


def label_tails(body: BodyInfo) -> dict[str, tuple[int, ...]]:
    """Shapes of one person's arrays."""
    keypoints = len(body.keypoint_names)
    return {
        "rotmats": (len(body.posed_joints), 3, 3),
        "shape": (len(body.shape_names),),
        "expression": (len(body.expression_names),),
        "center": (3,),
        "keypoints": (keypoints, 3),
        "keypoint_visible": (keypoints,),
        "visibility": (),
        "identity": (),
    }


def _dtype(name: str) -> type[np.generic]:
    return np.int32 if name == "identity" else np.float32
