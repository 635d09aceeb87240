"""Targets: which token finds which person, which tokens must find nobody, and where nothing is asked.

A person belongs to the token under the head, as in the paper (section 3.1). A head that the image does not show cannot
be found there: then the first keypoint of a fixed order that is seen says which token, and the offset still points to
where the head projects. So people whose head is cut off or hidden behind something are found by what is seen of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ros2_multihmr.body.body_model import BodyInfo
from ros2_multihmr.model.config import PATCH
from ros2_multihmr.model.detection import Slots, fill_slots
from ros2_multihmr.model.token_window import TokenWindow
from ros2_multihmr.settings import Settings, setting
from ros2_multihmr.training.batches import Batch

# By which keypoint a person is found: the first that is seen, after the center joint.
ANCHORS = (
    *("head", "nose", "left_eye", "right_eye", "jaw", "left_ear", "right_ear", "neck", "spine3", "spine2", "spine1"),
    *("pelvis", "left_shoulder", "right_shoulder", "left_hip", "right_hip", "left_elbow", "right_elbow"),
    *("left_knee", "right_knee", "left_wrist", "right_wrist", "left_ankle", "right_ankle"),
)
MIN_DEPTH_M = 0.1  # nearer heads, or heads behind the camera, are no place that a network can name


@dataclass(frozen=True)
class TargetConfig(Settings):
    """Settings of the targets."""

    min_visibility: float = setting(0.1, "Part of the silhouette that must be seen of a person", low=0.0, high=1.0)
    min_size_px: float = setting(16.0, "Extent that a person must have in the network's input [px]", low=0.0)
    max_offset: float = setting(
        1.0, "Furthest that a head may lie from the token that finds it, in sides of the input", low=0.0
    )
    ignore_radius: int = setting(
        1, "Tokens around hardly visible people where neither finding them nor not is wrong", low=0, high=20
    )


class Targets(NamedTuple):
    """What the network should say of a batch; M slots per image, as many as the batch has places for people.

    Attributes:
        slots: The people who are learned from, at their tokens, in raster order; scores 1.
        person: (B, M) int64 place in the batch of the slot's person; without meaning in empty slots.
        score_map: (B, g, g) 1 at the tokens of `slots`, else 0.
        counts: (B, g, g) bool, False where the detection loss asks nothing.
    """

    slots: Slots
    person: Tensor
    score_map: Tensor
    counts: Tensor


def make_targets(
    batch: Batch, info: BodyInfo, grid: int, config: TargetConfig, windows: Sequence[TokenWindow] = ()
) -> Targets:
    """Says which token finds whom.

    People who are hardly visible, tiny, or whose head is too near or too far off are not learned from; where something
    of them is seen, the tokens around it count neither as right nor as wrong. Of two people in one token the nearer is
    kept.

    Args:
        batch: Truth of B images.
        info: The body of the batch.
        grid: Tokens per side g.
        config: The rules' numbers.
        windows: B windows of the tokens that can find somebody; none: all tokens can.
    """
    point, seen = anchor_points(batch, info)
    low, high = _corners(windows or [TokenWindow.whole(grid)], point.device)
    cell = (point / PATCH).floor().long().clamp(low, high)
    token = cell[..., 1] * grid + cell[..., 0]
    clear = batch.people & seen & _learnable(batch, point, info, grid * PATCH, config)
    kept = clear & ~_behind_another(token, clear, batch.center[..., 2])
    # Points behind the camera have no place in the image.
    inside = ((point >= 0) & (point < grid * PATCH)).all(-1) & (seen | (batch.center[..., 2] > 0))
    vague = _marked(token, batch.people & ~clear & inside & (batch.visibility > 0), grid)
    radius = config.ignore_radius
    around = F.max_pool2d(vague[:, None], 2 * radius + 1, stride=1, padding=radius)[:, 0]
    score_map = _marked(token, kept, grid)
    slots = fill_slots(score_map, score_map.new_tensor(0.5), min(max(token.shape[1], 1), grid**2))
    return Targets(slots, _owners(token, kept, grid).gather(1, slots.tokens), score_map, (around < 1) | (score_map > 0))


def anchor_points(batch: Batch, info: BodyInfo) -> tuple[Tensor, Tensor]:
    """Where each person is found: (B, P, 2) [px] and (B, P) True if a keypoint is seen there.

    Of people without a visible keypoint, it is where the head projects.
    """
    order = torch.tensor(anchor_order(info), device=batch.people.device)
    visible = batch.keypoint_visible[..., order] > 0
    # The largest of falling numbers is the first that is visible; the head if none is.
    rank = torch.arange(len(order), 0, -1, device=order.device)
    first = order[(visible * rank).argmax(-1)]
    point = batch.keypoints_px.gather(2, first[..., None, None].expand(-1, -1, 1, 2))[:, :, 0]
    return point, visible.any(-1)


def anchor_order(info: BodyInfo) -> tuple[int, ...]:
    """All keypoints as indices: the center joint, `ANCHORS` as far as the body has them, then the others."""
    names: Sequence[str] = info.keypoint_names
    listed = [info.center_joint, *(names.index(name) for name in ANCHORS if name in names)]
    return tuple(dict.fromkeys([*listed, *range(len(names))]))


def _learnable(batch: Batch, point: Tensor, info: BodyInfo, size: int, config: TargetConfig) -> Tensor:
    """(B, P) True for people of whom enough is seen, at a place that can be learned."""
    depth = batch.center[..., 2]
    focal = (batch.k[:, 0, 0] * batch.k[:, 1, 1]).sqrt()[:, None]
    extent = (batch.keypoints.amax(2) - batch.keypoints.amin(2)).amax(-1)
    extent_px = focal * extent / depth.clamp(min=MIN_DEPTH_M)
    offset = (batch.keypoints_px[:, :, info.center_joint] - point).abs().amax(-1)
    enough = (batch.visibility >= config.min_visibility) & (extent_px >= config.min_size_px)
    return enough & (depth > MIN_DEPTH_M) & (offset <= config.max_offset * size)


def _corners(windows: Sequence[TokenWindow], device: torch.device) -> tuple[Tensor, Tensor]:
    """(B or 1, 1, 2) column and row of the first and of the last tokens."""
    low = torch.tensor([[window.left, window.top] for window in windows], device=device)
    size = torch.tensor([[window.columns, window.rows] for window in windows], device=device)
    return low[:, None], (low + size - 1)[:, None]


def _behind_another(token: Tensor, people: Tensor, depth: Tensor) -> Tensor:
    """(B, P) True for those with someone nearer in the same token; of equally near ones, the first stays."""
    place = torch.arange(token.shape[1], device=token.device)
    mine, other = depth[:, :, None], depth[:, None]
    nearer = (other < mine) | ((other == mine) & (place < place[:, None]))
    return (nearer & (token[:, :, None] == token[:, None]) & people[:, None]).any(-1)


def _marked(token: Tensor, people: Tensor, grid: int) -> Tensor:
    """(B, g, g) float32 1 at the tokens of the people that `people` (B, P) names."""
    zeros = torch.zeros(len(token), grid * grid, device=token.device)
    return zeros.scatter_add(1, token, people.float()).clamp(max=1).unflatten(1, (grid, grid))


def _owners(token: Tensor, people: Tensor, grid: int) -> Tensor:
    """(B, N) index of each token's person, 0 elsewhere; no two of `people` share one."""
    place = torch.arange(token.shape[1], device=token.device).expand_as(token)
    zeros = torch.zeros(len(token), grid * grid, dtype=torch.int64, device=token.device)
    return zeros.scatter_add(1, token, place * people)
