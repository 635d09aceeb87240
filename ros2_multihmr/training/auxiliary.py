"""Helper tasks: dense read-outs of the tokens that exist in training alone, and teach the backbone what people are.

One linear layer gives each token its two by two cells. No inference sees it: it is no part of the network.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ros2_multihmr.body.parts import PARTS
from ros2_multihmr.model.config import PATCH
from ros2_multihmr.model.read_outs import nominal_focal
from ros2_multihmr.model.token_window import TokenWindow
from ros2_multihmr.training.batches import Batch, DenseBatch
from ros2_multihmr.training.losses import LossWeights, cross_entropy, focal

UP = 2  # cells to a token's side
CELL = PATCH / UP  # px
KINDS = len(PARTS) + 1
SIGMA = 1.0  # of the heatmaps' blobs [cells]
RARE = -math.log(99.0)  # start value of read-outs that are true in one of a hundred cells
HEATMAPS = (
    *("head", "nose", "neck", "pelvis", "left_shoulder", "right_shoulder", "left_elbow", "right_elbow"),
    *("left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle"),
)


class Maps(NamedTuple):
    """What the tokens of B images say of their cells, h = 2 g.

    Attributes:
        person: (B, h, h) logit of people's pixels.
        parts: (B, 16, h, h) logits of background and body parts.
        nearness: (B, h, h) log of the inverse depth that a 60 degree camera would see.
        heatmaps: (B, J, h, h) logits of the keypoints.
    """

    person: Tensor
    parts: Tensor
    nearness: Tensor
    heatmaps: Tensor


class AuxiliaryHeads(nn.Module):
    """One linear layer from tokens to `Maps`."""

    def __init__(self, width: int, keypoint_names: Sequence[str]) -> None:
        """Makes the layer.

        Args:
            width: Of the tokens.
            keypoint_names: The body's keypoints; those of `HEATMAPS` among them get a map.
        """
        super().__init__()
        self.keypoints = tuple(keypoint_names.index(name) for name in HEATMAPS if name in keypoint_names)
        self.read_out = nn.Linear(width, UP * UP * (2 + KINDS + len(self.keypoints)))
        with torch.no_grad():
            self.read_out.bias.unflatten(0, (-1, UP * UP))[2 + KINDS :] = RARE

    def forward(self, tokens: Tensor, window: TokenWindow | None = None) -> Maps:
        """Reads (B, N, C) tokens of a window, or of a whole square."""
        window = window or TokenWindow.whole(math.isqrt(tokens.shape[1]))
        numbers = self.read_out(tokens).transpose(1, 2).unflatten(2, (window.rows, window.columns))
        cells = F.pixel_shuffle(numbers, UP)
        return Maps(cells[:, 0], cells[:, 1 : 1 + KINDS], cells[:, 1 + KINDS], cells[:, 2 + KINDS :])


def dense_terms(maps: Maps, batch: Batch, weights: LossWeights) -> dict[str, Tensor]:
    """Computes the terms of `LossWeights` about cells whose weight is not 0: (B,) each, 0 for images without truth."""
    dense = batch.dense if batch.dense is not None else _no_truth(maps)
    terms: dict[str, Callable[[], Tensor]] = {
        "person_mask": lambda: mask_loss(maps.person, dense),
        "person_parts": lambda: parts_loss(maps.parts, dense),
        "person_depth": lambda: depth_loss(maps.nearness, dense, batch.k),
    }
    return {name: term() for name, term in terms.items() if getattr(weights, name) > 0}


def mask_loss(person: Tensor, dense: DenseBatch) -> Tensor:
    """Cross entropy of (B, h, h) logits with the part of each cell that shows people, mean over cells: (B,)."""
    return cross_entropy(person, dense.mask, dense.valid) / _cells(dense.valid)


def parts_loss(parts: Tensor, dense: DenseBatch) -> Tensor:
    """Cross entropy of (B, 16, h, h) logits with each cell's body part or background, mean over cells: (B,)."""
    each = F.cross_entropy(parts, dense.parts, reduction="none")
    return (each * dense.valid).flatten(1).sum(1) / _cells(dense.valid)


def depth_loss(nearness: Tensor, dense: DenseBatch, k: Tensor) -> Tensor:
    """Difference in log depth where people are, mean over their cells: (B,).

    Args:
        nearness: (B, h, h) log of the inverse depth that a 60 degree camera would see: tokens know no intrinsics.
        dense: Truth.
        k: (B, 3, 3) intrinsics [px].
    """
    people = dense.valid & (dense.mask > 0.5) & (dense.depth > 0)
    size = nearness.shape[-1] * CELL
    log_focal = ((k[:, 0, 0] * k[:, 1, 1]).sqrt() / nominal_focal(int(size))).log()
    truth = log_focal[:, None, None] - torch.where(people, dense.depth, 1.0).to(nearness).log()
    return ((nearness - truth).abs() * people).flatten(1).sum(1) / _cells(people)


def heatmap_loss(heatmaps: Tensor, batch: Batch, keypoints: Sequence[int]) -> Tensor:
    """Focal loss of (B, J, h, h) logits with blobs at visible keypoints, per keypoint of the image: (B,)."""
    target = blobs(batch, keypoints, heatmaps.shape[-1]).to(heatmaps)
    centres = (target == 1).flatten(1).sum(1)
    return focal(heatmaps, target, torch.ones_like(target, dtype=torch.bool)) / centres.clamp(min=1)


def blobs(batch: Batch, keypoints: Sequence[int], side: int) -> Tensor:
    """Draws (B, J, h, h) blobs, 1 at the cell of every person's visible keypoint and falling off around it."""
    index = list(keypoints)
    cell = (batch.keypoints_px[:, :, index] / CELL).floor()
    visible = (batch.keypoint_visible[:, :, index] > 0) & batch.people[..., None]
    axis = torch.arange(side, device=cell.device, dtype=cell.dtype)
    falling = torch.exp(-0.5 * ((cell[..., None] - axis) / SIGMA) ** 2) * visible[..., None, None]
    # One person after the other: all at once would not fit into memory for large images.
    drawn = cell.new_zeros(len(cell), len(index), side, side)
    for person in range(cell.shape[1]):
        across, down = falling[:, person].unbind(2)
        drawn = torch.maximum(drawn, down[..., :, None] * across[..., None, :])
    return drawn


def _cells(mask: Tensor) -> Tensor:
    return mask.flatten(1).sum(1).clamp(min=1)


def _no_truth(maps: Maps) -> DenseBatch:
    zeros = torch.zeros_like(maps.person)
    return DenseBatch(zeros, zeros.long(), zeros, zeros.bool())
