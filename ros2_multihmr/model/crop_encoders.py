"""Encoders: a crop's picture to one vector. Our transformer, or the paper's ResNet-50 and HRNet-W48 by `timm`."""

from __future__ import annotations

from importlib import import_module
from typing import cast

import torch
from torch import Tensor, nn

from ros2_multihmr.model.config import PATCH
from ros2_multihmr.model.multi_crop_config import CNN_STRIDE, MultiCropConfig
from ros2_multihmr.model.vit import VisionTransformer

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


def make_encoder(config: MultiCropConfig) -> VitEncoder | TimmEncoder:
    """Makes the encoder of a configuration; its `width` is D.

    Raises:
        ImportError: It is one of `timm`, which is not installed.
    """
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
