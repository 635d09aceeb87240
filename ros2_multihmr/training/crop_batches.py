"""Batches for a second look: images, the people to look at again, where their crops lie, and what is true of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from ros2_multihmr.model.crop_cameras import CropBoxes
from ros2_multihmr.samples.sample import Sample
from ros2_multihmr.training.batches import Batch, collate


class _Tensors:
    """A dataclass of tensors, and of what goes to a device by itself."""

    def to(self: Moved, device: torch.device | str) -> Moved:
        """Copies to a device; asynchronous from pinned memory."""
        return _changed(self, lambda value: value.to(device, non_blocking=True), lambda value: value.to(device))

    def pin_memory(self: Moved) -> Moved:
        """Copies to page-locked memory; torch's DataLoader calls this."""
        return _changed(self, lambda value: value.pin_memory(), lambda value: value.pin_memory())


Moved = TypeVar("Moved", bound=_Tensors)


@dataclass(frozen=True)
class Scenes(_Tensors):
    """B images with their people, before anybody was looked at.

    Attributes:
        scene: What a single-shot network sees of them, and their truth.
        images: (B, 3, H, W) uint8 RGB; smaller images are black on the right and below.
        k: (B, 3, 3) intrinsics of `images`, the centre of the first pixel at 0 [px].
    """

    scene: Batch
    images: Tensor
    k: Tensor

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True)
class Bodies(_Tensors):
    """P people, estimated or true, in the optical frame of their image.

    Attributes:
        rotmats: (P, R, 3, 3) rotations of `BodyInfo.posed_joints`.
        shape: (P, S) shape parameters.
        expression: (P, E) expression parameters.
        center: (P, 3) `BodyInfo.center_joint` [m].
        keypoints: (P, K, 3) keypoints, the root joint first [m].
        vertices: (P, L, 3) the reduced mesh [m].
    """

    rotmats: Tensor
    shape: Tensor
    expression: Tensor
    center: Tensor
    keypoints: Tensor
    vertices: Tensor

    @property
    def root(self) -> Tensor:
        """(P, 3) the root joint [m]."""
        return self.keypoints[:, 0]

    def select(self, keep: Tensor) -> Bodies:
        """Returns the people that `keep` names, a mask or indices."""
        return Bodies(*(getattr(self, field.name)[keep] for field in fields(self)))


@dataclass(frozen=True)
class CropBatch(_Tensors):
    """P people of B images, to be looked at again.

    Attributes:
        images: (B, 3, H, W) uint8 RGB.
        of_image: (P,) int64 image of each person.
        k: (P, 3, 3) intrinsics of that image [px].
        center_px: (P, N, 2) middles of the crops [px].
        size_px: (P, N, 2) widths and heights of the crops [px].
        estimate: What was known before, which the crops lie around.
        true: What is.
        visible: (P, K) 1 where the image shows the true keypoint.
        features: (B, C, g, g) what a single-shot network made of the images; (B, 0, 0, 0) if nobody reads it.
        map_k: (P, 3, 3) intrinsics of the features' map, see `crop_inputs.map_intrinsics`.
    """

    images: Tensor
    of_image: Tensor
    k: Tensor
    center_px: Tensor
    size_px: Tensor
    estimate: Bodies
    true: Bodies
    visible: Tensor
    features: Tensor
    map_k: Tensor

    def __len__(self) -> int:
        return len(self.of_image)

    @property
    def boxes(self) -> CropBoxes:
        """P x N crops."""
        return CropBoxes(self.center_px, self.size_px)


def collate_scenes(samples: Sequence[Sample], image_size: int, max_people: int) -> Scenes:
    """Joins samples.

    Args:
        samples: At least one; all of the same body, from cameras without lens distortion.
        image_size: Side of a single-shot network's input [px].
        max_people: Places for people; of more, the nearest are kept.

    Raises:
        ValueError: As `collate`.
    """
    scene = collate([replace(sample, dense=None) for sample in samples], image_size, max_people)
    height, width = (max(sample.image.shape[axis] for sample in samples) for axis in (0, 1))
    images = np.zeros((len(samples), 3, height, width), np.uint8)
    for place, sample in zip(images, samples, strict=True):
        rows, columns = sample.image.shape[:2]
        place[:, :rows, :columns] = sample.image.transpose(2, 0, 1)
    k = np.stack([sample.camera.k for sample in samples]).astype(np.float32)
    return Scenes(scene, torch.from_numpy(images), torch.from_numpy(k))


def _changed(value: Moved, tensor: Any, other: Any) -> Moved:
    members = {field.name: getattr(value, field.name) for field in fields(value)}  # type: ignore[arg-type]
    return type(value)(
        **{name: tensor(member) if isinstance(member, Tensor) else other(member) for name, member in members.items()}
    )
