"""Preprocessing on the network's own device: bytes go there, nothing comes back; the numbers are those of `preprocess`.

The camera's bytes are a quarter of what the network's numbers would take, and travel from memory that a GPU reads by
itself, while the processor goes on.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ros2_multihmr.camera import Camera
from ros2_multihmr.model.token_window import TokenWindow
from ros2_multihmr.preprocess import (
    NetworkInput,
    check_counts,
    check_image,
    network_view,
    normalised_bytes,
    place_in_window,
    stack_intrinsics,
)
from ros2_multihmr.resampling import Taps, bicubic_taps, scale_bicubic

_MOST_STAGES = 8  # cameras, or sizes of images, whose memory is kept for the next image


class DevicePreprocess:
    """Does what `preprocess` does, on a device. Not for several threads at once."""

    def __init__(self, device: torch.device | str) -> None:
        """Takes no memory yet.

        Args:
            device: Where images are scaled, and where pixels and intrinsics lie afterwards.
        """
        self._device = torch.device(device)
        self._stages: OrderedDict[tuple[int, tuple[int, ...]], _Stage] = OrderedDict()
        self._taps = lru_cache(maxsize=4 * _MOST_STAGES)(self._make_taps)
        self._table = torch.from_numpy(normalised_bytes()).to(self._device)

    def __call__(
        self, images: Sequence[NDArray[np.uint8]], cameras: Sequence[Camera], size: int, window: TokenWindow | None
    ) -> NetworkInput:
        """Scales, pads and normalises images; see `preprocess` for arguments and errors."""
        check_counts(images, cameras)
        views = tuple(network_view(camera, size) for camera in cameras)
        table, shape = self._table, window.size_px if window else (size, size)
        pixels = table[:, :1, None].expand(3, *shape).repeat(len(images), 1, 1, 1)
        for index, (image, camera, view) in enumerate(zip(images, cameras, views, strict=True)):
            check_image(image, camera)
            (width, height), (x, y) = view.content, place_in_window(view, window)
            across, down = self._taps(camera.width, width), self._taps(camera.height, height)
            content = scale_bicubic(self._upload(index, image), across, down).permute(2, 0, 1)
            pixels[index, :, y : y + height, x : x + width] = _look_up(table, content)
        return NetworkInput(pixels, stack_intrinsics(views).to(self._device), views)

    def _make_taps(self, length: int, scaled: int) -> Taps | None:
        return None if length == scaled else bicubic_taps(length, scaled).to(self._device)

    def _upload(self, index: int, image: NDArray[np.uint8]) -> Tensor:
        key = index, image.shape
        stage = self._stages.pop(key, None) or _Stage(image.shape, self._device)
        self._stages[key] = stage
        if len(self._stages) > _MOST_STAGES:
            self._stages.popitem(last=False)
        return stage.upload(image)


class _Stage:
    """Host memory for images of one size, from which a GPU copies by itself."""

    def __init__(self, shape: tuple[int, ...], device: torch.device) -> None:
        gpu = device.type == "cuda"
        self._device = device
        self._host = torch.empty(shape, dtype=torch.uint8, pin_memory=gpu)
        self._copied = torch.cuda.Event() if gpu else None

    def upload(self, image: NDArray[np.uint8]) -> Tensor:
        """Returns the image on the device; whoever works there next waits for it, the host does not."""
        if self._copied is not None:
            self._copied.synchronize()  # the copy before may still read this memory
        np.copyto(self._host.numpy(), image)
        there = self._host.to(self._device, non_blocking=True)
        if self._copied is not None:
            self._copied.record(torch.cuda.current_stream(self._device))
        return there


def _look_up(table: Tensor, values: Tensor) -> Tensor:
    """Looks (3, H, W) bytes up in a (3, 256) table of their channel."""
    return table.gather(1, values.flatten(1).long()).view(values.shape)
