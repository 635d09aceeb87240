"""The backbone's blocks as a CPU likes them: fewer passes over memory, and weights in oneDNN's own order.

The same function as `model.vit.Block`, to rounding, for inference alone: bias, GELU and addition are part of the
products before them (oneDNN's post-operations), LayerScale is part of the weights, keys and values lie without gaps,
and the MLP goes through in groups of rows whose hidden layer stays in the cache. The operations are PyTorch's own, but
not public: `why_not` tries them once before anything relies on them.
"""

from __future__ import annotations

import functools
import platform
from collections.abc import Callable
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ros2_multihmr.backends.fused_linear import layer_agrees, scaled
from ros2_multihmr.model.vit import Block

ROWS = 768  # tokens of an MLP at once: 4.7 MB of hidden layer at 384 channels in 32 bits
_X86 = ("x86_64", "amd64")


def _unary() -> Callable[..., Any]:
    # Overloads by name: to let PyTorch find the right one takes milliseconds at every call.
    return torch.ops.mkldnn._linear_pointwise.default  # type: ignore[no-any-return]


def _binary() -> Callable[..., Any]:
    return torch.ops.mkldnn._linear_pointwise.binary  # type: ignore[no-any-return]


class PackedLinear:
    """A linear layer whose weights lie as oneDNN wants them."""

    def __init__(self, weight: Tensor, bias: Tensor, dtype: torch.dtype) -> None:
        """Packs weights (O, I) and bias (O,) of 32 bits; the layer then maps numbers of `dtype`."""
        self._weight: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.detach().to(dtype).contiguous(), ROWS)
        self._bias = bias.detach().to(dtype, copy=True)  # a view would keep all of qkv's

    def __call__(self, x: Tensor) -> Tensor:
        """Maps (..., I) to (..., O)."""
        return cast(Tensor, _unary()(x, self._weight, self._bias, "none", [], ""))

    def gelu(self, x: Tensor) -> Tensor:
        """Maps (..., I) to (..., O) and through the exact GELU."""
        return cast(Tensor, _unary()(x, self._weight, self._bias, "gelu", [], "none"))

    def added(self, x: Tensor, to: Tensor) -> Tensor:
        """Maps (..., I) to (..., O) and adds that to (..., O)."""
        return cast(Tensor, _binary()(x, to, self._weight, self._bias, "add"))


class PackedBlock(nn.Module):
    """What `Block` computes."""

    def __init__(self, block: Block, dtype: torch.dtype) -> None:
        """Packs a block with parameters of 32 bits; `dtype` is that of the tokens."""
        super().__init__()
        attention, mlp = block.attn, block.mlp
        self._heads = attention.heads
        self.norm1, self.norm2 = block.norm1, block.norm2
        thirds = zip(attention.qkv.weight.chunk(3), attention.qkv.bias.chunk(3), strict=True)
        self._query, self._key, self._value = (PackedLinear(*third, dtype) for third in thirds)
        self._proj = PackedLinear(*scaled(attention.proj, block.ls1), dtype)
        self._fc1 = PackedLinear(mlp.fc1.weight, mlp.fc1.bias, dtype)
        self._fc2 = PackedLinear(*scaled(mlp.fc2, block.ls2), dtype)

    def forward(self, tokens: Tensor) -> Tensor:
        """Maps (B, T, C) to (B, T, C)."""
        tokens = self._proj.added(self._attend(self.norm1(tokens)), tokens)
        groups = tokens.flatten(0, 1).split(ROWS)
        mapped = [self._fc2.added(self._fc1.gelu(self.norm2(group)), group) for group in groups]
        return (torch.cat(mapped) if len(mapped) > 1 else mapped[0]).view_as(tokens)

    def _attend(self, tokens: Tensor) -> Tensor:
        query, key, value = (
            linear(tokens).unflatten(-1, (self._heads, -1)).transpose(1, 2)
            for linear in (self._query, self._key, self._value)
        )
        # Every group of queries reads all keys and values: gaps between their rows cost more than a copy.
        attended = F.scaled_dot_product_attention(query, key.contiguous(), value.contiguous())
        return attended.transpose(1, 2).flatten(2)


def why_not(dtype: torch.dtype, _width: int, _heads: int) -> str:
    """Says in a few words why blocks of a precision cannot be packed on this machine's CPU; "" if they can."""
    return _why_not(dtype)


@functools.cache
def _why_not(dtype: torch.dtype) -> str:
    name = str(dtype).removeprefix("torch.")
    if dtype not in (torch.float32, torch.bfloat16):
        return f"not for {name}"
    if platform.machine().lower() not in _X86:
        return f"only measured on x86, not on {platform.machine()}"
    if not torch.backends.mkldnn.is_available():
        return "this PyTorch has no oneDNN"
    try:
        if dtype == torch.bfloat16 and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
            return "this processor has no bfloat16 for oneDNN"
        return "" if _agrees(dtype) else "oneDNN's packed products are not those of PyTorch"
    except (AttributeError, NotImplementedError, RuntimeError, TypeError) as error:
        return f"this PyTorch lacks oneDNN's packed products ({str(error).splitlines()[0]})"


def _agrees(dtype: torch.dtype) -> bool:
    return layer_agrees(PackedLinear, dtype, takes=dtype)
