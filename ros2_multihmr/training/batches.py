"""Batch: what the network sees of some samples, and their truth padded to the same number of people."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ros2_multihmr.body.parts import PARTS
from ros2_multihmr.model.config import PATCH
from ros2_multihmr.model.token_window import TokenWindow
from ros2_multihmr.preprocess import NetworkView, preprocess
from ros2_multihmr.samples.sample import Dense, Labels, Sample

CELL = PATCH // 2  # px of the network's input: dense truth has two cells to a token's side


@dataclass(frozen=True)
class DenseBatch:
    """Truth per cell of 7 x 7 network pixels, two cells to a token's side; h = S / 7.

    Attributes:
        mask: (B, h, h) float32 part of the cell's image pixels that show people, 0 to 1.
        parts: (B, h, h) int64 most frequent body part + 1 of the pixels that show people, 0 where none does.
        depth: (B, h, h) float32 median distance along the optical axis [m] of the pixels that have one, 0 where none.
        valid: (B, h, h) bool True where at least half of the cell is image and not margin; False all over for samples
            without dense truth.
    """

    mask: Tensor
    parts: Tensor
    depth: Tensor
    valid: Tensor

    def to(self, device: torch.device | str) -> DenseBatch:
        """Copies to a device; asynchronous from pinned memory."""
        return _each_tensor(self, lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> DenseBatch:
        """Copies to page-locked memory; torch's DataLoader calls this."""
        return _each_tensor(self, lambda tensor: tensor.pin_memory())


@dataclass(frozen=True)
class Batch:
    """B images and up to P people each; float32 unless said; optical frame, metres, radians.

    People come nearest first, those of whom nothing is seen last. Places without a person have identity rotations and
    points at (0, 0, 1), so that whatever is computed of them is finite; `people` masks it.

    Attributes:
        keys: B names of the samples.
        body: Name of the body, see `body.create_body`.
        pixels: (B, 3, S, S) normalised images, see `preprocess`.
        k: (B, 3, 3) intrinsics of `pixels`, corner of the first pixel at 0 [px].
        people: (B, P) bool, True where there is a person.
        rotmats: (B, P, R, 3, 3) rotations of `BodyInfo.posed_joints`.
        shape: (B, P, S) shape parameters.
        expression: (B, P, E) expression parameters.
        center: (B, P, 3) `BodyInfo.center_joint`.
        keypoints: (B, P, K, 3) keypoints.
        keypoints_px: (B, P, K, 2) where they are in `pixels` [px], corner of the first pixel at 0; 0 for keypoints
            behind the camera.
        keypoint_visible: (B, P, K) 1 where the image shows the keypoint.
        visibility: (B, P) part of the silhouette that the image shows.
        dense: Truth per cell; None if no sample has any.
        windows: B windows, the tokens of `pixels` that hold the image; for networks that learn without padding.
    """

    keys: tuple[str, ...]
    body: str
    pixels: Tensor
    k: Tensor
    people: Tensor
    rotmats: Tensor
    shape: Tensor
    expression: Tensor
    center: Tensor
    keypoints: Tensor
    keypoints_px: Tensor
    keypoint_visible: Tensor
    visibility: Tensor
    dense: DenseBatch | None = None
    windows: tuple[TokenWindow, ...] = ()

    def __len__(self) -> int:
        return len(self.pixels)

    def to(self, device: torch.device | str) -> Batch:
        """Copies to a device; asynchronous from pinned memory."""
        return _each_tensor(self, lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> Batch:
        """Copies to page-locked memory; torch's DataLoader calls this."""
        return _each_tensor(self, lambda tensor: tensor.pin_memory())


def collate(samples: Sequence[Sample], image_size: int, max_people: int) -> Batch:
    """Joins samples into a batch.

    Args:
        samples: At least one; all of the same body, from cameras without lens distortion.
        image_size: Side S of the network's input [px], a multiple of the patch's 14.
        max_people: Places P for people; of more, the nearest are kept.

    Raises:
        ValueError: No samples, samples of several bodies, a distorted camera, or a size that is no multiple of 14.
    """
    _check(samples, image_size, max_people)
    inputs = preprocess([sample.image for sample in samples], [sample.camera for sample in samples], image_size)
    arrays = [_padded(sample, view, max_people) for sample, view in zip(samples, inputs.views, strict=True)]
    tensors = {name: torch.from_numpy(np.stack([person[name] for person in arrays])) for name in arrays[0]}
    return Batch(
        keys=tuple(sample.key for sample in samples),
        body=samples[0].labels.body,
        pixels=inputs.pixels,
        k=inputs.k,
        **tensors,
        dense=_dense_batch([sample.dense for sample in samples], inputs.views),
        windows=tuple(view.window(max_people) for view in inputs.views),
    )


def _check(samples: Sequence[Sample], image_size: int, max_people: int) -> None:
    if not samples:
        raise ValueError("collate: expected at least one sample, got none")
    bodies = sorted({sample.labels.body for sample in samples})
    if len(bodies) > 1:
        raise ValueError(f"collate: expected samples of one body, got {', '.join(bodies)}; use data of one body")
    distorted = [sample.key for sample in samples if sample.camera.has_distortion]
    if distorted:
        raise ValueError(f"collate: {distorted[0]} has lens distortion, the network expects none; rectify it first")
    if image_size <= 0 or image_size % (2 * CELL):
        raise ValueError(f"image_size: expected a positive multiple of {2 * CELL} pixels, got {image_size}")
    if max_people < 1:
        raise ValueError(f"max_people: must be at least 1, got {max_people}")


def _padded(sample: Sample, view: NetworkView, places: int) -> dict[str, NDArray[Any]]:
    people = sample.labels.select(_nearest(sample.labels, places))
    px = view.to_network(sample.camera.project(people.keypoints)).astype(np.float32)
    return {
        "people": np.arange(places) < len(people),
        "rotmats": _pad(people.rotmats, places, np.eye(3, dtype=np.float32)),
        "shape": _pad(people.shape, places),
        "expression": _pad(people.expression, places),
        "center": _pad(people.center, places, np.array([0, 0, 1], np.float32)),
        "keypoints": _pad(people.keypoints, places, np.array([0, 0, 1], np.float32)),
        "keypoints_px": _pad(np.nan_to_num(px, nan=0.0), places),
        "keypoint_visible": _pad(people.keypoint_visible, places),
        "visibility": _pad(people.visibility, places),
    }


def _nearest(labels: Labels, most: int) -> NDArray[np.intp]:
    distance = np.linalg.norm(labels.center, axis=-1)
    return np.lexsort((distance, labels.visibility <= 0.0))[:most]


def _pad(people: NDArray[np.float32], places: int, fill: Any = 0.0) -> NDArray[np.float32]:
    out = np.empty((places, *people.shape[1:]), np.float32)
    out[...] = fill
    out[: len(people)] = people
    return out


def _dense_batch(truths: Sequence[Dense | None], views: Sequence[NetworkView]) -> DenseBatch | None:
    if all(dense is None for dense in truths):
        return None
    cells = [dense_cells(dense, view) for dense, view in zip(truths, views, strict=True)]
    return DenseBatch(*(torch.from_numpy(np.stack(arrays)) for arrays in zip(*cells, strict=True)))


def dense_cells(dense: Dense | None, view: NetworkView) -> tuple[NDArray[Any], ...]:
    """Returns mask, parts, depth and valid of one image, (h, h) each, see `DenseBatch`."""
    side = view.size // CELL
    if dense is None:
        kinds = (np.float32, np.int64, np.float32, np.bool_)
        return tuple(np.zeros((side, side), kind) for kind in kinds)
    rows, columns = _source_indices(view, dense.instance.shape)
    inside = _cells(np.where((rows >= 0)[:, None] & (columns >= 0), 1, 0))
    pick = np.ix_(np.maximum(rows, 0), np.maximum(columns, 0))
    person, part, depth = (_cells(field[pick]) * inside for field in (dense.instance > 0, dense.part, dense.depth))
    count = inside.sum(axis=-1)
    mask = (person.sum(axis=-1) / np.maximum(count, 1)).astype(np.float32)
    return mask, _majority(part * person), _median(depth), 2 * count >= CELL * CELL


def _source_indices(view: NetworkView, shape: tuple[int, ...]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Row and column of the image at the centre of each of the network's rows and columns, -1 in the margin."""
    centres = np.arange(view.size)[:, None] + 0.5
    px = np.rint(view.to_image(np.broadcast_to(centres, (view.size, 2)))).astype(np.intp)
    scaled = centres - view.margin
    inside = (scaled > 0) & (scaled < view.content)
    px = np.where(inside, np.clip(px, 0, np.array(shape[::-1]) - 1), -1)
    return px[:, 1], px[:, 0]


def _cells(field: NDArray[Any]) -> NDArray[Any]:
    """(S, S) pixels to (h, h, 49)."""
    side = len(field) // CELL
    return field.reshape(side, CELL, side, CELL).swapaxes(1, 2).reshape(side, side, CELL * CELL)


def _majority(part: NDArray[Any]) -> NDArray[np.int64]:
    side, kinds = len(part), len(PARTS) + 1
    cell = np.arange(side * side).reshape(side, side, 1) * kinds
    counts = np.bincount((cell + part.astype(np.intp)).ravel(), minlength=side * side * kinds).reshape(
        side, side, kinds
    )
    counts[..., 0] = 0
    return counts.argmax(axis=-1)


def _median(depth: NDArray[Any]) -> NDArray[np.float32]:
    """The lower median of each cell's positive numbers, 0 where there are none."""
    ordered = np.sort(depth.astype(np.float32), axis=-1)
    zeros = np.count_nonzero(ordered <= 0.0, axis=-1)
    middle = np.minimum(zeros + (CELL * CELL - zeros - 1) // 2, CELL * CELL - 1)
    return np.take_along_axis(ordered, middle[..., None], axis=-1)[..., 0]


Tensors = TypeVar("Tensors", Batch, DenseBatch)


def _each_tensor(value: Tensors, change: Callable[[Any], Any]) -> Tensors:
    def changed(member: Any) -> Any:
        if isinstance(member, DenseBatch):
            return _each_tensor(member, change)
        return change(member) if isinstance(member, Tensor) else member

    return type(value)(**{field.name: changed(getattr(value, field.name)) for field in fields(value)})
