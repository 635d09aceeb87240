"""CUDA graphs: the hundreds of kernels of a network, launched as one; a graph for every shape of images.

The network has static shapes, whoever is seen: what was recorded once is right for every image after it.
"""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

# Cameras of one shape share a graph. Each keeps its inputs and outputs; what lies between is shared by all.
MOST_SHAPES = 4
_WARM_UP_RUNS = 3  # libraries choose their kernels and take their memory, which must not happen while recording

Step: TypeAlias = Callable[..., Sequence[Tensor]]
Recorder: TypeAlias = Callable[[Callable[[], None]], Callable[[], None]]


class RecordedSteps:
    """Runs a step on tensors by what was recorded of it, and records it for shapes that are new.

    Not for several threads at once.
    """

    def __init__(self, step: Step, record: Recorder, most_shapes: int = MOST_SHAPES) -> None:
        """Records nothing yet.

        Args:
            step: From tensors to tensors, with nothing that depends on their numbers but numbers.
            record: Makes of a function one that repeats its work on the same memory, see `CudaRecorder`.
            most_shapes: Recordings that are kept; the one that was used longest ago goes first.
        """
        self._step, self._record, self._most = step, record, most_shapes
        self._recordings: OrderedDict[tuple[torch.Size, ...], _Recording] = OrderedDict()

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Returns what the step would; tensors that nobody else writes to.

        Args:
            inputs: On any device for those that lie on the step's; types as at the first call.
        """
        key = tuple(tensor.shape for tensor in inputs)
        recording = self._recordings.pop(key, None)
        if recording is None:
            while len(self._recordings) >= self._most:
                self._recordings.popitem(last=False)
            recording = _Recording(self._step, inputs, self._record)
        self._recordings[key] = recording
        return recording(inputs)

    def __len__(self) -> int:
        """How many shapes there are recordings for."""
        return len(self._recordings)

    def clear(self) -> None:
        """Forgets all recordings, which gives their memory back."""
        self._recordings.clear()


class _Recording:
    """A step on tensors of certain shapes, with the memory where it reads and writes."""

    def __init__(self, step: Step, inputs: Sequence[Tensor], record: Recorder) -> None:
        self._inputs = tuple(tensor.clone() for tensor in inputs)
        self._outputs: Sequence[Tensor] = ()

        def run() -> None:
            self._outputs = step(*self._inputs)

        self._repeat = record(run)

    def __call__(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        for own, given in zip(self._inputs, inputs, strict=True):
            own.copy_(given, non_blocking=True)
        self._repeat()
        return tuple(tensor.clone() for tensor in self._outputs)


class CudaRecorder:
    """Records CUDA graphs on a GPU. All of one recorder share their working memory: they run one after the other."""

    def __init__(self, device: torch.device) -> None:
        """Takes no memory yet.

        Args:
            device: A CUDA GPU.
        """
        self._device = device
        self._pool: Any = None
        self._graphs: weakref.WeakSet[torch.cuda.CUDAGraph] = weakref.WeakSet()

    def __call__(self, run: Callable[[], None]) -> Callable[[], None]:
        """Runs a function a few times, records it, and returns what repeats it on the current stream."""
        with torch.cuda.device(self._device):
            return self._recorded(run)

    def _recorded(self, run: Callable[[], None]) -> Callable[[], None]:
        beside = torch.cuda.Stream(self._device)
        beside.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(beside):
            for _ in range(_WARM_UP_RUNS):
                run()
        torch.cuda.current_stream(self._device).wait_stream(beside)
        if not len(self._graphs):  # a pool that nobody uses any more is gone
            self._pool = torch.cuda.graph_pool_handle()
        graph = torch.cuda.CUDAGraph()
        # Others may go on meanwhile: what their threads do on this GPU is none of the recording's business.
        with torch.cuda.graph(graph, pool=self._pool, stream=beside, capture_error_mode="thread_local"):
            run()
        torch.cuda.current_stream(self._device).wait_stream(beside)
        self._graphs.add(graph)
        repeat: Callable[[], None] = graph.replay
        return repeat
