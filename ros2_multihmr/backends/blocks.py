"""Ways of computing a transformer's blocks on a CPU, all of the same function, and which of them a machine has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from ros2_multihmr.backends import packed_blocks, tiled_blocks
from ros2_multihmr.model.vit import Block

PLAIN = "plain"  # `model.vit.Block`, as it is trained and exported


@dataclass(frozen=True)
class Way:
    """One way of computing blocks.

    Attributes:
        make: Makes a block of one with parameters of 32 bits, for products of a precision.
        why_not: Says in a few words why this machine cannot compute blocks of a precision, channels and heads so; "" if
            it can.
        keeps_float32: True if what lies between the products is of 32 bits, whatever these are of.
    """

    make: Callable[[Block, torch.dtype], nn.Module]
    why_not: Callable[[torch.dtype, int, int], str]
    keeps_float32: bool


WAYS = {
    "tiles": Way(tiled_blocks.TiledBlock, tiled_blocks.why_not, keeps_float32=True),
    "packed": Way(packed_blocks.PackedBlock, packed_blocks.why_not, keeps_float32=False),
}  # in the order in which they are taken
KINDS = (*WAYS, PLAIN)


def choose_blocks(wanted: str, device: torch.device, dtype: torch.dtype, width: int, heads: int) -> str:
    """Returns the way that a setting means.

    Args:
        wanted: "auto" (the first that there is), or one of `KINDS`.
        device: Where the network runs.
        dtype: Precision of the blocks' products.
        width: Channels.
        heads: Heads of the attention.

    Raises:
        ValueError: There is no such way here; says why.
    """
    given = device, dtype, width, heads
    if wanted == "auto":
        return next(kind for kind in KINDS if not why_not(kind, *given))
    if wanted not in KINDS:
        raise ValueError(f"blocks: expected auto or {', '.join(KINDS)}; got {wanted!r}")
    if reason := why_not(wanted, *given):
        raise ValueError(
            f"blocks: no {wanted} ones here ({reason}); use auto, and see `multihmr info` for what can be done about it"
        )
    return wanted


def why_not(kind: str, device: torch.device, dtype: torch.dtype, width: int, heads: int) -> str:
    """Says in a few words why blocks cannot be computed in one of `KINDS`; "" if they can."""
    if kind == PLAIN:
        return ""
    return WAYS[kind].why_not(dtype, width, heads) if device.type == "cpu" else f"not on {device.type}"


def replace_blocks(blocks: nn.ModuleList, kind: str, dtype: torch.dtype) -> None:
    """Replaces blocks one by one, so that no more than one lies in memory twice.

    Args:
        blocks: In 32 bits; unless `kind` is `PLAIN`, they move to the CPU and can neither be trained nor exported any
            more. Those that were replaced before stay as they are.
        kind: One of `KINDS` for which `why_not` has no objection.
        dtype: Precision of their products.
    """
    if kind == PLAIN:
        return
    with torch.no_grad():
        for place, block in enumerate(blocks):
            if isinstance(block, Block):
                blocks[place] = WAYS[kind].make(block.cpu(), dtype)


def keeps_float32(kind: str) -> bool:
    """Says whether what lies between the products of blocks of one of `KINDS` is of 32 bits, whatever these are of."""
    return kind != PLAIN and WAYS[kind].keeps_float32
