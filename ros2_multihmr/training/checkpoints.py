"""Checkpoints: all that a run needs to go on as if nothing had happened. Tensors and JSON in one safetensors file."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ros2_multihmr.files.whole_file import whole_file

FOLDER = "checkpoints"
STATE_KEY = "multihmr_training"
VERSION = 1
_NAME = re.compile(r"step-(\d{9})\.safetensors")


@dataclass(frozen=True)
class Progress:
    """Where a run is.

    Attributes:
        step: Steps done, those without finite numbers among them; the next batch is this one.
        elapsed_s: Time that the run has taken, interruptions not counted [s].
        skipped: Steps whose numbers were not finite.
        skipped_in_a_row: Such steps since the last good one.
        best_loss: Smallest validation loss so far.
        best_step: Its step, -1 before the first validation.
    """

    step: int = 0
    elapsed_s: float = 0.0
    skipped: int = 0
    skipped_in_a_row: int = 0
    best_loss: float = float("inf")
    best_step: int = -1


@dataclass(frozen=True)
class Checkpoint:
    """A run at one moment.

    Attributes:
        progress: Where it is.
        weights: State of what is trained, by name.
        average: Averaged weights by name.
        optimiser: `torch.optim.Optimizer.state_dict`'s "state": tensors of each parameter by its number.
        scaler: `GradScaler.state_dict`, numbers.
        recipe: The recipe's values.
        random: State of the random generators.
    """

    progress: Progress
    weights: Mapping[str, Tensor]
    average: Mapping[str, Tensor]
    optimiser: Mapping[int, Mapping[str, Tensor]]
    scaler: Mapping[str, Any]
    recipe: Mapping[str, Any]
    random: Mapping[str, Any] = field(default_factory=dict)


def save_checkpoint(folder: Path, checkpoint: Checkpoint, keep: int) -> Path:
    """Writes a checkpoint whole or not at all, then removes old ones.

    Args:
        folder: Where checkpoints are.
        checkpoint: What to write.
        keep: How many are kept beside the best.

    Raises:
        OSError: The file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / _name(checkpoint.progress.step)
    generators, numbers = _split(checkpoint.random)
    tensors = {f"random/{name}": tensor for name, tensor in generators.items()}
    for kind in ("weights", "average"):
        tensors |= {f"{kind}/{name}": tensor for name, tensor in getattr(checkpoint, kind).items()}
    for index, state in checkpoint.optimiser.items():
        tensors |= {f"optimiser/{index}/{name}": torch.as_tensor(value) for name, value in state.items()}
    scalars = {
        "version": VERSION,
        "progress": asdict(checkpoint.progress),
        "scaler": dict(checkpoint.scaler),
        "recipe": dict(checkpoint.recipe),
        "random": numbers,
    }
    # Cloned: safetensors refuses tensors that share memory.
    tensors = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    with whole_file(path) as part:
        save_file(tensors, str(part), metadata={STATE_KEY: json.dumps(scalars)})
    _prune(folder, checkpoint.progress, keep)
    return path


def load_checkpoint(path: Path) -> Checkpoint:
    """Reads a checkpoint; nothing in it can run.

    Raises:
        ValueError: The file is damaged, or of another version.
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            scalars = json.loads((file.metadata() or {})[STATE_KEY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        if scalars["version"] != VERSION:
            raise ValueError(f"{path}: of version {scalars['version']}, expected {VERSION}")
        return _assemble(scalars, tensors)
    except (SafetensorError, OSError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: no checkpoint of a training run, or damaged ({error}); remove it") from error


def newest_checkpoint(folder: Path) -> Path | None:
    """Returns the checkpoint with the most steps, None if there is none."""
    return max((path for path in folder.glob("*") if _NAME.fullmatch(path.name)), default=None)


def random_state() -> dict[str, Any]:
    """Returns the state of torch's, numpy's and Python's generators."""
    version, words, gauss = random.getstate()
    kind, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    state: dict[str, Any] = {
        "python": [version, list(words), gauss],
        "numpy": [kind, [int(key) for key in keys], int(position), int(has_gauss), float(cached)],
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def restore_random_state(state: Mapping[str, Any]) -> None:
    """Brings the generators back to a state of `random_state`."""
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, np.array(keys, np.uint32), *rest))
    torch.set_rng_state(state["torch"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])


def _name(step: int) -> str:
    return f"step-{step:09d}.safetensors"


def _split(values: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    tensors = {name: value for name, value in values.items() if isinstance(value, Tensor)}
    return tensors, {name: value for name, value in values.items() if name not in tensors}


def _assemble(scalars: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Checkpoint:
    parts: dict[str, dict[str, Tensor]] = {"weights": {}, "average": {}, "optimiser": {}, "random": {}}
    for name, tensor in tensors.items():
        kind, _, rest = name.partition("/")
        parts[kind][rest] = tensor
    optimiser: dict[int, dict[str, Tensor]] = {}
    for name, tensor in parts["optimiser"].items():
        index, _, key = name.partition("/")
        optimiser.setdefault(int(index), {})[key] = tensor
    return Checkpoint(
        progress=Progress(**scalars["progress"]),
        weights=parts["weights"],
        average=parts["average"],
        optimiser=optimiser,
        scaler=scalars["scaler"],
        recipe=scalars["recipe"],
        random=scalars["random"] | parts["random"],
    )


def _prune(folder: Path, progress: Progress, keep: int) -> None:
    paths = sorted(path for path in folder.glob("*") if _NAME.fullmatch(path.name))
    for path in paths[:-keep]:
        if path.name != _name(progress.best_step):
            path.unlink(missing_ok=True)
