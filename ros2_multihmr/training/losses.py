"""Loss terms: pure functions of one number per person, and one place that says how they are averaged and weighed.

All terms are finite, with finite gradients, for no people at all. Points are in metres, images in network pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ros2_multihmr.model.config import PATCH
from ros2_multihmr.settings import Settings, setting

MIN_DEPTH_M = 0.05  # nearer points are projected as if they were this far
FAR_OFF = 0.1  # reprojection errors [sides of the image] beyond which the pull weakens
NEARLY_TURNED = 1 - 1e-6  # sine of half an angle from which on its slope is that of this value


@dataclass(frozen=True)
class LossWeights(Settings):
    """Weights of the loss terms, first the released training's, then our own; 0 leaves a term and its cost out."""

    detection: float = setting(10.0, "Who is where: focal loss or cross entropy", low=0.0)
    offset: float = setting(1.0, "Place of the head against its token, L1 [tokens]", low=0.0)
    root: float = setting(0.1, "Root rotation", low=0.0)
    body: float = setting(0.1, "Rotations of the body's joints, summed", low=0.0)
    hands: float = setting(0.1, "Rotations of the fingers' joints, summed", low=0.0)
    face: float = setting(0.1, "Rotations of jaw and eyes, summed", low=0.0)
    shape: float = setting(1.0, "Shape parameters, L1", low=0.0)
    depth: float = setting(1.0, "Logarithm of the head's depth, L1", low=0.0)
    translation: float = setting(1.0, "Place of the head in space, L1 [m]", low=0.0)
    keypoints: float = setting(100.0, "Keypoints in space against the root joint, L1 [m]", low=0.0)
    vertices: float = setting(100.0, "Reduced mesh in space against the root joint, L1 [m]", low=0.0)

    expression: float = setting(1.0, "Expression parameters, L1", low=0.0)
    keypoints_head: float = setting(50.0, "Keypoints in space against the head, L1 [m]", low=0.0)
    fingers: float = setting(50.0, "Keypoints of the fingers in space against the wrist, L1 [m]", low=0.0)
    reprojection: float = setting(10.0, "Visible keypoints in the image, robust [sides of the image]", low=0.0)
    full_vertices: float = setting(0.0, "Full mesh in space against the root joint, L1 [m]", low=0.0)
    person_mask: float = setting(1.0, "Helper task: people's pixels", low=0.0)
    person_parts: float = setting(0.5, "Helper task: body parts of pixels", low=0.0)
    person_depth: float = setting(0.5, "Helper task: depth of people's pixels", low=0.0)
    heatmaps: float = setting(0.5, "Helper task: places of a few keypoints", low=0.0)

    detection_kind: str = setting(
        "focal", "focal: as the released networks; bce: as the paper says", choices=("focal", "bce")
    )
    rotation_kind: str = setting(
        "l1", "l1: of matrices, summed over entries; geodesic: angle [rad]", choices=("l1", "geodesic")
    )


# What the released networks were trained with (they learn no expression and no helper tasks).
RELEASED = LossWeights(
    expression=0.0, keypoints_head=0.0, fingers=0.0, reprojection=0.0,
    person_mask=0.0, person_parts=0.0, person_depth=0.0, heatmaps=0.0,
)  # fmt: skip


class People(NamedTuple):
    """N people, predicted or true, in the optical frame.

    Attributes:
        loc_px: (N, 2) where the head projects [px].
        center: (N, 3) the head [m].
        rotmats: (N, R, 3, 3).
        shape: (N, S).
        expression: (N, E).
        keypoints: (N, K, 3) [m]; the body's joints first, so 0 is the root.
        vertices_lod: (N, L, 3) reduced mesh [m]; (N, 0, 3) where it is not needed.
        vertices: (N, V, 3) full mesh [m]; (N, 0, 3) where it is not needed.
    """

    loc_px: Tensor
    center: Tensor
    rotmats: Tensor
    shape: Tensor
    expression: Tensor
    keypoints: Tensor
    vertices_lod: Tensor
    vertices: Tensor


class Layout(NamedTuple):
    """Where things are in the arrays of `People`.

    Attributes:
        rotations: First and last + 1 rotation of "root", "body", "hands" and "face".
        center: Keypoint of the head.
        fingers: (W,) keypoints of the fingers.
        wrists: (W,) the wrist of each.
        image_size: Side S of the network's input [px].
    """

    rotations: dict[str, tuple[int, int]]
    center: int
    fingers: tuple[int, ...]
    wrists: tuple[int, ...]
    image_size: int


class Pairs(NamedTuple):
    """N people as predicted and as they are.

    Attributes:
        predicted: What the network says.
        true: What is.
        k: (N, 3, 3) intrinsics of their images [px].
        keypoints_px: (N, K, 2) true keypoints in the image [px].
        visible: (N, K) 1 for keypoints that the image shows.
    """

    predicted: People
    true: People
    k: Tensor
    keypoints_px: Tensor
    visible: Tensor


def focal(logits: Tensor, target: Tensor, counts: Tensor) -> Tensor:
    """Focal loss in CenterNet's form (arXiv:1904.07850), as the released networks; of logits, so it never saturates.

    Args:
        logits: (B, ...) before the sigmoid.
        target: (B, ...) 1 at centres; between 0 and 1 near them, which weakens the penalty there; else 0.
        counts: (B, ...) bool, False where nothing is asked.

    Returns:
        (B,) sums; to be divided by the number of centres.
    """
    score = torch.sigmoid(logits)
    at_centres = (1 - score) ** 2 * F.logsigmoid(logits)
    elsewhere = (1 - target) ** 4 * score**2 * F.logsigmoid(-logits)
    return -(torch.where(target == 1, at_centres, elsewhere) * counts).flatten(1).sum(1)


def cross_entropy(logits: Tensor, target: Tensor, counts: Tensor) -> Tensor:
    """Binary cross entropy (paper, section 3.4); arguments and sums (B,) as those of `focal`."""
    each = F.binary_cross_entropy_with_logits(logits, target.to(logits), reduction="none")
    return (each * counts).flatten(1).sum(1)


def rotations_l1(predicted: Tensor, true: Tensor) -> Tensor:
    """Sum over joints and entries of the difference of (N, J, 3, 3) matrices: (N,)."""
    return (predicted - true).abs().flatten(1).sum(1)


def rotations_geodesic(predicted: Tensor, true: Tensor) -> Tensor:
    """Sum over joints of the angle between (N, J, 3, 3) rotations: (N,) [rad]."""
    return angles(predicted, true).sum(1)


def angles(predicted: Tensor, true: Tensor) -> Tensor:
    """Angles between (..., 3, 3) rotations: (...) [rad]. By the chord, whose slope is finite at 0."""
    half_sine = torch.linalg.vector_norm(predicted - true, dim=(-2, -1)) / 8**0.5
    return 2 * torch.asin(half_sine.clamp(max=NEARLY_TURNED))


def numbers_l1(predicted: Tensor, true: Tensor) -> Tensor:
    """Mean difference of (N, ...) numbers: (N,). Nothing to compare costs nothing."""
    return (predicted - true).abs().flatten(1).sum(1) / max(predicted.shape[1:].numel(), 1)


def points_l1(predicted: Tensor, true: Tensor, about: Tensor, about_true: Tensor) -> Tensor:
    """Mean difference of points (N, K, 3) against points of their own (N, K or 1, 3): (N,) [m]."""
    return numbers_l1(predicted - about, true - about_true)


def log_depth_l1(predicted: Tensor, true: Tensor) -> Tensor:
    """Difference of the logarithms of (N,) depths: (N,)."""
    return (predicted.clamp(min=1e-6).log() - true.clamp(min=1e-6).log()).abs()


def reprojection(keypoints: Tensor, k: Tensor, px: Tensor, visible: Tensor, image_size: int) -> Tensor:
    """Distance in the image of keypoints from where they should be seen; wild errors pull less.

    Args:
        keypoints: (N, K, 3) predicted [m].
        k: (N, 3, 3) intrinsics [px].
        px: (N, K, 2) where they should be [px].
        visible: (N, K) 1 for those that count.
        image_size: S [px].

    Returns:
        (N,) mean over the visible ones [sides of the image]; 0 for people without any.
    """
    rays = keypoints / keypoints[..., 2:].clamp(min=MIN_DEPTH_M)
    x = k[:, 0, 0, None] * rays[..., 0] + k[:, 0, 1, None] * rays[..., 1] + k[:, 0, 2, None]
    y = k[:, 1, 1, None] * rays[..., 1] + k[:, 1, 2, None]
    error = torch.linalg.vector_norm(torch.stack([x, y], -1) - px, dim=-1) / image_size
    robust = FAR_OFF * torch.log1p(error / FAR_OFF)
    return (robust * visible).sum(1) / visible.sum(1).clamp(min=1)


def mean_over(values: Tensor, count: Tensor) -> Tensor:
    """Sum of (N,) values over how many there are in all, on all machines; 0 for none."""
    return values.sum() / count.clamp(min=1)


def regression_terms(pairs: Pairs, layout: Layout, weights: LossWeights) -> dict[str, Tensor]:
    """Computes the terms of `LossWeights` about people whose weight is not 0: (N,) each, unweighted."""
    terms = _parameter_terms(pairs, layout, weights) | _point_terms(pairs, layout)
    return {name: term() for name, term in terms.items() if getattr(weights, name) > 0}


def _parameter_terms(pairs: Pairs, layout: Layout, weights: LossWeights) -> dict[str, Callable[[], Tensor]]:
    p, t = pairs.predicted, pairs.true
    compare = {"l1": rotations_l1, "geodesic": rotations_geodesic}[weights.rotation_kind]

    def turned(first: int, last: int) -> Callable[[], Tensor]:
        return lambda: compare(p.rotmats[:, first:last], t.rotmats[:, first:last])

    return {
        "offset": lambda: numbers_l1(p.loc_px / PATCH, t.loc_px / PATCH),
        **{name: turned(*ends) for name, ends in layout.rotations.items()},
        "shape": lambda: numbers_l1(p.shape, t.shape),
        "expression": lambda: numbers_l1(p.expression, t.expression),
        "depth": lambda: log_depth_l1(p.center[:, 2], t.center[:, 2]),
        "translation": lambda: numbers_l1(p.center, t.center),
    }


def _point_terms(pairs: Pairs, layout: Layout) -> dict[str, Callable[[], Tensor]]:
    p, t = pairs.predicted, pairs.true

    def about(points: str, start: int) -> Callable[[], Tensor]:
        near = slice(start, start + 1)
        return lambda: points_l1(getattr(p, points), getattr(t, points), p.keypoints[:, near], t.keypoints[:, near])

    def fingers() -> Tensor:
        tips, wrists = list(layout.fingers), list(layout.wrists)
        return points_l1(p.keypoints[:, tips], t.keypoints[:, tips], p.keypoints[:, wrists], t.keypoints[:, wrists])

    return {
        "keypoints": about("keypoints", 0),
        "keypoints_head": about("keypoints", layout.center),
        "vertices": about("vertices_lod", 0),
        "full_vertices": about("vertices", 0),
        "fingers": fingers,
        "reprojection": lambda: reprojection(
            p.keypoints, pairs.k, pairs.keypoints_px, pairs.visible, layout.image_size
        ),
    }
