"""The network through PyTorch, on the CPU or a CUDA GPU."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ros2_multihmr.backends.amx import why_broken
from ros2_multihmr.backends.amx_library import INSTALL_AGAIN
from ros2_multihmr.backends.blocks import KINDS, PLAIN, choose_blocks, keeps_float32, replace_blocks, why_not
from ros2_multihmr.backends.cuda_graphs import CudaRecorder, RecordedSteps
from ros2_multihmr.model.config import MultiHMRConfig
from ros2_multihmr.model.network import Network
from ros2_multihmr.model.raw_outputs import RawOutputs
from ros2_multihmr.model.token_window import TokenWindow

_logger = logging.getLogger("ros2_multihmr")
PRECISIONS = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


class TorchBackend:
    """Runs a network without gradients."""

    def __init__(
        self,
        model: Network,
        device: torch.device | str = "cpu",
        precision: str = "float32",
        *,
        cuda_graphs: bool = False,
        compile: bool = False,
        blocks: str = PLAIN,
    ) -> None:
        """Moves the network to a device and keeps it.

        Args:
            model: The network; it is changed.
            device: Where it runs.
            precision: One of `PRECISIONS`, of the backbone; what decides who is a person stays in float32.
            cuda_graphs: True to record the network once for each shape of images; on a GPU alone.
            compile: True to let `torch.compile` make kernels for the backbone when it first sees images of a shape.
            blocks: How the backbone's blocks are computed, "auto" or one of `blocks.KINDS`; others than plain are for
                CPUs, and not together with `compile`.

        Raises:
            ValueError: No such precision, CUDA graphs without a CUDA GPU, or no such blocks here.
            MemoryError: The device has no room for it.
        """
        if precision not in PRECISIONS:
            raise ValueError(f"precision: expected {', '.join(PRECISIONS)}; got {precision!r}")
        self._device = torch.device(device)
        if cuda_graphs and self._device.type != "cuda":
            raise ValueError(f"cuda_graphs: needs a CUDA GPU, but the device is {self._device}; leave it false")
        if compile and blocks not in ("auto", PLAIN):
            raise ValueError(f"blocks: torch.compile makes kernels of its own, not of {blocks} blocks; use auto")
        shape = model.config.width, model.config.heads
        dtype = PRECISIONS[precision]
        self._blocks = choose_blocks(PLAIN if compile else blocks, self._device, dtype, *shape)
        fault = why_broken(dtype) if blocks == "auto" and not compile and self._device.type == "cpu" else ""
        if fault and why_not(KINDS[0], self._device, dtype, *shape) == fault:
            _logger.warning("slower than need be: no blocks on AMX tiles (%s); %s", fault, INSTALL_AGAIN)
        replace_blocks(model.backbone.blocks, self._blocks, dtype)
        if not keeps_float32(self._blocks):
            model.backbone.set_precision(dtype)
        self._model = model.eval().requires_grad_(False)
        self._watchers: list[Callable[[Tensor, Tensor], None]] = []
        self._seen: tuple[Tensor, ...] = ()
        self._recorded = RecordedSteps(self._step, CudaRecorder(self._device)) if cuda_graphs else None
        if compile:  # the forward alone: hooks stay outside, where they are called every time
            backbone: Any = model.backbone
            backbone.forward = torch.compile(backbone.forward, dynamic=False)
        self.load()

    @property
    def config(self) -> MultiHMRConfig:
        """The network's configuration."""
        return self._model.config

    @property
    def device(self) -> torch.device:
        """Where outputs lie."""
        return self._device

    @property
    def blocks(self) -> str:
        """How the backbone's blocks are computed, one of `blocks.KINDS`."""
        return self._blocks

    @property
    def window(self) -> TokenWindow | None:
        """None: it computes any window."""
        return None

    @property
    def stored_body(self) -> Mapping[str, Tensor]:
        """What the weights carry of the body, see `Backend.stored_body`."""
        return self._model.stored_body

    def load(self) -> None:
        """Moves the network to its device, see `Backend.load`."""
        with _explain_memory(f"{self.config.weights} on {self._device}"):
            self._model.to(self._device)

    def unload(self) -> None:
        """Moves the network to the host's memory."""
        if self._recorded is not None:
            self._recorded.clear()
        self._model.to("cpu")
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def watch_features(self, take: Callable[[Tensor, Tensor], None]) -> None:
        """Shows the backbone's features of all images to come.

        Args:
            take: Called with the pixels (B, 3, H, W) and the features (B, N, C) of their tokens, row by row.
        """
        if not self._watchers:
            self._model.backbone.register_forward_hook(self._see)
            if self._recorded is not None:
                self._recorded.clear()  # features were no output so far
        self._watchers.append(take)

    def _see(self, _: object, inputs: tuple[Tensor, ...], tokens: Tensor) -> None:
        self._seen = inputs[0], tokens

    def infer(self, pixels: Tensor, k: Tensor, threshold: float) -> RawOutputs:
        """Runs the network on B images, see `Backend.infer`.

        Raises:
            ValueError: Arrays of the wrong shape.
            MemoryError: The device has no room for this many images of this size.
        """
        check_inputs(pixels, k, self.config, self.window)
        with (
            torch.inference_mode(),
            _explain_memory(f"{len(pixels)} images of {self.config.image_size} px"),
            _explain_compiler(),
        ):
            outputs = (self._step if self._recorded is None else self._recorded)(
                pixels.to(self._device, torch.float32, non_blocking=True),
                k.to(self._device, torch.float32, non_blocking=True),
                torch.full((), threshold, dtype=torch.float32, device=self._device),
            )
        count = len(RawOutputs._fields)
        for take in self._watchers:
            take(*outputs[count:])
        return RawOutputs(*outputs[:count])

    def _step(self, pixels: Tensor, k: Tensor, threshold: Tensor) -> tuple[Tensor, ...]:
        """The network's outputs, and pixels and features if somebody watches."""
        raw: RawOutputs = self._model(pixels, k, threshold)
        seen, self._seen = self._seen, ()
        return *raw, *seen


def check_inputs(pixels: Tensor, k: Tensor, config: MultiHMRConfig, window: TokenWindow | None) -> None:
    """Raises ValueError if the arrays are not what the network takes; `window`: see `Backend.window`."""
    height, width = (config.image_size, config.image_size) if window is None else window.size_px
    given = _window_of(pixels, config.grid)
    if len(pixels) == 0 or given is None or given != (window or given):
        raise ValueError(
            f"pixels: expected (B, 3, {height}, {width}) for {config.weights}, got {tuple(pixels.shape)}"
            + ("" if window else "; or the pixels of a TokenWindow of that")
        )
    if tuple(k.shape) != (len(pixels), 3, 3):
        raise ValueError(f"k: expected ({len(pixels)}, 3, 3), one matrix per image, got {tuple(k.shape)}")


def _window_of(pixels: Tensor, grid: int) -> TokenWindow | None:
    """The window whose pixels have this shape; None: there is none."""
    if pixels.dim() != 4 or pixels.shape[1] != 3:
        return None
    try:
        return TokenWindow.of_pixels(pixels, grid)
    except ValueError:
        return None


@contextmanager
def _explain_memory(what: str) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # torch.OutOfMemoryError is one; the CPU's allocator raises it plainly
        text = str(error)
        if "out of memory" not in text.lower() and "can't allocate memory" not in text:
            raise
        first = text.split("\n")[0]
        raise MemoryError(
            f"no room for {what}: {first}. Use smaller weights, fewer images at once, or another device."
        ) from error


@contextmanager
def _explain_compiler() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # that of torch.compile is one, and its class moved between releases
        if type(error).__module__.split(".")[:2] not in (["torch", "_dynamo"], ["torch", "_inductor"]):
            raise
        reason = " ".join(str(error).split("\n")[:2])
        raise ValueError(
            f"compile: torch.compile cannot make kernels here ({reason}). It needs a C++ compiler for a CPU, and "
            "Triton for a GPU; install them, or set compile to false."
        ) from error
