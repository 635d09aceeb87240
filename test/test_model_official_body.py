"""What official SMPL-X files may carry of the body module: a learned pose and buffers are honoured."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from official_recipe import golden, official_state
from parity import intrinsics, places, run
from scipy.spatial.transform import Rotation
from synthetic_smplx import PARENTS, no_reduced_mesh, smplx_arrays, write_smplx
from torch import Tensor

from ros2_multihmr.backends.export import export_onnx
from ros2_multihmr.body import create_body
from ros2_multihmr.estimator import create_estimator
from ros2_multihmr.estimator_config import EstimatorConfig
from ros2_multihmr.model.checkpoint import assemble, load_weights
from ros2_multihmr.model.convert import convert_weights
from ros2_multihmr.model.network import Network
from ros2_multihmr.model.official import official_config, rename_official
from ros2_multihmr.model.official_body import STORED, stored_body
from ros2_multihmr.model.raw_outputs import RawOutputs
from ros2_multihmr.model.weights_error import WeightsError

MODULE, OTHER = "smpl_layer.neutral_11.bm_x.", "smpl_layer.neutral_10.bm_x."
LEARNED = {
    "global_orient": torch.tensor([[0.2, -0.1, 0.3]]),
    "leye_pose": torch.tensor([[0.1, 0.2, 0.0]]),
    "reye_pose": torch.tensor([[-0.1, 0.1, 0.05]]),
}


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    with no_reduced_mesh():
        yield


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


@functools.cache
def buffers() -> dict[str, Tensor]:
    """Those of a body that is not the user's, whole, by the module's names."""
    arrays = smplx_arrays(seed=7)
    faces = np.concatenate([arrays["f"], arrays["f"][:8]])[:, [1, 2, 0]]
    made = {
        "v_template": arrays["v_template"] * 1.1,
        "shapedirs": arrays["shapedirs"][..., :11],
        "expr_dirs": arrays["shapedirs"][..., 300:310],
        "posedirs": arrays["posedirs"].reshape(-1, 486).T,
        "J_regressor": arrays["J_regressor"],
        "lbs_weights": arrays["weights"],
        "lmk_bary_coords": arrays["lmk_bary_coords"],
        "pose_mean": np.zeros(165),
        "left_hand_mean": arrays["hands_meanl"],
        "right_hand_mean": arrays["hands_meanr"],
    }
    whole = {
        "faces_tensor": faces,
        "parents": np.array(PARENTS),
        "lmk_faces_idx": arrays["lmk_faces_idx"],
        "vertex_joint_selector.extra_joints_idxs": np.arange(21) * 400,
    }
    floats = {name: torch.tensor(array, dtype=torch.float32) for name, array in made.items()}
    return floats | {name: torch.tensor(array.astype(np.int64)) for name, array in whole.items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_smplx(tmp_path_factory.mktemp("bodies"), seed=1).parent.parent


WHAT = [None, *STORED]


@pytest.mark.parametrize("name", WHAT)
def test_stored_buffers_take_the_place_of_the_files(folder: Path, name: str | None) -> None:
    """All of them, and each alone: as if the smplx package's module had loaded them."""
    smplx = pytest.importorskip("smplx", reason="the smplx package is an optional extra")
    given = buffers() if name is None else {name: buffers()[name]}
    stored = stored_body(named(MODULE, given) | named(OTHER, {"v_template": torch.zeros(10475, 3)}), 11)
    assert set(stored) == (set(STORED) if name is None else {name})
    body = create_body("smplx_11", folder, stored=stored)
    module = smplx.SMPLX(folder / "smplx", num_betas=11, use_pca=False, flat_hand_mean=True, batch_size=2)
    for key, tensor in given.items():
        part, _, last = key.rpartition(".")
        module.get_submodule(part)._buffers[last] = tensor
    rng = np.random.default_rng(0)
    turns = rng.normal(0, 0.3, (2, 53, 3))
    shape, expression = (torch.tensor(rng.normal(0, 1, (2, n)), dtype=torch.float32) for n in (11, 10))
    rotmats = torch.tensor(Rotation.from_rotvec(turns.reshape(-1, 3)).as_matrix(), dtype=torch.float32)
    ours = body(rotmats.reshape(2, 53, 3, 3), shape, expression, torch.zeros(2, 3), vertices=True)
    pose = torch.tensor(turns, dtype=torch.float32).flatten(1)
    with torch.no_grad():
        theirs = module(
            betas=shape,
            expression=expression,
            global_orient=pose[:, :3],
            body_pose=pose[:, 3:66],
            left_hand_pose=pose[:, 66:111],
            right_hand_pose=pose[:, 111:156],
            jaw_pose=pose[:, 156:159],
            transl=ours.translation,
        )
    torch.testing.assert_close(ours.vertices, theirs.vertices, atol=1e-5, rtol=0)
    torch.testing.assert_close(ours.keypoints, theirs.joints, atol=1e-5, rtol=0)


def test_stored_buffers_from_the_file_to_the_person(folder: Path, tmp_path: Path) -> None:
    path, converted = tmp_path / "own_body.pt", tmp_path / "own_body.safetensors"
    torch.save({"model_state_dict": {**official(), **named(MODULE, buffers())}}, path)
    convert_weights(path, converted, half=True)
    for weights in (path, converted):
        estimator = create_estimator(EstimatorConfig(weights=str(weights), body_models=str(folder), device="cpu"))
        assert set(estimator.backend.stored_body) == set(STORED)
        for name in STORED:
            assert torch.equal(estimator.backend.stored_body[name], buffers()[name])
        rest = torch.eye(3).expand(1, 53, 3, 3), torch.zeros(1, 11), torch.zeros(1, 10), torch.zeros(1, 3)
        vertices = estimator.body(*rest, vertices=True).vertices[0]
        expected = buffers()["v_template"]
        torch.testing.assert_close(vertices - vertices[0], expected - expected[0], atol=1e-5, rtol=0)
    with pytest.raises(ValueError, match="a SMPL-X body of its own"):
        export_onnx(path, tmp_path / "own_body.onnx")


def test_files_without_buffers_bring_none(tmp_path: Path) -> None:
    torch.save({"model_state_dict": {**official(), **named(MODULE, {"betas": torch.zeros(1, 11)})}}, tmp_path / "a.pt")
    assert load_weights(tmp_path / "a.pt").stored_body == {}


def test_stored_buffers_that_are_no_body_are_refused(folder: Path) -> None:
    for name, tensor, says in (
        ("v_template", torch.full((10475, 3), torch.nan), "v_template: expected finite numbers"),
        ("pose_mean", torch.ones(165), "pose_mean: expected zeros"),
        ("posedirs", torch.zeros(486, 3), r"posedirs: expected shape \(486, 31425\), got \(486, 3\)"),
    ):
        with pytest.raises(ValueError, match=says):
            stored_body(named(MODULE, {name: tensor}), 11)
    for name, tensor, says in (
        ("lmk_faces_idx", torch.full((51,), 30000), "lmk_faces_idx should hold indices below"),
        ("vertex_joint_selector.extra_joints_idxs", torch.full((21,), 10475), "21 indices below 10475"),
        ("shapedirs", torch.zeros(10475, 3, 1), "shapedirs should have the shape"),
        ("parents", torch.full((55,), 60), "not SMPL-X's tree"),
    ):
        with pytest.raises(ValueError, match=says):
            create_body("smplx_11", folder, stored={name: tensor})
    with pytest.raises(ValueError, match="carries a SMPL-X body, but its network wants 'anny'"):
        create_body("anny", stored={"v_template": torch.zeros(10475, 3)})


def test_wrong_buffers_are_named() -> None:
    with pytest.raises(ValueError, match=r"neutral_11.bm_x.betas: expected shape \(1, 11\), got \(1, 10\)"):
        network(named(MODULE, {"betas": torch.zeros(1, 10)}))
    with pytest.raises(WeightsError, match=r"unknown smpl_layer.neutral_11.bm_x.hat"):
        network(named(MODULE, {"hat": torch.zeros(1)}))
