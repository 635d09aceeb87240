"""The body-model protocol: what the estimator asks of SMPL-X, Anny or any other parametric body."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class BodyInfo:
    """Names, topology and conventions of one body model (`msg/BodyModelInfo.msg`).

    Attributes:
        name: family/version/topology, for example "anny/0.6/full".
        gender: "neutral", "male", "female", or "" where the shape decides.
        pose_convention: How a joint's rotation acts.
        flat_hand_mean: True if zero hand pose is a flat hand.
        joint_names: The J joints of the kinematic tree.
        parents: J parent indices, -1 for the root, which is joint 0.
        body_joints, left_hand_joints, right_hand_joints, jaw_joints, eye_joints: Joints with an estimated rotation.
        shape_names: The S shape parameters.
        expression_names: The E expression parameters.
        keypoint_names: The P keypoints.
        center_joint: Joint that the network places in the image (the head).
        hip_joints: Left and right hip; the person's frame sits halfway between them.
        body_axes: (3, 3) REP-155 axes in the body model's own: R_camera_body = R_camera_model @ body_axes.
        faces: (F, 3) triangles of the full mesh, V vertices.
        vertices_lod: (L,) vertices of the full mesh that the reduced mesh keeps.
        faces_lod: (G, 3) triangles of the reduced mesh, indices into `vertices_lod`.
    """

    name: str
    gender: str
    pose_convention: str
    flat_hand_mean: bool
    joint_names: tuple[str, ...]
    parents: tuple[int, ...]
    body_joints: tuple[int, ...]
    left_hand_joints: tuple[int, ...]
    right_hand_joints: tuple[int, ...]
    jaw_joints: tuple[int, ...]
    eye_joints: tuple[int, ...]
    shape_names: tuple[str, ...]
    expression_names: tuple[str, ...]
    keypoint_names: tuple[str, ...]
    center_joint: int
    hip_joints: tuple[int, int]
    body_axes: NDArray[np.float64]
    faces: NDArray[np.uint32]
    vertices_lod: NDArray[np.uint32]
    faces_lod: NDArray[np.uint32]
    num_vertices: int

    @property
    def posed_joints(self) -> tuple[int, ...]:
        """The R joints whose rotations the network estimates, in the order of its rotations; the root first."""
        return (
            0,
            *self.body_joints,
            *self.left_hand_joints,
            *self.right_hand_joints,
            *self.jaw_joints,
            *self.eye_joints,
        )


class BodyOutput(NamedTuple):
    """People's geometry in the camera's optical frame, metres, float32.

    Attributes:
        vertices_lod: (N, L, 3) vertices of the reduced mesh.
        joints: (N, J, 3) joints of the kinematic tree.
        keypoints: (N, P, 3) keypoints.
        translation: (N, 3) what the body model's own forward wants as translation to return these vertices.
        vertices: (N, V, 3) vertices of the full mesh, or (N, 0, 3) if they were not asked for.
    """

    vertices_lod: Tensor
    joints: Tensor
    keypoints: Tensor
    translation: Tensor
    vertices: Tensor


class BodyModel(Protocol):
    """A parametric body. Differentiable in every input; N may be 0."""

    @property
    def info(self) -> BodyInfo:
        """Names, topology and conventions."""

    def __hash__(self) -> int:
        """By identity: what is measured once of a body is kept for it."""

    @property
    def weights_lod(self) -> NDArray[np.float32]:
        """(L, J) skinning weights of the reduced mesh."""

    @property
    def weights(self) -> NDArray[np.float32]:
        """(V, J) skinning weights of the full mesh."""

    def to(self, device: torch.device | str) -> BodyModel:
        """Moves the body's constants to a device and returns the body."""

    def __call__(
        self, rotmats: Tensor, shape: Tensor, expression: Tensor, center: Tensor, *, vertices: bool = False
    ) -> BodyOutput:
        """Poses N people and places them.

        Args:
            rotmats: (N, R, 3, 3) rotations of `info.posed_joints`; the first turns the model's axes into the camera's.
            shape: (N, S) shape parameters.
            expression: (N, E) expression parameters.
            center: (N, 3) where `info.center_joint` goes, in the camera's optical frame [m].
            vertices: True to compute the full mesh, too.
        """
