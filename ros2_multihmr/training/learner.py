"""Learner: what a trainer trains, whatever it learns: a network with its loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from ros2_multihmr.body.body_model import BodyModel


class Losses(NamedTuple):
    """The loss of one batch.

    Attributes:
        total: () weighted sum of the terms.
        terms: () each, unweighted, by the names of their weights; detached.
        metrics: () each, of this batch alone and detached; 0 where there is nothing to count.
    """

    total: Tensor
    terms: dict[str, Tensor]
    metrics: dict[str, Tensor]


class OnDevice(Protocol):
    """A batch, as far as a trainer cares."""

    def to(self, device: torch.device | str) -> Any:
        """Copies to a device."""


class Learner(nn.Module, ABC):
    """A network with its loss; its optimiser's parameters are `parameters()`.

    Every term is a local sum over a global count, so that several processes see the loss of the joint batch.

    Attributes:
        model: The network.
        body: The body that it was made for.
    """

    model: nn.Module
    body: BodyModel

    @abstractmethod
    def counts(self, batch: Any) -> Tensor:
        """Counts what a batch's means go over; added up over processes and given back to `forward`."""

    @abstractmethod
    def forward(self, batch: Any, counts: Tensor | None = None) -> Losses:
        """Computes the loss of a batch; `counts` None: of this batch alone."""

    @abstractmethod
    def save(self, path: Path, *, half: bool) -> None:
        """Writes the network's weights, with 16 bits if `half`.

        Raises:
            ValueError: Numbers that are not finite, or too big for 16 bits.
            OSError: The file cannot be written.
        """


Feed = Callable[[int], Iterator[OnDevice]]


class Work(NamedTuple):
    """What is to be learned, and from what.

    Attributes:
        learner: The network with its start values, and its loss.
        feed: Gives this process's training batches from a step on; each follows from its step alone.
        validation: This process's validation batches.
    """

    learner: Learner
    feed: Feed
    validation: Sequence[OnDevice]
