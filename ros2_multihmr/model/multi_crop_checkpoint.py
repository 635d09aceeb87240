"""Weights of multi-crop networks on disk: safetensors, with the configuration beside them. Loading is strict."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ros2_multihmr.files.whole_file import whole_file
from ros2_multihmr.model.checkpoint import LICENCE_KEY, OWN_SUFFIX
from ros2_multihmr.model.multi_crop import MultiCrop
from ros2_multihmr.model.multi_crop_config import MultiCropConfig
from ros2_multihmr.model.weights_error import WeightsError

MULTI_CROP_KEY = "multihmr_multi_crop_config"
_SHOWN = 4
_CONTRASTIVE = "contrastive."
_TRAIN = "those of a second look come from `multihmr train --recipe multi_crop_embedded`"


def save_multi_crop(
    model: MultiCrop, path: str | Path, *, half: bool = False, licence: str = "", for_training: bool = True
) -> None:
    """Writes a network as safetensors, with the configuration as JSON in the metadata.

    Args:
        model: The network, on any device.
        path: File to write, ending in .safetensors.
        half: True to store 16-bit numbers.
        licence: Notice to store beside the configuration.
        for_training: False to leave out the contrastive head, which only training needs.

    Raises:
        ValueError: Another ending, or numbers that are not finite or too big for 16 bits.
    """
    if Path(path).suffix != OWN_SUFFIX:
        raise ValueError(f"{path}: expected a name ending in {OWN_SUFFIX}")
    config, state = model.config, model.state_dict()
    if not for_training:
        config = dataclasses.replace(config, contrastive=False)
        state = {name: tensor for name, tensor in state.items() if not name.startswith(_CONTRASTIVE)}
    state = {name: _stored(tensor, half) for name, tensor in state.items()}
    if bad := [name for name, tensor in state.items() if not tensor.isfinite().all()]:
        raise ValueError(f"{path}: {_some(bad)}: not finite, or too big for 16 bits; is the training sound?")
    metadata = {MULTI_CROP_KEY: json.dumps(dataclasses.asdict(config))} | ({LICENCE_KEY: licence} if licence else {})
    with whole_file(Path(path)) as part:
        save_file(state, str(part), metadata=metadata)


def load_multi_crop(path: str | Path) -> MultiCrop:
    """Reads a network.

    Args:
        path: A file of `save_multi_crop`.

    Returns:
        The network on the CPU in float32, ready for inference.

    Raises:
        WeightsError: The file is missing, damaged, or of another kind of network; says what to do.
        ImportError: Its encoder is one of `timm`, which is not installed.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise WeightsError(f"{path}: no such weights file; give the path of a {OWN_SUFFIX} file")
    if path.suffix != OWN_SUFFIX:
        raise WeightsError(f"{path}: weights of a second look end in {OWN_SUFFIX}, not in {path.suffix!r}; {_TRAIN}")
    try:
        with safe_open(str(path), framework="pt") as file:
            config = _config((file.metadata() or {}).get(MULTI_CROP_KEY), path)
            state = {name: file.get_tensor(name) for name in list(file.keys())}
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path}: damaged or not a safetensors file ({error}). Get or write it again.") from error
    return assemble_multi_crop(config, state, str(path))


def is_multi_crop(path: str | Path) -> bool:
    """Returns True for a file of `save_multi_crop`, False for anything else, or nothing."""
    try:
        with safe_open(str(Path(path).expanduser()), framework="pt") as file:
            return MULTI_CROP_KEY in (file.metadata() or {})
    except (SafetensorError, OSError):
        return False


def assemble_multi_crop(config: MultiCropConfig, state: Mapping[str, Tensor], source: str) -> MultiCrop:
    """Builds a network around a state dict.

    Args:
        config: Its configuration.
        state: Exactly its tensors, by their names; they are copied.
        source: Where they come from, for errors.

    Raises:
        WeightsError: Missing, additional or misshapen tensors, or numbers that are not finite.
    """
    with torch.device("meta"):
        model = MultiCrop(config)
    if faults := _faults(model.state_dict(), state):
        raise WeightsError(f"{source}: the tensors do not fit the configuration: {_some(faults, '; ')}.")
    whole = {name: tensor.to(model.state_dict()[name].dtype, copy=True) for name, tensor in state.items()}
    if bad := [name for name, tensor in whole.items() if not tensor.isfinite().all()]:
        raise WeightsError(f"{source}: damaged: {_some(bad)} hold numbers that are not finite. Get the file again.")
    model.load_state_dict(whole, strict=True, assign=True)
    return model.eval().requires_grad_(False)


def _stored(tensor: Tensor, half: bool) -> Tensor:
    tensor = tensor.detach().cpu()
    return (tensor.half() if half and tensor.is_floating_point() else tensor).clone()


def _config(text: str | None, path: Path) -> MultiCropConfig:
    if text is None:
        raise WeightsError(
            f"{path}: no configuration of a multi-crop network in the metadata (key {MULTI_CROP_KEY!r}). "
            f"Weights that find people go in as weights, not as refiner_weights; {_TRAIN}"
        )
    try:
        return MultiCropConfig.from_dict(json.loads(text))
    except (ValueError, TypeError) as error:
        raise WeightsError(f"{path}: {error}. The file is damaged or belongs to another version.") from error


def _faults(expected: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> list[str]:
    faults = [f"{name} is missing" for name in sorted(set(expected) - set(state))]
    faults += [f"{name} is unknown" for name in sorted(set(state) - set(expected))]
    for name in sorted(set(expected) & set(state)):
        wanted, came = expected[name], state[name]
        if wanted.shape != came.shape:
            faults.append(f"{name}: expected shape {tuple(wanted.shape)}, got {tuple(came.shape)}")
        elif wanted.is_floating_point() != came.is_floating_point():
            faults.append(f"{name}: expected {wanted.dtype}, got {came.dtype}")
    return faults


def _some(items: list[str], separator: str = ", ") -> str:
    more = [f"and {len(items) - _SHOWN} more"] if len(items) > _SHOWN else []
    return separator.join(items[:_SHOWN] + more)
