"""The optimiser: which tensors decay, how the learning rate goes, and the average of the weights that is kept."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from ros2_multihmr.training.recipe import OptimiserSettings

# Of the network's tensors with two dimensions or more, those that are tables of positions and no matrices.
TABLES = ("pos_embed", "cls_token", "query_row", "query_column", "value_row", "value_column", "token_position")
BACKBONE = "backbone."
EMA_RAMP = 10.0


def create_optimiser(module: nn.Module, settings: OptimiserSettings) -> torch.optim.Optimizer:
    """Makes AdamW or Adam over a module's trainable parameters; norms, biases and tables of positions do not decay.

    Args:
        module: The network with whatever is trained beside it.
        settings: Rule, decay and betas; the learning rate is set at every step by `set_learning_rate`.
    """
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((BACKBONE in name, decays(name, parameter)), []).append(parameter)
    described = [
        {
            "params": parameters,
            "weight_decay": settings.weight_decay if decay and settings.kind == "adamw" else 0.0,
            "factor": settings.backbone_fraction if backbone else 1.0,
        }
        for (backbone, decay), parameters in groups.items()
    ]
    kind = torch.optim.AdamW if settings.kind == "adamw" else torch.optim.Adam
    return kind(described, lr=settings.learning_rate, betas=(settings.beta1, settings.beta2))


def decays(name: str, parameter: Tensor) -> bool:
    """Returns True for matrices, which weight decay keeps small."""
    return parameter.dim() > 1 and not name.endswith(TABLES)


def learning_rate(step: int, progress: float, settings: OptimiserSettings) -> float:
    """Learning rate: a linear climb, and half a cosine down to `final_fraction` over the whole run.

    The cosine follows the run's progress rather than its steps, so that a run of a given time ends annealed, too.

    Args:
        step: Steps done.
        progress: Part of the run that is over, 0 to 1.
        settings: Largest and last learning rate, length of the climb.
    """
    climb = min(1.0, (step + 1) / settings.warm_up_steps) if settings.warm_up_steps else 1.0
    last = settings.final_fraction
    cosine = last + (1.0 - last) * 0.5 * (1.0 + math.cos(math.pi * min(max(progress, 0.0), 1.0)))
    return settings.learning_rate * climb * cosine


def set_learning_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Sets every group's learning rate."""
    for group in optimiser.param_groups:
        group["lr"] = rate * group["factor"]


class Average:
    """Exponential moving average of a module's parameters, with a shorter memory while the run is young.

    Attributes:
        tensors: The averages by parameter name, float32, where the parameters are.
    """

    def __init__(self, module: nn.Module, memory: float) -> None:
        """Starts at the parameters.

        Args:
            module: Whose parameters.
            memory: Part of the old average that a step keeps in the long run; 0 to follow the parameters.
        """
        self.memory = memory
        self.tensors = {name: parameter.detach().clone() for name, parameter in module.named_parameters()}

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Takes in the parameters after a step; `step` counts from 0."""
        memory = min(self.memory, (1.0 + step) / (EMA_RAMP + step))
        parameters = dict(module.named_parameters())
        old, new = list(self.tensors.values()), [parameters[name].detach() for name in self.tensors]
        torch._foreach_lerp_(old, new, 1.0 - memory)

    @torch.no_grad()
    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes over averages, for example a checkpoint's."""
        for name, tensor in self.tensors.items():
            tensor.copy_(tensors[name])

    @torch.no_grad()
    def swap(self, module: nn.Module) -> None:
        """Exchanges the module's parameters with the averages; a second call brings them back."""
        for name, parameter in module.named_parameters():
            kept = parameter.detach().clone()
            parameter.copy_(self.tensors[name])
            self.tensors[name].copy_(kept)


def gradient_norm(parameters: Iterable[nn.Parameter]) -> Tensor:
    """Length of the whole gradient, (); not finite if any number is not."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    return torch.nn.utils.get_total_norm(gradients)
