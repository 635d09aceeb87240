"""The backbone's blocks on AMX tiles: the same function as `model.vit.Block`, for inference alone.

LayerScale is part of the weights. Between the products everything stays float32, also where these are of bfloat16.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ros2_multihmr.backends.amx import SIDE, AmxLinear, attend, why_absent
from ros2_multihmr.backends.fused_linear import scaled
from ros2_multihmr.model.vit import Block


class TiledBlock(nn.Module):
    """What `Block` computes."""

    def __init__(self, block: Block, dtype: torch.dtype) -> None:
        """Splits a block's parameters of 32 bits; `dtype` is that of the products."""
        super().__init__()
        attention, mlp = block.attn, block.mlp
        self._heads, self._dtype = attention.heads, dtype
        self.norm1, self.norm2 = block.norm1, block.norm2
        self._qkv = AmxLinear(attention.qkv.weight, attention.qkv.bias, dtype)
        self._proj = AmxLinear(*scaled(attention.proj, block.ls1), dtype)
        self._fc1 = AmxLinear(mlp.fc1.weight, mlp.fc1.bias, dtype)
        self._fc2 = AmxLinear(*scaled(mlp.fc2, block.ls2), dtype)

    def forward(self, tokens: Tensor) -> Tensor:
        """Maps (B, T, C) to (B, T, C) float32."""
        tokens = tokens.float()
        tokens = self._proj.added(attend(self._qkv(self.norm1(tokens)), self._heads, self._dtype), tokens)
        return self._fc2.added(self._fc1.gelu(self.norm2(tokens)), tokens)


def why_not(dtype: torch.dtype, width: int, heads: int) -> str:
    """Says in a few words why blocks of so many channels cannot run on tiles; "" if they can."""
    if width % (heads * SIDE):
        return f"heads of {width / heads:g} channels, wanted a multiple of {SIDE}"
    return why_absent(dtype)
