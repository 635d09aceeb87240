"""`multihmr train`: a recipe and a folder of samples to weights."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import nn

from ros2_multihmr.backends.backend import choose_device
from ros2_multihmr.backends.torch_backend import TorchBackend
from ros2_multihmr.body import create_body
from ros2_multihmr.body.body_model import BodyModel
from ros2_multihmr.estimator import Estimator
from ros2_multihmr.estimator_config import EstimatorConfig
from ros2_multihmr.files.folder_lock import only_writer
from ros2_multihmr.files.folders import check_folder, make_folder
from ros2_multihmr.model.multi_crop import MultiCrop
from ros2_multihmr.model.multihmr import MultiHMR
from ros2_multihmr.overlay import overlay
from ros2_multihmr.report import open_console
from ros2_multihmr.samples.sample import Sample
from ros2_multihmr.settings import Settings, setting
from ros2_multihmr.training.checkpoints import FOLDER as CHECKPOINTS
from ros2_multihmr.training.crop_pictures import second_looks
from ros2_multihmr.training.datasets import Dataset, ShardDataset
from ros2_multihmr.training.distributed import World, join_world
from ros2_multihmr.training.learner import Work
from ros2_multihmr.training.recipe import MultiCropRecipe, Recipe, SingleShotRecipe, load_recipe, recipe_to_dict
from ros2_multihmr.training.run_folder import WEIGHTS, RunFolder, recipe_of
from ros2_multihmr.training.show import TrainingDisplay
from ros2_multihmr.training.trainer import Trainer
from ros2_multihmr.training.work import multi_crop_work, single_shot_work

TRAIN, VALIDATION = "train", "val"
DEFAULT_RECIPE = "embedded"
_STOPPED = 130
_TAKEN = "another run is writing there"
# Sections of a recipe that may change when a run goes on.
_FLEXIBLE = ("length", "data")


@dataclass(frozen=True)
class Options(Settings):
    """Trains a network on samples that `multihmr synthesize` wrote. Under torchrun, on several GPUs or machines."""

    data: str = setting("", "Folder with samples in its folders train and val")
    out: str = setting("out/train", "Folder of the run; made if it is not there")
    recipe: str = setting(
        "", "Name of a recipe that comes with the package, or a YAML file; empty: embedded, or that of the run to go on"
    )
    set: tuple[str, ...] = setting(
        (), "Values of the recipe to replace: length.steps=1000 optimiser.precision=bfloat16"
    )
    resume: bool = setting(False, "Go on with the run in the folder, after its newest checkpoint")
    device: str = setting("auto", "Where to compute: auto (a CUDA GPU if there is one), cpu, cuda or cuda:<index>")
    threads: int = setting(0, "CPU threads of the network; 0 leaves them as they are", low=0)
    tensorboard: bool = setting(False, "Write for TensorBoard, too: pip install 'multihmr[train]'")
    body_models: str = setting("", "Folder of your own body models (SMPL-X); empty: the usual one")

    def __post_init__(self) -> None:
        """Checks every value.

        Raises:
            ValueError: A value is not allowed; says which ones are.
        """
        super().__post_init__()
        if not self.data:
            raise ValueError("no samples: give their folder with --data; `multihmr synthesize` makes some")


def main(options: Options) -> int:
    """Runs the verb; returns 0, or 130 if the run was stopped and can be resumed."""
    check_folder(Path(options.out), "--out")
    recipe = _recipe(options)
    device = choose_device(options.device)
    if options.threads:
        torch.set_num_threads(options.threads)
    with join_world(device.type) as world:
        if world.size > 1 and device.type == "cuda":
            device = torch.device("cuda", world.local_rank)
        return _train(options, recipe, device, world)


def _recipe(options: Options) -> Recipe:
    """The recipe asked for; that of the folder for a run that goes on and is given none."""
    out = Path(options.out)
    there = recipe_of(out)
    if there is None:
        return load_recipe(options.recipe or DEFAULT_RECIPE, options.set)
    if not options.resume:
        raise ValueError(f"--out {out}: there is a run already; go on with --resume, or give another folder")
    recipe = load_recipe(options.recipe, options.set) if options.recipe else recipe_of(out, options.set)
    assert recipe is not None  # it was there a line ago
    _check_same(there, recipe, out, options.recipe)
    return recipe


def _check_same(there: Recipe, recipe: Recipe, out: Path, given: str) -> None:
    """Checks that a run goes on with its own recipe, but for what may change."""
    changes = _changes(there, recipe)
    if fixed := [name for name in changes if name.partition(".")[0] not in _FLEXIBLE]:
        differences = ", ".join(f"{name} ({changes[name]})" for name in fixed)
        remedy = "leave --recipe away, or give the run's --set with it" if given else "leave them away"
        raise ValueError(
            f"--out {out}: {differences} cannot change while a run goes on, only {' and '.join(_FLEXIBLE)} can; "
            f"{remedy}, or start another run in another folder"
        )


def _changes(there: Recipe, recipe: Recipe) -> dict[str, str]:
    """What differs between a run's recipe and the one to go on with: old and new value by name."""
    before, after = _flat(recipe_to_dict(there)), _flat(recipe_to_dict(recipe))
    if there.kind != recipe.kind:
        return {"kind": f"{there.kind!r} -> {recipe.kind!r}"}
    return {name: f"{before[name]!r} -> {after[name]!r}" for name in before if before[name] != after[name]}


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe's values by their names on the command line."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= {f"{name}.{key}": part for key, part in value.items()} if isinstance(value, Mapping) else {name: value}
    return flat


def _train(options: Options, recipe: Recipe, device: torch.device, world: World) -> int:
    console = open_console(quiet=not world.writes)
    with ExitStack() as held:
        with world.all_or_none():
            trainer, display = _start(options, recipe, device, world, console, held)
        complete = _run(trainer, display)
        if trainer.folder is not None:
            trainer.folder.close()
    _tell(console, options, trainer, complete)
    return 0 if complete else _STOPPED


def _start(
    options: Options, recipe: Recipe, device: torch.device, world: World, console: Console, held: ExitStack
) -> tuple[Trainer, TrainingDisplay]:
    """All that comes before the first step; what ends with the run goes into `held`."""
    out = Path(options.out)
    before = recipe_of(out)
    if before is not None and world.writes:
        held.enter_context(only_writer(out, "--out", _TAKEN))
    torch.manual_seed(recipe.seed)
    body = create_body(recipe.body, options.body_models)
    data = {name: ShardDataset([Path(options.data) / name]) for name in (TRAIN, VALIDATION)}
    folder = RunFolder(out, options.tensorboard) if world.writes else None
    display = TrainingDisplay(console, recipe.length)
    work = _work(recipe, body, data, world, device)
    trainer = Trainer(
        work.learner,
        recipe,
        work.feed,
        work.validation,
        folder=folder,
        world=world,
        device=device,
        clock=time.monotonic,
        show=display.show,
        draw=lambda model: _pictures(model, work, body, data[VALIDATION], recipe, device),
    )
    if options.resume:
        trainer.resume(out / CHECKPOINTS)
    if folder is not None:  # nothing is written before: a start that fails leaves nothing behind
        if before is None:
            held.enter_context(_new_folder(out))
        folder.begin(recipe, _about(options, data), str(device))
        folder.rewind(trainer.progress.step)
    for name, change in _changes(before or recipe, recipe).items():
        console.print(f"Goes on with another {name}: {change}", highlight=False)
    return trainer, display


def _run(trainer: Trainer, display: TrainingDisplay) -> bool:
    try:
        with display, _signals(trainer):
            return trainer.run()
    except OSError as error:
        raise OSError(
            f"{error}; the run ended after step {trainer.progress.step}. Once this is mended (a full disk: make room), "
            "the same command with --resume goes on after the newest checkpoint"
        ) from error


def _about(options: Options, data: Mapping[str, Dataset]) -> dict[str, Any]:
    return {
        "data": str(Path(options.data).absolute()),
        "samples": {name: len(samples) for name, samples in data.items()},
        "threads": torch.get_num_threads(),
    }


@contextmanager
def _new_folder(out: Path) -> Iterator[None]:
    """Makes the folder of a new run and keeps others out until the block ends."""
    make_folder(out, "--out")
    with only_writer(out, "--out", _TAKEN):
        if recipe_of(out) is not None:
            raise ValueError(f"--out {out}: another run began there meanwhile; give another folder")
        yield


def _work(recipe: Recipe, body: BodyModel, data: Mapping[str, Dataset], world: World, device: torch.device) -> Work:
    if isinstance(recipe, MultiCropRecipe):
        return multi_crop_work(recipe, body, data[TRAIN], data[VALIDATION], world, device)
    assert isinstance(recipe, SingleShotRecipe)  # there are no others
    return single_shot_work(recipe, body, data[TRAIN], data[VALIDATION], world, device)


def _pictures(
    model: nn.Module, work: Work, body: BodyModel, samples: Dataset, recipe: Recipe, device: torch.device
) -> list[Any]:
    """Validation images with the people that a network finds, or finds again."""
    if isinstance(model, MultiCrop):
        return second_looks(model, body, work.validation, recipe.length.pictures)
    assert isinstance(model, MultiHMR)
    estimator = Estimator(TorchBackend(model, device), body, EstimatorConfig())
    count = min(recipe.length.pictures, len(samples))
    return [_picture(estimator, samples[index]) for index in range(count)]


def _picture(estimator: Estimator, sample: Sample) -> Any:
    return overlay(sample.image, estimator.estimate(sample.image, sample.camera), sample.camera)


@contextmanager
def _signals(trainer: Trainer) -> Iterator[None]:
    """Lets Ctrl-C and SIGTERM end the run after the step; a second one ends it at once."""

    def stop(number: int, _: Any) -> None:
        trainer.stop = True
        signal.signal(number, before[number])

    before = {int(number): signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _tell(console: Console, options: Options, trainer: Trainer, complete: bool) -> None:
    done = trainer.progress
    weights = Path(options.out) / WEIGHTS
    if not complete:
        console.print(f"Stopped after step {done.step}. The same command with --resume goes on.")
        return
    console.print(f"{done.step} steps in {done.elapsed_s / 60:.1f} minutes, {done.skipped} skipped; {weights}")
    if done.best_step >= 0:
        console.print(f"Validation loss {done.best_loss:.3f} at step {done.best_step}, the best of the run.")
    if isinstance(trainer.recipe, MultiCropRecipe):
        console.print(f"The file is for those who look again: refiner_weights {os.fspath(weights)}")
    else:
        console.print(f"Try them: multihmr run --weights {os.fspath(weights)}")
