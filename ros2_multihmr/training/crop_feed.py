"""Feed of a second look: scenes to people with crops. What is random follows from the seed and an image's position."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ros2_multihmr.body.body_model import BodyModel
from ros2_multihmr.crops import crop_boxes, crop_table, plain_boxes, projected_bounds, random_table, worth_looking
from ros2_multihmr.model.crop_cameras import CropBoxes
from ros2_multihmr.model.multi_crop_config import MultiCropConfig
from ros2_multihmr.training.crop_batches import Bodies, CropBatch, Scenes
from ros2_multihmr.training.crop_estimates import Chosen, Estimates, draw_for, posed
from ros2_multihmr.training.crop_inputs import map_intrinsics
from ros2_multihmr.training.crop_recipe import EstimateSettings
from ros2_multihmr.training.loader import Share

_CROPS = 2  # what random numbers are for, beside those of the loader


@dataclass(frozen=True)
class SecondLook:
    """Says who is looked at again, and puts crops around them.

    Attributes:
        estimates: What is known before.
        body: The body, on the batches' device.
        config: The network that looks.
        settings: How the boxes are moved; the estimates are as they are.
        seed: What everything random is drawn from.
    """

    estimates: Estimates
    body: BodyModel
    config: MultiCropConfig
    settings: EstimateSettings
    seed: int

    @torch.no_grad()
    def __call__(self, scenes: Scenes, positions: Sequence[int]) -> CropBatch:
        """Makes a batch; images with nobody worth looking at give nobody.

        Args:
            scenes: B images, on the device of estimates and body.
            positions: Where each stands in the stream of all images.
        """
        random = [np.random.default_rng([self.seed, _CROPS, position]) for position in positions]
        scene, chosen = scenes.scene, self.estimates.choose(scenes.scene)
        estimate = self.estimates(scene, chosen, random)
        k = scenes.k[chosen.image]
        plain, worth = self._plain(estimate, k, chosen, scenes, random)
        boxes = crop_boxes(plain, self._table(chosen, scene.people.shape[1], random, k.device))
        return CropBatch(
            images=scenes.images,
            of_image=chosen.image[worth],
            k=k[worth],
            center_px=boxes.center.to(k)[worth],
            size_px=boxes.size.to(k)[worth],
            estimate=estimate.select(worth),
            true=self._true(scenes, chosen).select(worth),
            visible=chosen.of(scene.keypoint_visible)[worth],
            features=self._features(scenes),
            map_k=map_intrinsics(scene.k)[chosen.image[worth]],
        )

    def _features(self, scenes: Scenes) -> Tensor:
        if self.config.encoder != "roi":
            return scenes.k.new_zeros(len(scenes), 0, 0, 0)
        return self.estimates.features(scenes.scene)

    def _plain(
        self, estimate: Bodies, k: Tensor, chosen: Chosen, scenes: Scenes, random: Sequence[np.random.Generator]
    ) -> tuple[CropBoxes, Tensor]:
        """The plain crops, moved at random, and who is worth looking at."""
        height, width = scenes.images.shape[-2:]
        bounds = projected_bounds(estimate.vertices, k)
        worth = worth_looking(bounds, (height, width)) & (estimate.root[:, 2] > 0)
        plain = plain_boxes(torch.where(worth[:, None], bounds, bounds.new_tensor([0.0, 0, 1, 1])), self.config.size)
        drawn = chosen.of(draw_for(scenes.scene.people.shape[1], 3, random, k.device))[:, None]
        shift = self.settings.box_shift * plain.side[..., None] * drawn[..., :2]
        scale = (self.settings.box_scale * drawn[..., 2:]).exp()
        return CropBoxes(plain.center + shift, plain.size * scale), worth

    def _table(
        self, chosen: Chosen, places: int, random: Sequence[np.random.Generator], device: torch.device
    ) -> Tensor:
        config = self.config
        if config.scheme != "random":
            return crop_table(config.num_crops, config.scheme)
        drawn = [
            random_table(places, config.num_crops, torch.Generator().manual_seed(int(rng.integers(2**63))))
            for rng in random
        ]
        return chosen.of(torch.stack(drawn).to(device))

    def _true(self, scenes: Scenes, chosen: Chosen) -> Bodies:
        scene = scenes.scene
        return posed(
            self.body, *(chosen.of(values) for values in (scene.rotmats, scene.shape, scene.expression, scene.center))
        )


def crop_batches(
    scenes: Iterable[Scenes],
    look: SecondLook,
    batch_size: int,
    device: torch.device,
    *,
    first_step: int = 0,
    share: Share,
) -> Iterator[CropBatch]:
    """Looks at scene after scene.

    Args:
        scenes: This process's part of each batch, from a step on.
        look: What to do with them.
        batch_size: Images of a batch, of all ranks together.
        device: Where the look's body and network are.
        first_step: The first one's step.
        share: Which part of each batch this process has.
    """
    first = first_step * batch_size + share.rank * (batch_size // share.ranks)
    for each in scenes:
        yield look(each.to(device), range(first, first + len(each)))
        first += batch_size
