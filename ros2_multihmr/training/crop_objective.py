"""The objective of a second look: crops are cut, people regressed and compared with what is true."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from torch import Tensor

from ros2_multihmr.body.body_model import BodyModel
from ros2_multihmr.model.crop_regressor import BodyState, state_of
from ros2_multihmr.model.multi_crop import CropPeople, MultiCrop, pose_people
from ros2_multihmr.model.multi_crop_checkpoint import save_multi_crop
from ros2_multihmr.model.multi_crop_config import MultiCropConfig
from ros2_multihmr.training.crop_batches import Bodies, CropBatch
from ros2_multihmr.training.crop_inputs import encoder_inputs
from ros2_multihmr.training.crop_losses import CropLossWeights, body_terms, crop_terms, keypoints_in_crops
from ros2_multihmr.training.learner import Learner, Losses
from ros2_multihmr.training.losses import Layout, angles, mean_over
from ros2_multihmr.training.objective import body_layout

_KINDS = ("temperature", "points_kind", "numbers_kind")
TERMS = tuple(field.name for field in dataclasses.fields(CropLossWeights) if field.name not in _KINDS)


class CropObjective(Learner):
    """Losses of a multi-crop network.

    Its terms have the names of `CropLossWeights`. Its metrics: "people" learned from, and means over people:
    "pve_mm" of the reduced mesh and "mpjpe_mm" of the keypoints against the root joint, "hands_mm" of the fingers
    against the wrist, "root_deg" angle of the root rotation, "depth_percent" error of the root's distance; the same
    with "start_" of what was known before.
    """

    model: MultiCrop

    def __init__(self, model: MultiCrop, body: BodyModel, weights: CropLossWeights) -> None:
        """Joins network and body.

        Args:
            model: The network.
            body: The body that it was made for.
            weights: Weights of the terms.

        Raises:
            ValueError: No term has a weight.
        """
        super().__init__()
        if not any(getattr(weights, name) > 0 for name in TERMS):
            raise ValueError("losses: expected at least one weight above 0, got none; nothing would be learned")
        self.model, self.body, self.weights = model, body, weights
        self.layout = body_layout(body.info, max(model.config.size))

    def counts(self, batch: CropBatch) -> Tensor:
        """Counts what the means go over: () float32 people."""
        return torch.tensor(float(len(batch)), device=batch.k.device)

    def save(self, path: Path, *, half: bool) -> None:
        """Writes the network's weights, with the head of the contrastive loss if it has one."""
        save_multi_crop(self.model, path, half=half)

    def forward(self, batch: CropBatch, counts: Tensor | None = None) -> Losses:
        """Computes the loss of a batch; under autocast, the encoder alone computes in 16 bits.

        Args:
            batch: P people and their images, on the network's device.
            counts: () sum of `counts` over all ranks; None: this batch's.
        """
        crops = encoder_inputs(self.model.config, batch)
        features = self.model.encode(crops)
        with torch.autocast(crops.device.type, enabled=False):
            return self._losses(batch, features.to(crops.dtype), self.counts(batch) if counts is None else counts)

    def _losses(self, batch: CropBatch, features: Tensor, people: Tensor) -> Losses:
        found = self.model.regress(features, batch.boxes, batch.k, start_state(self.model.config, batch))
        predicted = self._posed(found)
        embeddings = found.embeddings
        if self.model.contrastive is not None and not self.model.training:
            embeddings = self.model.contrastive(features)  # validation has this loss, too
        terms = body_terms(predicted, batch.true, self.layout, self.weights)
        if self.weights.keypoints_2d > 0:
            in_space = (predicted.keypoints - predicted.root[:, None])[:, None] + found.translations[:, :, None]
            kind = self.weights.points_kind
            terms["keypoints_2d"] = keypoints_in_crops(
                in_space, batch.k, batch.boxes, batch.true.keypoints, batch.visible, kind
            )
        terms |= crop_terms(embeddings, found.cameras, batch.boxes, self.weights)
        means = {name: mean_over(term, people) for name, term in terms.items()}
        total = torch.stack([getattr(self.weights, name) * term for name, term in means.items()]).sum()
        return Losses(total, {name: term.detach() for name, term in means.items()}, self._metrics(predicted, batch))

    def _posed(self, found: CropPeople) -> Bodies:
        out = pose_people(self.body, found)
        center = out.joints[:, self.layout.center]
        return Bodies(found.rotmats, found.shape, found.expression, center, out.keypoints, out.vertices_lod)

    @torch.no_grad()
    def _metrics(self, predicted: Bodies, batch: CropBatch) -> dict[str, Tensor]:
        before = errors(batch.estimate, batch.true, self.layout)
        return {
            "people": self.counts(batch),
            **errors(predicted, batch.true, self.layout),
            **{f"start_{name}": value for name, value in before.items()},
        }


def start_state(config: MultiCropConfig, batch: CropBatch) -> BodyState | None:
    """What a network corrects: what was known before, or None for everybody's mean."""
    if config.start == "mean":
        return None
    known = batch.estimate
    return state_of(config, known.rotmats, known.shape, known.expression, known.root, batch.boxes, batch.k)


def errors(found: Bodies, true: Bodies, layout: Layout) -> dict[str, Tensor]:
    """Measures how wrong P people are: () means over them, see `CropObjective`; 0 for nobody."""
    count = torch.tensor(float(len(true.center)), device=true.center.device)

    def apart(of: str) -> Tensor:
        points = [getattr(people, of) - people.root[:, None] for people in (found, true)]
        return (points[0] - points[1]).norm(dim=-1).mean(1)

    fingers = [
        people.keypoints[:, list(layout.fingers)] - people.keypoints[:, list(layout.wrists)] for people in (found, true)
    ]
    return {
        "pve_mm": 1000 * mean_over(apart("vertices"), count),
        "mpjpe_mm": 1000 * mean_over(apart("keypoints"), count),
        "hands_mm": 1000 * mean_over((fingers[0] - fingers[1]).norm(dim=-1).mean(1), count),
        "root_deg": torch.rad2deg(mean_over(angles(found.rotmats[:, 0], true.rotmats[:, 0]), count)),
        "depth_percent": 100 * mean_over((found.root[:, 2] / true.root[:, 2] - 1).abs(), count),
    }
