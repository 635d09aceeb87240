"""Patches of a mesh: its triangles sorted once into groups that lie together at rest, and those into smaller ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.intp]

FINE = 4  # patches in a block
_BLOCK_VERTICES = 150


@dataclass(frozen=True)
class Patches:
    """B blocks of `FINE` patches each; what has fewer triangles or vertices than others begins again at its end.

    Attributes:
        blocks: (W, B) vertices of the blocks, which stand side by side.
        samples: (B * FINE,) one vertex of each patch, near its middle at rest.
        vertices: (Q, B * FINE) vertices of the patches.
        triangles: (B * FINE, P) triangles of the patches.
        corners: (3, B * FINE, P) places of the triangles' corners in a column of `vertices`.
        once: (B * FINE, P) True where a triangle stands for the first time.
    """

    blocks: Indices
    samples: Indices
    vertices: Indices
    triangles: Indices
    corners: Indices
    once: NDArray[np.bool_]


def make_patches(vertices: NDArray[np.floating], faces: NDArray[np.integer]) -> Patches:
    """Sorts a mesh's triangles into patches.

    Args:
        vertices: (V, 3) the mesh at rest; any unit.
        faces: (F, 3) triangles, at least one.
    """
    hung = faces.astype(np.intp)
    centroids = vertices[hung].mean(axis=1)
    blocks = _blocks(centroids, hung)
    groups = blocks
    while len(groups) < FINE * len(blocks):
        groups = [half for group in groups for half in _halves(centroids, group)]
    used = [np.unique(hung[group]) for group in groups]
    triangles = _rows(groups)
    once = np.zeros(triangles.size, bool)
    once[np.unique(triangles, return_index=True)[1]] = True
    corners = [np.searchsorted(ids, hung[patch].T) for ids, patch in zip(used, triangles, strict=True)]
    return Patches(
        blocks=np.ascontiguousarray(_rows([np.unique(hung[block]) for block in blocks]).T),
        samples=np.array([_middle(vertices, ids) for ids in used]),
        vertices=np.ascontiguousarray(_rows(used).T),
        triangles=triangles,
        corners=np.ascontiguousarray(np.stack(corners, axis=1)),
        once=once.reshape(triangles.shape),
    )


def _blocks(centroids: NDArray[np.floating], faces: Indices) -> list[Indices]:
    """Groups of triangles: halved along the longest side until they have few enough vertices."""
    small: list[Indices] = []
    large: list[Indices] = [np.arange(len(faces))]
    while large:
        group = large.pop()
        if len(group) == 1 or len(np.unique(faces[group])) <= _BLOCK_VERTICES:
            small.append(group)
        else:
            large.extend(_halves(centroids, group))
    return small


def _halves(centroids: NDArray[np.floating], group: Indices) -> tuple[Indices, Indices]:
    places = centroids[group]
    order = group[np.argsort(places[:, np.ptp(places, axis=0).argmax()], kind="stable")]
    middle = (len(order) + 1) // 2
    return order[:middle], order[middle:] if len(order) > 1 else order  # nothing is empty: one triangle stands twice


def _middle(vertices: NDArray[np.floating], ids: Indices) -> np.intp:
    places = vertices[ids]
    nearest: np.intp = ids[np.square(places - places.mean(axis=0)).sum(axis=1).argmin()]
    return nearest


def _rows(groups: Sequence[Indices]) -> Indices:
    return np.stack([np.resize(group, max(map(len, groups))) for group in groups])
