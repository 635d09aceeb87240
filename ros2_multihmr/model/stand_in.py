"""A stand-in for a trained network, drawn from a seed: for trying everything behind the network, and for tests.

The start values make it report, on most images, a handful of people of different builds who stand a few metres away in
the upper middle of the view. That says nothing about the image, and everything that shows these people says so.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from torch import Tensor

from ros2_multihmr.body import create_body
from ros2_multihmr.body.body_model import BodyInfo
from ros2_multihmr.model.checkpoint import with_overrides
from ros2_multihmr.model.config import MultiHMRConfig
from ros2_multihmr.model.initialisation import decode_cells, draw_weights, practice_features, scale_read_out
from ros2_multihmr.model.multihmr import MultiHMR

STAND_IN = "untrained"  # in place of a weights file
BODY = "anny"
SIZES: dict[str, Any] = {
    **{"image_size": 224, "width": 192, "depth": 6, "heads": 3, "stem": "conv"},
    **{"hph_depth": 2, "hph_heads": 4, "hph_width": 256},
}

# A relaxed stance: arms lowered and elbows straightened from the rest pose. Axis-angle [rad] in the model's axes.
STANCE = {
    "upperarm01.L": (0.0, 0.4, 0.0),
    "upperarm01.R": (0.0, -0.4, 0.0),
    "lowerarm01.L": (0.5, 0.0, 0.0),
    "lowerarm01.R": (0.5, 0.0, 0.0),
}
NEUTRAL = (0.0, 0.0, 0.0)
# Camera axes of a person's own (chest, left, up) who stands upright and faces a level camera.
FACING_CAMERA = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, -1.0], [-1.0, 0.0, 0.0]])
# Start value and spread of phenotypes before the sigmoid; adults mostly.
SHAPE_STARTS = {"gender": (0.0, 1.5), "age": (0.7, 0.2)}
SHAPE_START = (0.0, 0.6)
EXPRESSION_START = (-4.0, 0.4)
DEPTH_START = (-math.log(3.9), 0.2)
POSE_SPREAD, HEADING_SPREAD, OFFSET_SPREAD = 0.035, 0.5, 0.2
# Scores before the sigmoid: where people may be, elsewhere, and spread. The threshold .3 is at -.85.
SCORE_INSIDE, SCORE_OUTSIDE, SCORE_SPREAD = 0.0, -8.0, 0.5
# The places, in parts of the image's side, and the channel that carries them through the backbone.
PLACES_ROW, PLACES_COLUMNS, PLACES_RADIUS = 0.35, (0.15, 0.33, 0.5, 0.67, 0.85), 0.05
PRIOR_CHANNEL, PRIOR_HEIGHT = 0, 8.0


def stand_in_model(seed: int = 0, **overrides: int) -> MultiHMR:
    """Makes the stand-in: untrained, for the Anny body, of the embedded network's size.

    Args:
        seed: What the weights are drawn from.
        **overrides: `max_humans` and `nms_kernel`.

    Raises:
        ValueError: An override that no network can have.
    """
    info = create_body(BODY).info
    return untrained_model(with_overrides(untrained_config(info, seed), overrides), info, seed)


def untrained_config(info: BodyInfo, seed: int) -> MultiHMRConfig:
    """Configuration of the untrained network for a body whose shape and expression lie in [0, 1]."""
    return MultiHMRConfig(
        kind="multihmr",
        weights=f"untrained-seed{seed}",
        body=BODY,
        untrained=True,
        num_rotations=len(info.posed_joints),
        num_shape=len(info.shape_names),
        num_expression=len(info.expression_names),
        shape_activation="sigmoid",
        expression_activation="sigmoid",
        **SIZES,
    )


@torch.no_grad()
def untrained_model(config: MultiHMRConfig, info: BodyInfo, seed: int) -> MultiHMR:
    """Draws a network and scales its read-outs, so that what it reports are people.

    Args:
        config: Its configuration.
        info: The body it reports.
        seed: What the weights are drawn from.
    """
    model = MultiHMR(config).eval().requires_grad_(False)
    draw_weights(model, seed)
    pose = standing_pose(info)
    starts = torch.tensor([SHAPE_STARTS.get(name, SHAPE_START) for name in info.shape_names])
    model.head.init_pose.copy_(pose.flatten())
    model.head.init_shape.copy_(starts[:, 0])
    model.head.init_camera.fill_(DEPTH_START[0])
    model.head.init_expression.fill_(EXPRESSION_START[0])
    likely = _likely_places(config.grid)
    _carry_prior(model, likely)
    tokens, features = practice_features(model, seed)
    _start_scores(model, tokens, likely)
    scale_read_out(model.to_offset.fc2, model.to_offset.hidden(tokens), OFFSET_SPREAD)
    people = decode_cells(model, features, [tuple(cell) for cell in likely.gt(0.5).nonzero().tolist()])
    scale_read_out(model.head.to_pose, people, POSE_SPREAD)
    scale_read_out(model.head.to_shape, people, starts[:, 1])
    scale_read_out(model.head.to_camera, people, DEPTH_START[1])
    scale_read_out(model.head.to_expression, people, EXPRESSION_START[1])
    _turn_about_the_vertical(model, pose[0])
    return model


def standing_pose(info: BodyInfo) -> Tensor:
    """Pose of a person who stands upright and faces a level camera: (R, 6), two columns of each rotation."""
    rotations = np.stack([_joint_rotation(info, joint) for joint in info.posed_joints])
    return torch.from_numpy(rotations.swapaxes(-1, -2)[:, :2].reshape(-1, 6)).float()


def _joint_rotation(info: BodyInfo, joint: int) -> NDArray[np.float64]:
    if joint == 0:
        facing: NDArray[np.float64] = FACING_CAMERA @ info.body_axes.T
        return facing
    stance: NDArray[np.float64] = Rotation.from_rotvec(STANCE.get(info.joint_names[joint], NEUTRAL)).as_matrix()
    return stance


def _likely_places(grid: int) -> Tensor:
    """Where heads may be, (g, g) from 0 to 1: five places side by side at a third of the height."""
    centres = (torch.arange(grid) + 0.5) / grid
    rows = torch.exp(-0.5 * ((centres - PLACES_ROW) / PLACES_RADIUS) ** 2)
    columns = torch.exp(-0.5 * ((centres[:, None] - torch.tensor(PLACES_COLUMNS)) / PLACES_RADIUS) ** 2).amax(1)
    return rows[:, None] * columns


def _carry_prior(model: MultiHMR, likely: Tensor) -> None:
    """Writes the places into one channel of the position table, which nothing else may write to."""
    model.backbone.pos_embed[0, 1:, PRIOR_CHANNEL] = PRIOR_HEIGHT * likely.flatten()
    for name, parameter in model.backbone.named_parameters():
        if name.endswith(("proj.weight", "fc2.weight")):
            parameter[PRIOR_CHANNEL] = 0


def _start_scores(model: MultiHMR, tokens: Tensor, likely: Tensor) -> None:
    """Lets the image decide within the likely places, and rules the others out.

    Two hidden units read the prior's channel, low < x < high, and their difference climbs from 0 to high - low.
    """
    hidden, score = model.to_score.fc1, model.to_score.fc2
    inside = tokens[:, likely.flatten() > 0.5, PRIOR_CHANNEL].mean()
    low, high = 0.2 * inside, 0.5 * inside
    hidden.weight[:2] = 0
    scale_read_out(score, model.to_score.hidden(tokens), SCORE_SPREAD)
    hidden.weight[:2, PRIOR_CHANNEL] = 1
    hidden.bias[:2] = -torch.stack([low, high])
    gain = (SCORE_INSIDE - SCORE_OUTSIDE) / (high - low)
    score.weight[0, :2] = gain * torch.tensor([1.0, -1.0])
    score.bias.add_(SCORE_OUTSIDE)


def _turn_about_the_vertical(model: MultiHMR, facing: Tensor) -> None:
    """Makes the root's spread one of heading alone: people stay upright."""
    first, second = facing.reshape(2, 3)
    down = torch.tensor([0.0, 1.0, 0.0])
    turn = torch.cat([torch.linalg.cross(down, first), torch.linalg.cross(down, second)])
    layer, scale = model.head.to_pose, HEADING_SPREAD / POSE_SPREAD
    layer.weight[:6] = turn[:, None] * layer.weight[0] * scale
    layer.bias[:6] = turn * layer.bias[0] * scale
