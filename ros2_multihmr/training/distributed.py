"""Several processes that train one network: each has a part of the batch, all take the same step.

Every process divides by the counts of the joint batch, so gradients add up; they are added by hand after the backward
pass. A batch without people leaves parameters without a gradient, in
some processes and not in others, and steps without finite numbers are skipped by all: both are easier said than taught
to a wrapper.

A process that cannot begin tells the others why, and all end with its message.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed
from torch import Tensor, nn

BUCKET = 2**24  # numbers per message


@dataclass(frozen=True)
class World:
    """The processes of a run, as torchrun names them.

    Attributes:
        rank: This one, 0 is the one that writes.
        size: How many there are.
        local_rank: This one among those of the machine: its GPU.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def writes(self) -> bool:
        """True for the one process that writes files and shows progress."""
        return self.rank == 0

    def maximum(self, numbers: Sequence[float], device: torch.device) -> list[float]:
        """Largest of each number over all processes."""
        if self.size == 1:
            return list(numbers)
        values = torch.tensor(numbers, dtype=torch.float64, device=device)
        with _told():
            torch.distributed.all_reduce(values, torch.distributed.ReduceOp.MAX)
        return [float(value) for value in values.tolist()]

    def total(self, values: Tensor) -> Tensor:
        """Sum of a tensor over all processes."""
        if self.size > 1:
            values = values.clone()
            with _told():
                torch.distributed.all_reduce(values)
        return values

    def add_gradients(self, module: nn.Module) -> None:
        """Adds up the gradients of all processes; parameters without one get zeros, with one process, too."""
        for parameter in module.parameters():
            if parameter.requires_grad and parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        if self.size == 1:
            return
        for bucket in _buckets([p.grad for p in module.parameters() if p.grad is not None]):
            flat = torch.cat([gradient.flatten() for gradient in bucket])
            with _told():
                torch.distributed.all_reduce(flat)
            for gradient, values in zip(bucket, flat.split([gradient.numel() for gradient in bucket])):
                gradient.copy_(values.view_as(gradient))

    def copy_tensors(self, tensors: Iterable[Tensor]) -> None:
        """Gives every process the first one's numbers."""
        if self.size > 1:
            for tensor in tensors:
                with _told():
                    torch.distributed.broadcast(tensor, 0)

    @contextmanager
    def all_or_none(self) -> Iterator[None]:
        """Lets a block end well only if it does so in all processes; none of them may wait for another in it.

        Raises:
            ValueError: The block was refused in another process; the message is the first one's that has any.
        """
        try:
            yield
        except (ValueError, OSError, ImportError) as error:
            self._all(str(error))
            raise
        if refusals := [text for text in self._all("") if text]:
            raise ValueError(refusals[0])

    def _all(self, text: str) -> list[str]:
        """Every process's text."""
        if self.size == 1:
            return [text]
        texts = [""] * self.size
        with _told():
            torch.distributed.all_gather_object(texts, text)
        return texts


@contextmanager
def join_world(device: str) -> Iterator[World]:
    """Joins the processes that torchrun started, until the block ends; alone without it.

    Args:
        device: Kind of device: "cuda" speaks through NCCL, "cpu" through gloo.

    Raises:
        ValueError: torchrun's variables are there, but not numbers.
    """
    if "WORLD_SIZE" not in os.environ:
        yield World()
        return
    try:
        world = World(*(int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")))
    except (KeyError, ValueError) as error:
        raise ValueError(f"torchrun's variables RANK, WORLD_SIZE and LOCAL_RANK must be numbers: {error}") from error
    if device == "cuda":
        torch.cuda.set_device(world.local_rank)
    torch.distributed.init_process_group("nccl" if device == "cuda" else "gloo")
    try:
        yield world
    finally:
        torch.distributed.destroy_process_group()


@contextmanager
def _told() -> Iterator[None]:
    """Says in words what the loss of a fellow looks like from here."""
    try:
        yield
    except RuntimeError as error:
        reason = str(error).partition("\n")[0]
        raise ConnectionError(f"another process of the run is gone; see what it says itself ({reason})") from error


def _buckets(gradients: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    bucket: list[Tensor] = []
    for gradient in gradients:
        if bucket and sum(other.numel() for other in bucket) + gradient.numel() > BUCKET:
            yield bucket
            bucket = []
        bucket.append(gradient)
    if bucket:
        yield bucket
