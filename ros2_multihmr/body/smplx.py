"""SMPL-X from the user's own model file, whose licence does not let it come with this package.

The forward is that of the `smplx` package on the same numbers (no hand PCA, flat mean hand, eyes at rest).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ros2_multihmr.body.body_model import BodyInfo
from ros2_multihmr.body.level_of_detail import hands_matter_more, reduce_mesh
from ros2_multihmr.body.skinned_body import BodyData, SkinnedBody
from ros2_multihmr.body.smplx_file import NUM_VERTICES, REMEDY, Arrays, count_components, read_smplx, with_stored

NUM_BETAS, NUM_EXPRESSION = 10, 10  # of Multi-HMR's networks
LOD_FACES = 2400
SKIN_POINTS_KEY = "vertex_joint_selector.extra_joints_idxs"
GENDERS = ("neutral", "male", "female")
POSE_CONVENTION = (
    "Rotations are axis-angle, against the parent joint, about axes parallel to the model's (x left, y up, z forward) "
    "at the joint's place; zero is the T-pose. As the smplx package computes it: smplx.SMPLX(use_pca=False, "
    "flat_hand_mean=True, num_expression_coeffs={expression}), transl is translation, eyes without a rotation are zero."
)
# REP-155 (x out of the chest, y left, z to the head) in the model's axes (x left, y up, z forward).
BODY_AXES = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])

_BODY = (
    *("pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2", "left_ankle", "right_ankle"),
    *("spine3", "left_foot", "right_foot", "neck", "left_collar", "right_collar", "head", "left_shoulder"),
    *("right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist"),
)
_FACE = ("jaw", "left_eyeball", "right_eyeball")
_HAND = tuple(f"{finger}{k}" for finger in ("index", "middle", "pinky", "ring", "thumb") for k in (1, 2, 3))
JOINT_NAMES = (*_BODY, *_FACE, *(f"left_{name}" for name in _HAND), *(f"right_{name}" for name in _HAND))
_BODY_JOINTS, _JAW, _EYES, _LEFT_HAND, _RIGHT_HAND = range(1, 22), 22, (23, 24), range(25, 40), range(40, 55)

# Vertices that Multi-HMR and smplx take as joints.
_SKIN_POINTS = {
    **{"nose": 9120, "right_eye": 9929, "left_eye": 9448, "right_ear": 616, "left_ear": 6},
    **{"left_big_toe": 5770, "left_small_toe": 5780, "left_heel": 8846},
    **{"right_big_toe": 8463, "right_small_toe": 8474, "right_heel": 8635},
    **{"left_thumb_tip": 5361, "left_index_tip": 4933, "left_middle_tip": 5058, "left_ring_tip": 5169},
    **{"left_pinky_tip": 5286, "right_thumb_tip": 8079, "right_index_tip": 7669, "right_middle_tip": 7794},
    **{"right_ring_tip": 7905, "right_pinky_tip": 8022},
}
_LANDMARKS = (
    *(f"right_eyebrow{k}" for k in range(1, 6)),
    *(f"left_eyebrow{k}" for k in range(5, 0, -1)),
    *(f"nose_bridge{k}" for k in range(1, 5)),
    *("right_nostril2", "right_nostril1", "nose_base", "left_nostril1", "left_nostril2"),
    *(f"right_eyelid{k}" for k in range(1, 7)),
    *(f"left_eyelid{k}" for k in (4, 3, 2, 1, 6, 5)),
    *("right_mouth1", "right_mouth2", "right_mouth3", "mouth_top", "left_mouth3", "left_mouth2", "left_mouth1"),
    *("left_mouth5", "left_mouth4", "mouth_bottom", "right_mouth4", "right_mouth5", "right_lip1", "right_lip2"),
    *("lip_top", "left_lip2", "left_lip1", "left_lip3", "lip_bottom", "right_lip3"),
)


def load_smplx(
    path: Path,
    gender: str,
    num_betas: int = NUM_BETAS,
    *,
    num_expression: int = NUM_EXPRESSION,
    pose_eyes: bool = False,
    stored: Mapping[str, NDArray[Any]] | None = None,
) -> SkinnedBody:
    """Reads SMPL-X from its model file.

    Args:
        path: SMPLX_<GENDER>.npz or .pkl.
        gender: One of `GENDERS`.
        num_betas: Shape components, 10 or 11 in Multi-HMR's networks; at most 300, or 10 of the first files.
        num_expression: Expression components, 10 in Multi-HMR's networks; at most 100, or 10.
        pose_eyes: True if the eyes have rotations; False: they look ahead.
        stored: What a checkpoint puts in the place of the file's arrays, see `with_stored`; and
            vertex_joint_selector.extra_joints_idxs (21,), the vertices that count as keypoints.

    Raises:
        ValueError: The file is not a SMPL-X model file, or has fewer components.
    """
    arrays = read_smplx(path)
    shapes, expressions = count_components(arrays["shapedirs"])
    for name, has, wanted in (("shape", shapes, num_betas), ("expression", expressions, num_expression)):
        if not 1 <= wanted <= has:
            raise ValueError(f"{path} has {has} {name} components, {wanted} were asked for: {REMEDY}")
    points = np.array(list(_SKIN_POINTS.values()))
    if stored:
        arrays, points = _override(arrays, stored, num_betas, points)
    parents = (-1, *arrays["kintree_table"][0, 1:].astype(int).tolist())
    if any(not 0 <= parent < joint for joint, parent in enumerate(parents[1:], start=1)):
        raise ValueError(f"{path}: kintree_table is not SMPL-X's tree, got parents {parents}: {REMEDY}")
    names = (
        tuple(f"beta{k}" for k in range(num_betas)),
        tuple(f"expression{k}" for k in range(num_expression)),
    )
    info = _body_info(arrays, parents, gender, names, _EYES if pose_eyes else ())
    chosen = [*range(num_betas), *range(shapes, shapes + num_expression)]
    return SkinnedBody(info, _body_data(arrays, chosen, points), _Linear())


class _Linear(nn.Module):
    """Coefficients of the template, the shape and the expression, the same for x, y and z."""

    def forward(self, shape: Tensor, expression: Tensor) -> Tensor:
        template = torch.ones_like(shape[:, :1])
        return torch.cat([template, shape, expression], 1).expand(3, -1, -1)


def _override(
    arrays: Arrays, stored: Mapping[str, NDArray[Any]], num_betas: int, points: NDArray[Any]
) -> tuple[Arrays, NDArray[Any]]:
    chosen = stored.get(SKIN_POINTS_KEY, points)
    try:
        if chosen.shape != points.shape or not np.all((chosen >= 0) & (chosen < NUM_VERTICES)):
            raise ValueError(f"its {SKIN_POINTS_KEY} should hold {len(points)} indices below {NUM_VERTICES}")
        return with_stored(arrays, stored, num_betas), chosen
    except ValueError as error:
        raise ValueError(f"the SMPL-X body that the weights carry is none ({error}): get the weights again") from error


def _body_data(arrays: Arrays, chosen: list[int], points: NDArray[Any]) -> BodyData:
    shapes = np.concatenate([arrays["v_template"][..., None], arrays["shapedirs"][..., chosen]], axis=2)
    shapes = shapes.transpose(2, 0, 1).astype(np.float32)
    pose = arrays["posedirs"].transpose(2, 0, 1).astype(np.float32)
    corners = arrays["f"].astype(np.int64)[arrays["lmk_faces_idx"].astype(np.int64)]
    points = np.repeat(points.astype(np.int64)[:, None], 3, axis=1)
    one = np.tile(np.array([1.0, 0.0, 0.0]), (len(points), 1))
    return BodyData(
        joint_shapes=(arrays["J_regressor"] @ shapes).astype(np.float32),
        vertex_shapes=np.concatenate([shapes, pose]),
        weights=arrays["weights"].astype(np.float32),
        skin_keypoints=np.concatenate([points, corners]),
        skin_keypoint_weights=np.concatenate([one, arrays["lmk_bary_coords"]]).astype(np.float32),
        moves_resting_root=True,
    )


def _body_info(
    arrays: Arrays,
    parents: tuple[int, ...],
    gender: str,
    names: tuple[tuple[str, ...], tuple[str, ...]],
    eyes: tuple[int, ...],
) -> BodyInfo:
    importance = hands_matter_more(arrays["weights"], [*_LEFT_HAND, *_RIGHT_HAND])
    vertices_lod, faces_lod = reduce_mesh(arrays["v_template"], arrays["f"], LOD_FACES, importance)
    return BodyInfo(
        name="smplx/1.1/full",
        gender=gender,
        pose_convention=POSE_CONVENTION.format(expression=len(names[1])),
        flat_hand_mean=True,
        joint_names=JOINT_NAMES,
        parents=parents,
        body_joints=tuple(_BODY_JOINTS),
        left_hand_joints=tuple(_LEFT_HAND),
        right_hand_joints=tuple(_RIGHT_HAND),
        jaw_joints=(_JAW,),
        eye_joints=eyes,
        shape_names=names[0],
        expression_names=names[1],
        keypoint_names=(*JOINT_NAMES, *_SKIN_POINTS, *_LANDMARKS),
        center_joint=JOINT_NAMES.index("head"),
        hip_joints=(JOINT_NAMES.index("left_hip"), JOINT_NAMES.index("right_hip")),
        body_axes=BODY_AXES,
        faces=arrays["f"].astype(np.uint32),
        vertices_lod=vertices_lod,
        faces_lod=faces_lod,
        num_vertices=NUM_VERTICES,
    )
