"""A body of blend shapes and linear blend skinning: what Anny and SMPL-X have in common.

Every joint's rotation turns what hangs on it about its place at rest. Blend shapes of joints and vertices stand side by
side in one matrix, so a body costs two matrix products; without the full mesh, only the columns of the reduced mesh and
of the keypoints are multiplied.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ros2_multihmr.body.body_model import BodyInfo, BodyOutput
from ros2_multihmr.body.skinning import Skeleton, skin


@dataclass(frozen=True)
class BodyData:
    """Numbers of one body; float32, metres.

    Attributes:
        joint_shapes: (1 + K, J, 3) joints at rest: template, then one offset per coefficient.
        vertex_shapes: (1 + K + P, V, 3) vertices at rest: the same, then pose-dependent offsets; P is 9 (J - 1) or 0.
        weights: (V, J) skinning weights.
        skin_keypoints: (Q, n) vertices between which the keypoints on the skin lie; the joints are keypoints before.
        skin_keypoint_weights: (Q, n) how much of each.
        moves_resting_root: True if the body's own translation moves the resting mesh; False: it is the root's place.
    """

    joint_shapes: NDArray[np.float32]
    vertex_shapes: NDArray[np.float32]
    weights: NDArray[np.float32]
    skin_keypoints: NDArray[np.int64]
    skin_keypoint_weights: NDArray[np.float32]
    moves_resting_root: bool


class SkinnedBody(nn.Module):
    """A parametric body: implements `BodyModel`."""

    _joint_basis: Tensor
    _basis: Tensor
    _weights: Tensor
    _small_basis: Tensor
    _small_weights: Tensor
    _lod: Tensor
    _corners: Tensor
    _corner_weights: Tensor
    _small_lod: Tensor
    _small_corners: Tensor
    _all_joints: Tensor

    def __init__(self, info: BodyInfo, data: BodyData, coefficients: nn.Module) -> None:
        """Makes the body.

        Args:
            info: Names, topology and conventions.
            data: Blend shapes and skinning.
            coefficients: From (N, S) shape and (N, E) expression to (3, N, 1 + K) coefficients for x, y and z.
        """
        super().__init__()
        self._info = info
        self._coefficients = coefficients
        self._skeleton = Skeleton(info.parents)
        self._moves_resting_root = data.moves_resting_root
        self._pose_dependent = len(data.vertex_shapes) > len(data.joint_shapes)
        for name, buffer in _buffers(info, data).items():
            self.register_buffer(name, buffer, persistent=False)

    @property
    def info(self) -> BodyInfo:
        """Names, topology and conventions."""
        return self._info

    @property
    def weights_lod(self) -> NDArray[np.float32]:
        """(L, J) skinning weights of the reduced mesh."""
        weights: NDArray[np.float32] = self._small_weights[:, self._small_lod].T.cpu().numpy()
        return weights

    @property
    def weights(self) -> NDArray[np.float32]:
        """(V, J) skinning weights of the full mesh."""
        weights: NDArray[np.float32] = self._weights.T.cpu().numpy()
        return weights

    def forward(
        self, rotmats: Tensor, shape: Tensor, expression: Tensor, center: Tensor, *, vertices: bool = False
    ) -> BodyOutput:
        """Poses N people and places them, see `BodyModel`."""
        coefficients = self._coefficients(shape, expression)
        rest_joints = (coefficients @ self._joint_basis).permute(1, 2, 0)
        rotations = self._rotations(rotmats)
        transforms, joints = self._skeleton(rotations, rest_joints)
        if self._pose_dependent:
            bent = (rotations[:, 1:] - torch.eye(3).to(rotations)).flatten(1)
            coefficients = torch.cat([coefficients, bent.expand(3, -1, -1)], -1)
        basis, weights = (self._basis, self._weights) if vertices else (self._small_basis, self._small_weights)
        mesh = skin((coefficients @ basis).transpose(0, 1), transforms, weights)
        place = (center - joints[:, self._info.center_joint])[:, None]
        joints, mesh = joints + place, mesh + place
        translation = joints[:, 0] - rest_joints[:, 0] if self._moves_resting_root else joints[:, 0]
        lod, corners = (self._lod, self._corners) if vertices else (self._small_lod, self._small_corners)
        points = (mesh[:, corners] * self._corner_weights[..., None]).sum(2)
        keypoints = torch.cat([joints, points], 1)
        return BodyOutput(mesh[:, lod], joints, keypoints, translation, mesh if vertices else mesh[:, :0])

    def _rotations(self, rotmats: Tensor) -> Tensor:
        """(N, J, 3, 3) rotations of all joints: those that are not posed keep still."""
        still = torch.eye(3).to(rotmats).expand(len(rotmats), 1, 3, 3)
        return torch.cat([rotmats, still], 1)[:, self._all_joints]


def _buffers(info: BodyInfo, data: BodyData) -> dict[str, Tensor]:
    basis = torch.from_numpy(data.vertex_shapes).permute(2, 0, 1).contiguous()
    weights = torch.from_numpy(data.weights).T.contiguous()
    lod = info.vertices_lod.astype(np.int64)
    small, places = np.unique(np.concatenate([lod, data.skin_keypoints.ravel()]), return_inverse=True)
    posed = list(info.posed_joints)
    places_of_joints = [posed.index(j) if j in posed else len(posed) for j in range(len(info.joint_names))]
    return {
        "_joint_basis": torch.from_numpy(data.joint_shapes).permute(2, 0, 1).contiguous(),
        "_basis": basis,
        "_weights": weights,
        "_small_basis": basis[..., small].contiguous(),
        "_small_weights": weights[:, small].contiguous(),
        "_lod": torch.from_numpy(lod),
        "_corners": torch.from_numpy(data.skin_keypoints),
        "_corner_weights": torch.from_numpy(data.skin_keypoint_weights),
        "_small_lod": torch.from_numpy(places[: len(lod)].copy()),
        "_small_corners": torch.from_numpy(places[len(lod) :].reshape(data.skin_keypoints.shape).copy()),
        "_all_joints": torch.tensor(places_of_joints),
    }
