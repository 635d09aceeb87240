"""Official checkpoint files, read without ever running what is pickled inside them."""

from __future__ import annotations

import argparse
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ros2_multihmr.model.official import is_official_smplx
from ros2_multihmr.model.official_anny import is_official_anny
from ros2_multihmr.model.weights_error import WeightsError

OFFICIAL_SUFFIXES = (".pt", ".pth")
STATE_KEYS = ("model_state_dict", "state_dict_model", "state_dict")
# Beside tensors: the training arguments, and the numpy scalars of the best validation score (old and new numpy).
_SCALAR: Any = np.float64(0).__reduce__()[0]
ALLOWED: list[Any] = [
    argparse.Namespace,
    np.dtype,
    type(np.dtype(np.float64)),
    type(np.dtype(np.float32)),
    (_SCALAR, "numpy.core.multiarray.scalar"),
    (_SCALAR, "numpy._core.multiarray.scalar"),
]


def read_official_file(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Reads an official checkpoint, of the SMPL-X or the Anny family.

    Args:
        path: A file written by `torch.save`.

    Returns:
        The state dict by its official names, and the training arguments (empty if there are none).

    Raises:
        WeightsError: The file is damaged, holds objects beyond tensors and arguments, or is of another family.
    """
    content = _load(path)
    if not isinstance(content, Mapping):
        raise WeightsError(f"{path}: expected a dictionary, got {type(content).__name__}. Use an official checkpoint.")
    tensors = _state_of(content, path)
    if not is_official_smplx(tensors) and not is_official_anny(tensors):
        raise WeightsError(f"{path}: neither of the official families' names inside. Use an official checkpoint.")
    args = content.get("args", {})
    args = vars(args) if isinstance(args, argparse.Namespace) else args
    if not isinstance(args, Mapping):
        raise WeightsError(
            f"{path}: args: expected training arguments, got {type(args).__name__}. Use an official checkpoint."
        )
    return tensors, dict(args)


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Reads a state dict of any network.

    Args:
        path: A file written by `torch.save`: the state dict itself, or a dictionary that holds one.

    Raises:
        WeightsError: The file is damaged, or holds objects beyond tensors and arguments.
    """
    content = _load(path)
    if not isinstance(content, Mapping):
        raise WeightsError(f"{path}: expected a dictionary, got {type(content).__name__}. Use a file of weights.")
    return _state_of(content, path)


def _state_of(content: Mapping[Any, Any], path: Path) -> dict[str, Tensor]:
    key, state = next(((key, content[key]) for key in STATE_KEYS if key in content), ("", content))
    if not isinstance(state, Mapping):
        raise WeightsError(
            f"{path}: {key}: expected a dictionary of tensors, got {type(state).__name__}. Use a file of weights."
        )
    return {str(name): value for name, value in state.items() if isinstance(value, Tensor)}


def _load(path: Path) -> Any:
    try:
        with torch.serialization.safe_globals(ALLOWED):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(f"{path}: {_refusal(str(error))}") from error
    except (RuntimeError, OSError, EOFError, ValueError, KeyError) as error:
        reason = str(error) or "it ends too early"
        raise WeightsError(f"{path}: damaged or not written by torch.save ({reason}). Get the file again.") from error


def _refusal(text: str) -> str:
    """What PyTorch's unpickler did not like, without its advice to trust the file."""
    if (operand := re.search(r"Unsupported operand \d+", text)) is not None:  # no pickle: a web page, for example
        return f"damaged or not written by torch.save ({operand[0]}); nothing in it was run. Get the file again."
    name = re.search(r"GLOBAL ([\w.]+)", text)
    return (
        "refused: it holds objects beyond tensors and training arguments, and nothing in it was run"
        f"{f' (it names {name[1]})' if name else ''}. Get the file from the authors' page."
    )
