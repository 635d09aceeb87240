"""Start values: weights drawn from a seed by tensor name, and read-outs scaled to what they stand for."""

from __future__ import annotations

import math
import zlib

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ros2_multihmr.model.camera_embedding import embed_camera
from ros2_multihmr.model.config import MultiHMRConfig
from ros2_multihmr.model.detection import Slots
from ros2_multihmr.model.multihmr import MultiHMR
from ros2_multihmr.model.read_outs import nominal_focal

LAYER_SCALE = 0.2
POSITION_STD = 0.3
PRACTICE_IMAGES = 12
PRACTICE_CELLS = (3, 10, 40)
BLACK = -2.0


def draw(name: str, shape: tuple[int, ...], seed: int) -> Tensor:
    """Draws standard normal numbers that depend on the seed and the tensor's name alone, the same on every machine."""
    generator = np.random.Generator(np.random.Philox(key=[seed, zlib.crc32(name.encode())]))
    return torch.from_numpy(generator.standard_normal(shape, dtype=np.float32))


@torch.no_grad()
def draw_weights(model: MultiHMR, seed: int) -> None:
    """Fills a network's parameters: variance-keeping matrices, no biases, weak residual branches."""
    for name, parameter in model.named_parameters():
        if name.endswith("gamma"):
            parameter.fill_(LAYER_SCALE)
        elif name.endswith("bias"):
            parameter.zero_()
        elif "norm" in name:
            parameter.fill_(1.0)
        elif parameter.dim() > 1 and name.endswith("weight"):
            parameter.copy_(draw(name, tuple(parameter.shape), seed) / math.sqrt(parameter[0].numel()))
        else:
            parameter.copy_(POSITION_STD * draw(name, tuple(parameter.shape), seed))


@torch.no_grad()
def scale_read_out(layer: nn.Linear, inputs: Tensor, std: Tensor | float) -> None:
    """Scales a linear layer so that its outputs for `inputs` have mean 0 and the given spread.

    Args:
        layer: The layer, K outputs.
        inputs: (..., width) what it reads; at least two rows.
        std: () or (K,) spread wanted.
    """
    outputs = F.linear(inputs, layer.weight).flatten(0, -2)
    scale = torch.as_tensor(std) / outputs.std(0)
    layer.weight.mul_(scale[:, None])
    layer.bias.copy_(-scale * outputs.mean(0))


@torch.no_grad()
def practice_features(model: MultiHMR, seed: int) -> tuple[Tensor, Tensor]:
    """Runs the backbone on smooth random landscapes, padded with black as photographs are.

    Returns:
        tokens: (B, N, C).
        features: (B, N, D), with the ray embedding of a 60 degree camera.
    """
    pixels = practice_images(model.config, seed)
    size, focal = model.config.image_size, nominal_focal(model.config.image_size)
    k = torch.tensor([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]]).expand(len(pixels), 3, 3)
    tokens = model.backbone(pixels)
    return tokens, torch.cat([tokens, embed_camera(k, model.config)], dim=-1)


def practice_images(config: MultiHMRConfig, seed: int) -> Tensor:
    """Draws (B, 3, S, S) normalised landscapes, coarse and fine structure of any brightness and contrast."""
    size, margin = config.image_size, config.image_size * 3 // 16
    height = size - 2 * margin
    image = draw("practice brightness", (PRACTICE_IMAGES, 1, 1, 1), seed).expand(-1, 3, height, size)
    contrast = draw("practice contrast", (PRACTICE_IMAGES, 1, 1, 1), seed).exp() / 2
    for cells in PRACTICE_CELLS:
        coarse = draw(f"practice {cells}", (PRACTICE_IMAGES, 3, cells, cells), seed)
        image = image + contrast * F.interpolate(coarse, (height, size), mode="bilinear")
    return F.pad(image.clamp(BLACK, -BLACK), (0, 0, margin, margin), value=BLACK)


@torch.no_grad()
def decode_cells(model: MultiHMR, features: Tensor, cells: list[tuple[int, int]]) -> Tensor:
    """Runs the head's layers with people at given (row, column) cells: (B, M, width)."""
    tokens = torch.tensor([row * model.config.grid + column for row, column in cells])
    batch = len(features)
    everyone = torch.ones(batch, len(cells), dtype=torch.bool)
    slots = Slots(everyone, tokens.expand(batch, -1), everyone.float(), everyone.sum(1))
    return model.head.decode(model.head.tokens(features, slots), model.head.context(features, slots), everyone)
