"""What every body promises, for Anny and for SMPL-X."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from synthetic_smplx import write_smplx

from ros2_multihmr.body import create_body
from ros2_multihmr.body.skeleton import side_of, skeleton_edges
from ros2_multihmr.body.skinned_body import SkinnedBody


@pytest.fixture(scope="module", params=["anny", "smplx"])
def body(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> SkinnedBody:
    folder = tmp_path_factory.mktemp("body_models")
    if request.param == "smplx":
        write_smplx(folder)
    return create_body(request.param, folder)


def people(body: SkinnedBody, count: int, seed: int = 0) -> tuple[torch.Tensor, ...]:
    rng = np.random.default_rng(seed)
    info = body.info
    vectors = rng.normal(0, 0.4, (count * len(info.posed_joints), 3))
    matrices = Rotation.from_rotvec(vectors).as_matrix() if count else np.zeros((0, 3, 3))
    shape, expression = rng.uniform(0, 1, (count, len(info.shape_names))), rng.uniform(0, 0.5, (count, 60))
    arrays = (
        matrices.reshape(count, len(info.posed_joints), 3, 3),
        shape,
        expression[:, : len(info.expression_names)],
        rng.normal(0, 1, (count, 3)) + (0, 0, 4),
    )
    return tuple(torch.tensor(array, dtype=torch.float32) for array in arrays)


@pytest.mark.parametrize("vertices", [False, True])
@pytest.mark.parametrize("count", [0, 1, 3])
def test_shapes_and_types(body: SkinnedBody, count: int, vertices: bool) -> None:
    info, posed = body.info, body(*people(body, count), vertices=vertices)
    assert posed.vertices_lod.shape == (count, len(info.vertices_lod), 3)
    assert posed.joints.shape == (count, len(info.joint_names), 3)
    assert posed.keypoints.shape == (count, len(info.keypoint_names), 3)
    assert posed.translation.shape == (count, 3)
    assert posed.vertices.shape == (count, info.num_vertices if vertices else 0, 3)
    assert all(tensor.dtype == torch.float32 for tensor in posed)


def test_head_goes_where_it_is_put(body: SkinnedBody) -> None:
    inputs = people(body, 3)
    torch.testing.assert_close(body(*inputs).joints[:, body.info.center_joint], inputs[3], atol=1e-6, rtol=0)


def test_reduced_mesh_is_part_of_the_full_one(body: SkinnedBody) -> None:
    inputs = people(body, 3)
    alone, both = body(*inputs), body(*inputs, vertices=True)
    torch.testing.assert_close(both.vertices_lod, both.vertices[:, body.info.vertices_lod.astype(int)], atol=0, rtol=0)
    for name in ("vertices_lod", "joints", "keypoints", "translation"):
        torch.testing.assert_close(getattr(alone, name), getattr(both, name), atol=2e-6, rtol=0)


def test_batch_equals_singles(body: SkinnedBody) -> None:
    inputs = people(body, 4)
    batch = body(*inputs, vertices=True)
    for i in range(4):
        single = body(*(tensor[i : i + 1] for tensor in inputs), vertices=True)
        for ours, theirs in zip(batch, single):
            torch.testing.assert_close(ours[i : i + 1], theirs, atol=3e-6, rtol=0)


def test_turning_the_root_turns_the_person_about_the_head(body: SkinnedBody) -> None:
    matrices, shape, expression, center = people(body, 1)
    turn = torch.tensor(Rotation.from_rotvec([0.3, -1.0, 0.5]).as_matrix(), dtype=torch.float32)
    turned = matrices.clone()
    turned[:, 0] = turn @ matrices[:, 0]
    before, after = (body(m, shape, expression, center, vertices=True).vertices - center for m in (matrices, turned))
    torch.testing.assert_close(after, before @ turn.T, atol=3e-6, rtol=0)


def test_gradients_are_right_and_finite(body: SkinnedBody) -> None:
    """Against differences, in double precision."""
    double = body.to(torch.float64)
    inputs = [tensor.double().requires_grad_() for tensor in people(body, 2)]
    rng = torch.Generator().manual_seed(0)

    def loss(*values: torch.Tensor) -> torch.Tensor:
        posed = double(*values)
        return (posed.keypoints * weight).sum() + posed.vertices_lod.square().mean() + posed.translation.sum()

    weight = torch.randn(2, len(body.info.keypoint_names), 3, generator=rng, dtype=torch.float64)
    gradients = torch.autograd.grad(loss(*inputs), inputs)
    for i, gradient in enumerate(gradients):
        assert gradient.isfinite().all()
        assert gradient.abs().amax(0).gt(0).float().mean() > 0.5
        direction = torch.randn(inputs[i].shape, generator=rng, dtype=torch.float64)
        plus, minus = ([v + s * direction if j == i else v for j, v in enumerate(inputs)] for s in (1e-6, -1e-6))
        numeric = (loss(*plus) - loss(*minus)) / 2e-6
        torch.testing.assert_close((gradient * direction).sum(), numeric, rtol=1e-5, atol=1e-6)
    body.to(torch.float32)


def test_names_and_indices_agree(body: SkinnedBody) -> None:
    info = body.info
    joints, posed = len(info.joint_names), info.posed_joints
    for names in (info.joint_names, info.keypoint_names, info.shape_names, info.expression_names):
        assert len(set(names)) == len(names)
    assert info.parents[0] == -1
    assert all(0 <= parent < joint for joint, parent in enumerate(info.parents[1:], start=1))
    assert posed[0] == 0 and len(set(posed)) == len(posed) and max(posed) < joints
    assert len(info.left_hand_joints) == len(info.right_hand_joints) == 15
    assert info.faces.max() < info.num_vertices
    assert info.faces_lod.max() == len(info.vertices_lod) - 1
    assert info.vertices_lod.max() < info.num_vertices
    assert info.keypoint_names[info.center_joint] == "head"
    assert [info.keypoint_names[j] for j in info.hip_joints] == ["left_hip", "right_hip"]
    assert np.allclose(info.body_axes @ info.body_axes.T, np.eye(3)) and np.isclose(np.linalg.det(info.body_axes), 1)


def test_skeleton_joins_what_belongs_together(body: SkinnedBody) -> None:
    names = body.info.keypoint_names
    edges = {(names[a], names[b]) for a, b in skeleton_edges(names)}
    assert {("left_elbow", "left_wrist"), ("right_index3", "right_index_tip"), ("pelvis", "right_hip")} <= edges
    assert all(side_of(a) == side_of(b) or "" in (side_of(a), side_of(b)) for a, b in edges)
    assert skeleton_edges(("left_elbow", "nose", "left_wrist")) == ((0, 2),)


@pytest.mark.parametrize("name", ["", "Anny", "smplx_child", "smplx_neutral_", "smpl", "smplx_male_x"])
def test_unknown_bodies_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"known are anny, smplx"):
        create_body(name)
