"""Predictors to beat: they know no image, only training data's averages, and are told by the truth who is there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from ros2_multihmr.body.body_model import BodyModel
from ros2_multihmr.camera import Camera
from ros2_multihmr.evaluation.geometry import places, root_of
from ros2_multihmr.evaluation.matching import boxes
from ros2_multihmr.evaluation.predictions import Prediction
from ros2_multihmr.rotations import rotmat_to_rotvec, rotvec_to_rotmat
from ros2_multihmr.samples.sample import Labels, Sample

Array = NDArray[np.float64]

MIN_VISIBILITY = 0.25
"""Who shows less of the silhouette does not count, neither in the averages nor in the scores."""

_DIGITS = 4


class Predictor(Protocol):
    """Says who is in an image."""

    def __call__(self, sample: Sample) -> Prediction:
        """Returns the people of a sample."""


@dataclass(frozen=True)
class Averages:
    """What people of a training set are like on average.

    Attributes:
        people: How many were looked at.
        rotvecs: (R, 3) mean rotation of each posed joint [rad]; the root's is in the optical frame.
        shape: (S,) mean shape.
        expression: (E,) mean expression.
        depth_m: Median distance of the center joint along the optical axis [m].
        extent_m: Median longer side of the box around the keypoints, in metres at the center joint's depth [m].
    """

    people: int
    rotvecs: tuple[tuple[float, float, float], ...]
    shape: tuple[float, ...]
    expression: tuple[float, ...]
    depth_m: float
    extent_m: float

    @staticmethod
    def of(views: Iterable[tuple[Labels, Camera]]) -> Averages:
        """Averages over all people of whom enough is to be seen.

        Raises:
            ValueError: There are none.
        """
        pairs = [(labels.select(labels.visibility >= MIN_VISIBILITY), camera) for labels, camera in views]
        pairs = [(labels, camera) for labels, camera in pairs if len(labels)]
        if not pairs:
            raise ValueError("averages: no image shows anybody; take more training images")
        arrays = {
            name: np.concatenate([getattr(labels, name) for labels, _ in pairs]).astype(np.float64)
            for name in ("rotmats", "shape", "expression", "center")
        }
        extents = np.concatenate([extent_px(labels, camera) / _focal(camera) for labels, camera in pairs])
        depths = arrays["center"][:, 2]
        return Averages(
            people=len(depths),
            rotvecs=tuple(_mean_rotation(arrays["rotmats"][:, joint]) for joint in range(arrays["rotmats"].shape[1])),
            shape=_rounded(arrays["shape"].mean(axis=0)),
            expression=_rounded(arrays["expression"].mean(axis=0)),
            depth_m=round(float(np.median(depths)), _DIGITS),
            extent_m=round(float(np.nanmedian(extents * depths)), _DIGITS),
        )

    def to_json(self) -> dict[str, Any]:
        """Returns JSON values."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @staticmethod
    def from_json(values: dict[str, Any]) -> Averages:
        """Takes what `to_json` gave.

        Raises:
            ValueError: A value is missing.
        """
        missing = [field.name for field in fields(Averages) if field.name not in values]
        if missing:
            raise ValueError(f"averages: {', '.join(missing)} missing; freeze the benchmark again")
        rotvecs = tuple((float(x), float(y), float(z)) for x, y, z in values["rotvecs"])
        arrays = {name: tuple(map(float, values[name])) for name in ("shape", "expression")}
        return Averages(**{**values, **arrays, "rotvecs": rotvecs})


@dataclass(frozen=True)
class MeanPose:
    """True place and orientation of the root; pose, shape and expression are the averages."""

    averages: Averages
    body: BodyModel

    def __call__(self, sample: Sample) -> Prediction:
        """Returns one mean body for each person."""
        rotations = rotmat_to_rotvec(sample.labels.rotmats[:, 0])
        guess = _mean_people(self.averages, sample, np.zeros((len(sample.labels), 3)), rotations)
        here = places(self.body.info)
        roots = root_of(sample.labels.keypoints.astype(np.float64)[:, here])
        return _moved(guess, roots - root_of(_keypoints(self.body, guess)[:, here]))


@dataclass(frozen=True)
class ConstantDepth:
    """The true pixel of the center joint at always the same depth; everything else is the averages."""

    averages: Averages

    def __call__(self, sample: Sample) -> Prediction:
        """Returns one mean body for each person."""
        depth = np.full(len(sample.labels), self.averages.depth_m)
        return _mean_people(self.averages, sample, _at_depth(sample, depth))


@dataclass(frozen=True)
class BoxSize:
    """The same at a depth from the size of the person's true box, as if all people were of one size."""

    averages: Averages

    def __call__(self, sample: Sample) -> Prediction:
        """Returns one mean body for each person; who has no box is put at the average depth."""
        extent = extent_px(sample.labels, sample.camera)
        sized = self.averages.extent_m * _focal(sample.camera) / np.maximum(extent, 1.0)
        depth = np.where(np.isfinite(extent), sized, self.averages.depth_m)
        return _mean_people(self.averages, sample, _at_depth(sample, depth))


def extent_px(labels: Labels, camera: Camera) -> Array:
    """Returns (P,) the longer side of the box around a person's keypoints, unclipped [px]; NaN if none is in front."""
    box = boxes(camera.project(labels.keypoints))
    extent: Array = np.maximum(box[:, 2] - box[:, 0], box[:, 3] - box[:, 1])
    return np.where(np.isfinite(extent), extent, np.nan)


def _mean_people(averages: Averages, sample: Sample, center: Array, root: Array | None = None) -> Prediction:
    number = len(sample.labels)
    rotvecs = np.tile(np.asarray(averages.rotvecs, np.float32), (number, 1, 1))
    if root is not None:
        rotvecs[:, 0] = root
    return Prediction(
        key=sample.key,
        scores=np.ones(number, np.float32),
        rotvecs=rotvecs,
        shape=np.tile(np.asarray(averages.shape, np.float32), (number, 1)),
        expression=np.tile(np.asarray(averages.expression, np.float32), (number, 1)),
        center=center.astype(np.float32),
        seconds=float("nan"),
    )


def _moved(guess: Prediction, offset: Array) -> Prediction:
    return Prediction(**{**vars(guess), "center": (guess.center + offset).astype(np.float32)})


@torch.inference_mode()
def _keypoints(body: BodyModel, guess: Prediction) -> Array:
    arrays = (rotvec_to_rotmat(guess.rotvecs), guess.shape, guess.expression, guess.center)
    posed = body(*(torch.from_numpy(array.astype(np.float32)) for array in arrays))
    return posed.keypoints.numpy().astype(np.float64)


def _at_depth(sample: Sample, depth: Array) -> Array:
    """Points at `depth` on the true rays; a ray is the truth's own, so lens and image borders do not matter."""
    center = sample.labels.center.astype(np.float64)
    moved: Array = center * (depth / center[:, 2])[:, None]
    return moved


def _focal(camera: Camera) -> float:
    return float(np.sqrt(camera.fx * camera.fy))


def _mean_rotation(rotmats: Array) -> tuple[float, float, float]:
    x, y, z = _rounded(Rotation.from_matrix(rotmats).mean().as_rotvec())
    return x, y, z


def _rounded(values: Array) -> tuple[float, ...]:
    return tuple(round(float(value), _DIGITS) for value in values)
