"""Crops of feature maps (RoI-align): each of a crop's bins is the mean of two by two bilinear samples, 0 outside.

Places on a map count tokens, columns first; the map's corner is at 0.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ros2_multihmr.model.crop_cameras import CropBoxes

_SAMPLES = 2  # along each side of a bin
_OUTSIDE = 2.0  # where -1 to 1 is the map: further outside is 0 as well


def bin_samples(boxes: CropBoxes, bins: tuple[int, int]) -> Tensor:
    """Says where the samples of crops lie in their image.

    Args:
        boxes: P x N crops.
        bins: Rows and columns of a crop.

    Returns:
        (P, N, 2 rows, 2 columns, 2) x, y [px].
    """
    steps = [
        (torch.arange(_SAMPLES * count, device=boxes.size.device) + 0.5) / (_SAMPLES * count) - 0.5 for count in bins
    ]
    unit = torch.stack(torch.meshgrid(steps[1], steps[0], indexing="xy"), dim=-1).to(boxes.size)
    return boxes.center[:, :, None, None] + boxes.size[:, :, None, None] * unit


def read_bins(features: Tensor, places: Tensor) -> Tensor:
    """Reads crops of one map.

    Args:
        features: (1, C, H, W).
        places: (P, N, 2 rows, 2 columns, 2) of the samples on the map; NaN is outside.

    Returns:
        (P, N, C, rows, columns).
    """
    people, crops, rows, columns, _ = places.shape
    if not people:
        return features.new_zeros(0, crops, features.shape[1], rows // _SAMPLES, columns // _SAMPLES)
    height, width = features.shape[-2:]
    grid = places * 2.0 / places.new_tensor([width, height]) - 1.0
    grid = grid.nan_to_num(nan=_OUTSIDE).clamp(-_OUTSIDE, _OUTSIDE).to(features)
    sampled = F.grid_sample(features, grid.flatten(0, 2)[None], align_corners=False)
    pooled = F.avg_pool2d(sampled, _SAMPLES)[0].unflatten(1, (people, crops, rows // _SAMPLES))
    return pooled.permute(1, 2, 0, 3, 4)
