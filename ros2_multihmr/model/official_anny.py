"""The official Anny checkpoints: their names for our parameters, and what becomes of the accidents in them.

What only ever was a constant is folded into the weights when they are loaded, so that the network has no dead parts:

- The pose read-out reads the person and the mean pose, the same for everyone: its share moves into the bias.
- It regresses all 163 bones of the rig, but a stored mask sets 88 of them (toes, breasts, face) to rest: their rows go,
  and the others are put in the order of the body's posed joints.
- The shape has 11 numbers, of which the official code gives six to the body: the other five rows go.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ros2_multihmr.body.anny_official import NUM_BONES, POSED_BONES
from ros2_multihmr.body.anny_shape import SHAPE_NAMES
from ros2_multihmr.model.config import HEAD_WIDTH, PATCH, MultiHMRConfig
from ros2_multihmr.model.official import BACKBONES, apply_renames, check_arguments, check_size, layer_renames
from ros2_multihmr.model.vit import resample_positions

LAYER = r"decoder\.transformer\.layers\.(\d+)"
RENAMES = (
    (r"encoder\.backbone\.", "backbone."),
    (r"encoder\.mlp_det\.0\.", "to_score.fc1."),
    (r"encoder\.mlp_det\.2\.", "to_score.fc2."),
    (r"encoder\.mlp_fov_unique\.0\.", "to_fov.fc1."),
    (r"encoder\.mlp_fov_unique\.2\.", "to_fov.fc2."),
    (r"encoder\.fov_max$", "fov_max"),
    (r"dec_to_token\.", "to_token."),
    (r"dec_pos_emb$", "token_position"),
    (r"init_body_pose$", "init_pose"),
    (r"mlp_offset\.0\.", "to_offset.fc1."),
    (r"mlp_offset\.2\.", "to_offset.fc2."),
    (r"mlp_dist\.0\.", "to_depth.fc1."),
    (r"mlp_dist\.2\.", "to_depth.fc2."),
    (r"mlp_pose\.0\.", "to_pose.fc1."),
    (r"mlp_pose\.2\.", "to_pose.fc2."),
    (r"mlp_shape\.0\.", "to_shape.fc1."),
    (r"mlp_shape\.2\.", "to_shape.fc2."),
    *layer_renames(LAYER, r"layers.\1"),
)
# Stored, but used by nobody: the token of masked training, and a 3 x 3 identity.
UNUSED = ("encoder.backbone.mask_token", "eye")
MASK = "useful_rotmat"
ANCHORS = "body_model.anchors."
PHENOTYPES = 11
# Where the body's phenotypes have their blend shapes; the last two keep their defaults.
_HALVES, _ENDS = (0.0, 0.5, 1.0), (0.0, 1.0)
BODY_ANCHORS = {
    "age": (-1 / 3, 0.0, 1 / 3, 2 / 3, 1.0),
    **{"gender": _ENDS, "muscle": _HALVES, "weight": _HALVES, "height": _ENDS, "proportions": _ENDS},
    **{"cupsize": _HALVES, "firmness": _HALVES},
}
ARGUMENTS = {"person_center": "head", "simple_depth_encoding": 1, "xat_dim_head": HEAD_WIDTH}


def is_official_anny(state: Mapping[str, Tensor]) -> bool:
    """True if the names are those of the official Anny family."""
    return any(name.startswith("encoder.") for name in state) and any(name.startswith("decoder.") for name in state)


def official_anny_config(state: Mapping[str, Tensor], args: Mapping[str, Any], weights: str) -> MultiHMRConfig:
    """Reads an official Anny network's configuration; see `official.official_config`."""
    check_arguments(args, ARGUMENTS)
    width = state["encoder.mlp_det.0.weight"].shape[0]
    if width not in BACKBONES:
        raise ValueError(f"expected a backbone of width {', '.join(map(str, BACKBONES))}, got {width}")
    depth, heads = BACKBONES[width]
    image_size = PATCH * math.isqrt(state["dec_pos_emb"].shape[0])
    check_size(args, image_size)
    head_width = state["dec_to_token.weight"].shape[0]
    layers = {match[1] for name in state if (match := re.match(LAYER, name))}
    first = "decoder.transformer.layers.0"
    return MultiHMRConfig(
        kind="official_anny",
        weights=weights,
        body="anny_official",
        untrained=False,
        image_size=image_size,
        width=width,
        depth=depth,
        heads=heads,
        num_rotations=len(POSED_BONES),
        num_shape=len(SHAPE_NAMES),
        num_expression=0,
        hph_depth=len(layers),
        hph_heads=state[f"{first}.1.fn.to_q.weight"].shape[0] // HEAD_WIDTH,
        hph_width=head_width,
        hph_mlp_ratio=state[f"{first}.2.fn.net.0.weight"].shape[0] // head_width,
        shape_activation="sigmoid",
    )


def rename_official_anny(state: Mapping[str, Tensor], config: MultiHMRConfig) -> dict[str, Tensor]:
    """Brings an official Anny state dict to our names and folds its constants.

    Args:
        state: The official state dict. Names without a rule stay as they are, for strict loading to find.
        config: Its configuration.

    Raises:
        KeyError: A tensor to fold is missing.
        ValueError: A tensor to fold has another shape, or a constant is not the released networks'.
    """
    _check_constants(state)
    dropped = (*UNUSED, MASK)
    kept = {name: t for name, t in state.items() if name not in dropped and not name.startswith(ANCHORS)}
    kept |= _folded(state, config.hph_width)
    renamed = {apply_renames(RENAMES, name): tensor for name, tensor in kept.items()}
    if (table := renamed.get("backbone.pos_embed")) is not None:
        renamed["backbone.pos_embed"] = resample_positions(table.float(), config.grid)
    return renamed


def _check_constants(state: Mapping[str, Tensor]) -> None:
    mask = torch.zeros(1, NUM_BONES)
    mask[0, list(POSED_BONES)] = 1
    if not torch.equal(state[MASK].float(), mask):
        raise ValueError(f"{MASK}: expected the released networks' {len(POSED_BONES)} posed bones, got others")
    for name, tensor in state.items():
        if name.startswith(ANCHORS):
            expected = BODY_ANCHORS.get(name.removeprefix(ANCHORS), ())
            if tensor.numel() != len(expected) or not torch.allclose(tensor.float(), torch.tensor(expected)):
                raise ValueError(f"{name}: expected {expected} as in Anny 0.2 to 0.3.1, got {tensor.tolist()}")


def _folded(state: Mapping[str, Tensor], width: int) -> dict[str, Tensor]:
    """The tensors that change: the pose read-out without its constant input, and without rows that nothing uses."""
    pose = 6 * NUM_BONES
    mean = _shaped(state, "init_body_pose", 1, pose)
    weight = _shaped(state, "mlp_pose.0.weight", width, width + pose).double()
    constant = weight[:, width:] @ mean[0].double()
    bones = {
        "init_body_pose": mean.T,
        "mlp_pose.2.weight": _shaped(state, "mlp_pose.2.weight", pose, width),
        "mlp_pose.2.bias": _shaped(state, "mlp_pose.2.bias", pose)[:, None],
    }
    rows = {name: t.unflatten(0, (NUM_BONES, 6))[list(POSED_BONES)].flatten(0, 1) for name, t in bones.items()}
    shape = {
        "mlp_shape.2.weight": _shaped(state, "mlp_shape.2.weight", PHENOTYPES, width),
        "mlp_shape.2.bias": _shaped(state, "mlp_shape.2.bias", PHENOTYPES),
    }
    return {
        "mlp_pose.0.weight": weight[:, :width].float(),
        "mlp_pose.0.bias": (_shaped(state, "mlp_pose.0.bias", width).double() + constant).float(),
        "mlp_pose.2.weight": rows["mlp_pose.2.weight"],
        "mlp_pose.2.bias": rows["mlp_pose.2.bias"][:, 0],
        "init_body_pose": rows["init_body_pose"].T,
        **{name: tensor[: len(SHAPE_NAMES)] for name, tensor in shape.items()},
    }


def _shaped(state: Mapping[str, Tensor], name: str, *shape: int) -> Tensor:
    if tuple(state[name].shape) != shape:
        raise ValueError(f"{name}: expected shape {shape}, got {tuple(state[name].shape)}")
    return state[name]
