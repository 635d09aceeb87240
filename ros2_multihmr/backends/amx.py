"""Linear layers and attention of float32 numbers on Intel's AMX tiles, which multiply bfloat16 and add in float32.

A float32 is the sum of three bfloat16; six of the nine products of two such sums are as exact as float32 itself
(arXiv:1904.06376), and on these tiles faster. The code is C++ (`amx_library`); `why_absent` says why it cannot run, if
so: because of the machine, or because of what was compiled (`why_broken`).
"""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F
from torch import Tensor

from ros2_multihmr.backends.amx_library import call, why_not_here
from ros2_multihmr.backends.fused_linear import layer_agrees, near, trial_numbers

SIDE = 32  # numbers of channels are multiples of it
PARTS = {torch.float32: 3, torch.bfloat16: 1}  # bfloat16 that stand for a number
_NOTHING, _GELU, _ADD = range(3)


class AmxLinear:
    """A linear layer of float32 numbers, with what follows it.

    Args:
        weight: (O, I) float32; both multiples of `SIDE`.
        bias: (O,) float32.
        dtype: Precision of the products, one of `PARTS`.

    Raises:
        ValueError: Shapes or numbers of another kind, there and when it is called.
    """

    def __init__(self, weight: Tensor, bias: Tensor, dtype: torch.dtype) -> None:
        _check(weight, "weight", weight.dim() == 2 and not any(size % SIDE for size in weight.shape), "(O, I) in 32s")
        _check(bias, "bias", bias.shape == weight.shape[:1], f"({len(weight)},)")
        self._parts, (self._outputs, self._inputs) = PARTS[dtype], weight.shape
        self._bias = bias.detach().clone()
        self._split = _aligned_bytes(2 * self._parts * weight.numel())
        given = weight.detach().contiguous()
        call("split", self._parts, given.data_ptr(), self._outputs, self._inputs, self._split.data_ptr())

    def __call__(self, x: Tensor) -> Tensor:
        """Maps (..., I) to (..., O)."""
        return self._run(x, _NOTHING)

    def gelu(self, x: Tensor) -> Tensor:
        """Maps (..., I) to (..., O) and through the exact GELU."""
        return self._run(x, _GELU)

    def added(self, x: Tensor, to: Tensor) -> Tensor:
        """Maps (..., I) to (..., O) and adds that to (..., O)."""
        wanted = *x.shape[:-1], self._outputs
        _check(to, "to", to.shape == wanted, str(wanted))
        return self._run(x, _ADD, to.contiguous())

    def _run(self, x: Tensor, after: int, to: Tensor | None = None) -> Tensor:
        _check(x, "x", x.shape[-1:] == (self._inputs,), f"(..., {self._inputs})")
        x = x.contiguous()
        out = torch.empty(*x.shape[:-1], self._outputs)
        call(
            "linear",
            self._parts,
            x.data_ptr(),
            x.numel() // self._inputs,
            self._inputs,
            self._outputs,
            self._split.data_ptr(),
            self._bias.data_ptr(),
            after,
            None if to is None else to.data_ptr(),
            out.data_ptr(),
            torch.get_num_threads(),
        )
        return out


def attend(qkv: Tensor, heads: int, dtype: torch.dtype) -> Tensor:
    """Computes the softmax attention of all tokens with all, scores divided by the root of a head's channels.

    Args:
        qkv: (B, T, 3 C) float32 queries, keys and values; each C is the heads' channels side by side.
        heads: Number of heads; C is a multiple of `SIDE` times it.
        dtype: Precision of the products, one of `PARTS`.

    Returns:
        (B, T, C) float32.

    Raises:
        ValueError: A shape or numbers of another kind.
    """
    fits = qkv.dim() == 3 and qkv.shape[2] % (3 * SIDE * heads) == 0
    _check(qkv, "qkv", fits, f"(B, T, 3 C) with heads of {SIDE} channels or a multiple")
    qkv = qkv.contiguous()
    batch, tokens, width = *qkv.shape[:2], qkv.shape[2] // 3
    out = torch.empty(batch, tokens, width)
    places = (qkv.data_ptr() + third * width * qkv.element_size() for third in range(3))
    sizes = (3 * width, batch, tokens, heads, width // heads)
    call("attention", PARTS[dtype], *places, *sizes, out.data_ptr(), torch.get_num_threads())
    return out


def _check(given: Tensor, name: str, fits: bool, wanted: str) -> None:
    """Whoever reads memory by its address must know what lies there."""
    if not fits or given.dtype != torch.float32 or given.device.type != "cpu":
        raise ValueError(
            f"{name}: expected {wanted} float32 on the CPU, got {tuple(given.shape)} {given.dtype} on {given.device}"
        )


def _aligned_bytes(count: int) -> Tensor:
    memory = torch.empty(count + 64, dtype=torch.uint8)
    start = -memory.data_ptr() % 64
    return memory[start : start + count]


def why_absent(dtype: torch.dtype) -> str:
    """Says in a few words why there are no such products of a precision here; "" if there are."""
    if dtype not in PARTS:
        return f"not for {str(dtype).removeprefix('torch.')}"
    return why_not_here() or why_broken(dtype)


@functools.cache
def why_broken(dtype: torch.dtype) -> str:
    """Says what is wrong with the compiled code, for which the remedy is `amx_library.INSTALL_AGAIN`; "" if nothing is.

    Also "" where there would be no such products anyway.
    """
    if dtype not in PARTS or why_not_here():
        return ""
    try:
        return "" if _agrees(dtype) else "its products are not those of PyTorch"
    except (OSError, RuntimeError) as error:
        return str(error)


def _agrees(dtype: torch.dtype) -> bool:
    """Tries everything on a few numbers."""
    x, weight, bias = trial_numbers()
    query, key, value = x, F.linear(x, weight, bias), x.cos()
    expected = F.scaled_dot_product_attention(query, key, value)
    attended = attend(torch.cat([query, key, value], dim=1)[None], 1, dtype)[0]
    return layer_agrees(AmxLinear, dtype, takes=torch.float32) and near(attended, expected, dtype)
