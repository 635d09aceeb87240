"""What official SMPL-X files may carry of the body module: its buffers, and a pose of its own.

The public training script hands the body module's own pose to the optimiser, and its filter that should leave the
module out of the file does not match the names. A file may so hold a learned turn of the root and of the eyes, under
which the rest was trained: the turn of the root comes on top of everyone's root rotation, and the eyes keep theirs.
The other parameters of the module are overwritten by every person's.

Buffers in the file take the place of what the module was built from, as when the official code loads it: the network
learned with that body. The released files carry nothing of all this.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from ros2_multihmr.model.config import MultiHMRConfig

NAME = re.compile(r"smpl_layer\.neutral_(\d+)\.bm_x\.(.+)")
BETAS, POINTS, JOINTS = -1, 10475, 55  # BETAS: as many as the module's name says
SHAPES = {
    **{"betas": (1, BETAS), "expression": (1, 10), "transl": (1, 3), "global_orient": (1, 3), "body_pose": (1, 63)},
    **{"left_hand_pose": (1, 45), "right_hand_pose": (1, 45), "jaw_pose": (1, 3)},
    **{"leye_pose": (1, 3), "reye_pose": (1, 3)},
    **{"v_template": (POINTS, 3), "shapedirs": (POINTS, 3, BETAS), "expr_dirs": (POINTS, 3, 10)},
    **{"posedirs": (9 * (JOINTS - 1), 3 * POINTS), "J_regressor": (JOINTS, POINTS), "parents": (JOINTS,)},
    **{"lbs_weights": (POINTS, JOINTS), "faces_tensor": (20908, 3), "pose_mean": (3 * JOINTS,)},
    **{"left_hand_mean": (45,), "right_hand_mean": (45,), "lmk_faces_idx": (51,), "lmk_bary_coords": (51, 3)},
    "vertex_joint_selector.extra_joints_idxs": (21,),
}
# What decides where the vertices are. The means of the hands count through pose_mean alone, which is zero.
STORED = (
    *("v_template", "shapedirs", "expr_dirs", "posedirs", "J_regressor", "parents", "lbs_weights", "faces_tensor"),
    *("lmk_faces_idx", "lmk_bary_coords", "vertex_joint_selector.extra_joints_idxs"),
)


class BodyPose(NamedTuple):
    """A body module's own pose.

    Attributes:
        root: (3, 3) turn of the root, applied before everyone's own rotation.
        eyes: (2, 3, 3) turns of the left and the right eye; None if they look ahead.
    """

    root: Tensor
    eyes: Tensor | None


def is_body_tensor(name: str) -> bool:
    """True if a name belongs to the body module."""
    match = NAME.fullmatch(name)
    return match is not None and match[2] in SHAPES


def body_pose(state: Mapping[str, Tensor], num_shape: int) -> BodyPose:
    """Reads the body module's own pose from an official state dict.

    Args:
        state: The official state dict.
        num_shape: Shape parameters of the network, which say which of the file's modules it uses.

    Raises:
        ValueError: A tensor of the body module has another shape than the module's, or is not finite.
    """
    module = _module(state, num_shape)
    turns = torch.stack([_turn(module.get(name)) for name in ("global_orient", "leye_pose", "reye_pose")])
    looks_ahead = torch.equal(turns[1:], torch.eye(3).expand(2, 3, 3))
    return BodyPose(turns[0], None if looks_ahead else turns[1:])


def stored_body(state: Mapping[str, Tensor], num_shape: int) -> dict[str, Tensor]:
    """Reads the buffers of the body module that the network uses.

    Args:
        state: The official state dict.
        num_shape: Shape parameters of the network.

    Returns:
        Those of `STORED` that are there, by the names of the smplx package's module; of the released files none.

    Raises:
        ValueError: A tensor of the body module has another shape than the module's or is not finite, or the module was
            built with a mean pose other than zero.
    """
    module = _module(state, num_shape)
    if (mean := module.get("pose_mean")) is not None and mean.any():
        raise ValueError("pose_mean: expected zeros as in the official code (flat hands), got other numbers")
    return {name: module[name] for name in STORED if name in module}


def pose_eyes(renamed: Mapping[str, Tensor], eyes: Tensor, config: MultiHMRConfig) -> dict[str, Tensor]:
    """Returns the tensors that give everyone two more rotations, always the same: those of the eyes.

    The read-out's new rows are zero, so that the start value remains; the token has new inputs with zero weights.

    Args:
        renamed: State dict by our names, for a network that does not know of eyes.
        eyes: (2, 3, 3).
        config: Configuration of the network that knows.
    """
    columns = eyes.transpose(1, 2)[:, :2].reshape(1, -1)
    more = columns.shape[1]
    weight, bias = renamed["head.to_pose.weight"], renamed["head.to_pose.bias"]
    before = config.feature_width + weight.shape[0]
    token = renamed["head.to_token.weight"]
    return {
        "head.init_pose": torch.cat([renamed["head.init_pose"], columns], 1),
        "head.to_pose.weight": torch.cat([weight, torch.zeros(more, weight.shape[1])]),
        "head.to_pose.bias": torch.cat([bias, torch.zeros(more)]),
        "head.to_token.weight": torch.cat([token[:, :before], torch.zeros(len(token), more), token[:, before:]], 1),
    }


def _module(state: Mapping[str, Tensor], num_shape: int) -> dict[str, Tensor]:
    module = {}
    for name, tensor in state.items():
        if (match := NAME.fullmatch(name)) and match[2] in SHAPES:
            _check_tensor(name, tensor, match[2], int(match[1]))
            if int(match[1]) == num_shape:
                module[match[2]] = tensor
    return module


def _check_tensor(name: str, tensor: Tensor, key: str, num_betas: int) -> None:
    expected = tuple(num_betas if size == BETAS else size for size in SHAPES[key])
    if tuple(tensor.shape) != expected:
        raise ValueError(f"{name}: expected shape {expected}, got {tuple(tensor.shape)}")
    if not tensor.isfinite().all():
        raise ValueError(f"{name}: expected finite numbers")


def _turn(rotvec: Tensor | None) -> Tensor:
    if rotvec is None or not rotvec.any():
        return torch.eye(3)
    return torch.from_numpy(Rotation.from_rotvec(rotvec[0].double().numpy()).as_matrix()).float()
