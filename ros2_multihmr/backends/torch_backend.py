"""The network through PyTorch, on the CPU or a CUDA GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from ros2_multihmr.model.config import MultiHMRConfig
from ros2_multihmr.model.network import Network
from ros2_multihmr.model.raw_outputs import RawOutputs
from ros2_multihmr.model.token_window import TokenWindow

PRECISIONS = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


class TorchBackend:
    """Runs a network without gradients."""

    def __init__(self, model: Network, device: torch.device | str = "cpu", precision: str = "float32") -> None:
        """Moves the network to a device and keeps it.

        Args:
            model: The network; it is changed.
            device: Where it runs.
            precision: One of `PRECISIONS`, of the backbone; what decides who is a person stays in float32.

        Raises:
            ValueError: No such precision.
            MemoryError: The device has no room for it.
        """
        if precision not in PRECISIONS:
            raise ValueError(f"precision: expected {', '.join(PRECISIONS)}; got {precision!r}")
        self._device = torch.device(device)
        model.backbone.set_precision(PRECISIONS[precision])
        self._model = model.eval().requires_grad_(False)
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
        self._model.to("cpu")
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def watch_features(self, take: Callable[[Tensor, Tensor], None]) -> None:
        """Shows the backbone's features of all images to come.

        Args:
            take: Called with the pixels (B, 3, H, W) and the features (B, N, C) of their tokens, row by row.
        """
        self._model.backbone.register_forward_hook(lambda _, inputs, tokens: take(inputs[0], tokens))

    def infer(self, pixels: Tensor, k: Tensor, threshold: float) -> RawOutputs:
        """Runs the network on B images, see `Backend.infer`.

        Raises:
            ValueError: Arrays of the wrong shape.
            MemoryError: The device has no room for this many images of this size.
        """
        check_inputs(pixels, k, self.config, self.window)
        with torch.inference_mode(), _explain_memory(f"{len(pixels)} images of {self.config.image_size} px"):
            outputs: RawOutputs = self._model(
                pixels.to(self._device, torch.float32),
                k.to(self._device, torch.float32),
                torch.tensor(threshold, dtype=torch.float32, device=self._device),
            )
        return outputs


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
