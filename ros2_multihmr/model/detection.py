"""Detection: from the score of every token to a fixed number of slots for people (paper, section 3.1)."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

SCORE_MARGIN = 1e-4


class Slots(NamedTuple):
    """M slots per image. Filled slots come first, in raster order; the others point at some tokens without a person.

    Attributes:
        mask: (B, M) bool, True where a person was found.
        tokens: (B, M) int64 index of the token in its window, row by row; `TokenWindow.cells` says where that is.
        scores: (B, M) its score.
        found: (B,) int64 people over the threshold, in slots or not.
    """

    mask: Tensor
    tokens: Tensor
    scores: Tensor
    found: Tensor


def clamp_scores(scores: Tensor) -> Tensor:
    """Keeps scores off 0 and 1 (`Quirks.clamped_scores`)."""
    return scores.clamp(SCORE_MARGIN, 1 - SCORE_MARGIN)


def suppress(scores: Tensor, kernel: int) -> Tensor:
    """Keeps the scores that equal the maximum of the window around them, and sets the others to 0.

    Args:
        scores: (B, rows, columns).
        kernel: Side of the window; 1 keeps all. The windows of even kernels (2, 4) end at the token itself, as those of
            the official code do. Equal neighbours all survive.

    Returns:
        (B, rows, columns).
    """
    if kernel == 1:
        return scores
    padding = (kernel - 1) // 2 if kernel % 2 else kernel // 2
    best = F.max_pool2d(scores[:, None], kernel, stride=1, padding=padding)[:, 0]
    best = best[:, : scores.shape[1], : scores.shape[2]]
    return scores * (scores == best).to(scores.dtype)


def fill_slots(scores_map: Tensor, threshold: Tensor, slots: int) -> Slots:
    """Puts the best tokens with at least the threshold's score into slots.

    Args:
        scores_map: (B, rows, columns) scores after suppression.
        threshold: () score from which a token is a person.
        slots: M; of more people than that, those with the best scores stay.
    """
    flat = scores_map.flatten(1)
    count = flat.shape[1]
    scores, tokens = torch.topk(flat, slots, dim=1)
    # Raster order: sort by token, the empty slots behind all tokens.
    rank = torch.where(scores >= threshold, tokens, tokens + count)
    rank = torch.topk(rank, slots, dim=1, largest=False).values
    tokens = rank % count
    return Slots(rank < count, tokens, flat.gather(1, tokens), (flat >= threshold).sum(1))
