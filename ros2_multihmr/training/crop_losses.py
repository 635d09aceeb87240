"""Losses among the crops of a person: contrastive, and of cameras that must agree (arXiv:2402.02074).

Pure functions of one number per person. All are finite, with finite gradients, for nobody and for one crop.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ros2_multihmr.model.crop_cameras import CropBoxes
from ros2_multihmr.settings import Settings, setting

TEMPERATURE = 0.5


@dataclass(frozen=True)
class CropLossWeights(Settings):
    """Weights of the losses among crops, the paper's; 0 leaves one out."""

    camera: float = setting(1.0, "Cameras of a person's crops that do not agree", low=0.0)
    contrastive: float = setting(0.1, "Features of a person's crops that are not closer than others'", low=0.0)
    temperature: float = setting(TEMPERATURE, "Temperature of the contrastive loss", low=1e-3)


def contrastive_loss(embeddings: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    """Pulls the crops of a person together and pushes all others away.

    tau * mean_i -1 / |P(i)| sum_{p in P(i)} log(exp(z_i . z_p / tau) / sum_{a != i} exp(z_i . z_a / tau)), where i runs
    over a person's crops and P(i) are that person's other ones. a runs over all other crops of the batch at hand.

    Args:
        embeddings: (P, N, D) unit vectors z.
        temperature: tau.

    Returns:
        (P,) means over each person's crops; 0 if there is but one crop.
    """
    people, crops, width = embeddings.shape
    if crops < 2 or not people:
        return embeddings.sum((1, 2)) * 0
    flat = embeddings.reshape(people * crops, width)
    itself = torch.eye(people * crops, dtype=torch.bool, device=flat.device)
    similar = (flat @ flat.T / temperature).masked_fill(itself, -torch.inf)
    log_share = (similar - similar.logsumexp(1, keepdim=True)).masked_fill(itself, 0)
    person = torch.arange(people, device=flat.device).repeat_interleave(crops)
    positive = (person[:, None] == person) & ~itself
    each = -(log_share * positive).sum(1) / (crops - 1)
    return temperature * each.view(people, crops).mean(1)


def camera_loss(cameras: Tensor, boxes: CropBoxes) -> Tensor:
    """Asks the local cameras of a person's crops to be views of one full camera.

    For each pair of crops: log(b_i s_i / (b_j s_j)), and tx_i - tx_j - 2 (cx_j - cx_i) / (b s), and the same in y, each
    squared by itself, so that no error makes up for another. b s of a pair is the geometric mean of both.

    Args:
        cameras: (P, N, 3) s > 0 [half long sides per metre], tx, ty [m].
        boxes: P x N crops.

    Returns:
        (P,) means over the N (N - 1) / 2 pairs of the three squares' sum; 0 if there is but one crop.
    """
    crops = cameras.shape[1]
    first, second = torch.triu_indices(crops, crops, 1, device=cameras.device)
    log_scale = (boxes.side * cameras[..., 0]).log()
    scale = ((log_scale[:, first] + log_scale[:, second]) / 2).exp()
    apart = cameras[:, first, 1:] - cameras[:, second, 1:]
    moved = 2 * (boxes.center[:, second] - boxes.center[:, first]) / scale[..., None]
    squares = (log_scale[:, first] - log_scale[:, second]) ** 2 + ((apart - moved) ** 2).sum(-1)
    return squares.sum(1) / max(len(first), 1)


def crop_terms(embeddings: Tensor, cameras: Tensor, boxes: CropBoxes, weights: CropLossWeights) -> dict[str, Tensor]:
    """Computes the losses whose weight is not 0: (P,) each by name, unweighted.

    Args:
        embeddings: (P, N, D) unit vectors of a network in training.
        cameras: (P, N, 3) its local cameras.
        boxes: P x N crops.
        weights: Which are wanted.

    Raises:
        ValueError: The contrastive loss is wanted of a network that has no head for it.
    """
    terms = {}
    if weights.camera > 0:
        terms["camera"] = camera_loss(cameras, boxes)
    if weights.contrastive > 0:
        if not embeddings.shape[-1]:
            raise ValueError(
                "contrastive loss: the network returned no embeddings; train it with contrastive: true and in training "
                "mode, or set the loss's weight to 0"
            )
        terms["contrastive"] = contrastive_loss(embeddings, weights.temperature)
    return terms
