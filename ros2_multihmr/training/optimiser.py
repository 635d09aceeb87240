"""The optimiser: which tensors decay, how the learning rate goes, and the average of the weights that is kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ros2_multihmr.training.recipe_sections import OptimiserSettings

# Of the network's tensors with two dimensions or more, those that are tables of positions and no matrices.
TABLES = ("pos_embed", "cls_token", "query_row", "query_column", "value_row", "value_column", "token_position")
BACKBONE = "backbone."
BLOCKS = (".blocks.", ".layers.")  # of the backbone and of the Human Perception Head
EMA_RAMP = 10.0


def create_optimiser(module: nn.Module, settings: OptimiserSettings) -> torch.optim.Optimizer:
    """Makes the optimiser of a module's trainable parameters; norms, biases and tables of positions do not decay.

    Args:
        module: The network with whatever is trained beside it.
        settings: Rule, decay and betas; the learning rate is set at every step by `set_learning_rate`.
    """
    groups: dict[tuple[bool, bool, bool], list[nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            matrix = settings.kind == "muon" and hidden(name, parameter)
            groups.setdefault((BACKBONE in name, decays(name, parameter), matrix), []).append(parameter)
    described = [
        {
            "params": parameters,
            "weight_decay": settings.weight_decay if decay and settings.kind != "adam" else 0.0,
            "factor": settings.backbone_fraction if backbone else 1.0,
            "matrices": matrix,
        }
        for (backbone, decay, matrix), parameters in groups.items()
    ]
    if settings.kind == "muon":
        return MuonAdamW(described, settings)
    kind = torch.optim.AdamW if settings.kind == "adamw" else torch.optim.Adam
    return kind(described, lr=settings.learning_rate, betas=(settings.beta1, settings.beta2))


class MuonAdamW(torch.optim.Optimizer):
    """Muon for hidden matrices, AdamW for everything else, as one optimiser with one state.

    Muon (Jordan et al., 2024) takes the nearest orthogonal matrix to the gradient's mean as a step, so that rare
    directions are learned as fast as frequent ones. Steps are scaled to the length of AdamW's (arXiv:2502.16982), so
    that one learning rate serves both.
    """

    def __init__(self, groups: list[dict[str, Any]], settings: OptimiserSettings) -> None:
        """Makes both.

        Args:
            groups: Parameter groups; each says with `matrices` whether Muon takes it.
            settings: Learning rate, AdamW's betas, Muon's momentum.

        Raises:
            ValueError: This torch has no Muon.
        """
        if not hasattr(torch.optim, "Muon"):
            raise ValueError(
                f"optimiser.kind: muon needs torch 2.9 or newer, here is {torch.__version__}; install a newer one, or "
                "use adamw"
            )
        super().__init__(groups, {"lr": settings.learning_rate})
        rate = settings.learning_rate
        self._parts: tuple[torch.optim.Optimizer, ...] = (
            torch.optim.Muon(self._groups(True), lr=rate, momentum=settings.momentum, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(self._groups(False), lr=rate, betas=(settings.beta1, settings.beta2)),
        )
        self._link()

    def _groups(self, matrices: bool) -> list[dict[str, Any]]:
        return [group for group in self.param_groups if group["matrices"] is matrices]

    def _link(self) -> None:
        # Both work on this object's own groups and state: who saves, loads or changes these, changes theirs.
        for part, matrices in zip(self._parts, (True, False), strict=True):
            part.param_groups, part.state = self._groups(matrices), self.state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over a state of `state_dict`."""
        super().load_state_dict(state_dict)
        self._link()

    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Takes one step; a closure is not supported."""
        if closure is not None:
            raise ValueError("MuonAdamW takes no closure: compute the gradients first")
        for part in self._parts:
            part.step()


def decays(name: str, parameter: Tensor) -> bool:
    """Returns True for matrices, which weight decay keeps small."""
    return parameter.dim() > 1 and not name.endswith(TABLES)


def hidden(name: str, parameter: Tensor) -> bool:
    """Returns True for matrices between two hidden layers, the ones that Muon is for."""
    return parameter.dim() == 2 and any(part in name for part in BLOCKS)


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
