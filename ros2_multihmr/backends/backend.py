"""The backend protocol: images and intrinsics in, raw detections out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from ros2_multihmr.backends.onnxruntime_backend import CPU, CUDA, ONNX_SUFFIX, TENSORRT, OnnxRuntimeBackend
from ros2_multihmr.backends.torch_backend import PRECISIONS, TorchBackend
from ros2_multihmr.model.config import MultiHMRConfig
from ros2_multihmr.model.convert import WeightsSummary, describe_weights, summarise
from ros2_multihmr.model.embedded import open_network
from ros2_multihmr.model.raw_outputs import RawOutputs
from ros2_multihmr.model.token_window import TokenWindow

BACKENDS = ("torch", "onnxruntime", "tensorrt")


class Backend(Protocol):
    """A way to run the network."""

    @property
    def config(self) -> MultiHMRConfig:
        """The network's configuration, weights' name included."""

    @property
    def device(self) -> torch.device:
        """Where outputs lie; the body model should lie there, too."""

    @property
    def window(self) -> TokenWindow | None:
        """The only tokens that it computes; None: those of any window, whatever the pixels' shape says."""

    @property
    def stored_body(self) -> Mapping[str, Tensor]:
        """What the weights carry of the body, for `create_body`; empty for nearly all."""

    def infer(self, pixels: Tensor, k: Tensor, threshold: float) -> RawOutputs:
        """Runs the network on B images.

        Args:
            pixels: (B, 3, S, S) float32 normalised images, or the pixels of a window of them, on any device.
            k: (B, 3, 3) float32 intrinsics of the square inputs [px], corner of the first pixel at 0.
            threshold: Score from which a token counts as a person.
        """

    def unload(self) -> None:
        """Gives the device's memory back and keeps the weights at hand; `infer` waits for `load`."""

    def load(self) -> None:
        """Takes the device's memory again. A new backend is loaded.

        Raises:
            MemoryError: The device has no room for the network.
        """


def open_backend(
    weights: str = "",
    device: str = "auto",
    backend: str = "auto",
    *,
    precision: str = "auto",
    nms_kernel: int = 3,
    max_humans: int = 20,
    threads: int = 0,
    engine_cache: str = "",
    cuda_graphs: bool = False,
    compile: bool = False,
    blocks: str = "auto",
) -> Backend:
    """Reads weights and makes them ready to run.

    Args:
        weights: Path of a weights file, or of an .onnx file that was exported from one; "" for the network that comes
            with the package; "untrained" for the stand-in.
        device: "auto" (a CUDA GPU if there is one), "cpu", "cuda" or "cuda:<index>".
        backend: "auto" (by the file), "torch", "onnxruntime", or "tensorrt" (through ONNX Runtime).
        precision: "auto" (float32, or the exported file's own), "float32", "float16" or "bfloat16".
        nms_kernel: Side of the window in which only the best score survives [tokens].
        max_humans: Most people per image.
        threads: CPU threads of the whole process; 0 leaves them as they are.
        engine_cache: Folder in which TensorRT keeps what it built; "" for ~/.cache/multihmr/tensorrt.
        cuda_graphs: True to launch the network as one CUDA graph; of weights, on a GPU.
        compile: True to let `torch.compile` make kernels for the backbone; of weights.
        blocks: How a CPU computes the backbone's blocks: "auto" (the first of the others that it has), "tiles",
            "packed" or "plain"; of weights.

    Raises:
        WeightsError: The weights file is missing, damaged, or not what was expected.
        ValueError: A setting that cannot be, or a device that this machine lacks.
        MemoryError: The device has no room for the network.
    """
    for name, value, known in (("backend", backend, BACKENDS), ("precision", precision, PRECISIONS)):
        if value not in ("auto", *known):
            raise ValueError(f"{name}: expected auto or {', '.join(known)}; got {value!r}")
    if threads < 0:
        raise ValueError(f"threads: expected 0 or more, got {threads}")
    settings = {"nms_kernel": nms_kernel, "max_humans": max_humans}
    is_onnx = weights.endswith(ONNX_SUFFIX)
    if backend not in ("auto", "torch") and not is_onnx:
        raise ValueError(f"backend {backend} runs {ONNX_SUFFIX} files: write one with `multihmr export`")
    if is_onnx and backend == "torch":
        raise ValueError(f"{weights}: backend torch runs weights, not exports: use backend auto or onnxruntime")
    if is_onnx and (cuda_graphs or compile or blocks != "auto"):
        raise ValueError(
            f"{weights}: cuda_graphs, compile and blocks are for weights, not exports: leave the first two false, and "
            "blocks at auto"
        )
    if is_onnx:
        return _open_onnx(weights, device, backend, precision, settings, threads=threads, engine_cache=engine_cache)
    chosen = choose_device(device)
    if threads:
        torch.set_num_threads(threads)
    model = open_network(weights, **settings)
    used = "float32" if precision == "auto" else precision
    return TorchBackend(model, chosen, used, cuda_graphs=cuda_graphs, compile=compile, blocks=blocks)


def _open_onnx(
    path: str, device: str, backend: str, precision: str, settings: dict[str, int], **options: Any
) -> OnnxRuntimeBackend:
    tensorrt = backend == "tensorrt"
    if precision != "auto" and not (tensorrt and precision == "float16"):
        raise ValueError(f"{path}: its precision was chosen by `multihmr export`: leave precision at auto")
    name, _, index = device.partition(":")
    if tensorrt and name == "cpu":
        raise ValueError("backend tensorrt needs an NVIDIA GPU: use device auto or cuda")
    if not tensorrt:
        # A PyTorch for the CPU alone says nothing about ONNX Runtime's GPU: only auto asks it.
        name = choose_device(device).type if device == "auto" else name
    provider = TENSORRT if tensorrt else {"cpu": CPU, "cuda": CUDA}.get(name)
    if provider is None or (index and not index.isdigit()):
        raise ValueError(f"device: expected auto, cpu, cuda or cuda:<index>; got {device!r}")
    opened = OnnxRuntimeBackend(path, provider, int(index or 0), half=precision == "float16", **options)
    for setting, wanted in settings.items():
        if (has := getattr(opened.config, setting)) != wanted:
            raise ValueError(f"{path}: exported with {setting} {has}, got {wanted}: set it to that, or export again")
    return opened


def describe_file(path: str | Path) -> WeightsSummary:
    """Opens a file of weights or an exported network, which checks it, and says what it holds.

    Raises:
        WeightsError: The file is missing, damaged, or not what was expected.
        ValueError: It is an export, and ONNX Runtime is not installed.
    """
    path = Path(path).expanduser()
    if path.suffix == ONNX_SUFFIX:
        export = OnnxRuntimeBackend(path)
        return summarise(export.config, path, form=export.form)
    return describe_weights(path)


def choose_device(device: str) -> torch.device:
    """Returns the device that a setting names.

    Raises:
        ValueError: No such device on this machine; says what there is.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    name, _, index = device.partition(":")
    if name not in ("cpu", "cuda") or (index and not index.isdigit()):
        raise ValueError(f"device: expected auto, cpu, cuda or cuda:<index>; got {device!r}")
    if name == "cuda" and not torch.cuda.is_available():
        reason = "no CUDA GPU is visible" if torch.version.cuda else "this PyTorch is built for the CPU alone"
        raise ValueError(
            f"device: {device!r} asked for, but {reason}. Use device auto or cpu, or install CUDA's PyTorch."
        )
    if name == "cuda" and int(index or 0) >= torch.cuda.device_count():
        raise ValueError(f"device: {device!r} asked for, but there are {torch.cuda.device_count()} CUDA GPUs.")
    return torch.device(device)
