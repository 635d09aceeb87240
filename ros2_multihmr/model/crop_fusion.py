"""Fusion: each crop's features, joined with those of the person's other crops.

For a target crop m, the crops k are weighed by what they show and by where they lie against m: D_mk = info_m - info_k,
as sines and cosines (arXiv:2402.02074). This is done for every m. Here are the plainer ways, too, that it compares.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ros2_multihmr.model.camera_embedding import fourier
from ros2_multihmr.model.config import HEAD_WIDTH
from ros2_multihmr.model.human_perception_head import attend
from ros2_multihmr.model.multi_crop_config import MultiCropConfig


class RelativeBoxes(nn.Module):
    """Encodes where crops lie against each other, and maps it linearly; nothing at all if that is switched off."""

    def __init__(self, config: MultiCropConfig, outputs: int) -> None:
        super().__init__()
        self.num_bands, self.max_resolution = config.num_bands, config.max_resolution
        self.linear = nn.Linear(3 + 6 * config.num_bands, outputs, bias=False) if config.relative_boxes else None

    def forward(self, infos: Tensor) -> Tensor:
        """Maps infos (P, N, 3) to (P, N, N, outputs), target crop m before crop k; zeros (1, 1, 1, 1) if off."""
        if self.linear is None:
            return infos.new_zeros(1, 1, 1, 1)
        relative = infos[:, :, None] - infos[:, None]
        return self.linear(fourier(relative, self.num_bands, self.max_resolution))


class MeanFusion(nn.Module):
    """The crops' mean, for all of them."""

    def forward(self, features: Tensor, infos: Tensor) -> Tensor:
        """Maps features (P, N, D), with infos (P, N, 3), to (P, N, D)."""
        return features.mean(1, keepdim=True).expand_as(features)


class ConcatFusion(nn.Module):
    """All crops side by side, in their order, and one layer."""

    def __init__(self, config: MultiCropConfig, width: int) -> None:
        super().__init__()
        self.join = nn.Linear(config.num_crops * width, width)
        self.boxes = RelativeBoxes(config, config.fusion_width)
        placed = config.num_crops * config.fusion_width
        self.place = nn.Linear(placed, width, bias=False) if config.relative_boxes else None

    def forward(self, features: Tensor, infos: Tensor) -> Tensor:
        """Maps features (P, N, D), with infos (P, N, 3), to (P, N, D)."""
        joined = self.join(features.flatten(1))[:, None].expand_as(features)
        return joined if self.place is None else joined + self.place(self.boxes(infos).flatten(2))


class SelfAttentionFusion(nn.Module):
    """Attention among the crops, added to each; keys and values know the relative boxes."""

    def __init__(self, config: MultiCropConfig, width: int) -> None:
        super().__init__()
        self.heads = config.fusion_width // HEAD_WIDTH
        self.norm = nn.LayerNorm(width)
        self.to_q = nn.Linear(width, config.fusion_width, bias=False)
        self.to_kv = nn.Linear(width, 2 * config.fusion_width, bias=False)
        self.boxes = RelativeBoxes(config, 2 * config.fusion_width)
        self.to_out = nn.Linear(config.fusion_width, width)

    def forward(self, features: Tensor, infos: Tensor) -> Tensor:
        """Maps features (P, N, D), with infos (P, N, 3), to (P, N, D)."""
        people, crops, _ = features.shape
        normed = self.norm(features)
        seen = self.to_kv(normed)[:, None].expand(-1, crops, -1, -1) + self.boxes(infos)
        key, value = seen.flatten(0, 1).chunk(2, dim=-1)
        query = self.to_q(normed).flatten(0, 1)[:, None]
        return features + self.to_out(attend(query, key, value, self.heads)).unflatten(0, (people, crops))[:, :, 0]


class CropAwareFusion(nn.Module):
    """One weight per crop, of all crops' features and relative boxes; the raw features are what is summed."""

    def __init__(self, config: MultiCropConfig, width: int) -> None:
        super().__init__()
        self.see = nn.Linear(width, config.fusion_width)
        self.boxes = RelativeBoxes(config, config.fusion_width)
        self.weigh = nn.Sequential(
            nn.Linear(config.num_crops * config.fusion_width, config.fusion_width),
            nn.Tanh(),
            nn.Linear(config.fusion_width, config.num_crops),
        )

    def forward(self, features: Tensor, infos: Tensor) -> Tensor:
        """Maps features (P, N, D), with infos (P, N, 3), to (P, N, D)."""
        return self.weights(features, infos) @ features

    def weights(self, features: Tensor, infos: Tensor) -> Tensor:
        """How much of each crop goes into each target crop: (P, N, N), rows sum to 1."""
        # A layer on [f_k; enc(D_mk)] is a sum of two, so nothing of size N x N x D is made.
        seen = self.see(features)[:, None] + self.boxes(infos)
        logits: Tensor = self.weigh(seen.flatten(2))
        return torch.softmax(logits, -1).expand(-1, features.shape[1], -1)


_LEARNED = {"concat": ConcatFusion, "self_attention": SelfAttentionFusion, "crop_aware": CropAwareFusion}


def make_fusion(config: MultiCropConfig, width: int) -> nn.Module:
    """Makes the fusion of a configuration for features of the given width D."""
    return MeanFusion() if config.fusion == "mean" else _LEARNED[config.fusion](config, width)
