"""Trainer: steps, and what happens between them."""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ros2_multihmr.training.checkpoints import (
    Checkpoint,
    Progress,
    load_checkpoint,
    newest_checkpoint,
    random_state,
    restore_random_state,
    save_checkpoint,
)
from ros2_multihmr.training.distributed import World
from ros2_multihmr.training.learner import Feed, Learner, Losses, OnDevice
from ros2_multihmr.training.optimiser import (
    Average,
    create_optimiser,
    gradient_norm,
    learning_rate,
    set_learning_rate,
)
from ros2_multihmr.training.recipe import Recipe, recipe_to_dict
from ros2_multihmr.training.recipe_sections import DTYPES
from ros2_multihmr.training.run_folder import RunFolder

_logger = logging.getLogger("ros2_multihmr")

Clock = Callable[[], float]
Show = Callable[[Progress, Mapping[str, float]], None]
Draw = Callable[[nn.Module], Sequence[Any]]


class Trainer:
    """Trains one network; every process of a run has one.

    Attributes:
        objective: The network and its loss.
        average: The averaged weights, which are validated and kept.
        progress: Where the run is.
        stop: Set to True from outside, for example by a signal: the run ends after the step, with a checkpoint.
    """

    def __init__(
        self,
        objective: Learner,
        recipe: Recipe,
        feed: Feed,
        validation: Iterable[OnDevice],
        *,
        folder: RunFolder | None = None,
        world: World | None = None,
        device: torch.device | str = "cpu",
        clock: Clock,
        show: Show = lambda progress, values: None,
        draw: Draw = lambda model: (),
    ) -> None:
        """Joins everything and moves the network to its device.

        Args:
            objective: The network with its start values.
            recipe: The settings.
            feed: Gives this process's training batches from a step on; each must follow from its step alone.
            validation: This process's validation batches, as often as they are asked for; may be empty.
            folder: Where the first process writes; None for nowhere.
            world: This process among its fellows.
            device: Where it computes.
            clock: Monotonic time [s].
            show: Called with the numbers of every line of metrics.
            draw: Makes pictures of validation images with the averaged network's people.
        """
        self.world, self.device = world or World(), torch.device(device)
        self.objective = objective.to(self.device)
        self.objective.body.to(self.device)
        self.recipe, self.settings, self.folder = recipe, recipe.optimiser, folder
        self.feed, self.validation, self._clock, self._show, self._draw = feed, validation, clock, show, draw
        self.optimiser = create_optimiser(self.objective, self.settings)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.settings.precision == "float16")
        self.average = Average(self.objective, self.settings.ema)
        self.progress = Progress()
        self.stop = False
        self._validated = -1

    # ---- the run

    def run(self) -> bool:
        """Trains until the recipe's steps or minutes are over.

        Returns:
            True if the run is complete, False if it was stopped; it can be resumed then.

        Raises:
            FloatingPointError: Too many steps in a row had numbers that are not finite.
        """
        self.world.copy_tensors([*self.objective.state_dict().values(), *self.average.tensors.values()])
        batches = self.feed(self.progress.step)
        self._began_s = self._clock() - self.progress.elapsed_s
        window = _Window(self._clock)
        self.objective.train()
        while not self._over():
            values = self._step(next(batches))
            window.add(values, self.recipe.data.batch_size)
            self._between_steps(window)
        complete = self._done() >= 1.0
        if complete and self._validated != self.progress.step:
            self._validate()
        self._save()
        return complete

    def _over(self) -> bool:
        """Agrees with all processes on the time and on stopping."""
        elapsed, stop = self.world.maximum([self._clock() - self._began_s, float(self.stop)], self.device)
        self.progress = replace(self.progress, elapsed_s=elapsed)
        return bool(stop) or self._done() >= 1.0

    def _done(self) -> float:
        """Part of the run that is over, 0 to 1."""
        return self.recipe.length.part_done(self.progress.step, self.progress.elapsed_s)

    def _step(self, batch: OnDevice) -> dict[str, Tensor]:
        """Takes one step, or none if its numbers are not finite; returns what is worth a line of metrics."""
        rate = learning_rate(self.progress.step, self._done(), self.settings)
        set_learning_rate(self.optimiser, rate)
        self.optimiser.zero_grad(set_to_none=True)
        losses = self._losses(batch.to(self.device))
        self.scaler.scale(losses.total).backward()
        self.world.add_gradients(self.objective)
        self.scaler.unscale_(self.optimiser)
        norm = gradient_norm(self.objective.parameters())
        joint = self._joint(losses)
        finite = bool(torch.isfinite(norm) & torch.isfinite(joint["loss"]))
        if finite:
            self._update(norm)
        self.scaler.update()
        self._count(finite)
        return joint | {"gradient": norm, "learning_rate": torch.tensor(rate)} if finite else {}

    def _losses(self, batch: Any) -> Losses:
        counts = self.world.total(self.objective.counts(batch))
        dtype = DTYPES[self.settings.precision]
        with torch.autocast(self.device.type, dtype, enabled=dtype != torch.float32):
            losses: Losses = self.objective(batch, counts)
        return losses

    def _update(self, norm: Tensor) -> None:
        if self.settings.clip_norm:
            torch.nn.utils.clip_grads_with_norm_(self.objective.parameters(), self.settings.clip_norm, norm)
        self.scaler.step(self.optimiser)
        self.average.update(self.objective, self.progress.step)

    def _count(self, finite: bool) -> None:
        done = self.progress
        row = 0 if finite else done.skipped_in_a_row + 1
        self.progress = replace(done, step=done.step + 1, skipped=done.skipped + (not finite), skipped_in_a_row=row)
        if row >= self.settings.most_skips:
            raise FloatingPointError(
                f"step {done.step}: loss or gradient were not finite for {row} steps in a row; lower "
                "optimiser.learning_rate, or use optimiser.precision float32, and go on from the last checkpoint "
                "with --resume"
            )

    def _joint(self, losses: Losses) -> dict[str, Tensor]:
        """The loss and its terms, which add up over processes, and the metrics, of which the mean is taken."""
        means = {name: value / self.world.size for name, value in losses.metrics.items()}
        values = {"loss": losses.total.detach(), **losses.terms, **means}
        stacked = torch.stack([value.float() for value in values.values()])
        return dict(zip(values, self.world.total(stacked).unbind(), strict=True))

    # ---- between steps

    def _between_steps(self, window: _Window) -> None:
        step, length = self.progress.step, self.recipe.length
        if step % length.log_every == 0:
            self._log("train", window.means())
        if step % length.validate_every == 0:
            self._validate()
        if step % length.checkpoint_every == 0 or self.progress.best_step == step:
            self._save()

    def _log(self, kind: str, values: Mapping[str, float]) -> None:
        if not values:
            return
        values = {**values, "elapsed_s": self.progress.elapsed_s, "skipped": self.progress.skipped}
        if self.folder is not None:
            self.folder.write_metrics(kind, self.progress.step, values)
        self._show(
            self.progress, values if kind == "train" else {f"validation {name}": values[name] for name in values}
        )

    @torch.no_grad()
    def _validate(self) -> None:
        """Computes the averaged weights' loss on the validation batches, and writes these weights and pictures."""
        self._validated = self.progress.step
        with self.averaged():
            rows = [self._joint(self._losses(batch.to(self.device))) for batch in self.validation]
            if self.folder is not None:
                self.objective.save(self.folder.weights, half=self.recipe.length.half)
                self.folder.write_pictures(self.progress.step, self._draw(copy.deepcopy(self.objective.model)))
        if not rows:
            return
        means = _means(rows)
        if means["loss"] < self.progress.best_loss:
            self.progress = replace(self.progress, best_loss=means["loss"], best_step=self.progress.step)
        self._log("validation", means)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Puts the averaged weights into the network, until the block ends."""
        self.objective.eval()
        self.average.swap(self.objective)
        try:
            yield
        finally:
            self.average.swap(self.objective)
            self.objective.train()

    # ---- checkpoints

    def _save(self) -> None:
        if self.folder is None:
            return
        checkpoint = Checkpoint(
            progress=self.progress,
            weights=self.objective.state_dict(),
            average=self.average.tensors,
            optimiser=self.optimiser.state_dict()["state"],
            scaler=self.scaler.state_dict(),
            recipe=recipe_to_dict(self.recipe),
            random=random_state(),
        )
        save_checkpoint(self.folder.checkpoints, checkpoint, self.recipe.length.keep)

    def resume(self, folder: Path) -> None:
        """Goes back to the newest checkpoint of a folder, if there is one.

        Raises:
            ValueError: The checkpoint is damaged, or of another network.
        """
        path = newest_checkpoint(folder)
        if path is None:
            return
        checkpoint = load_checkpoint(path)
        try:
            self.objective.load_state_dict(checkpoint.weights)
            self.average.load(checkpoint.average)
        except (RuntimeError, KeyError) as error:
            raise ValueError(f"{path}: of another network than the recipe's; {error}") from error
        groups = self.optimiser.state_dict()["param_groups"]
        self.optimiser.load_state_dict({"state": checkpoint.optimiser, "param_groups": groups})
        self.scaler.load_state_dict(dict(checkpoint.scaler))
        restore_random_state(checkpoint.random)
        self.progress = checkpoint.progress
        _logger.info("goes on after step %d", self.progress.step)


class _Window:
    """Numbers since the last line of metrics."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._reset()

    def _reset(self) -> None:
        self._values: list[dict[str, Tensor]] = []
        self._images, self._start_s = 0, self._clock()

    def add(self, values: dict[str, Tensor], images: int) -> None:
        """Takes in one step."""
        self._images += images
        if values:
            self._values.append(values)

    def means(self) -> dict[str, float]:
        """Returns the means since the last call, and the images per second."""
        means = _means(self._values)
        taken_s = max(self._clock() - self._start_s, 1e-9)
        means["images_per_s"] = self._images / taken_s
        self._reset()
        return {name: value for name, value in means.items() if math.isfinite(value)}


def _means(rows: Sequence[Mapping[str, Tensor]]) -> dict[str, float]:
    """Mean of each number over rows with the same names; none for no rows."""
    stacked = [torch.stack([value.float().cpu() for value in row.values()]) for row in rows]
    return dict(zip(rows[0], torch.stack(stacked).mean(0).tolist(), strict=True)) if rows else {}
