"""What a second look's encoder reads of crops: pixels, or the features that a single-shot network has of the image."""

from __future__ import annotations

import torch
from torch import Tensor

from ros2_multihmr.crops import network_crops
from ros2_multihmr.model.config import PATCH
from ros2_multihmr.model.feature_bins import bin_samples, read_bins
from ros2_multihmr.model.multi_crop_config import MultiCropConfig
from ros2_multihmr.training.crop_batches import CropBatch


def encoder_inputs(config: MultiCropConfig, batch: CropBatch) -> Tensor:
    """Cuts what the encoder reads of P people's crops: (P, N, *config.encoder_input)."""
    if config.encoder != "roi":
        return network_crops(batch.images, batch.of_image, batch.boxes, config.size)
    places = on_map(bin_samples(batch.boxes, config.bins), batch.k, batch.map_k)
    crops = batch.features.new_zeros(len(batch), config.num_crops, *config.encoder_input)
    for image in batch.of_image.unique():
        those = batch.of_image == image
        crops[those] = read_bins(batch.features[image][None], places[those])
    return crops


def map_intrinsics(k: Tensor) -> Tensor:
    """Turns intrinsics (..., 3, 3) of a single-shot network's input into those of its feature map.

    Returns:
        (..., 3, 3) in tokens, the corner of the first one at 0.
    """
    out = k.clone()
    out[..., :2, :] = k[..., :2, :] / PATCH
    return out


def on_map(px: Tensor, k: Tensor, map_k: Tensor) -> Tensor:
    """Moves points (P, N, h, w, 2) from images with intrinsics k (P, 3, 3) onto their maps with map_k (P, 3, 3)."""
    scale, middle, on_middle = (
        values[:, None, None, None] for values in (_focal(map_k) / _focal(k), k[:, :2, 2], map_k[:, :2, 2])
    )
    return (px - middle) * scale + on_middle


def _focal(k: Tensor) -> Tensor:
    return torch.stack([k[:, 0, 0], k[:, 1, 1]], dim=-1)
