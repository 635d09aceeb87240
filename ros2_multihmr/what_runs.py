"""What runs an estimator's network, in words: for logs, and for the tables of benchmarks."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from ros2_multihmr.backends.onnxruntime_backend import ONNX_SUFFIX
from ros2_multihmr.backends.torch_backend import TorchBackend
from ros2_multihmr.estimator import Estimator
from ros2_multihmr.estimator_config import EstimatorConfig

# Named in words of their own, or nothing that runs the network.
_UNNAMED = (
    "threads", "device", "detection_threshold", "max_humans", "weights", "body_models", "backend", "precision",
    "padding", "blocks",
)  # fmt: skip


def what_runs(estimator: Estimator) -> str:
    """Names what runs it: backend, precision, padding, a CPU's blocks, and what else is not at its default."""
    config, backend = estimator.config, estimator.backend
    network, window = backend.config, backend.window
    exported = config.weights.endswith(ONNX_SUFFIX)
    words = [Path(config.weights).name] if exported else []
    words.append({"auto": "onnxruntime" if exported else "torch"}.get(config.backend, config.backend))
    words.append({"auto": "as exported" if exported else "float32"}.get(config.precision, config.precision))
    own = network.padding if window is None else ("square" if window.num_tokens == network.num_tokens else "cut")
    words.append(own if config.padding == "auto" else config.padding)
    if isinstance(backend, TorchBackend) and backend.device.type == "cpu":
        words.append(f"{backend.blocks} blocks")
    for field in dataclasses.fields(EstimatorConfig):
        value = getattr(config, field.name)
        if field.name not in _UNNAMED and value != field.default:
            words.append(f"{field.name}={value}")
    return ", ".join(words)
