"""What official SMPL-X files may carry of the body module: a learned pose is honoured, buffers are recognised."""

from __future__ import annotations

import dataclasses
import functools
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from official_recipe import golden, official_state
from parity import intrinsics, places, run
from scipy.spatial.transform import Rotation
from synthetic_smplx import write_smplx
from torch import Tensor

from ros2_multihmr.body import create_body
from ros2_multihmr.model.checkpoint import assemble
from ros2_multihmr.model.network import Network
from ros2_multihmr.model.official import official_config, rename_official
from ros2_multihmr.model.raw_outputs import RawOutputs
from ros2_multihmr.model.weights_error import WeightsError

MODULE, OTHER = "smpl_layer.neutral_11.bm_x.", "smpl_layer.neutral_10.bm_x."
LEARNED = {
    "global_orient": torch.tensor([[0.2, -0.1, 0.3]]),
    "leye_pose": torch.tensor([[0.1, 0.2, 0.0]]),
    "reye_pose": torch.tensor([[-0.1, 0.1, 0.05]]),
}


@functools.cache
def case() -> dict[str, Any]:
    return golden("S224_b11")


@functools.cache
def official() -> dict[str, Tensor]:
    recipe = case()["recipe"]
    return official_state(recipe["keys"], recipe["fixed"], recipe["seed"])


def network(more: dict[str, Tensor]) -> Network:
    state = {**official(), **more}
    config = official_config(state, {}, "random")
    return assemble(config, rename_official(state, config), "recipe")


def named(module: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {module + name: tensor for name, tensor in tensors.items()}


def test_a_learned_pose_of_the_body_is_honoured(tmp_path: Path) -> None:
    smplx = pytest.importorskip("smplx", reason="the smplx package is an optional extra")
    plain, learned = run(network({}), case()), network(named(MODULE, LEARNED))
    outputs, mask = run(learned, case()), plain.mask
    assert (learned.config.body, learned.config.num_rotations) == ("smplx_11_eyes", 55)
    center = places(outputs, intrinsics(case()))
    write_smplx(tmp_path)
    body = create_body(learned.config.body, tmp_path)
    ours = body(outputs.rotmats[mask], outputs.shape[mask], outputs.expression[mask], center, vertices=True)
    model = smplx.SMPLX(tmp_path / "smplx", num_betas=11, use_pca=False, flat_hand_mean=True)
    vertices, head = official_forward(model, plain)
    torch.testing.assert_close(ours.vertices, vertices - head + center[:, None], atol=3e-5, rtol=0)
    without = create_body("smplx_11", tmp_path)
    still = without(plain.rotmats[mask], plain.shape[mask], plain.expression[mask], center, vertices=True)
    assert (ours.vertices - still.vertices).abs().max() > 0.05


@torch.no_grad()
def official_forward(model: Any, outputs: RawOutputs) -> tuple[Tensor, Tensor]:
    """The official order: the module's own pose inside the body, everyone's root rotation outside, about the pelvis."""
    mask = outputs.mask
    rotmats, people = outputs.rotmats[mask], int(mask.sum())
    turns = Rotation.from_matrix(rotmats.flatten(0, 1).numpy()).as_rotvec().reshape(people, -1)
    pose = torch.tensor(turns, dtype=torch.float32)
    posed = model(
        betas=outputs.shape[mask],
        expression=outputs.expression[mask],
        body_pose=pose[:, 3:66],
        left_hand_pose=pose[:, 66:111],
        right_hand_pose=pose[:, 111:156],
        jaw_pose=pose[:, 156:159],
        **{name: vector.expand(people, 3) for name, vector in LEARNED.items()},
    )
    about_pelvis = (posed.vertices - posed.joints[:, :1]) @ rotmats[:, 0].transpose(1, 2)
    head = (posed.joints[:, 15:16] - posed.joints[:, :1]) @ rotmats[:, 0].transpose(1, 2)
    return about_pelvis, head


@pytest.mark.parametrize("name", sorted(LEARNED))
def test_each_part_alone(name: str) -> None:
    learned = network(named(MODULE, {name: LEARNED[name]}))
    plain, outputs = run(network({}), case()), run(learned, case())
    turn = torch.tensor(Rotation.from_rotvec(LEARNED[name][0].numpy()).as_matrix(), dtype=torch.float32)
    mask = plain.mask
    torch.testing.assert_close(outputs.rotmats[mask][:, 1:53], plain.rotmats[mask][:, 1:], atol=1e-5, rtol=0)
    if name == "global_orient":
        expected = plain.rotmats[mask][:, 0] @ turn
        torch.testing.assert_close(outputs.rotmats[mask][:, 0], expected, atol=1e-5, rtol=0)
        assert learned.config.body == "smplx_11"
        return
    eyes = torch.stack([turn, torch.eye(3)] if name == "leye_pose" else [torch.eye(3), turn])
    torch.testing.assert_close(outputs.rotmats[mask][:, 53:], eyes.expand(int(mask.sum()), 2, 3, 3))


def test_poses_at_rest_and_of_modules_not_used_change_nothing() -> None:
    rest = {name: torch.zeros(1, 3) for name in LEARNED}
    network_with = network(named(MODULE, rest) | named(OTHER, LEARNED))
    assert dataclasses.asdict(network_with.config) == dataclasses.asdict(network({}).config)
    for ours, theirs in zip(run(network_with, case()), run(network({}), case()), strict=True):
        assert torch.equal(ours, theirs)


def test_stored_buffers_are_recognised_and_said_not_to_be_used(caplog: pytest.LogCaptureFixture) -> None:
    buffers = {"v_template": torch.zeros(10475, 3), "parents": torch.zeros(55, dtype=torch.int64)}
    with caplog.at_level(logging.WARNING, "ros2_multihmr"):
        network(named(MODULE, buffers | {"betas": torch.zeros(1, 11)}))
    assert "It is not used: your own model file is" in caplog.text


def test_wrong_buffers_are_named() -> None:
    with pytest.raises(ValueError, match=r"neutral_11.bm_x.betas: expected shape \(1, 11\), got \(1, 10\)"):
        network(named(MODULE, {"betas": torch.zeros(1, 10)}))
    with pytest.raises(WeightsError, match=r"unknown smpl_layer.neutral_11.bm_x.hat"):
        network(named(MODULE, {"hat": torch.zeros(1)}))
