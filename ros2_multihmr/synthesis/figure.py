"""Figure: where on a person each vertex of the reduced mesh is, so that garments can be cut out of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from ros2_multihmr.body.body_model import BodyModel
from ros2_multihmr.body.parts import PARTS, parts_of_faces, parts_of_vertices
from ros2_multihmr.synthesis.angles import SIDES
from ros2_multihmr.synthesis.rig import average_shape, resting_joints

Array = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]
_EYE_M = 0.025  # an eyeball's vertices lie nearer to its joint


@dataclass(frozen=True)
class Spots:
    """Where N points of the average resting body are; the model's axes (x left, y back, z up), metres.

    Attributes:
        point: (N, 3) the points, seen from halfway between the ears.
        part: (N,) body part + 1.
        trunk: (N,) height: 0 at the hips, 1 at the neck's root, going on outside.
        arm: (N,) 0 at the shoulder, 1 at the elbow, 2 at the wrist, going on in the hand; -1 off the arms.
        leg: (N,) 0 at the hip, 1 at the knee, 2 at the ankle, going on in the foot; -1 off the legs.
        neck_m: (N,) distance from the neck's root.
        mouth_m: (N,) distance from the mouth's middle.
        eye: (N,) True on the eyeballs.
    """

    point: Array
    part: NDArray[np.uint8]
    trunk: Array
    arm: Array
    leg: Array
    neck_m: Array
    mouth_m: Array
    eye: Mask

    def is_part(self, *names: str) -> Mask:
        """(N,) True on the parts whose names end so."""
        wanted = [i + 1 for i, part in enumerate(PARTS) if part.endswith(names)]
        mask: Mask = np.isin(self.part, wanted)
        return mask


@dataclass(frozen=True)
class Figure:
    """A body's reduced mesh at rest; V vertices, F triangles.

    Attributes:
        vertices: Where the vertices are.
        part: (F,) uint8 body part + 1 of the triangles.
        texture: (V, 3) float32 the resting vertices themselves [m].
        faces: (F, 3).
    """

    vertices: Spots
    part: NDArray[np.uint8]
    texture: NDArray[np.float32]
    faces: NDArray[np.intp]


@lru_cache(maxsize=4)
def figure_of(body: BodyModel) -> Figure:
    """Measures a body's reduced mesh; the same object again for the same body."""
    points = _resting_vertices(body)
    faces = body.info.faces_lod.astype(np.intp)
    vertices = _spots(points, parts_of_vertices(body), resting_joints(body), _largest_island(faces, len(points)))
    return Figure(vertices, parts_of_faces(body), points.astype(np.float32), faces)


@torch.no_grad()
def _resting_vertices(body: BodyModel) -> Array:
    info = body.info
    still = torch.eye(3).repeat(1, len(info.posed_joints), 1, 1)
    person = body(still, average_shape(body), torch.zeros(1, len(info.expression_names)), torch.zeros(1, 3))
    vertices: Array = person.vertices_lod[0].double().numpy()
    return vertices


def _spots(points: Array, part: NDArray[np.uint8], joint: dict[str, Array], skin: Mask) -> Spots:
    hips = (joint["left_hip"] + joint["right_hip"])[2] / 2
    ears = (joint["left_ear"] + joint["right_ear"]) / 2
    eyes = np.stack([joint["left_eyeball"], joint["right_eyeball"]])
    mouth = joint["nose"] + (0, 0.012, -0.045)
    arm, leg = (np.maximum(*(_along(points, part, joint, side, limb) for side in SIDES)) for limb in (_ARM, _LEG))
    return Spots(
        point=points - ears,
        part=part,
        trunk=(points[:, 2] - hips) / (joint["neck"][2] - hips),
        arm=arm,
        leg=leg,
        neck_m=np.linalg.norm(points - joint["neck"], axis=1),
        mouth_m=np.linalg.norm((points - mouth) * (0.6, 1, 1.4), axis=1),
        eye=~skin & (np.linalg.norm(points[:, None] - eyes, axis=2).min(1) < _EYE_M),
    )


_ARM = (("shoulder", "elbow", "wrist"), ("upper_arm", "forearm", "hand"))
_LEG = (("hip", "knee", "ankle"), ("thigh", "shin", "foot"))
Limb = tuple[tuple[str, str, str], tuple[str, str, str]]


def _along(points: Array, part: NDArray[np.uint8], joint: dict[str, Array], side: str, limb: Limb) -> Array:
    """How far along a limb: 0, 1 and 2 at its joints, -1 off the limb."""
    names, parts = limb
    root, bend, end = (joint[f"{side}_{name}"] for name in names)
    along = np.full(len(points), -1.0)
    for k, (start, stop) in enumerate(((root, bend), (bend, end), (end, 2 * end - bend))):
        on = part == PARTS.index(f"{side}_{parts[k]}") + 1
        bone = stop - start
        along[on] = np.maximum(k + (points[on] - start) @ bone / (bone @ bone), 0.0)
    return along


def _largest_island(faces: NDArray[np.intp], count: int) -> Mask:
    """(V,) True for the vertices of the largest connected piece: the skin, without eyeballs and teeth."""
    ends = np.concatenate([faces[:, :2], faces[:, 1:]]).T
    links = coo_matrix((np.ones(ends.shape[1]), tuple(ends)), shape=(count, count))
    island = connected_components(links, directed=False)[1]
    skin: Mask = island == np.bincount(island).argmax()
    return skin
