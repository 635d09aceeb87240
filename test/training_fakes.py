"""What tests of training share: shards of made-up people, and a trainer of the smallest recipe."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from synthetic_samples import made_up_sample

from ros2_multihmr.body import create_body
from ros2_multihmr.samples.manifest import Manifest
from ros2_multihmr.samples.sample import Sample
from ros2_multihmr.samples.shards import write_shard
from ros2_multihmr.training.batches import Batch, collate
from ros2_multihmr.training.distributed import World
from ros2_multihmr.training.initialise import start_model, training_config
from ros2_multihmr.training.objective import Objective
from ros2_multihmr.training.recipe import Recipe, load_recipe
from ros2_multihmr.training.run_folder import RunFolder
from ros2_multihmr.training.trainer import Trainer

BODY = create_body("anny")


def made_up_samples(count: int, first: int = 0) -> list[Sample]:
    """Samples with 0 to 2 people."""
    return [made_up_sample(BODY, first + index, (index + 1) % 3) for index in range(count)]


def write_data(folder: Path, train: int = 6, val: int = 4) -> Path:
    """Shards in the folders train and val, as `multihmr train` reads them."""
    for name, count, first in (("train", train, 0), ("val", val, 100)):
        place = folder / name
        place.mkdir(parents=True)
        manifest = Manifest(name, count, 4, {}, "test")
        manifest.begin(place)
        samples = made_up_samples(count, first)
        for file, indices in manifest.shards():
            write_shard(place / file, [samples[index] for index in indices])
    return folder


def batches_of(samples: Sequence[Sample], recipe: Recipe, size: int = 2) -> list[Batch]:
    """The samples in order, `size` at a time."""
    most, side = recipe.data.max_people, recipe.network.image_size
    return [collate(samples[start : start + size], side, most) for start in range(0, len(samples), size)]


def smoke_objective(recipe: Recipe) -> Objective:
    """The smallest network with its loss; the same numbers every time."""
    torch.manual_seed(recipe.seed)
    config = training_config(recipe.network, BODY.info, recipe.name)
    return Objective(start_model(config, BODY.info, recipe.seed), BODY, recipe.losses, recipe.targets)


def smoke_trainer(
    folder: Path | None,
    batches: Sequence[Batch],
    overrides: Iterable[str] = (),
    *,
    objective: Objective | None = None,
    validation: Sequence[Batch] = (),
    **options: Any,
) -> Trainer:
    """A trainer that sees `batches` again and again; it writes into `folder` if there is one."""
    recipe = load_recipe("smoke", list(overrides))
    run = None
    if folder is not None:
        run = RunFolder(folder, tensorboard=False)
        run.begin(recipe, {}, "cpu")

    def feed(start: int) -> Iterable[Batch]:
        step = start
        while True:
            yield batches[step % len(batches)]
            step += 1

    options = {"clock": lambda: 0.0, "world": World()} | options
    return Trainer(objective or smoke_objective(recipe), recipe, feed, validation, folder=run, **options)
