"""Random checkpoints in the released structures, from the file through the node: images in, messages out over DDS.

Names, shapes and types are those of the released files; only the image is small, and all blocks of a transformer share
the numbers of its first, which makes a ViT-L a matter of seconds.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from multihmr.msg import BodyModelInfo, Human
from official_recipe import GOLDEN, draw, layout, sine_table
from ros_graph import HEIGHT, WIDTH
from synthetic_smplx import write_smplx
from torch import Tensor

from ros2_multihmr.estimator import create_estimator

GRID, PATCH, PEOPLE = 10, 14, 4
BY_GRID = re.compile(r"x_attention_head\.cross_(queries|values)_[xy]")
BLOCK = re.compile(r"(blocks|layers)\.\d+\.")
SMPLX = ("fixed_S_448.npz", "smplx/1.1/full", (10, 10, 21, 15))
ANNY = ("fixed_anny.npz", "anny/0.3/makehuman", (6, 0, None, None))
# Layout, and its family's constants, body, and numbers of shapes, expressions, and joints of the body and of a hand.
RELEASED = {
    "S": ("keys_S_672.txt", *SMPLX),
    "B": ("keys_B_672.txt", *SMPLX),
    "L": ("keys_L_896.txt", *SMPLX),
    "S_anny": ("keys_anny_S_672.txt", *ANNY),
    "L_anny": ("keys_anny_L_672.txt", *ANNY),
}


def small_state(keys: str, fixed: str) -> dict[str, Tensor]:
    """State dict of a released layout for images of GRID x GRID tokens; equal blocks are stored once in the file."""
    constants, drawn = dict(np.load(GOLDEN / fixed)), {}
    state = {}
    for name, shape in layout(keys).items():
        if name == "dec_pos_emb":
            constants[name] = sine_table(GRID**2, shape[1])
        shape = (GRID, *shape[1:]) if BY_GRID.fullmatch(name) else shape
        first = BLOCK.sub(r"\1.0.", name)
        if name not in constants and first not in drawn:
            drawn[first] = torch.from_numpy(draw(first, shape, 3))
        state[name] = torch.from_numpy(constants[name]) if name in constants else drawn[first]
    return state


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a made-up SMPL-X body, for weights as well."""
    folder = tmp_path_factory.mktemp("official")
    write_smplx(folder)
    return folder


def write_weights(variant: str, folder: Path) -> Path:
    """Writes a file in the official structure."""
    path, size = folder / f"multiHMR_{variant}.pt", GRID * PATCH
    args = argparse.Namespace(img_size=size if "anny" in variant else [size, size], person_center="head")
    state = small_state(*RELEASED[variant][:2])
    torch.save({"epoch": 1, "iter": 2, "model_state_dict": state, "args": args, "best_val": np.float64(3)}, path)
    return path


@pytest.mark.parametrize("variant", RELEASED)
def test_released_structures_go_through_the_node(variant: str, folder: Path, graph: Callable[..., Any]) -> None:
    weights, (*_, body, numbers) = write_weights(variant, folder), RELEASED[variant]
    # More people than fit are over this threshold: the best stay, whatever the random scores are.
    parameters = {"device": "cpu", "max_humans": PEOPLE, "detection_threshold": 1e-6}
    parameters |= {"track_begin_score": 0.0, "track_show_score": 0.0}
    parameters |= {"weights": weights, "body_models": folder}
    arguments = [part for name, value in parameters.items() for part in ("-p", f"{name}:={value}")]
    g = graph(create=create_estimator, args=tuple(arguments)).start("humans", "body_model")
    weights.unlink()  # it is large
    image = g.send(data=np.random.default_rng(0).integers(0, 256, WIDTH * HEIGHT * 3, np.uint8).tobytes())
    message, info = g.last("humans"), g.last("body_model")
    assert message.header == image.header and message.weights == weights.name and not message.untrained
    assert message.body_model == info.name == body and len(message.humans) == PEOPLE
    shapes, expressions, joints, hand = numbers
    assert (len(info.shape_names), len(info.expression_names)) == (shapes, expressions)
    assert hand is None or (len(info.body_joints), len(info.left_hand_joints)) == (joints, hand)
    for human in message.humans:
        assert_fits(human, info)


def assert_fits(human: Human, info: BodyModelInfo) -> None:
    """Every parameter is there, is a number, and the person is in front of the camera."""
    parts = ("body", "left_hand", "right_hand", "jaw", "eye")
    wanted = {f"{part}_pose": 3 * len(getattr(info, f"{part}_joints")) for part in parts}
    wanted |= {"betas": len(info.shape_names), "expression": len(info.expression_names), "global_orient": 3}
    wanted |= {"keypoints_3d": 3 * len(info.keypoint_names), "translation": 3}
    assert {name: len(getattr(human, name)) for name in wanted} == wanted
    assert all(np.isfinite(getattr(human, name)).all() for name in wanted)
    assert np.any(human.body_pose) and np.any(human.betas) and human.pose.pose.position.z > 0
