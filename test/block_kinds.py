"""Ways of computing blocks as parameters of tests: those that this machine lacks are skipped, and say why."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from ros2_multihmr.backends.blocks import WAYS, why_not


def ways(dtype: torch.dtype, width: int, heads: int) -> list[Any]:
    """All ways but the plain one, for products of a precision and blocks of a shape."""
    marked = []
    for kind in WAYS:
        reason = why_not(kind, torch.device("cpu"), dtype, width, heads)
        marked.append(pytest.param(kind, marks=pytest.mark.skipif(bool(reason), reason=f"no {kind} blocks: {reason}")))
    return marked
