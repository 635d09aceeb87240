"""Capsules: one per body part, the shape that collision checkers are fast with.

They are fitted to a person's shape at rest, once, and then move rigidly with the parts: each with the motion that
brings its part of the reduced mesh at rest nearest to the posed one (Kabsch 1976). So sizes stay, whatever the pose.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ros2_multihmr.body.body_model import BodyModel
from ros2_multihmr.body.parts import PARTS, parts_of_vertices
from ros2_multihmr.humans import Humans

Array = NDArray[np.float64]

MARGIN_M = 0.01  # added to every radius: posed parts bulge, and the full mesh leaves the reduced one

_ROUNDS = 16  # of the smallest circle's approximation: some per cent too large at the most
_SAME_SHAPE = 0.05  # of a shape parameter: whoever changes by less keeps the capsules


@dataclass(frozen=True)
class Capsules:
    """The capsules of N people, P body parts each (`body.parts.PARTS`); float64, metres.

    Attributes:
        starts, ends: (N, P, 3) where the middle lines begin and end.
        radii: (N, P).
    """

    starts: Array
    ends: Array
    radii: Array

    def select(self, keep: NDArray[np.bool_] | NDArray[np.intp]) -> Capsules:
        """Returns those of the people whom `keep` names, a mask or indices."""
        return Capsules(self.starts[keep], self.ends[keep], self.radii[keep])

    def distances(self, points: NDArray[np.floating]) -> Array:
        """Returns (N, P, M) distances [m] of (N, M, 3) points to the capsules' surfaces; negative inside."""
        along, there = (self.ends - self.starts)[:, :, None], points[:, None] - self.starts[:, :, None]
        share = (there * along).sum(-1) / np.maximum((along * along).sum(-1), 1e-12)
        gaps = np.linalg.norm(there - share.clip(0.0, 1.0)[..., None] * along, axis=-1)
        distances: Array = gaps - self.radii[..., None]
        return distances


@dataclass(frozen=True)
class Resting:
    """What is fitted to N people's shapes at rest.

    Attributes:
        capsules: Their capsules.
        vertices: (N, L, 3) reduced mesh that they were fitted to.
    """

    capsules: Capsules
    vertices: Array


class CapsuleModel:
    """Fits and poses capsules of one body.

    Args:
        body: The body.
        device: Where it is.
    """

    def __init__(self, body: BodyModel, device: torch.device | str = "cpu") -> None:
        self._body, self._device = body, torch.device(device)
        parts = parts_of_vertices(body) - 1
        self._members = [np.flatnonzero(parts == part) for part in range(len(PARTS))]

    def fit(self, shape: NDArray[np.floating]) -> Resting:
        """Fits the smallest capsules found that hold each part of the reduced mesh at rest, and `MARGIN_M` around it.

        Args:
            shape: (N, S) shape parameters.
        """
        vertices = self._at_rest(shape)
        starts, ends, radii = zip(*(_fit(vertices[:, members]) for members in self._members), strict=True)
        return Resting(Capsules(np.stack(starts, 1), np.stack(ends, 1), np.stack(radii, 1)), vertices)

    def pose(self, resting: Resting, vertices_lod: NDArray[np.floating]) -> Capsules:
        """Moves capsules along with their parts.

        Args:
            resting: Of N people.
            vertices_lod: (N, L, 3) their posed reduced meshes [m].
        """
        posed, before = np.asarray(vertices_lod, np.float64), resting.vertices
        centers = [np.stack([mesh[:, m].mean(axis=1) for m in self._members], axis=1) for mesh in (before, posed)]
        products = [
            np.matmul((before[:, m] - centers[0][:, i, None]).transpose(0, 2, 1), posed[:, m] - centers[1][:, i, None])
            for i, m in enumerate(self._members)
        ]
        turned = _rotations(np.stack(products, axis=1))
        starts, ends = (
            np.einsum("npij,npj->npi", turned, points - centers[0]) + centers[1]
            for points in (resting.capsules.starts, resting.capsules.ends)
        )
        return Capsules(starts, ends, resting.capsules.radii)

    @torch.inference_mode()
    def _at_rest(self, shape: NDArray[np.floating]) -> Array:
        info, count = self._body.info, len(shape)
        still = torch.eye(3, device=self._device).expand(count, len(info.posed_joints), 3, 3)
        sizes = torch.from_numpy(np.asarray(shape, np.float32)).to(self._device)
        zeros = (torch.zeros(count, size, device=self._device) for size in (len(info.expression_names), 3))
        vertices: Array = self._body(still, sizes, *zeros).vertices_lod.cpu().numpy().astype(np.float64)
        return vertices


class CapsuleKeeper:
    """Capsules of people from image to image: fitted again only to who is new or whose shape has changed.

    Attributes:
        fits: How many people were fitted so far.

    Args:
        model: Fits and poses.
    """

    def __init__(self, model: CapsuleModel) -> None:
        self.fits = 0
        self._model = model
        self._ids: NDArray[np.uint32] = np.zeros(0, np.uint32)
        self._shape: NDArray[np.float32] | None = None
        self._resting: Resting | None = None

    def update(self, humans: Humans, ids: NDArray[np.uint32]) -> Capsules:
        """Returns the capsules of N people.

        Args:
            humans: The people.
            ids: (N,) who is who.
        """
        known = self._known(humans, ids)
        new = known < 0
        fitted = self._model.fit(humans.shape[new])
        self.fits += int(new.sum())
        if self._resting is None or self._shape is None:
            self._resting, self._shape = fitted, humans.shape.copy()
        else:
            self._resting = _merged(self._resting, fitted, known)
            self._shape = np.where(new[:, None], humans.shape, self._shape[known] if len(self._shape) else humans.shape)
        self._ids = ids.copy()
        return self._model.pose(self._resting, humans.vertices_lod)

    def _known(self, humans: Humans, ids: NDArray[np.uint32]) -> NDArray[np.intp]:
        """(N,) where in the people of before each one is, -1 for whom has to be fitted."""
        places = {int(identity): place for place, identity in enumerate(self._ids)}
        known = np.array([places.get(int(identity), -1) for identity in ids], np.intp)
        for row, place in enumerate(known):
            if place >= 0 and self._shape is not None:
                known[row] = place if np.abs(humans.shape[row] - self._shape[place]).max() < _SAME_SHAPE else -1
        return known


def _merged(before: Resting, fitted: Resting, known: NDArray[np.intp]) -> Resting:
    """People of before where `known` says which, and the fitted ones in turn where it is -1."""
    place = np.where(known < 0, len(before.vertices) + np.cumsum(known < 0) - 1, known)
    pairs = ((before.capsules.starts, fitted.capsules.starts), (before.capsules.ends, fitted.capsules.ends))
    starts, ends = (np.concatenate(pair)[place] for pair in pairs)
    radii = np.concatenate([before.capsules.radii, fitted.capsules.radii])[place]
    return Resting(Capsules(starts, ends, radii), np.concatenate([before.vertices, fitted.vertices])[place])


def _fit(points: Array) -> tuple[Array, Array, Array]:
    """(N, 3) starts and ends and (N,) radii of capsules that hold (N, M, 3) points: the best along a principal axis."""
    middle = points.mean(axis=1, keepdims=True)
    _, axes = np.linalg.eigh(np.matmul((points - middle).transpose(0, 2, 1), points - middle))
    # (N, 3 choices, 3 axes, 3): each principal axis is the middle line once.
    turned = np.stack([np.roll(np.moveaxis(axes, 2, 1), i, axis=1) for i in range(3)], axis=1)
    local = np.matmul((points - middle)[:, None], turned.swapaxes(-1, -2))  # (N, 3 choices, M, 3)
    along, across = local[..., 0], local[..., 1:]
    center = _circle(across)
    squares = ((across - center[:, :, None]) ** 2).sum(axis=-1)
    radius = np.sqrt(squares.max(axis=-1))
    cap = np.sqrt((radius[..., None] ** 2 - squares).clip(min=0.0))
    first, last = (along + cap).min(axis=-1), (along - cap).max(axis=-1)
    first, last = np.where(first > last, (first + last) / 2, first), np.where(first > last, (first + last) / 2, last)
    best = (radius**2 * (last - first + 4.0 / 3.0 * radius)).argmin(axis=1)
    rows = np.arange(len(points))
    start, end = (
        np.einsum("ni,nij->nj", np.column_stack([reach[rows, best], center[rows, best]]), turned[rows, best])
        + middle[:, 0]
        for reach in (first, last)
    )
    return start, end, radius[rows, best] + MARGIN_M


def _circle(points: Array) -> Array:
    """Middles (..., 2) of nearly the smallest circles that hold (..., M, 2) points (Badoiu and Clarkson 2003)."""
    center = (points.min(axis=-2) + points.max(axis=-2)) / 2
    for step in range(_ROUNDS):
        away = points - center[..., None, :]
        farthest = (away**2).sum(axis=-1).argmax(axis=-1)[..., None, None]
        center = center + np.take_along_axis(away, farthest, axis=-2)[..., 0, :] / (step + 8)
    return center


def _rotations(products: Array) -> Array:
    """(..., 3, 3) rotations that bring points to others best, from sums of their outer products."""
    u, _, vt = np.linalg.svd(products)
    v = vt.swapaxes(-1, -2)
    v[..., 2] *= np.sign(np.linalg.det(v) * np.linalg.det(u))[..., None]
    rotations: Array = v @ u.swapaxes(-1, -2)
    return rotations
