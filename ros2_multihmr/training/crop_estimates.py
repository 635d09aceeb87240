"""Estimates: what is known of people before the second look, in training as it will be in use.

Best are the mistakes that a single-shot network makes on the very images. Where there is none, the truth with noise
stands in; it teaches to trust the start more than such a network deserves.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ros2_multihmr.body.body_model import BodyModel
from ros2_multihmr.model.camera_embedding import embed_camera, unproject
from ros2_multihmr.model.detection import Slots, fill_slots
from ros2_multihmr.model.multihmr import MultiHMR
from ros2_multihmr.model.raw_outputs import RawOutputs
from ros2_multihmr.model.token_window import TokenWindow
from ros2_multihmr.training.batches import Batch
from ros2_multihmr.training.crop_batches import Bodies
from ros2_multihmr.training.crop_recipe import EstimateSettings
from ros2_multihmr.training.targets import TargetConfig, Targets, make_targets
from ros2_multihmr.training.unpadded import Group, groups_of, in_order, into_square, outputs_in_order

_EDGE = 1e-3  # noise does not bring numbers behind a sigmoid nearer to 0 and 1 than this


class Chosen:
    """The people of a batch who are looked at.

    Attributes:
        image: (P,) int64 image of each.
        place: (P,) int64 place in the batch of each.
        slot: (P,) int64 slot in the targets of each.
    """

    def __init__(self, targets: Targets) -> None:
        self.targets = targets
        self.image, self.slot = targets.slots.mask.nonzero(as_tuple=True)
        self.place = targets.person[self.image, self.slot]

    def of(self, values: Tensor) -> Tensor:
        """Picks their values of those (B, M, ...) of the batch."""
        return values[self.image, self.place]


class Estimates(Protocol):
    """Says what is known of people."""

    def choose(self, scene: Batch) -> Chosen:
        """Says whom it knows something of."""

    def features(self, scene: Batch) -> Tensor:
        """Says what a network made of the images, (B, C, g, g).

        Raises:
            ValueError: No network looked.
        """

    def __call__(self, scene: Batch, chosen: Chosen, random: Sequence[np.random.Generator]) -> Bodies:
        """Says what: P people; `random` has one generator for each of the batch's images."""


class NetworkEstimates:
    """The estimates of a single-shot network, at the tokens where the people are."""

    def __init__(
        self, model: MultiHMR, body: BodyModel, targets: TargetConfig, precision: torch.dtype = torch.float32
    ) -> None:
        """Joins network and body.

        Args:
            model: A network for the body, in evaluation mode, on the device of the batches.
            body: The body, there too.
            targets: Who is looked at.
            precision: Numbers of the backbone's products.
        """
        self._model, self._body, self._targets, self._precision = model, body, targets, precision

    def choose(self, scene: Batch) -> Chosen:
        """Says whom the network can be asked about."""
        config = self._model.config
        windows = scene.windows if config.padding == "cut" else ()
        return Chosen(make_targets(scene, self._body.info, config.grid, self._targets, windows))

    @torch.no_grad()
    def __call__(self, scene: Batch, chosen: Chosen, random: Sequence[np.random.Generator]) -> Bodies:
        """Returns what the network says of them."""
        raw = self._see(scene, chosen.targets)
        at = chosen.image, chosen.slot
        rays = unproject(scene.k[chosen.image], raw.loc_px[at][:, None])[:, 0]
        return posed(self._body, raw.rotmats[at], raw.shape[at], raw.expression[at], raw.depth[at][:, None] * rays)

    @torch.no_grad()
    def features(self, scene: Batch) -> Tensor:
        """Returns the backbone's features of the images, 0 for tokens that it does not compute."""
        groups = groups_of(scene, self._model.config)
        return in_order([self._features(group, scene) for group in groups], groups)

    def _features(self, group: Group, scene: Batch) -> Tensor:
        window = group.window
        tokens = self._tokens(group, scene).transpose(1, 2).unflatten(2, (window.rows, window.columns))
        return into_square(tokens, window, 0.0)

    def _tokens(self, group: Group, scene: Batch) -> Tensor:
        pixels = group.window.of_square(group.of(scene.pixels))
        with torch.autocast(pixels.device.type, self._precision, enabled=self._precision != torch.float32):
            return self._model.backbone(pixels).to(pixels.dtype)

    def _see(self, scene: Batch, targets: Targets) -> RawOutputs:
        model, groups = self._model, groups_of(scene, self._model.config)
        return outputs_in_order([self._group(model, group, scene, targets) for group in groups], groups)

    def _group(self, model: MultiHMR, group: Group, scene: Batch, targets: Targets) -> RawOutputs:
        window, k = group.window, group.of(scene.k)
        tokens = self._tokens(group, scene)
        true = window.of_grid(group.of(targets.score_map))
        slots: Slots = fill_slots(true, true.new_tensor(0.5), targets.slots.mask.shape[1])
        raw = model.regress(tokens, torch.cat([tokens, embed_camera(k, model.config, window)], dim=-1), k, true, slots)
        whole = TokenWindow.whole(model.config.grid)
        return raw._replace(scores_map=raw.scores_map.new_zeros(len(k), whole.rows, whole.columns))


class NoisyTruth:
    """The truth with noise of the given size."""

    def __init__(self, settings: EstimateSettings, body: BodyModel, grid: int, targets: TargetConfig) -> None:
        """Notes what to add.

        Args:
            settings: How much.
            body: The body.
            grid: Tokens per side of what the batches' pixels would be for a single-shot network.
            targets: Who is looked at.
        """
        self._settings, self._body, self._grid, self._targets = settings, body, grid, targets

    def choose(self, scene: Batch) -> Chosen:
        """Says who could be found by a single-shot network."""
        return Chosen(make_targets(scene, self._body.info, self._grid, self._targets))

    def features(self, scene: Batch) -> Tensor:
        """Raises ValueError: there is no network."""
        raise ValueError("network.encoder: roi reads a single-shot network's features; set estimates.source=first_pass")

    @torch.no_grad()
    def __call__(self, scene: Batch, chosen: Chosen, random: Sequence[np.random.Generator]) -> Bodies:
        """Returns people who are off by some noise of their own."""
        s, info = self._settings, self._body.info
        joints, shapes, expressions = scene.rotmats.shape[2], scene.shape.shape[-1], scene.expression.shape[-1]
        count = 3 * joints + shapes + expressions + 3
        drawn = draw_for(scene.people.shape[1], count, random, scene.rotmats.device)
        turn, shape, expression, place = chosen.of(drawn).split([3 * joints, shapes, expressions, 3], dim=-1)
        sizes = torch.full((joints, 1), math.radians(s.joint_deg), device=turn.device)
        sizes[0] = math.radians(s.root_deg)
        turned = torch.linalg.matrix_exp(_cross(turn.unflatten(-1, (joints, 3)) * sizes / math.sqrt(3.0)))
        center = chosen.of(scene.center)
        center = (center + s.place * center[:, 2:] * place * center.new_tensor([1.0, 1.0, 0.0])) * torch.exp(
            s.depth * place[:, 2:]
        )
        bounded = info.name.startswith("anny")
        return posed(
            self._body,
            turned @ chosen.of(scene.rotmats),
            _noisy(chosen.of(scene.shape), s.shape * shape, bounded),
            _noisy(chosen.of(scene.expression), s.expression * expression, bounded),
            center,
        )


def posed(body: BodyModel, rotmats: Tensor, shape: Tensor, expression: Tensor, center: Tensor) -> Bodies:
    """Poses people."""
    out = body(rotmats, shape, expression, center)
    return Bodies(rotmats, shape, expression, center, out.keypoints, out.vertices_lod)


def draw_for(places: int, count: int, random: Sequence[np.random.Generator], device: torch.device) -> Tensor:
    """Draws from normal distributions, (B, places, count): image i from generator i alone."""
    drawn = np.stack([rng.standard_normal((places, count), np.float32) for rng in random])
    return torch.from_numpy(drawn).to(device)


def _noisy(numbers: Tensor, noise: Tensor, bounded: bool) -> Tensor:
    return (numbers + noise).clamp(_EDGE, 1 - _EDGE) if bounded else numbers + noise


def _cross(vectors: Tensor) -> Tensor:
    """The matrices (..., 3, 3) whose products with others are cross products with vectors (..., 3)."""
    x, y, z = vectors.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).unflatten(-1, (3, 3))
