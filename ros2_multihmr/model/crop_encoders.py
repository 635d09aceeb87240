"""Encoders: a crop's picture to one vector. Our transformer, or the paper's ResNet-50 and HRNet-W48 by `timm`.

Or no picture at all: what a single-shot network's features of the whole image say of the crop.
"""

from __future__ import annotations

from importlib import import_module
from typing import cast

import torch
from torch import Tensor, nn

from ros2_multihmr.model.config import PATCH
from ros2_multihmr.model.multi_crop_config import CNN_STRIDE, MultiCropConfig
from ros2_multihmr.model.vit import NORM_EPS, Block, VisionTransformer

_FLAT_CHANNELS = 32


class FlatPooling(nn.Module):
    """Few numbers of each token, all side by side: where something is decides which weights it meets."""

    def __init__(self, tokens: int, width: int) -> None:
        super().__init__()
        self.fewer = nn.Linear(width, _FLAT_CHANNELS)
        self.join = nn.Linear(tokens * _FLAT_CHANNELS, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Maps (B, T, C) to (B, C)."""
        return self.join(torch.relu(self.fewer(tokens)).flatten(1))


class MeanPooling(nn.Module):
    """All tokens' mean."""

    def forward(self, tokens: Tensor) -> Tensor:
        """Maps (B, T, C) to (B, C)."""
        return tokens.mean(1)


class VitEncoder(nn.Module):
    """The backbone of `MultiHMR`, with its parameters' names under `backbone`."""

    def __init__(self, config: MultiCropConfig) -> None:
        super().__init__()
        self.width = config.width
        longer = max(config.size)
        self.backbone = VisionTransformer(longer, config.width, config.depth, config.heads, config.stem)
        count = config.crop_height * config.crop_width // PATCH**2
        self.pooling = None if config.pooling == "cls" else make_pooling(config.pooling, count, config.width)

    @property
    def blocks(self) -> nn.ModuleList:
        """The transformer's blocks."""
        return self.backbone.blocks

    def forward(self, pixels: Tensor) -> Tensor:
        """Maps normalised pictures (B, 3, h, w) to (B, D)."""
        tokens = self.backbone.norm(self.backbone.run_blocks(pixels))
        return tokens[:, 0] if self.pooling is None else self.pooling(tokens[:, 1:])


class TimmEncoder(nn.Module):
    """A convolutional network of `timm`, without pretrained weights: nothing is ever downloaded."""

    def __init__(self, config: MultiCropConfig) -> None:
        super().__init__()
        self.backbone = _timm_model(config.encoder)
        self.width = cast(int, self.backbone.num_features)
        count = config.crop_height * config.crop_width // CNN_STRIDE**2
        self.pooling = make_pooling(config.pooling, count, self.width)

    def forward(self, pixels: Tensor) -> Tensor:
        """Maps normalised pictures (B, 3, h, w) to (B, D)."""
        return self.pooling(self.backbone(pixels).flatten(2).transpose(1, 2))


class RoiEncoder(nn.Module):
    """Features that another network computed once for the whole image, read where the crop lies, and a few blocks.

    Whoever looks first has spent the time already; how finely it looked is how finely this one can.
    """

    def __init__(self, config: MultiCropConfig) -> None:
        super().__init__()
        self.width = config.width
        count = config.bins[0] * config.bins[1]
        self.positions = nn.Parameter(torch.zeros(1, count, config.width))
        self.blocks = nn.ModuleList([Block(config.width, config.heads) for _ in range(config.depth)])
        self.norm = nn.LayerNorm(config.width, NORM_EPS)
        self.pooling = make_pooling(config.pooling, count, config.width)

    def forward(self, maps: Tensor) -> Tensor:
        """Maps features (B, C, rows, columns) to (B, D)."""
        tokens = maps.flatten(2).transpose(1, 2) + self.positions
        for block in self.blocks:
            tokens = block(tokens)
        return self.pooling(self.norm(tokens))


def make_encoder(config: MultiCropConfig) -> VitEncoder | TimmEncoder | RoiEncoder:
    """Makes the encoder of a configuration; its `width` is D.

    Raises:
        ImportError: It is one of `timm`, which is not installed.
    """
    if config.encoder == "roi":
        return RoiEncoder(config)
    return VitEncoder(config) if config.encoder == "vit" else TimmEncoder(config)


def make_pooling(kind: str, tokens: int, width: int) -> nn.Module:
    """Makes what joins (B, T, C) tokens of a crop, "mean" or "flat"."""
    return FlatPooling(tokens, width) if kind == "flat" else MeanPooling()


def _timm_model(name: str) -> nn.Module:
    try:
        timm = import_module("timm")
    except ImportError as error:
        raise ImportError(
            f"encoder {name}: needs the package timm, which cannot be imported ({error}): pip install timm, or use vit"
        ) from error
    return timm.create_model(name, pretrained=False, num_classes=0, global_pool="")
