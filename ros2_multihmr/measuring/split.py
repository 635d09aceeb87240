"""How the network's time divides into backbone and head, in plain PyTorch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ros2_multihmr.backends.torch_backend import TorchBackend
from ros2_multihmr.estimator_config import EstimatorConfig
from ros2_multihmr.measuring.turns import Stages, now, take_turns
from ros2_multihmr.model.embedded import open_network

BACKBONE, HEAD = "backbone", "head"


def backbone_and_head(
    config: EstimatorConfig, device: torch.device, pixels: Tensor, k: Tensor, threshold: float, repeats: int
) -> list[Stages]:
    """Measures the network of some settings without whatever makes it faster, stage by stage [s].

    The head is everything after the backbone: scores, slots, ray embeddings, decoder, read-outs.

    Args:
        config: Settings with weights that are no export.
        device: Where it runs.
        pixels: (B, 3, H, W).
        k: (B, 3, 3).
        threshold: Score from which a token is a person.
        repeats: Runs that count.
    """
    model = open_network(config.weights, max_humans=config.max_humans, nms_kernel=config.nms_kernel)
    backend = TorchBackend(model, device, "float32" if config.precision == "auto" else config.precision)

    def run() -> Stages:
        with _watch(model.backbone, device) as stages:
            start = now(device)
            backend.infer(pixels, k, threshold)
            whole = now(device) - start
        return {BACKBONE: stages[BACKBONE], HEAD: whole - stages[BACKBONE]}

    return take_turns({"split": run}, repeats)["split"]


@contextmanager
def _watch(backbone: nn.Module, device: torch.device) -> Iterator[Stages]:
    stages: Stages = {BACKBONE: 0.0}

    def before(*_: Any) -> None:
        stages[BACKBONE] -= now(device)

    def after(*_: Any) -> None:
        stages[BACKBONE] += now(device)

    hooks = backbone.register_forward_pre_hook(before), backbone.register_forward_hook(after)
    try:
        yield stages
    finally:
        for hook in hooks:
            hook.remove()
