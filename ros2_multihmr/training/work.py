"""Work: a recipe and samples to what a trainer needs, for each kind of network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice

import torch

from ros2_multihmr.body.body_model import BodyModel
from ros2_multihmr.model.config import PATCH
from ros2_multihmr.model.embedded import open_network
from ros2_multihmr.model.multi_crop_config import MultiCropConfig
from ros2_multihmr.model.multihmr import MultiHMR
from ros2_multihmr.training.augment import Augment
from ros2_multihmr.training.batches import Batch
from ros2_multihmr.training.crop_batches import CropBatch, Scenes, collate_scenes
from ros2_multihmr.training.crop_estimates import Estimates, NetworkEstimates, NoisyTruth
from ros2_multihmr.training.crop_feed import SecondLook, crop_batches
from ros2_multihmr.training.crop_objective import CropObjective
from ros2_multihmr.training.crop_start import (
    crop_training_config,
    load_crop_backbone,
    load_crop_start,
    start_multi_crop,
)
from ros2_multihmr.training.datasets import Dataset
from ros2_multihmr.training.distributed import World
from ros2_multihmr.training.initialise import load_backbone, load_start, start_model, training_config
from ros2_multihmr.training.learner import Work
from ros2_multihmr.training.loader import Change, LoaderConfig, Share, batches, joined
from ros2_multihmr.training.mirror import Mirror
from ros2_multihmr.training.objective import Objective
from ros2_multihmr.training.recipe import MultiCropRecipe, Recipe, SingleShotRecipe
from ros2_multihmr.training.recipe_sections import DTYPES

NOISY_SIZE = 224  # px: who is large enough to be looked at again is judged as if a network of this input had looked


def single_shot_work(
    recipe: SingleShotRecipe, body: BodyModel, train: Dataset, validation: Dataset, world: World, device: torch.device
) -> Work:
    """Makes what trains Multi-HMR.

    Args:
        recipe: The settings.
        body: The body.
        train: Samples to learn from.
        validation: Samples to validate on.
        world: This process among its fellows.
        device: Where it will compute.

    Raises:
        ValueError: Too few samples, a batch that cannot be shared out evenly, or a network of another body.
        WeightsError: What the network is to start from is missing, or does not fit.
    """
    config = training_config(recipe.network, body.info, recipe.name)
    model = start_model(config, body.info, recipe.seed)
    if recipe.network.weights:
        load_start(model, recipe.network.weights)
    if recipe.network.backbone:
        load_backbone(model, recipe.network.backbone)
    augment, share = _augment(recipe, body), Share(world.rank, world.size)
    loading = replace(_loader(recipe, recipe.network.image_size), pin_memory=device.type == "cuda")
    batches(train, replace(loading, workers=0), share=share)  # tells at once what it would tell at the first step

    def feed(step: int) -> Iterator[Batch]:
        return batches(train, loading, augment=augment, first_step=step, share=share)

    held_out = batches(validation, _in_order(loading), share=share)
    objective = Objective(model, body, recipe.losses, recipe.targets)
    return Work(objective, feed, list(islice(held_out, _validation_batches(recipe, validation))))


def multi_crop_work(
    recipe: MultiCropRecipe, body: BodyModel, train: Dataset, validation: Dataset, world: World, device: torch.device
) -> Work:
    """Makes what trains a second look; arguments and errors as those of `single_shot_work`."""
    config = crop_training_config(recipe.network, body.info, recipe.name)
    model = start_multi_crop(config, body.info, recipe.seed)
    if recipe.network.backbone:
        load_crop_backbone(model, recipe.network.backbone)
    if recipe.network.weights:
        load_crop_start(model, recipe.network.weights)
    look, size = _second_look(recipe, config, body.to(device), device)
    augment, share = _augment(recipe, body), Share(world.rank, world.size)
    loading = replace(_loader(recipe, size), pin_memory=device.type == "cuda")
    join = partial(collate_scenes, image_size=size, max_people=recipe.data.max_people)
    joined(train, replace(loading, workers=0), join, share=share)

    def crops(scenes: Iterator[Scenes], step: int) -> Iterator[CropBatch]:
        return crop_batches(scenes, look, recipe.data.batch_size, device, first_step=step, share=share)

    def feed(step: int) -> Iterator[CropBatch]:
        return crops(joined(train, loading, join, augment=augment, first_step=step, share=share), step)

    held_out = crops(joined(validation, _in_order(loading), join, share=share), 0)
    kept: Sequence[CropBatch] = list(islice(held_out, _validation_batches(recipe, validation)))
    return Work(CropObjective(model, body, recipe.losses), feed, kept)


def _second_look(
    recipe: MultiCropRecipe, config: MultiCropConfig, body: BodyModel, device: torch.device
) -> tuple[SecondLook, int]:
    """Who looks again, and the side of the input of who looked first [px]."""
    estimates, size = _estimates(recipe, body, device)
    return SecondLook(estimates, body, config, recipe.estimates, recipe.seed), size


def _estimates(recipe: MultiCropRecipe, body: BodyModel, device: torch.device) -> tuple[Estimates, int]:
    settings = recipe.estimates
    if settings.source == "truth":
        return NoisyTruth(settings, body, NOISY_SIZE // PATCH, recipe.targets), NOISY_SIZE
    network = open_network("" if settings.weights == "embedded" else settings.weights)
    if not isinstance(network, MultiHMR) or network.config.body != recipe.network.body:
        raise ValueError(
            f"estimates.weights: expected a network of the kind multihmr for the body {recipe.network.body}, got "
            f"{network.config.kind} for {network.config.body}; use one of these, or estimates.source=truth"
        )
    wanted = recipe.network
    if wanted.encoder == "roi" and wanted.width != network.config.width:
        raise ValueError(
            f"network.width: the encoder roi reads features of {network.config.weights!r}, which have "
            f"{network.config.width}, got {wanted.width}"
        )
    dtype = DTYPES[recipe.optimiser.precision]
    return NetworkEstimates(network.to(device), body, recipe.targets, dtype), network.config.image_size


def _augment(recipe: Recipe, body: BodyModel) -> Change | None:
    return Augment(recipe.augment, Mirror(body.info)) if recipe.data.augment else None


def _loader(recipe: Recipe, image_size: int) -> LoaderConfig:
    data = recipe.data
    return LoaderConfig(
        batch_size=data.batch_size,
        image_size=image_size,
        max_people=data.max_people,
        seed=recipe.seed,
        workers=data.workers,
    )


def _in_order(loading: LoaderConfig) -> LoaderConfig:
    """For validation batches: in memory, as they are asked for often."""
    return replace(loading, shuffle=False, workers=0, pin_memory=False)


def _validation_batches(recipe: Recipe, data: Dataset) -> int:
    """How many whole batches the first validation images are."""
    size = recipe.data.batch_size
    images = min(len(data), recipe.data.validation_images)
    if images < size:
        short = len(data) < size, recipe.data.validation_images < size
        remedies = [text for text, is_short in zip(("make more", "raise data.validation_images"), short) if is_short]
        raise ValueError(
            f"validation: expected at least a batch of {size} images, got {images}; {' and '.join(remedies)}, "
            "or lower data.batch_size"
        )
    return images // size
