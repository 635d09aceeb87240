"""Losses of a second look: of the body, in every crop, and among a person's crops (arXiv:2402.02074).

Pure functions of one number per person. All are finite, with finite gradients, for nobody and for one crop.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ros2_multihmr.model.crop_cameras import CropBoxes, in_crops
from ros2_multihmr.settings import Settings, setting
from ros2_multihmr.training.crop_batches import Bodies
from ros2_multihmr.training.losses import MIN_DEPTH_M, Layout, log_depth_l1, numbers_l1

TEMPERATURE = 0.5
FAR_OFF = 4.0  # half long sides of a crop: keypoints that are further off pull no more


@dataclass(frozen=True)
class CropLossWeights(Settings):
    """Weights of a second look's losses, the paper's where it has them; 0 leaves one out."""

    keypoints_2d: float = setting(5.0, "Visible keypoints in every crop [half long sides]", low=0.0)
    keypoints: float = setting(5.0, "Keypoints in space against the root joint [m]", low=0.0)
    vertices: float = setting(1.0, "Reduced mesh in space against the root joint, L1 [m]", low=0.0)
    root: float = setting(1.0, "Root rotation", low=0.0)
    body: float = setting(1.0, "Rotations of the body's joints", low=0.0)
    hands: float = setting(1.0, "Rotations of the fingers' joints", low=0.0)
    face: float = setting(1.0, "Rotations of jaw and eyes", low=0.0)
    shape: float = setting(0.001, "Shape parameters", low=0.0)
    camera: float = setting(1.0, "Cameras of a person's crops that do not agree", low=0.0)
    contrastive: float = setting(0.1, "Features of a person's crops that are not closer than others'", low=0.0)

    expression: float = setting(0.0, "Expression parameters", low=0.0)
    fingers: float = setting(0.0, "Keypoints of the fingers in space against the wrist [m]", low=0.0)
    depth: float = setting(0.0, "Logarithm of the root's depth, L1", low=0.0)
    translation: float = setting(0.0, "Place of the root in space, L1 [m]", low=0.0)

    temperature: float = setting(TEMPERATURE, "Temperature of the contrastive loss", low=1e-3)
    points_kind: str = setting("l1", "Of keypoints: l1, or mse, squares", choices=("l1", "mse"))
    numbers_kind: str = setting("l1", "Of rotations' entries and parameters: l1, or mse", choices=("l1", "mse"))


def body_terms(predicted: Bodies, true: Bodies, layout: Layout, weights: CropLossWeights) -> dict[str, Tensor]:
    """Computes the losses of people in space whose weight is not 0: (P,) means each by name, unweighted.

    Args:
        predicted: P people.
        true: The same as they are.
        layout: Where things are in their arrays.
        weights: Which are wanted, and of what kind.
    """
    numbers, points = _KINDS[weights.numbers_kind], _KINDS[weights.points_kind]
    tips, wrists = list(layout.fingers), list(layout.wrists)

    def turned(ends: tuple[int, int]) -> Callable[[], Tensor]:
        return lambda: numbers(predicted.rotmats[:, slice(*ends)], true.rotmats[:, slice(*ends)])

    def against(people: Bodies, chosen: list[int], about: list[int]) -> Tensor:
        return people.keypoints[:, chosen] - people.keypoints[:, about]

    def about_root(people: Bodies, of: str) -> Tensor:
        moved: Tensor = getattr(people, of) - people.root[:, None]
        return moved

    terms: dict[str, Callable[[], Tensor]] = {
        **{name: turned(ends) for name, ends in layout.rotations.items()},
        "shape": lambda: numbers(predicted.shape, true.shape),
        "expression": lambda: numbers(predicted.expression, true.expression),
        "keypoints": lambda: points(about_root(predicted, "keypoints"), about_root(true, "keypoints")),
        "vertices": lambda: numbers_l1(about_root(predicted, "vertices"), about_root(true, "vertices")),
        "fingers": lambda: points(against(predicted, tips, wrists), against(true, tips, wrists)),
        "depth": lambda: log_depth_l1(predicted.root[:, 2], true.root[:, 2]),
        "translation": lambda: numbers_l1(predicted.root, true.root),
    }
    return {name: term() for name, term in terms.items() if getattr(weights, name) > 0}


def keypoints_in_crops(
    keypoints: Tensor, k: Tensor, boxes: CropBoxes, true: Tensor, visible: Tensor, kind: str = "l1"
) -> Tensor:
    """Compares keypoints in the image, in every crop as it shows them: its long side spans -1 to 1.

    Args:
        keypoints: (P, N, K, 3) predicted, as each crop's camera places them [m].
        k: (P, 3, 3) intrinsics of the images [px].
        boxes: P x N crops.
        true: (P, K, 3) where they are [m].
        visible: (P, K) 1 for those that count.
        kind: "l1" or "mse".

    Returns:
        (P,) means over crops and visible keypoints [half long sides]; 0 for people without any.
    """
    predicted, targets = (in_crops(_project(points, k), boxes) for points in (keypoints, true[:, None]))
    apart = (predicted - targets).clamp(-FAR_OFF, FAR_OFF)
    each = (apart.abs() if kind == "l1" else apart**2).mean((1, 3))
    return (each * visible).sum(1) / visible.sum(1).clamp(min=1)


def _project(points: Tensor, k: Tensor) -> Tensor:
    """(P, N, K, 3) points, cameras (P, 3, 3) to (P, N, K, 2) pixels; nearer ones as if they were `MIN_DEPTH_M` off."""
    rays = points / points[..., 2:].clamp(min=MIN_DEPTH_M)
    return (rays @ k[:, None].transpose(-1, -2))[..., :2]


def _mse(predicted: Tensor, true: Tensor) -> Tensor:
    """Mean square of the difference of (P, ...) numbers: (P,). Nothing to compare costs nothing."""
    return (predicted - true).square().flatten(1).sum(1) / max(predicted.shape[1:].numel(), 1)


_KINDS = {"l1": numbers_l1, "mse": _mse}


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
