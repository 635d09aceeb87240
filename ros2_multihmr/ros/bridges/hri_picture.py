"""What hri_msgs says about the picture: normalized coordinates, from 0 at its left and top edge to 1 at the other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ros2_multihmr.body.skeletons import named_keypoints
from ros2_multihmr.camera import Camera
from ros2_multihmr.humans import Humans

Array = NDArray[np.float64]
# In the order of the constants of hri_msgs/Skeleton2D (OpenPose's of COCO), but for the neck, which comes second.
_OTHERS = (
    *("nose", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist"),
    *("right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle"),
    *("left_eye", "right_eye", "left_ear", "right_ear"),
)
_NECK, _SHOULDERS = 1, (1, 4)  # halfway between the shoulders


class Skeleton:
    """Finds the points of hri_msgs/Skeleton2D.

    Args:
        keypoint_names: `BodyInfo.keypoint_names`.

    Raises:
        ValueError: The body lacks a keypoint that is needed.
    """

    def __init__(self, keypoint_names: Sequence[str]) -> None:
        self._places = list(named_keypoints(_OTHERS, keypoint_names))

    def points(self, humans: Humans, index: int, camera: Camera) -> Array:
        """Returns (18, 3) x, y and confidence of one person's points.

        A point outside the image has confidence 0 and the nearest place inside, one behind the camera 0 in everything.
        """
        pixels = humans.keypoints_2d[index, self._places].astype(np.float64)
        scores = humans.keypoint_scores[index, self._places].astype(np.float64)
        shoulders = list(_SHOULDERS)
        pixels = np.insert(pixels, _NECK, pixels[shoulders].mean(axis=0), axis=0)
        scores = np.insert(scores, _NECK, scores[shoulders].min())
        places = np.clip(normalized(pixels, camera), 0.0, 1.0)
        return np.nan_to_num(np.column_stack([places, scores]))


def normalized(pixels: Array, camera: Camera) -> Array:
    """Turns (..., 2) pixels, whose centres lie on integers, into normalized coordinates."""
    return np.asarray((pixels + 0.5) / (camera.width, camera.height))


def region(humans: Humans, index: int, camera: Camera) -> Array | None:
    """Returns xmin, ymin, xmax, ymax of one person in the image, normalized; None if no part of it is there."""
    corners = normalized(humans.bbox[index].astype(np.float64).reshape(2, 2), camera)
    low, high = np.clip(corners, 0.0, 1.0)
    return np.concatenate([low, high]) if (low < high).all() else None


def cropped(image: NDArray[np.uint8], corners: Array) -> NDArray[np.uint8]:
    """Returns the part of an (H, W, 3) image that a region covers, whole pixels."""
    size = np.array([image.shape[1], image.shape[0]] * 2)
    left, top, right, bottom = (corners * size).tolist()
    return image[int(top) : int(np.ceil(bottom)), int(left) : int(np.ceil(right))]
