"""`multihmr train`: a recipe and a folder of samples to weights."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from ros2_multihmr.backends.backend import choose_device
from ros2_multihmr.backends.torch_backend import TorchBackend
from ros2_multihmr.body import create_body
from ros2_multihmr.body.body_model import BodyModel
from ros2_multihmr.estimator import Estimator
from ros2_multihmr.estimator_config import EstimatorConfig
from ros2_multihmr.folders import check_folder
from ros2_multihmr.model.multihmr import MultiHMR
from ros2_multihmr.overlay import overlay
from ros2_multihmr.samples.sample import Sample
from ros2_multihmr.settings import Settings, setting
from ros2_multihmr.training.augment import Augment
from ros2_multihmr.training.batches import Batch
from ros2_multihmr.training.datasets import Dataset, ShardDataset
from ros2_multihmr.training.distributed import World, join_world
from ros2_multihmr.training.initialise import load_backbone, load_start, start_model, training_config
from ros2_multihmr.training.loader import LoaderConfig, Share, batches
from ros2_multihmr.training.mirror import Mirror
from ros2_multihmr.training.objective import Objective
from ros2_multihmr.training.recipe import Recipe, load_recipe, recipe_to_dict
from ros2_multihmr.training.run_folder import WEIGHTS, RunFolder, recipe_of
from ros2_multihmr.training.show import TrainingDisplay
from ros2_multihmr.training.trainer import Feed, Trainer

TRAIN, VALIDATION = "train", "val"
_STOPPED = 130
# Sections of a recipe that may change when a run goes on.
_FLEXIBLE = ("length", "data")


@dataclass(frozen=True)
class Options(Settings):
    """Trains a network on samples that `multihmr synthesize` wrote. Under torchrun, on several GPUs or machines."""

    data: str = setting("", "Folder with samples in its folders train and val")
    out: str = setting("out/train", "Folder of the run; made if it is not there")
    recipe: str = setting("embedded", "Name of a recipe that comes with the package, or a YAML file")
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
    """The recipe asked for; that of the folder for a run that goes on."""
    there = recipe_of(Path(options.out))
    if there is None:
        return load_recipe(options.recipe, options.set)
    if not options.resume:
        raise ValueError(f"--out {options.out}: there is a run already; go on with --resume, or give another folder")
    recipe = recipe_of(Path(options.out), options.set)
    assert recipe is not None  # it was there a line ago
    before, after = recipe_to_dict(there), recipe_to_dict(recipe)
    changed = [name for name in before if before[name] != after[name] and name not in _FLEXIBLE]
    if changed:
        raise ValueError(f"--set: {', '.join(changed)} cannot change while a run goes on; start another one")
    return recipe


def _train(options: Options, recipe: Recipe, device: torch.device, world: World) -> int:
    console = Console(quiet=not world.writes)
    torch.manual_seed(recipe.seed)
    body = create_body(recipe.network.body, options.body_models)
    data = {name: ShardDataset([Path(options.data) / name]) for name in (TRAIN, VALIDATION)}
    folder = _folder(options, recipe, data, device) if world.writes else None
    display = TrainingDisplay(console, recipe.length)
    trainer = Trainer(
        _objective(recipe, body),
        recipe,
        _feed(recipe, data[TRAIN], body, world, device.type == "cuda"),
        _validation(recipe, data[VALIDATION], world),
        folder=folder,
        world=world,
        device=device,
        clock=time.monotonic,
        show=display.show,
        draw=lambda model: _pictures(model, body, data[VALIDATION], recipe, device),
    )
    if options.resume:
        trainer.resume(Path(options.out) / "checkpoints")
    if folder is not None:
        folder.rewind(trainer.progress.step)
    with display, _signals(trainer):
        complete = trainer.run()
    if folder is not None:
        folder.close()
    _tell(console, options, trainer, complete)
    return 0 if complete else _STOPPED


def _objective(recipe: Recipe, body: BodyModel) -> Objective:
    config = training_config(recipe.network, body.info, recipe.name)
    model = start_model(config, body.info, recipe.seed)
    if recipe.network.weights:
        load_start(model, recipe.network.weights)
    if recipe.network.backbone:
        load_backbone(model, recipe.network.backbone)
    return Objective(model, body, recipe.losses, recipe.targets)


def _folder(options: Options, recipe: Recipe, data: Mapping[str, Dataset], device: torch.device) -> RunFolder:
    about: dict[str, Any] = {
        "data": str(Path(options.data).absolute()),
        "samples": {name: len(samples) for name, samples in data.items()},
        "threads": torch.get_num_threads(),
    }
    folder = RunFolder(Path(options.out), options.tensorboard)
    folder.begin(recipe, about, str(device))
    return folder


def _feed(recipe: Recipe, data: Dataset, body: BodyModel, world: World, pin: bool) -> Feed:
    augment = Augment(recipe.augment, Mirror(body.info)) if recipe.data.augment else None
    config = replace(_loader(recipe), pin_memory=pin)
    return lambda step: batches(data, config, augment=augment, first_step=step, share=Share(world.rank, world.size))


def _validation(recipe: Recipe, data: Dataset, world: World) -> list[Batch]:
    """The first validation images in whole batches, shared out evenly; in memory, as they are asked for often."""
    size = recipe.data.batch_size
    images = min(len(data), recipe.data.validation_images)
    if images < size:
        raise ValueError(
            f"validation: expected at least a batch of {size} images, got {images}; make more, raise "
            "data.validation_images, or lower data.batch_size"
        )
    config = replace(_loader(recipe), shuffle=False, workers=0)
    return list(islice(batches(data, config, share=Share(world.rank, world.size)), images // size))


def _loader(recipe: Recipe) -> LoaderConfig:
    data = recipe.data
    return LoaderConfig(
        batch_size=data.batch_size,
        image_size=recipe.network.image_size,
        max_people=data.max_people,
        seed=recipe.seed,
        workers=data.workers,
    )


def _pictures(model: MultiHMR, body: BodyModel, samples: Dataset, recipe: Recipe, device: torch.device) -> list[Any]:
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
    console.print(f"Try them: multihmr run --weights {os.fspath(weights)}")
