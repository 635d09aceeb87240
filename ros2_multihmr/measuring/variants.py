"""Variants: the same network with other settings, each written as one word, `precision=bfloat16,padding=cut`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ros2_multihmr.backends.onnxruntime_backend import ONNX_SUFFIX
from ros2_multihmr.camera import Camera
from ros2_multihmr.estimator import Estimator, create_estimator
from ros2_multihmr.estimator_config import EstimatorConfig
from ros2_multihmr.measuring.crowd import NetworkCall, network_call
from ros2_multihmr.measuring.limits import peak_gpu_mb, plain_settings
from ros2_multihmr.what_runs import what_runs

# The process has one pool of threads, the page one device; who counts is chosen by the number of people.
_OF_ALL = ("threads", "device", "detection_threshold", "max_humans")


@dataclass(frozen=True)
class Variant:
    """One of the compared settings, ready to run.

    Attributes:
        name: What runs the network, see `what_runs`.
        estimator: Runs it.
        call: What its network gets for the images, and what came back.
        gpu_mb: Most GPU memory that PyTorch took for both [MB]; None on a CPU.
    """

    name: str
    estimator: Estimator
    call: NetworkCall
    gpu_mb: float | None


def open_variants(
    base: EstimatorConfig, variants: Sequence[str], slots: int, images: Sequence[NDArray[np.uint8]], camera: Camera
) -> list[Variant]:
    """Opens the settings given and each variant of them, and runs each once.

    Args:
        base: The settings.
        variants: See `parse_variant`.
        slots: People for whom each network has slots at least; an export has those that it has.
        images: What it is run on.
        camera: Their camera.

    Raises:
        ValueError: Settings that cannot be, or two that are the same.
    """
    configs = [
        config if config.weights.endswith(ONNX_SUFFIX) else replace(config, max_humans=max(config.max_humans, slots))
        for config in configurations(base, variants)
    ]
    opened: list[Variant] = []
    for text, config in zip(("", *variants), configs, strict=True):
        one = _open(config, images, camera)
        if (one.name, config.weights) in [(other.name, other.estimator.config.weights) for other in opened]:
            raise ValueError(
                f"--variants {text}: that is {one.name}, as another is already; every variant must differ. "
                "What is not given, or is auto, the weights say"
            )
        opened.append(one)
    return told_apart(opened)


def told_apart(variants: Sequence[Variant]) -> list[Variant]:
    """Returns the variants; those that share a name, by the file of their weights in front of it."""
    names = [one.name for one in variants]
    return [
        replace(one, name=f"{one.estimator.config.weights or 'embedded'}, {one.name}")
        if names.count(one.name) > 1
        else one
        for one in variants
    ]


def _open(config: EstimatorConfig, images: Sequence[NDArray[np.uint8]], camera: Camera) -> Variant:
    before = 0
    if torch.cuda.is_available():
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
    estimator = create_estimator(config)
    call = network_call(estimator, images, camera)
    return Variant(what_runs(estimator), estimator, call, peak_gpu_mb(estimator.backend.device, before))


def parse_variant(text: str, base: EstimatorConfig) -> EstimatorConfig:
    """Returns `base` with the settings that `text` names.

    Raises:
        ValueError: Not of the form NAME=VALUE,NAME=VALUE, a name or value that is none, or a name that comes twice.
    """
    fields = {field.name: field for field in dataclasses.fields(EstimatorConfig)}
    changes: dict[str, Any] = {}
    for part in text.split(","):
        name, equals, value = part.partition("=")
        if not equals or name not in fields or name in _OF_ALL:
            known = ", ".join(sorted(set(fields) - set(_OF_ALL)))
            raise ValueError(f"--variants {text}: expected NAME=VALUE,NAME=VALUE with names of {known}; got {part!r}")
        if name in changes:
            raise ValueError(f"--variants {text}: {name} is given twice; for several values give several variants")
        changes[name] = _value(value, fields[name].default, text)
    return replace(base, **changes)


def _value(word: str, default: Any, text: str) -> Any:
    kind = type(default)
    if kind is bool:
        if word not in ("true", "false"):
            raise ValueError(f"--variants {text}: expected true or false, got {word!r}")
        return word == "true"
    try:
        return tuple(word.split("+")) if kind is tuple else kind(word)
    except ValueError:
        raise ValueError(f"--variants {text}: expected {kind.__name__}, got {word!r}") from None


def configurations(base: EstimatorConfig, variants: Sequence[str]) -> list[EstimatorConfig]:
    """Returns the settings to compare: those given, and each variant of them.

    Raises:
        ValueError: See `parse_variant`; or two of them are the same.
    """
    plain = EstimatorConfig(**plain_settings(base))
    found = [plain, *(parse_variant(text, plain) for text in variants)]
    for text, config in zip(variants, found[1:], strict=True):
        if found.count(config) > 1:
            raise ValueError(f"--variants {text}: the same settings as another; every variant must differ")
    return found
