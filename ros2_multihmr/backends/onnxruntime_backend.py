"""The network through ONNX Runtime, from a file of `export`: on the CPU, through CUDA, or through TensorRT."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ros2_multihmr.backends.torch_backend import check_inputs
from ros2_multihmr.model.checkpoint import CONFIG_KEY
from ros2_multihmr.model.config import PATCH, MultiHMRConfig
from ros2_multihmr.model.export_form import ExportForm
from ros2_multihmr.model.raw_outputs import RawOutputs
from ros2_multihmr.model.token_window import TokenWindow
from ros2_multihmr.model.weights_error import WeightsError

ONNX_SUFFIX = ".onnx"
INPUTS = ("pixels", "k", "threshold")
CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"
# TensorRT takes minutes to build an engine; it is kept for the same file, GPU and version.
ENGINE_CACHE = "~/.cache/multihmr/tensorrt"
PRECISION_KEY = "multihmr_precision"
_AGAIN = "write it again with `multihmr export`"
_ERRORS_ONLY = 3
# Threads that wait look out for work for a moment and then sleep, and at once when the network is done: they would take
# the cores from what comes after it, and from each other on a busy machine (see `openmp.wait_briefly`).
# Versions that do not know a setting leave it out.
_BRIEF_SPINNING = {"session.intra_op.spin_duration_us": "100", "session.force_spinning_stop": "1"}
_TYPES = {"tensor(float)": torch.float32, "tensor(bool)": torch.bool, "tensor(int64)": torch.int64}


class OnnxRuntimeBackend:
    """Runs an exported network."""

    def __init__(
        self,
        path: str | Path,
        provider: str = CPU,
        device_index: int = 0,
        *,
        threads: int = 0,
        half: bool = False,
        engine_cache: str | Path = "",
    ) -> None:
        """Opens a file.

        Args:
            path: File of `export.export_onnx`, whose numbers have the precision with which it was exported.
            provider: ONNX Runtime's name of what runs it: `CPU`, `CUDA` or `TENSORRT`.
            device_index: Which GPU.
            threads: CPU threads; 0: as many as there are cores.
            half: True to let TensorRT compute a float32 file in 16 bits where that is faster.
            engine_cache: Folder in which TensorRT keeps what it built; "" for `ENGINE_CACHE`.

        Raises:
            WeightsError: The file is missing, damaged, or not one of ours.
            ValueError: ONNX Runtime is not installed, or cannot use the provider or the folder here.
        """
        self._path = Path(path).expanduser()
        cache = Path(engine_cache or ENGINE_CACHE).expanduser()
        self._open = lambda: open_session(self._path, _providers(provider, device_index, half, cache), threads)
        self._session = self._open()
        self._config = _read_config(self._session, self._path)
        batch, _, height, width = self._session.get_inputs()[0].shape
        self._one_by_one = batch == 1
        self._window = TokenWindow(self._config.grid, height // PATCH, width // PATCH)
        on_gpu = provider != CPU and torch.cuda.is_available()
        self._device = torch.device("cuda", device_index) if on_gpu else torch.device("cpu")

    @property
    def config(self) -> MultiHMRConfig:
        """The network's configuration."""
        return self._config

    @property
    def device(self) -> torch.device:
        """Where outputs lie."""
        return self._device

    @property
    def window(self) -> TokenWindow:
        """The tokens that it was exported for."""
        return self._window

    @property
    def form(self) -> ExportForm:
        """What was fixed by the export."""
        precision = self._session.get_modelmeta().custom_metadata_map.get(PRECISION_KEY, "an unknown precision")
        return ExportForm(precision, 1 if self._one_by_one else None, self._window, self._config.max_humans)

    @property
    def stored_body(self) -> Mapping[str, Tensor]:
        """Nothing: the export of weights that carry a body of their own is refused."""
        return {}

    def load(self) -> None:
        """Opens the file again, see `Backend.load`; what was opened stays open."""
        self._session = self._session or self._open()

    def unload(self) -> None:
        """Closes it, which frees what ONNX Runtime holds, on a GPU and here."""
        self._session = None

    def infer(self, pixels: Tensor, k: Tensor, threshold: float) -> RawOutputs:
        """Runs the network on B images, see `Backend.infer`.

        Raises:
            ValueError: Arrays of the wrong shape.
        """
        check_inputs(pixels, k, self._config, self._window)
        images, cameras = (tensor.detach().to(self._device, torch.float32).contiguous() for tensor in (pixels, k))
        limit = torch.full((), threshold, dtype=torch.float32, device=self._device)
        found = [
            torch.empty(len(images), *value.shape[1:], dtype=_TYPES[value.type], device=self._device)
            for value in self._session.get_outputs()
        ]
        if self._device.type == "cuda":  # ONNX Runtime works in a stream of its own
            torch.cuda.current_stream(self._device).synchronize()
        for first in range(0, len(images), step := 1 if self._one_by_one else len(images)):
            rows = slice(first, first + step)
            self._run([images[rows], cameras[rows], limit], [values[rows] for values in found])
        return RawOutputs(*found)

    def _run(self, given: Sequence[Tensor], found: Sequence[Tensor]) -> None:
        """Runs the file from these tensors into those, which it reads and writes where they lie."""
        binding = self._session.io_binding()
        for name, tensor in zip(INPUTS, given, strict=True):
            binding.bind_input(name, *self._place(tensor))
        for name, tensor in zip(RawOutputs._fields, found, strict=True):
            if tensor.numel():
                binding.bind_output(name, *self._place(tensor))
            else:  # no memory, no place
                binding.bind_output(name)
        self._session.run_with_iobinding(binding)
        binding.synchronize_outputs()

    def _place(self, tensor: Tensor) -> tuple[str, int, Any, tuple[int, ...], int]:
        kind = np.dtype(str(tensor.dtype).removeprefix("torch.")).type
        return self._device.type, self._device.index or 0, kind, tuple(tensor.shape), tensor.data_ptr()


def open_session(path: Path, providers: list[tuple[str, dict[str, Any]]], threads: int) -> Any:
    """Opens an ONNX file with the first of the providers, and with no other in its place.

    Raises:
        WeightsError: The file is missing or damaged.
        ValueError: ONNX Runtime is not installed, or cannot use the provider here.
    """
    runtime, provider = import_runtime(), providers[0][0]
    if provider not in runtime.get_available_providers():
        raise ValueError(
            f"this ONNX Runtime has no {provider}, only {', '.join(runtime.get_available_providers())}. "
            "Install onnxruntime-gpu in place of onnxruntime, or use device cpu and backend auto."
        )
    if not path.is_file():
        raise WeightsError(f"{path}: no such weights file. Give the path of a file that `multihmr export` wrote.")
    options = runtime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = _ERRORS_ONLY, threads
    for name, value in _BRIEF_SPINNING.items():
        options.add_session_config_entry(name, value)
    try:
        session = runtime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # ONNX Runtime's errors share no class of their own
        reason = str(error).split("\n")[0]
        raise WeightsError(f"{path}: ONNX Runtime cannot open it ({reason}). If it is damaged, {_AGAIN}.") from error
    if session.get_providers()[0] != provider:  # it would go on with the CPU
        raise ValueError(
            f"ONNX Runtime could not load {provider}: its CUDA, cuDNN or TensorRT libraries are missing or of another "
            "version (https://onnxruntime.ai/docs/execution-providers). Meanwhile use device cpu and backend auto."
        )
    return session


def import_runtime() -> Any:
    """Imports ONNX Runtime, an optional extra.

    Raises:
        ValueError: It is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise ValueError(
            "ONNX Runtime is not installed: pip install onnxruntime, or onnxruntime-gpu for NVIDIA GPUs."
        ) from error
    return onnxruntime


def _providers(provider: str, device_index: int, half: bool, cache: Path) -> list[tuple[str, dict[str, Any]]]:
    """What runs the network, and what runs operators that the one before cannot."""
    cpu: tuple[str, dict[str, Any]] = (CPU, {})
    cuda = (CUDA, {"device_id": device_index, "use_tf32": 0})  # float32 means float32
    if provider != TENSORRT:
        return [cpu] if provider == CPU else [cuda, cpu]
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(
            f"engine_cache {cache}: the folder cannot be made ({error.strerror}); give another one"
        ) from error
    engines = {"trt_engine_cache_enable": True, "trt_engine_cache_path": str(cache)}
    return [(TENSORRT, {"device_id": device_index, "trt_fp16_enable": half, **engines}), cuda, cpu]


def _read_config(session: Any, path: Path) -> MultiHMRConfig:
    text = session.get_modelmeta().custom_metadata_map.get(CONFIG_KEY)
    names = [value.name for value in session.get_inputs()], [value.name for value in session.get_outputs()]
    if text is None or names != (list(INPUTS), list(RawOutputs._fields)):
        raise WeightsError(f"{path}: not an export of this package: {_AGAIN}.")
    try:
        return MultiHMRConfig.from_dict(json.loads(text))
    except (ValueError, TypeError) as error:
        raise WeightsError(f"{path}: {error}. The file belongs to another version: {_AGAIN}.") from error
