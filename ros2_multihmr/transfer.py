"""Many tensors from one device to another as one: each transfer has its price, whatever its size."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def move_together(tensors: Sequence[Tensor], device: torch.device | str) -> list[Tensor]:
    """Returns the tensors on a device, their numbers untouched, in one transfer; as they are if they lie there.

    What comes to the host is there when this returns.

    Args:
        tensors: Of any types and shapes, all on one device.
        device: Where they go.
    """
    device = torch.device(device)
    if not tensors or tensors[0].device.type == device.type == "cpu" or tensors[0].device == device:
        return list(tensors)
    return unpack(_moved(pack(tensors), device), tensors)


def pack(tensors: Sequence[Tensor]) -> Tensor:
    """Returns the bytes of all tensors, one after the other, the widest numbers first: (number of bytes,) uint8."""
    return torch.cat([tensors[place].contiguous().view(-1).view(torch.uint8) for place in _widest_first(tensors)])


def unpack(packed: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    """Returns the tensors again that `pack` made bytes of; they share the memory of `packed`.

    Args:
        packed: Their bytes, on any device.
        like: Tensors of their types and shapes, in their order.
    """
    found: list[Tensor] = list(like)
    sizes = [like[place].numel() * like[place].element_size() for place in _widest_first(like)]
    for place, part in zip(_widest_first(like), packed.split(sizes), strict=True):
        found[place] = part.view(like[place].dtype).view(like[place].shape)
    return found


def _widest_first(tensors: Sequence[Tensor]) -> list[int]:
    """Their order in memory: every number begins at a multiple of its width."""
    return sorted(range(len(tensors)), key=lambda place: -tensors[place].element_size())


def _moved(packed: Tensor, device: torch.device) -> Tensor:
    if device.type != "cpu" or packed.device.type != "cuda":
        return packed.to(device)
    host = torch.empty(packed.shape, dtype=packed.dtype, pin_memory=True)  # a GPU writes there by itself
    host.copy_(packed, non_blocking=True)
    torch.cuda.current_stream(packed.device).synchronize()
    return host
