"""Humans: all people of one image, as arrays."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from ros2_multihmr.body.body_model import BodyInfo

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Humans:
    """N people by falling score; float32, metres, radians; frame: the image's optical frame.

    Attributes:
        body: Names, topology and conventions of the body; J, R, S, E, P, V, L are its sizes.
        scores: (N,) detection scores, 0 to 1.
        rotvecs: (N, R, 3) axis-angle rotations of `body.posed_joints`, the root first.
        shape: (N, S) shape parameters.
        expression: (N, E) expression parameters.
        translation: (N, 3) what the body model's own forward wants.
        origin: (N, 3) halfway between the hips.
        rotation: (N, 3, 3) R_camera_body, REP-155 axes (x out of the chest, y left, z to the head).
        covariance: (N, 6, 6) of origin and orientation (x, y, z, rotations about the frame's axes); 1e6 for unknown.
        joints: (N, J, 3) joints of the kinematic tree.
        keypoints_3d: (N, P, 3) keypoints.
        keypoints_2d: (N, P, 2) where they fall in the image [px]; NaN behind the camera.
        keypoint_scores: (N, P) 0 to 1.
        bbox: (N, 4) xmin, ymin, xmax, ymax of the projected mesh, not clipped [px].
        box_min, box_max: (N, 3) axis-aligned box of the mesh.
        vertices_lod: (N, L, 3) reduced mesh.
        vertices: (N, V, 3) full mesh, or (N, 0, 3) if it was not asked for.
    """

    body: BodyInfo
    scores: Array
    rotvecs: Array
    shape: Array
    expression: Array
    translation: Array
    origin: Array
    rotation: Array
    covariance: Array
    joints: Array
    keypoints_3d: Array
    keypoints_2d: Array
    keypoint_scores: Array
    bbox: Array
    box_min: Array
    box_max: Array
    vertices_lod: Array
    vertices: Array

    def __post_init__(self) -> None:
        """Checks every array's shape and type.

        Raises:
            ValueError: An array has the wrong shape or type; says which, what was expected and what came.
        """
        n = len(self.scores)
        for name, tail in _tails(self.body).items():
            array = getattr(self, name)
            expected = [(n, *tail)] + ([(n, 0, 3)] if name == "vertices" else [])
            if array.shape not in expected or array.dtype != np.float32:
                raise ValueError(
                    f"Humans.{name}: expected float32 {expected[0]} for {n} people of {self.body.name}, "
                    f"got {array.dtype} {array.shape}"
                )

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def has_vertices(self) -> bool:
        """True if the full mesh was computed."""
        return self.vertices.shape[1] > 0

    @staticmethod
    def empty(body: BodyInfo) -> Humans:
        """Nobody."""
        return Humans(body=body, **{name: np.zeros((0, *tail), np.float32) for name, tail in _tails(body).items()})

    def select(self, keep: NDArray[np.bool_] | NDArray[np.intp]) -> Humans:
        """Returns the people that `keep` names, a mask or indices."""
        arrays = {f.name: getattr(self, f.name)[keep] for f in fields(self) if f.name != "body"}
        return Humans(body=self.body, **arrays)

    def join(self, other: Humans) -> Humans:
        """Returns these people and then the others, of the same body; both or none with their full meshes."""
        names = [f.name for f in fields(self) if f.name != "body"]
        arrays = {name: np.concatenate([getattr(self, name), getattr(other, name)]) for name in names}
        return Humans(body=self.body, **arrays)


def _tails(body: BodyInfo) -> dict[str, tuple[int, ...]]:
    keypoints = len(body.keypoint_names)
    return {
        "scores": (),
        "rotvecs": (len(body.posed_joints), 3),
        "shape": (len(body.shape_names),),
        "expression": (len(body.expression_names),),
        "translation": (3,),
        "origin": (3,),
        "rotation": (3, 3),
        "covariance": (6, 6),
        "joints": (len(body.joint_names), 3),
        "keypoints_3d": (keypoints, 3),
        "keypoints_2d": (keypoints, 2),
        "keypoint_scores": (keypoints,),
        "bbox": (4,),
        "box_min": (3,),
        "box_max": (3,),
        "vertices_lod": (len(body.vertices_lod), 3),
        "vertices": (body.num_vertices, 3),
    }
