"""Weights on disk: our own format, and the official files through `official`. Loading is strict."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ros2_multihmr.files.whole_file import whole_file
from ros2_multihmr.model.config import MultiHMRConfig
from ros2_multihmr.model.network import Network, build_network
from ros2_multihmr.model.official import official_config, rename_official
from ros2_multihmr.model.official_anny import is_official_anny, official_anny_config, rename_official_anny
from ros2_multihmr.model.official_body import stored_body
from ros2_multihmr.model.official_file import OFFICIAL_SUFFIXES, read_official_file
from ros2_multihmr.model.weights_error import WeightsError

CONFIG_KEY = "multihmr_config"
LICENCE_KEY = "license"
OWN_SUFFIX = ".safetensors"
BODY = "stored_body."  # before the names of what the file has of the body
OVERRIDABLE = ("max_humans", "nms_kernel")
SHOWN = 4
_logger = logging.getLogger("ros2_multihmr")


def save_weights(model: Network, path: str | Path, *, half: bool = False, licence: str = "") -> None:
    """Writes a network in our own format: safetensors, with the configuration as JSON in the metadata.

    Args:
        model: The network, on any device.
        path: File to write, ending in .safetensors.
        half: True to store 16-bit numbers.
        licence: Notice to store beside the configuration.

    Raises:
        ValueError: Another ending, or numbers too big for 16 bits.
        OSError: The file cannot be written.
    """
    if Path(path).suffix != OWN_SUFFIX:
        raise ValueError(f"{path}: expected a name ending in {OWN_SUFFIX}")
    config = json.dumps(dataclasses.asdict(model.config))
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    if half:
        state = {name: tensor.half() for name, tensor in state.items()}
        if bad := [name for name, tensor in state.items() if not tensor.isfinite().all()]:
            raise ValueError(f"{path}: {_some(bad)} hold numbers too big for 16 bits; write the file with 32 bits")
    state |= {BODY + name: tensor.contiguous() for name, tensor in model.stored_body.items()}
    state = _apart(state)
    metadata = {CONFIG_KEY: config} | ({LICENCE_KEY: licence} if licence else {})
    with whole_file(Path(path)) as part:
        save_file(state, str(part), metadata=metadata)


def rewrite_config(source: str | Path, out: str | Path, **changes: float) -> None:
    """Copies a file of our own format with another configuration; not a number of its weights changes.

    Args:
        source: The file.
        out: File to write, ending in .safetensors; may be the same.
        **changes: Values of `MultiHMRConfig` by name.

    Raises:
        WeightsError: The source is missing, damaged, or not of our own format.
        ValueError: A value that no network can have.
    """
    source = Path(source).expanduser()
    _check_file(source)
    state, config = _read_own(source)
    with safe_open(str(source), framework="pt") as file:
        metadata = dict(file.metadata())
    metadata[CONFIG_KEY] = json.dumps(dataclasses.asdict(dataclasses.replace(config, **changes)))  # type: ignore[arg-type]
    copies = {name: tensor.clone() for name, tensor in state.items()}  # the source's mapping ends before it is replaced
    with whole_file(Path(out)) as part:
        save_file(copies, str(part), metadata=metadata)


def _apart(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies tensors that share memory, as they may in an official file: safetensors wants each whole."""
    seen: set[int] = set()
    apart = {}
    for name, tensor in state.items():
        memory = tensor.untyped_storage()
        whole = memory.nbytes() == tensor.nbytes and memory.data_ptr() not in seen
        seen.add(memory.data_ptr())
        apart[name] = tensor if whole else tensor.clone()
    return apart


def load_weights(path: str | Path, **overrides: int) -> Network:
    """Reads a network from our own format (.safetensors) or an official checkpoint (.pt).

    Args:
        path: The file.
        **overrides: `max_humans` and `nms_kernel`, which are no matter of the weights.

    Returns:
        The network on the CPU in float32, ready for inference.

    Raises:
        WeightsError: The file is missing, damaged, or not what was expected; says what to do.
        ValueError: An override that no network can have.
    """
    path = Path(path).expanduser()
    _check_file(path)
    own = path.suffix == OWN_SUFFIX
    state, config = _read_own(path) if own else _read_official(path)
    body = {name.removeprefix(BODY): state.pop(name) for name in sorted(state) if name.startswith(BODY)}
    model = assemble(with_overrides(config, overrides), state, str(path), copy=own)
    if body:
        _logger.info("%s carries a copy of the SMPL-X body, which takes the place of your model file's numbers.", path)
        model.stored_body = {name: tensor.clone() if own else tensor for name, tensor in body.items()}
    return model


def with_overrides(config: MultiHMRConfig, overrides: Mapping[str, int]) -> MultiHMRConfig:
    """Replaces the settings of a configuration that are no matter of the weights.

    Raises:
        ValueError: Any other setting, or a value that no network can have.
    """
    if unknown := sorted(set(overrides) - set(OVERRIDABLE)):
        raise ValueError(f"network configuration: {', '.join(unknown)} belong to the weights and cannot be replaced")
    return dataclasses.replace(config, **overrides)  # type: ignore[arg-type]


def assemble(config: MultiHMRConfig, state: Mapping[str, Tensor], source: str, *, copy: bool = False) -> Network:
    """Builds a network around a state dict.

    Args:
        config: Its configuration.
        state: Exactly its tensors, by our names.
        source: Where they come from, for errors.
        copy: True for tensors that live in a mapped file, which may change; others become the network's own.

    Raises:
        WeightsError: Missing, additional or misshapen tensors, or numbers that are not finite.
    """
    with torch.device("meta"):
        model = build_network(config)
    _check_tensors(model.state_dict(), state, source)
    floats = {name: tensor.to(torch.float32, copy=copy) for name, tensor in state.items()}
    if bad := [name for name, tensor in floats.items() if not tensor.isfinite().all()]:
        raise WeightsError(f"{source}: damaged: {_some(bad)} hold numbers that are not finite. Get the file again.")
    model.load_state_dict(floats, strict=True, assign=True)
    return model.eval().requires_grad_(False)


def _check_file(path: Path) -> None:
    endings = (OWN_SUFFIX, *OFFICIAL_SUFFIXES)
    if not path.exists():
        raise WeightsError(f"{path}: no such weights file. Give the path of a {' or '.join(endings)} file.")
    if not path.is_file():
        raise WeightsError(f"{path}: not a file. Give the path of a {' or '.join(endings)} file.")
    if path.suffix not in endings:
        raise WeightsError(f"{path}: weights files end in {' or '.join(endings)}, not in {path.suffix!r}.")


def _read_own(path: Path) -> tuple[dict[str, Tensor], MultiHMRConfig]:
    try:
        with safe_open(str(path), framework="pt") as file:
            config = _parse_config((file.metadata() or {}).get(CONFIG_KEY), path)
            names = list(file.keys())
            return {name: file.get_tensor(name) for name in names}, config
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path}: damaged or not a safetensors file ({error}). Get or write it again.") from error


def _parse_config(text: str | None, path: Path) -> MultiHMRConfig:
    if text is None:
        raise WeightsError(
            f"{path}: no network configuration in the metadata (key {CONFIG_KEY!r}). "
            "Weights of a second look go in as refiner_weights; those of other programs cannot be used."
        )
    try:
        values = json.loads(text)
        return MultiHMRConfig.from_dict(values)
    except (ValueError, TypeError) as error:
        raise WeightsError(f"{path}: {error}. The file is damaged or belongs to another version.") from error


def _read_official(path: Path) -> tuple[dict[str, Tensor], MultiHMRConfig]:
    state, args = read_official_file(path)
    try:
        if is_official_anny(state):
            config = official_anny_config(state, args, path.name)
            return rename_official_anny(state, config), config
        config = official_config(state, args, path.name)
        body = {BODY + name: tensor for name, tensor in stored_body(state, config.num_shape).items()}
        return rename_official(state, config) | body, config
    except KeyError as error:
        raise WeightsError(f"{path}: damaged: {error} is missing. Get the file again.") from error
    except (ValueError, IndexError) as error:
        raise WeightsError(f"{path}: not a released checkpoint: {error}.") from error


def _check_tensors(expected: Mapping[str, Tensor], state: Mapping[str, Tensor], source: str) -> None:
    faults = []
    if missing := sorted(set(expected) - set(state)):
        faults.append(f"missing {_some(missing)}")
    if extra := sorted(set(state) - set(expected)):
        faults.append(f"unknown {_some(extra)}")
    for name in sorted(set(expected) & set(state)):
        wanted, came = expected[name], state[name]
        if wanted.shape != came.shape:
            faults.append(f"{name}: expected shape {tuple(wanted.shape)}, got {tuple(came.shape)}")
        elif not came.is_floating_point():
            faults.append(f"{name}: expected floating-point numbers, got {came.dtype}")
    if faults:
        raise WeightsError(f"{source}: the tensors do not fit the configuration: {_some(faults, '; ')}.")


def _some(items: list[str], separator: str = ", ") -> str:
    more = [f"and {len(items) - SHOWN} more"] if len(items) > SHOWN else []
    return separator.join(items[:SHOWN] + more)
