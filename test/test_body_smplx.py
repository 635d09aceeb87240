"""SMPL-X: equal to a plain forward and to the `smplx` package; files that are missing or not what they should be."""

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from synthetic_smplx import no_reduced_mesh, smplx_arrays, write_smplx, write_smplx_pickle

from ros2_multihmr.body import BodyOutput, create_body
from ros2_multihmr.body.skinned_body import SkinnedBody
from ros2_multihmr.body.smplx import JOINT_NAMES
from ros2_multihmr.body.smplx_file import read_smplx, read_template

CASES = {  # name: gender, components in the file, how many of the shape and of the expression, how it is written
    "smplx": ("neutral", 400, 10, 10, "npz"),
    "smplx_11": ("neutral", 400, 11, 10, "npz"),
    "smplx_16": ("neutral", 400, 16, 10, "python2"),
    "smplx_300_expression100": ("neutral", 400, 300, 100, "npz"),
    "smplx_male": ("male", 20, 10, 10, "npz"),
    "smplx_male_3": ("male", 20, 3, 10, "python3"),
    "smplx_female_300": ("female", 400, 300, 10, "npz"),
}
Case = tuple[SkinnedBody, Path, dict[str, Any]]


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    with no_reduced_mesh():
        yield


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    """A body, an npz file with its numbers (for those who read no pickles), and what its message says of it."""
    gender, components, betas, expressions, style = CASES[request.param]
    folder, elsewhere = (tmp_path_factory.mktemp(request.param) for _ in range(2))
    path = write_smplx(folder if style == "npz" else elsewhere, gender, components=components, seed=betas)
    if style != "npz":
        write_smplx_pickle(folder, gender, style=style, components=components, seed=betas)
    body = create_body(request.param, folder)
    counts = len(body.info.shape_names), len(body.info.expression_names)
    assert (body.info.gender, *counts) == (gender, betas, expressions)
    return body, path, {"num_betas": betas, "num_expression_coeffs": expressions, "gender": gender}


def posed_people(body: SkinnedBody) -> tuple[dict[str, np.ndarray], BodyOutput]:
    """Two people: the fields of their messages, and what the body made of them."""
    rng = np.random.default_rng(3)
    rotvecs = rng.normal(0, 0.4, (2, len(body.info.posed_joints), 3))
    matrices = Rotation.from_rotvec(rotvecs.reshape(-1, 3)).as_matrix().reshape(2, -1, 3, 3)
    fields = {
        "rotvecs": rotvecs,
        "betas": rng.normal(0, 1, (2, len(body.info.shape_names))),
        "expression": rng.normal(0, 1, (2, len(body.info.expression_names))),
    }
    center = torch.tensor([[0.5, -0.2, 3.0], [-1.0, 0.3, 6.0]])
    inputs = (torch.tensor(array, dtype=torch.float32) for array in (matrices, fields["betas"], fields["expression"]))
    posed = body(*inputs, center, vertices=True)
    return fields | {"translation": posed.translation.numpy()}, posed


def test_equals_a_plain_forward(case: Case) -> None:
    body, path, sizes = case
    fields, posed = posed_people(body)
    with np.load(path, allow_pickle=True) as file:
        arrays = {name: file[name].astype(np.float64) for name in file.files if file[name].dtype != object}
    first = 300 if arrays["shapedirs"].shape[2] >= 400 else 10
    for i in range(2):
        components = np.concatenate([fields["betas"][i], fields["expression"][i]])
        chosen = np.r_[0 : sizes["num_betas"], first : first + sizes["num_expression_coeffs"]]
        rotvecs = np.zeros((55, 3))
        rotvecs[list(body.info.posed_joints)] = fields["rotvecs"][i]
        vertices, joints = plain_forward(arrays, body.info.parents, rotvecs, components, chosen)
        np.testing.assert_allclose(posed.vertices[i], vertices + fields["translation"][i], atol=1e-5)
        np.testing.assert_allclose(posed.joints[i], joints + fields["translation"][i], atol=1e-5)
        corners = arrays["f"].astype(int)[arrays["lmk_faces_idx"].astype(int)]
        landmarks = (vertices[corners] * arrays["lmk_bary_coords"][..., None]).sum(1) + fields["translation"][i]
        np.testing.assert_allclose(posed.keypoints[i, 76:], landmarks, atol=1e-5)


def plain_forward(arrays, parents, rotvecs, components, chosen):
    """The SMPL-X paper's equations, one joint after the other."""
    shaped = arrays["v_template"] + arrays["shapedirs"][..., chosen] @ components
    joints = arrays["J_regressor"] @ shaped
    matrices = Rotation.from_rotvec(rotvecs).as_matrix()
    shaped = shaped + arrays["posedirs"] @ (matrices[1:] - np.eye(3)).ravel()
    world = []
    for joint, parent in enumerate(parents):
        local = np.eye(4)
        local[:3, :3], local[:3, 3] = matrices[joint], joints[joint] - (joints[parent] if parent >= 0 else 0)
        world.append(world[parent] @ local if parent >= 0 else local)
    posed = np.stack(world)[:, :3, 3]
    for transform, joint in zip(world, joints):
        transform[:3, 3] -= transform[:3, :3] @ joint
    blend = np.einsum("vj,jab->vab", arrays["weights"], np.stack(world))
    return np.einsum("vab,vb->va", blend[:, :3, :3], shaped) + blend[:, :3, 3], posed


def test_equals_the_smplx_package_on_the_message(case: Case) -> None:
    smplx = pytest.importorskip("smplx", reason="the smplx package is an optional extra")
    body, path, sizes = case
    fields, posed = posed_people(body)
    info = body.info
    model = smplx.SMPLX(str(path), use_pca=False, flat_hand_mean=True, batch_size=2, **sizes)
    assert f"num_expression_coeffs={sizes['num_expression_coeffs']}" in info.pose_convention

    def pose(joints: tuple[int, ...]) -> torch.Tensor:
        rows = [info.posed_joints.index(joint) for joint in joints]
        return torch.tensor(fields["rotvecs"][:, rows], dtype=torch.float32).flatten(1)

    with torch.no_grad():
        theirs = model(
            global_orient=pose((0,)),
            body_pose=pose(info.body_joints),
            left_hand_pose=pose(info.left_hand_joints),
            right_hand_pose=pose(info.right_hand_joints),
            jaw_pose=pose(info.jaw_joints),
            betas=torch.tensor(fields["betas"], dtype=torch.float32),
            expression=torch.tensor(fields["expression"], dtype=torch.float32),
            transl=torch.tensor(fields["translation"]),
        )
    np.testing.assert_allclose(posed.vertices, theirs.vertices, atol=1e-5)
    np.testing.assert_allclose(posed.keypoints, theirs.joints, atol=1e-5)


def test_has_the_127_keypoints_of_the_network(tmp_path: Path) -> None:
    write_smplx(tmp_path, "female", components=20)
    info = create_body("smplx_female", tmp_path).info
    assert len(info.keypoint_names) == 127
    assert info.keypoint_names[:55] == JOINT_NAMES == info.joint_names
    assert [info.keypoint_names[i] for i in (55, 58, 62, 66, 75)] == [
        *("nose", "right_ear", "left_heel", "left_thumb_tip", "right_pinky_tip")
    ]
    assert len(info.posed_joints) == 53 and info.eye_joints == ()


def test_missing_file_says_where_to_get_it_and_where_to_put_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as error:
        create_body("smplx_female", tmp_path)
    assert "https://smpl-x.is.tue.mpg.de" in str(error.value)
    assert str(tmp_path / "smplx" / "SMPLX_FEMALE.npz") in str(error.value)


def test_file_may_lie_in_the_folder_itself(tmp_path: Path) -> None:
    write_smplx(tmp_path, components=20).rename(tmp_path / "SMPLX_NEUTRAL.npz")
    assert create_body("smplx_neutral", tmp_path).info.gender == "neutral"


def spoil(arrays: dict[str, np.ndarray], how: str) -> dict[str, np.ndarray]:
    changes = {
        "missing": {"posedirs": None},
        "vertices": {"v_template": arrays["v_template"][:6890]},
        "objects": {"weights": np.array([None, 1], dtype=object)},
        "components": {"shapedirs": arrays["shapedirs"][..., :10]},
        "tree": {"kintree_table": arrays["kintree_table"][::-1] + 7},
        "faces": {"f": arrays["f"] + 20000},
        "negative": {"f": arrays["f"].astype(int) - 1},
        "infinite": {"v_template": np.full_like(arrays["v_template"], np.inf)},
    }[how]
    return {name: changes.get(name, array) for name, array in arrays.items() if changes.get(name, array) is not None}


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("missing", "lacks posedirs"),
        ("vertices", r"v_template should have the shape \(10475, 3\), got \(6890, 3\)"),
        ("objects", "Object arrays"),
        ("components", "at least 20"),
        ("tree", "kintree_table"),
        ("faces", "indices below 10475"),
        ("negative", "indices below 10475"),
        ("infinite", "v_template should hold finite numbers"),
    ],
)
def test_malformed_files_are_refused(tmp_path: Path, how: str, says: str) -> None:
    np.savez(tmp_path / "SMPLX_NEUTRAL.npz", **spoil(smplx_arrays(components=20), how))
    with pytest.raises(ValueError, match=says) as error:
        create_body("smplx", tmp_path)
    assert "https://smpl-x.is.tue.mpg.de" in str(error.value)


def test_truncated_file_is_refused(tmp_path: Path) -> None:
    path = write_smplx(tmp_path, components=20)
    path.write_bytes(path.read_bytes()[:100_000])
    with pytest.raises(ValueError, match="not a SMPL-X model file"):
        create_body("smplx", tmp_path)


@pytest.mark.parametrize("kind", ["array", "pickle", "page", "empty"])
def test_no_archive_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "SMPLX_NEUTRAL.npz"
    with path.open("wb") as file:
        if kind == "array":
            np.save(file, np.zeros((3, 3)))
        file.write({"pickle": pickle.dumps({"f": 1}), "page": b"<html>log in</html>"}.get(kind, b""))
    for read in (read_smplx, read_template):
        with pytest.raises(ValueError, match="not a SMPL-X model file .*a whole NPZ archive"):
            read(path)


@pytest.mark.parametrize(
    ("components", "name", "says"),
    [
        (20, "smplx_11", "has 10 shape components, 11 were asked for"),
        (20, "smplx_10_expression11", "has 10 expression components, 11 were asked for"),
        (399, "smplx_11", "has 10 shape components, 11 were asked for"),
        (400, "smplx_301", "has 300 shape components, 301 were asked for"),
        (400, "smplx_300_expression101", "has 100 expression components, 101 were asked for"),
        (400, "smplx_0", "has 300 shape components, 0 were asked for"),
    ],
)
def test_more_components_than_the_file_has_are_refused(tmp_path: Path, components: int, name: str, says: str) -> None:
    write_smplx(tmp_path, components=components)
    with pytest.raises(ValueError, match=says):
        create_body(name, tmp_path)


class _Trap:
    """Calls a function when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


def test_nothing_in_the_file_is_unpickled(tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"
    arrays = smplx_arrays(components=20) | {"part2num": np.array([_Trap(sprung)], dtype=object)}
    np.savez(tmp_path / "SMPLX_NEUTRAL.npz", **arrays)
    create_body("smplx", tmp_path)
    assert not sprung.exists()
    np.load(tmp_path / "SMPLX_NEUTRAL.npz", allow_pickle=True)["part2num"]
    assert sprung.exists(), "the trap works"
