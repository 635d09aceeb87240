"""The official SMPL-X checkpoints: their names for our parameters, and the configuration their shapes tell."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from ros2_multihmr.model.config import HEAD_WIDTH, PATCH, MultiHMRConfig
from ros2_multihmr.model.official_body import body_pose, is_body_tensor, pose_eyes
from ros2_multihmr.model.vit import resample_positions

HEAD = "x_attention_head."
LAYER = rf"{re.escape(HEAD)}transformer\.transformer\.layers\.(\d+)"
BACKBONES = {384: (12, 6), 768: (12, 12), 1024: (24, 16)}
ROTATIONS, EYES = 53, 2


def layer_renames(theirs: str, ours: str) -> tuple[tuple[str, str], ...]:
    """Rules for the head's layers, which both official families spell alike: patterns and their replacements."""
    return (
        (rf"{theirs}\.0\.norm\.", rf"{ours}.self_attention.norm."),
        (rf"{theirs}\.0\.fn\.to_qkv\.", rf"{ours}.self_attention.to_qkv."),
        (rf"{theirs}\.0\.fn\.to_out\.0\.", rf"{ours}.self_attention.to_out."),
        (rf"{theirs}\.1\.norm\.", rf"{ours}.cross_attention.norm."),
        (rf"{theirs}\.1\.fn\.to_q\.", rf"{ours}.cross_attention.to_q."),
        (rf"{theirs}\.1\.fn\.to_kv\.", rf"{ours}.cross_attention.to_kv."),
        (rf"{theirs}\.1\.fn\.to_out\.0\.", rf"{ours}.cross_attention.to_out."),
        (rf"{theirs}\.2\.norm\.", rf"{ours}.mlp.norm."),
        (rf"{theirs}\.2\.fn\.net\.0\.", rf"{ours}.mlp.fc1."),
        (rf"{theirs}\.2\.fn\.net\.3\.", rf"{ours}.mlp.fc2."),
    )


# Official name -> ours, each as a pattern and its replacement.
RENAMES = (
    (r"backbone\.encoder\.", "backbone."),
    (r"mlp_classif\.0\.", "to_score.fc1."),
    (r"mlp_classif\.2\.", "to_score.fc2."),
    (r"mlp_offset\.0\.", "to_offset.fc1."),
    (r"mlp_offset\.2\.", "to_offset.fc2."),
    (rf"{HEAD}cross_queries_x$", "head.query_row"),
    (rf"{HEAD}cross_queries_y$", "head.query_column"),
    (rf"{HEAD}cross_values_x$", "head.value_row"),
    (rf"{HEAD}cross_values_y$", "head.value_column"),
    (rf"{HEAD}init_body_pose$", "head.init_pose"),
    (rf"{HEAD}init_betas$", "head.init_shape"),
    (rf"{HEAD}init_cam$", "head.init_camera"),
    (rf"{HEAD}init_expression$", "head.init_expression"),
    (rf"{HEAD}transformer\.pos_embedding$", "head.token_position"),
    (rf"{HEAD}transformer\.to_token_embedding\.", "head.to_token."),
    (rf"{HEAD}decpose\.", "head.to_pose."),
    (rf"{HEAD}decshape\.", "head.to_shape."),
    (rf"{HEAD}deccam\.", "head.to_camera."),
    (rf"{HEAD}decexpression\.", "head.to_expression."),
    *layer_renames(LAYER, r"head.layers.\1"),
)
# Stored, but used by nobody: the token of masked training, and the mean shape of a body with a child component.
UNUSED = ("backbone.encoder.mask_token", f"{HEAD}init_betas_kid")
ARGUMENTS = {"person_center": "head", "nearness": True}


def is_official_smplx(state: Mapping[str, Tensor]) -> bool:
    """True if the names are those of the official SMPL-X family."""
    return any(name.startswith("backbone.encoder.") for name in state) and any(name.startswith(HEAD) for name in state)


def official_config(state: Mapping[str, Tensor], args: Mapping[str, Any], weights: str) -> MultiHMRConfig:
    """Reads an official SMPL-X network's configuration from its tensors' shapes, and the rest from its arguments.

    Args:
        state: The official state dict.
        args: The training arguments in the file, empty if there are none.
        weights: Name of the weights.

    Raises:
        KeyError: A tensor that every official SMPL-X file has is missing.
        ValueError: Arguments that no released network has, or that contradict the shapes.
    """
    check_arguments(args, ARGUMENTS)
    width = state["mlp_classif.0.weight"].shape[0]
    if width not in BACKBONES:
        raise ValueError(f"expected a backbone of width {', '.join(map(str, BACKBONES))}, got {width}")
    depth, heads = BACKBONES[width]
    tables = state[f"{HEAD}cross_queries_x"].shape
    check_size(args, PATCH * tables[0])
    num_shape = state[f"{HEAD}decshape.weight"].shape[0]
    eyes = body_pose(state, num_shape).eyes is not None
    layers = {match[1] for name in state if (match := re.match(LAYER, name))}
    return MultiHMRConfig(
        kind="official_smplx",
        weights=weights,
        body="smplx" + ("" if num_shape == 10 else f"_{num_shape}") + ("_eyes" if eyes else ""),
        untrained=False,
        image_size=PATCH * tables[0],
        width=width,
        depth=depth,
        heads=heads,
        num_rotations=ROTATIONS + (EYES if eyes else 0),
        num_shape=num_shape,
        num_expression=state[f"{HEAD}decexpression.weight"].shape[0],
        num_bands=(tables[1] - width - 3) // 6,
        max_resolution=float(args.get("camera_embedding_max_resolution", 64)),
        hph_depth=len(layers),
        hph_heads=state[f"{HEAD}transformer.transformer.layers.0.1.fn.to_q.weight"].shape[0] // HEAD_WIDTH,
        hph_width=state[f"{HEAD}transformer.to_token_embedding.weight"].shape[0],
    )


def rename_official(state: Mapping[str, Tensor], config: MultiHMRConfig) -> dict[str, Tensor]:
    """Brings an official SMPL-X state dict to our names.

    Args:
        state: The official state dict. Names without a rule stay as they are, for strict loading to find.
        config: Its configuration.

    Raises:
        KeyError: A tensor is missing that a learned pose of the body itself must change.
        ValueError: A tensor of the body module has another shape than the module's.
    """
    kept = {name: tensor for name, tensor in state.items() if name not in UNUSED and not is_body_tensor(name)}
    renamed = {apply_renames(RENAMES, name): tensor for name, tensor in kept.items()}
    if (table := renamed.get("backbone.pos_embed")) is not None:
        renamed["backbone.pos_embed"] = resample_positions(table.float(), config.grid)
    if (position := renamed.get("head.token_position")) is not None:
        renamed["head.token_position"] = position.flatten()
    own = body_pose(state, config.num_shape)
    return renamed | {"root_turn": own.root} | (pose_eyes(renamed, own.eyes, config) if own.eyes is not None else {})


def apply_renames(rules: Sequence[tuple[str, str]], name: str) -> str:
    """Returns our name for an official one, or the name itself where there is no rule."""
    for pattern, replacement in rules:
        ours, count = re.subn(f"^{pattern}", replacement, name)
        if count:
            return ours
    return name


def check_arguments(args: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Raises ValueError if a training argument is there and differs from the released networks'."""
    for name, value in expected.items():
        if name in args and args[name] != value:
            raise ValueError(f"argument {name}: expected {value!r} as in the released networks, got {args[name]!r}")


def check_size(args: Mapping[str, Any], image_size: int) -> None:
    """Raises ValueError if the training arguments name another image size than the tensors."""
    named = args.get("img_size", image_size)  # a number, or one per side
    sizes = tuple(named) if isinstance(named, Sequence) else (named,)
    if any(size != image_size for size in sizes):
        raise ValueError(f"argument img_size: expected {image_size} as the tensors' shapes say, got {named!r}")
