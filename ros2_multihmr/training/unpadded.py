"""Learning without padding: the network sees the tokens of each image alone, and what it says goes back into squares.

Images of one shape go through the network together. Truth and losses are those of the squares, where what nobody has
computed says that nobody is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ros2_multihmr.model.config import MultiHMRConfig
from ros2_multihmr.model.raw_outputs import RawOutputs
from ros2_multihmr.model.token_window import TokenWindow
from ros2_multihmr.training.batches import Batch

NEVER = -30.0  # logit of what was not computed: no loss sees it


class Group(NamedTuple):
    """Images of a batch whose tokens are computed together.

    Attributes:
        window: Their tokens.
        images: (n,) int64 their places in the batch; None: all of it, in order.
    """

    window: TokenWindow
    images: Tensor | None

    def of(self, values: Tensor) -> Tensor:
        """Picks their values of those (B, ...) of the batch."""
        return values if self.images is None else values[self.images]


def groups_of(batch: Batch, config: MultiHMRConfig) -> list[Group]:
    """Sorts a batch's images by the tokens that a network is meant to see of them.

    Raises:
        ValueError: The network is meant to see no padding, and the batch does not say where there is some.
    """
    if config.padding == "square":
        return [Group(TokenWindow.whole(config.grid), None)]
    if len(batch.windows) != len(batch):
        raise ValueError(f"batch: expected a window for each of {len(batch)} images, got {len(batch.windows)}")
    places: dict[TokenWindow, list[int]] = {}
    for place, window in enumerate(batch.windows):
        places.setdefault(window, []).append(place)
    if len(places) == 1:
        return [Group(batch.windows[0], None)]
    return [Group(window, torch.tensor(those, device=batch.k.device)) for window, those in places.items()]


def into_square(values: Tensor, window: TokenWindow, fill: float, *, cells: int = 1) -> Tensor:
    """Puts a window's values (..., rows, columns) into the square's (..., g, g).

    Args:
        values: What was computed, with `cells` values to a token's side.
        window: Of which tokens.
        fill: What stands where nothing was computed.
        cells: See there.
    """
    down, across = cells * window.top, cells * window.left
    return F.pad(values, (across, across, down, down), value=fill)


def in_order(parts: Sequence[Tensor], groups: Sequence[Group]) -> Tensor:
    """Joins values (n, ...) of all groups in the order of the batch."""
    if len(parts) == 1:
        return parts[0]
    order = torch.cat([group.images for group in groups if group.images is not None])
    return torch.cat(list(parts))[order.argsort()]


def outputs_in_order(parts: Sequence[RawOutputs], groups: Sequence[Group]) -> RawOutputs:
    """Joins the outputs of all groups, whose maps are squares, in the order of the batch."""
    return RawOutputs(*(in_order(values, groups) for values in zip(*parts, strict=True)))
