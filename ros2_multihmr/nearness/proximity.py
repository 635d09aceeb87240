"""Proximity: how near spheres (a robot's links) are to people's surfaces, at which body part, and how fast nearer.

Distances are to the full mesh and exact (`nearest_point`). It is no safety function: it knows nothing of whom the
network does not find.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from ros2_multihmr.body.body_model import BodyModel
from ros2_multihmr.body.parts import parts_of_full_faces
from ros2_multihmr.humans import Humans
from ros2_multihmr.nearness.nearest_point import MeshIndex

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Proximities:
    """N people with K spheres; float64; frame: the people's.

    Attributes:
        points: (N, K, 3) nearest point of the person's surface to the sphere's center [m].
        distances: (N, K) from surface to surface [m]; negative: they overlap. A center inside the body counts as deep
            as the nearest point of the surface is far.
        sigmas: (N, K) standard deviation of the distance by the person's position alone [m].
        parts: (N, K) body part of the point, an index in `body.parts.PARTS`.
        closing_speeds: (N, K) how fast the distance shrinks [m/s], 0 where `closing_valid` is False.
        closing_valid: (N, K) True where person's and sphere's velocities are known.
    """

    points: Array
    distances: Array
    sigmas: Array
    parts: NDArray[np.uint8]
    closing_speeds: Array
    closing_valid: NDArray[np.bool_]


class ProximityMeter:
    """Measures how near spheres are to people of one body.

    Args:
        body: The body.
        device: Where it is.
    """

    def __init__(self, body: BodyModel, device: torch.device | str = "cpu") -> None:
        self._index = MeshIndex(resting_mesh(body, device), body.info.faces)
        self._parts = parts_of_full_faces(body) - np.uint8(1)

    def measure(
        self,
        humans: Humans,
        centers: ArrayLike,
        radii_m: ArrayLike,
        *,
        person_velocities: ArrayLike | None = None,
        sphere_velocities: ArrayLike | None = None,
    ) -> Proximities:
        """Measures everybody with every sphere.

        Args:
            humans: N people, with full meshes.
            centers: (K, 3) centers of the spheres in the people's frame [m].
            radii_m: (K,) their radii [m].
            person_velocities: (N, 3) [m/s], NaN where unknown; None: all are.
            sphere_velocities: (K, 3) [m/s], against the same ground as the people's; NaN where unknown; None: all are.

        Raises:
            ValueError: The people have no full meshes.
        """
        if len(humans) and not humans.has_vertices:
            raise ValueError("proximity: expected people with full meshes; estimate them with vertices=True")
        centers = np.asarray(centers, np.float64).reshape(-1, 3)
        nearest = self._index.nearest(humans.vertices, centers)
        away = nearest.points - centers
        # Towards the person, the way in which the distance grows if the point moves on.
        growing = np.sign(nearest.distances)[..., None] * away / np.maximum(abs(nearest.distances), 1e-9)[..., None]
        relative = _known(sphere_velocities, len(centers)) - _known(person_velocities, len(humans))[:, None]
        closing = (growing * relative).sum(axis=-1)
        valid = np.isfinite(closing)
        position = humans.covariance[:, :3, :3].astype(np.float64)
        return Proximities(
            points=nearest.points,
            distances=nearest.distances - np.asarray(radii_m, np.float64).reshape(-1),
            sigmas=np.sqrt(np.einsum("nki,nij,nkj->nk", growing, position, growing).clip(min=0.0)),
            parts=self._parts[nearest.faces],
            closing_speeds=np.where(valid, closing, 0.0),
            closing_valid=valid,
        )


@torch.inference_mode()
def resting_mesh(body: BodyModel, device: torch.device | str = "cpu") -> NDArray[np.float32]:
    """Returns (V, 3) the full mesh of a body at rest, of the shape with all parameters 0 [m]."""
    info = body.info
    sizes = (len(info.posed_joints), len(info.shape_names), len(info.expression_names))
    still = torch.eye(3, device=device).expand(1, sizes[0], 3, 3)
    zeros = (torch.zeros(1, size, device=device) for size in (*sizes[1:], 3))
    vertices: NDArray[np.float32] = body(still, *zeros, vertices=True).vertices[0].cpu().numpy()
    return vertices


def _known(velocities: ArrayLike | None, count: int) -> Array:
    """(count, 3) velocities, NaN where unknown."""
    unknown = velocities is None
    return np.full((count, 3), np.nan) if unknown else np.asarray(velocities, np.float64).reshape(count, 3)
