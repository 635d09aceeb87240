"""Random official checkpoints and images, drawn as the golden cases were."""

from __future__ import annotations

import argparse
import ast
import json
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

GOLDEN = Path(__file__).parent / "golden" / "network"
GAINS = {
    "mlp_classif.2.weight": 3.0,
    "encoder.mlp_det.2.weight": 3.0,
    "mlp_pose.2.weight": 0.35,
    "mlp_dist.2.weight": 0.3,
    "x_attention_head.decpose.weight": 0.35,
    "x_attention_head.deccam.weight": 0.2,
}
BIASES = {"mlp_classif.2.bias": -2.0, "encoder.mlp_det.2.bias": -2.0, "mlp_dist.2.bias": 4.0}
OCTAVES = ((4, 1.0), (9, 0.7), (21, 0.5))
GRAIN = 0.15


def layout(keys: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of an official checkpoint, body apart."""
    rows = (line.split("\t") for line in (GOLDEN / "keys" / keys).read_text().splitlines())
    return {row[0]: ast.literal_eval(row[1]) for row in rows if not row[0].startswith("smpl_layer.")}


def official_state(keys: str, fixed: str, seed: int) -> dict[str, Tensor]:
    """State dict of a random official network."""
    state = {name: draw(name, shape, seed) for name, shape in layout(keys).items()}
    buffers = dict(np.load(GOLDEN / fixed))
    if "dec_pos_emb" in state:
        buffers["dec_pos_emb"] = sine_table(*state["dec_pos_emb"].shape)
    return {name: torch.from_numpy(buffers.get(name, value)) for name, value in state.items()}


def sine_table(tokens: int, width: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Positions of the Anny networks' tokens: half of the channels for the column, then half for the row."""
    grid, quarter = int(tokens**0.5), width // 4
    angles = np.arange(grid)[:, None] * 10000.0 ** (-np.arange(quarter) / quarter)
    half = np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
    column, row = (np.broadcast_to(part, (grid, grid, width // 2)) for part in (half[None], half[:, None]))
    return np.concatenate([column, row], axis=2).reshape(tokens, width).astype(np.float32)


def draw(name: str, shape: tuple[int, ...], seed: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """One tensor, from its name, shape and seed alone."""
    generator = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode()) ^ seed))
    kind = name.rpartition(".")[2]
    if kind == "gamma":
        return np.float32(0.25 + 0.5 * generator.random(shape))
    mean, spread = _moments(name, kind, shape)
    numbers = np.float32(generator.standard_normal(shape) * spread)
    return np.float32(numbers * np.float32(GAINS.get(name, 1.0)) + np.float32(mean))


def _moments(name: str, kind: str, shape: tuple[int, ...]) -> tuple[float, float]:
    if kind == "bias":
        return BIASES.get(name, 0.0), 0.1
    if ".norm" in name and kind == "weight":
        return 1.0, 0.1
    spreads = {"pos_embed": 0.3, "cls_token": 0.5, "mask_token": 0.5, "pos_embedding": 0.5}
    if kind.startswith("cross_"):
        return 0.0, 0.2
    fan_in = int(np.prod(shape[1:])) if len(shape) > 1 else 1
    return 0.0, spreads.get(kind, fan_in**-0.5)


def images(seed: int, count: int, size: int) -> Tensor:
    """Smooth noise with grain, (count, 3, size, size)."""
    generator = np.random.default_rng(seed)
    return torch.cat([_image(generator, size) for _ in range(count)]).float()


def _image(generator: np.random.Generator, size: int) -> Tensor:
    image = torch.zeros(1, 3, size, size, dtype=torch.float64)
    for cells, weight in OCTAVES:
        coarse = torch.from_numpy(generator.standard_normal((1, 3, cells, cells)))
        image = image + weight * F.interpolate(coarse, size=(size, size), mode="bicubic")
    return image + GRAIN * torch.from_numpy(generator.standard_normal((1, 3, size, size)))


def golden(name: str) -> dict[str, Any]:
    """A golden case: recorded arrays, its `recipe`, and its `pixels`."""
    case: dict[str, Any] = dict(np.load(GOLDEN / f"{name}.npz"))
    recipe = json.loads(str(case["recipe"]))
    case["recipe"] = recipe
    case["pixels"] = images(recipe["image_seed"], recipe["n_img"], recipe["img_size"])
    return case


def write_official(keys: str, fixed: str, out: Path, seed: int = 0) -> None:
    """Writes a file of random numbers in the structure of an official checkpoint, as large as that."""
    args = argparse.Namespace(person_center="head")
    torch.save({"epoch": 0, "iter": 0, "model_state_dict": official_state(keys, fixed, seed), "args": args}, out)


if __name__ == "__main__":  # for example: keys_anny_L_672.txt fixed_anny.npz L_anny.pt
    write_official(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
