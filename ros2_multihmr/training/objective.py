"""The objective: network, helper heads and body in one module that turns a batch into its loss.

The people's slots are those of the truth, not of the detector, so that everyone is learned from in every step.

On several machines, a mean over people must be one over all their people, or the gradient depends on how the images
were dealt out. So every term is a local sum over a global count::

    counts = objective.counts(batch)          # on each rank
    torch.distributed.all_reduce(counts)      # sum
    losses = ddp(batch, counts)
    (losses.total * world_size).backward()    # DistributedDataParallel averages gradients; this undoes its division

gives the gradient of the single-process loss of the joint batch, and the ranks' terms add up to its terms. Without
`counts`, the batch's own are taken, which is right for one process.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from torch import Tensor

from ros2_multihmr.body.body_model import BodyInfo, BodyModel
from ros2_multihmr.model.camera_embedding import embed_camera, unproject
from ros2_multihmr.model.checkpoint import save_weights
from ros2_multihmr.model.detection import fill_slots, suppress
from ros2_multihmr.model.multihmr import MultiHMR
from ros2_multihmr.model.raw_outputs import RawOutputs
from ros2_multihmr.training.auxiliary import UP, AuxiliaryHeads, Maps, dense_terms, heatmap_loss
from ros2_multihmr.training.batches import Batch
from ros2_multihmr.training.learner import Learner, Losses
from ros2_multihmr.training.losses import (
    Layout,
    LossWeights,
    Pairs,
    People,
    angles,
    cross_entropy,
    focal,
    mean_over,
    regression_terms,
)
from ros2_multihmr.training.targets import TargetConfig, Targets, make_targets
from ros2_multihmr.training.unpadded import NEVER, Group, groups_of, in_order, into_square, outputs_in_order

THRESHOLD = 0.3
FINGERS = ("thumb", "index", "middle", "ring", "pinky")
TERMS = tuple(field.name for field in dataclasses.fields(LossWeights) if not field.name.endswith("_kind"))
AUXILIARY = ("person_mask", "person_parts", "person_depth", "heatmaps")


class Objective(Learner):
    """Losses of a network. Its optimiser's parameters are `parameters()`: the network's and the helper heads'.

    Its terms have the names of `LossWeights`. Its metrics: "people" learned from, "precision" and "recall" of scores
    over .3 against the people's tokens, and means over people: "depth_percent" error, "mpjpe_mm" of the keypoints
    against the root joint, "root_deg" angle of the root rotation.
    """

    model: MultiHMR

    def __init__(
        self, model: MultiHMR, body: BodyModel, weights: LossWeights, targets: TargetConfig | None = None
    ) -> None:
        """Joins network and body.

        Args:
            model: The network. Its state is `model.state_dict()`: nothing of the objective is in it.
            body: The body that it was made for.
            weights: Weights of the terms.
            targets: Rules of the targets; None: the default.

        Raises:
            ValueError: The network's numbers are not this body's, or no term has a weight.
        """
        super().__init__()
        if not any(getattr(weights, name) > 0 for name in TERMS):
            raise ValueError("LossWeights: expected at least one weight above 0, got none; nothing would be learned")
        _check_sizes(model, body.info)
        self.model, self.body = model, body
        self.weights, self.target_config = weights, targets or TargetConfig()
        self.layout = body_layout(body.info, model.config.image_size)
        helpers = any(getattr(weights, name) > 0 for name in AUXILIARY)
        self.auxiliary = AuxiliaryHeads(model.config.width, body.info.keypoint_names) if helpers else None

    def counts(self, batch: Batch) -> Tensor:
        """Counts what the means go over: (3,) float32 people learned from, images, images with dense truth."""
        return self._counts(batch, self.targets(batch))

    def save(self, path: Path, *, half: bool) -> None:
        """Writes the network's weights."""
        save_weights(self.model, path, half=half)

    def targets(self, batch: Batch) -> Targets:
        """Says which token finds whom, see `make_targets`."""
        network = self.model.config
        windows = batch.windows if network.padding == "cut" else ()
        return make_targets(batch, self.body.info, network.grid, self.target_config, windows)

    def forward(self, batch: Batch, counts: Tensor | None = None) -> Losses:
        """Computes the loss of a batch.

        Under autocast, the backbone alone computes in 16 bits; scores, people and losses have the pixels' precision. A
        network whose `padding` is cut sees of each image its window alone.

        Args:
            batch: B images and their truth, on the network's device.
            counts: (3,) sum of `counts` over all ranks; None: this batch's.
        """
        groups = groups_of(batch, self.model.config)
        tokens = [self.model.backbone(group.window.of_square(group.of(batch.pixels))) for group in groups]
        with torch.autocast(batch.pixels.device.type, enabled=False):
            return self._losses(batch, groups, [one.to(batch.pixels.dtype) for one in tokens], counts)

    def _losses(self, batch: Batch, groups: list[Group], tokens: list[Tensor], counts: Tensor | None) -> Losses:
        targets = self.targets(batch)
        people, images, dense_images = (self._counts(batch, targets) if counts is None else counts).unbind()
        seen = [self._see(*each, batch, targets) for each in zip(groups, tokens, strict=True)]
        logits = in_order([part for part, _ in seen], groups)
        outputs = outputs_in_order([part for _, part in seen], groups)
        pairs = self._pairs(batch, targets, outputs)
        terms = {name: mean_over(term, people) for name, term in self._people_terms(logits, targets, pairs).items()}
        if self.auxiliary is not None:
            maps = self._maps(groups, tokens)
            dense = dense_terms(maps, batch, self.weights)
            terms |= {name: mean_over(term, dense_images) for name, term in dense.items()}
            if self.weights.heatmaps > 0:
                places = heatmap_loss(maps.heatmaps, batch, self.auxiliary.keypoints)
                terms["heatmaps"] = mean_over(places, images)
        total = torch.stack([getattr(self.weights, name) * term for name, term in terms.items()]).sum()
        metrics = {**self._detection_metrics(logits.detach(), targets), **_people_metrics(pairs)}
        return Losses(total, {name: term.detach() for name, term in terms.items()}, metrics)

    def _see(self, group: Group, tokens: Tensor, batch: Batch, targets: Targets) -> tuple[Tensor, RawOutputs]:
        """Returns the logits of the scores and the people of a group's images, in squares."""
        window, k = group.window, group.of(batch.k)
        logits = self.model.to_score(tokens)[..., 0].unflatten(1, (window.rows, window.columns))
        features = torch.cat([tokens, embed_camera(k, self.model.config, window)], dim=-1)
        true = window.of_grid(group.of(targets.score_map))
        slots = fill_slots(true, true.new_tensor(0.5), targets.slots.mask.shape[1])
        outputs = self.model.regress(tokens, features, k, torch.sigmoid(logits), slots)
        logits = into_square(logits, window, NEVER)
        return logits, outputs._replace(scores_map=torch.sigmoid(logits))

    def _maps(self, groups: list[Group], tokens: list[Tensor]) -> Maps:
        assert self.auxiliary is not None
        parts = []
        for group, one in zip(groups, tokens, strict=True):
            maps = self.auxiliary(one, group.window)
            parts.append([into_square(values, group.window, NEVER, cells=UP) for values in maps])
        return Maps(*(in_order(values, groups) for values in zip(*parts, strict=True)))

    def _people_terms(self, logits: Tensor, targets: Targets, pairs: Pairs) -> dict[str, Tensor]:
        terms = regression_terms(pairs, self.layout, self.weights)
        if self.weights.detection > 0:
            detection = {"focal": focal, "bce": cross_entropy}[self.weights.detection_kind]
            terms["detection"] = detection(logits, targets.score_map, targets.counts)
        return terms

    def _counts(self, batch: Batch, targets: Targets) -> Tensor:
        dense = batch.people.new_zeros(1) if batch.dense is None else batch.dense.valid.flatten(1).any(1)
        images = torch.full((), len(batch.pixels), device=dense.device)
        return torch.stack([targets.slots.mask.sum(), images, dense.sum()]).float()

    def _pairs(self, batch: Batch, targets: Targets, outputs: RawOutputs) -> Pairs:
        """Puts what was regressed beside the truth, for the filled slots: N people."""
        image, slot = targets.slots.mask.nonzero(as_tuple=True)
        person = targets.person[image, slot]
        k, px = batch.k[image], batch.keypoints_px[image, person]
        loc, depth = outputs.loc_px[image, slot], outputs.depth[image, slot]
        center = depth[:, None] * unproject(k, loc[:, None])[:, 0]
        rotmats, shape, expression = (a[image, slot] for a in (outputs.rotmats, outputs.shape, outputs.expression))
        predicted = self._posed(loc, center, rotmats, shape, expression)
        true = self._true(batch, image, person)
        return Pairs(predicted, true, k, px, batch.keypoint_visible[image, person])

    @torch.no_grad()
    def _true(self, batch: Batch, image: Tensor, person: Tensor) -> People:
        keypoints = batch.keypoints[image, person]
        loc = batch.keypoints_px[image, person, self.layout.center]
        center, rotmats, shape, expression = (
            array[image, person] for array in (batch.center, batch.rotmats, batch.shape, batch.expression)
        )
        if self.weights.vertices > 0 or self.weights.full_vertices > 0:
            return self._posed(loc, center, rotmats, shape, expression)._replace(keypoints=keypoints)
        return People(loc, center, rotmats, shape, expression, keypoints, keypoints[:, :0], keypoints[:, :0])

    def _posed(self, loc: Tensor, center: Tensor, rotmats: Tensor, shape: Tensor, expression: Tensor) -> People:
        full = self.weights.full_vertices > 0
        body = self.body(rotmats, shape, expression, center, vertices=full)
        return People(loc, center, rotmats, shape, expression, body.keypoints, body.vertices_lod, body.vertices)

    @torch.no_grad()
    def _detection_metrics(self, logits: Tensor, targets: Targets) -> dict[str, Tensor]:
        found = (suppress(torch.sigmoid(logits), self.model.config.nms_kernel) >= THRESHOLD) & targets.counts
        right = (found & (targets.score_map > 0)).sum()
        people = targets.slots.mask.sum()
        return {
            "people": people.float(),
            "precision": right / found.sum().clamp(min=1),
            "recall": right / people.clamp(min=1),
        }


@torch.no_grad()
def _people_metrics(pairs: Pairs) -> dict[str, Tensor]:
    p, t = pairs.predicted, pairs.true
    count = torch.full((), len(p.center), device=p.center.device)
    apart = (p.keypoints - p.keypoints[:, :1]) - (t.keypoints - t.keypoints[:, :1])
    return {
        "depth_percent": 100 * mean_over((p.center[:, 2] / t.center[:, 2] - 1).abs(), count),
        "mpjpe_mm": 1000 * mean_over(apart.norm(dim=-1).mean(1), count),
        "root_deg": torch.rad2deg(mean_over(angles(p.rotmats[:, 0], t.rotmats[:, 0]), count)),
    }


def body_layout(info: BodyInfo, image_size: int) -> Layout:
    """Finds root, body, hands, face and fingers of a body."""
    body = 1 + len(info.body_joints)
    hands = body + len(info.left_hand_joints) + len(info.right_hand_joints)
    names = info.keypoint_names
    fingers = [
        (place, names.index(f"{side}_wrist"))
        for side in ("left", "right")
        for place, name in enumerate(names)
        if name.startswith(side) and name[len(side) + 1 :].startswith(FINGERS)
    ]
    return Layout(
        rotations={"root": (0, 1), "body": (1, body), "hands": (body, hands), "face": (hands, len(info.posed_joints))},
        center=info.center_joint,
        fingers=tuple(finger for finger, _ in fingers),
        wrists=tuple(wrist for _, wrist in fingers),
        image_size=image_size,
    )


def _check_sizes(model: MultiHMR, info: BodyInfo) -> None:
    config = model.config
    came = (config.num_rotations, config.num_shape, config.num_expression)
    expected = (len(info.posed_joints), len(info.shape_names), len(info.expression_names))
    if came != expected:
        raise ValueError(
            f"network and body {info.name}: expected {expected} rotations, shape and expression parameters, "
            f"got a network with {came}; make the network for this body"
        )
