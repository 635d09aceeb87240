"""Other skeletons: the matrices' own sums, sides that are right whatever the order, and errors that help."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import torch
from synthetic_regressors import STYLES, mapping, regressor, write_matrix
from synthetic_smplx import no_reduced_mesh, smplx_arrays, write_smplx, write_smplx_pickle

from ros2_multihmr.body import create_body
from ros2_multihmr.body.regressors import SOURCES, load_regressor
from ros2_multihmr.body.skeletons import BODY_25, COCO_17, H36M_14, H36M_17, SMPL_22, SMPL_24, named_keypoints

JOINTS = {"smpl": SMPL_24, "h36m": H36M_17, "j14": H36M_14, "coco": COCO_17, "body25": BODY_25}
ARRAYS = smplx_arrays(components=20)
TEMPLATE, FACES = ARRAYS["v_template"], ARRAYS["f"]
MAPPING = mapping(TEMPLATE, FACES)


@pytest.fixture(scope="module")
def body_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_smplx(tmp_path_factory.mktemp("bodies"), components=20)


@pytest.fixture
def folder(body_file: Path, tmp_path: Path) -> Iterator[Path]:
    """The user's body models: SMPL-X and the vertex mapping."""
    (tmp_path / "smplx").mkdir()
    (tmp_path / "smplx" / body_file.name).symlink_to(body_file)
    write_matrix(tmp_path, "smplx2smpl", MAPPING, "python2", "matrix")
    yield tmp_path


def random_vertices(people: int) -> torch.Tensor:
    return torch.randn(people, 10475, 3, generator=torch.Generator().manual_seed(people))


def matrix_for(skeleton: str) -> tuple[np.ndarray, np.ndarray]:
    """A matrix as its file has it, and for SMPL-X's vertices."""
    if skeleton == "j14":
        matrix = regressor(JOINTS[skeleton], TEMPLATE)
        return matrix, matrix
    matrix = regressor(JOINTS[skeleton], MAPPING @ TEMPLATE)
    return matrix, matrix @ MAPPING


@pytest.mark.parametrize("skeleton", JOINTS)
def test_joints_are_the_matrix_times_the_vertices(folder: Path, skeleton: str) -> None:
    stored, whole = matrix_for(skeleton)
    write_matrix(folder, SOURCES[skeleton].names[0], stored)
    found = load_regressor(skeleton, folder)
    assert found.names == JOINTS[skeleton] and found.num_vertices == 10475
    vertices = random_vertices(3)
    joints = found(vertices)
    np.testing.assert_allclose(joints, whole @ vertices.double().numpy(), atol=1e-5)
    assert found(vertices[:0]).shape == (0, len(found.names), 3)
    for person in range(3):
        torch.testing.assert_close(found(vertices[person : person + 1])[0], joints[person])
    moved = found(vertices + torch.tensor([1.0, 2, 3]))
    torch.testing.assert_close(moved, joints + torch.tensor([1.0, 2, 3]), atol=1e-4, rtol=0)


def test_it_is_differentiable(folder: Path) -> None:
    stored, whole = matrix_for("coco")
    write_matrix(folder, "J_regressor_coco", stored)
    vertices = random_vertices(1).requires_grad_()
    load_regressor("coco", folder)(vertices)[0, 3, 1].backward()
    np.testing.assert_allclose(vertices.grad[0, :, 1], whole[3], atol=1e-6)


@pytest.mark.parametrize("style", STYLES)
def test_files_of_every_kind(folder: Path, style: str) -> None:
    stored, whole = matrix_for("h36m")
    write_matrix(folder / "smplx", "J_regressor_h36m", stored, style)
    vertices = random_vertices(2)
    np.testing.assert_allclose(load_regressor("h36m", folder)(vertices), whole @ vertices.numpy(), atol=1e-5)


@pytest.mark.parametrize(
    ("name", "key", "normals"), [("smplx_to_smpl", "mtx", True), ("smplx_to_smpl", "matrix", False)]
)
def test_mappings_of_every_kind(folder: Path, name: str, key: str, normals: bool) -> None:
    stored, whole = matrix_for("body25")
    write_matrix(folder, "J_regressor_body25", stored)
    (folder / "smplx2smpl.pkl").unlink()
    wide = scipy.sparse.hstack([MAPPING, 7 * MAPPING]) if normals else MAPPING
    write_matrix(folder, name, wide, "python2", key)
    vertices = random_vertices(1)
    np.testing.assert_allclose(load_regressor("body25", folder)(vertices), whole @ vertices.numpy(), atol=1e-5)


def test_smpls_own_joints_come_from_its_model_file(folder: Path) -> None:
    stored, whole = matrix_for("smpl")
    write_matrix(folder / "smpl", "SMPL_NEUTRAL", stored, "python2")
    vertices = random_vertices(1)
    np.testing.assert_allclose(load_regressor("smpl", folder)(vertices), whole @ vertices.numpy(), atol=1e-5)


def test_smplx_may_be_a_pickle(folder: Path) -> None:
    (folder / "smplx" / "SMPLX_NEUTRAL.npz").unlink()
    write_smplx_pickle(folder, components=20)
    write_matrix(folder, "SMPLX_to_J14", matrix_for("j14")[0], "bare")
    assert load_regressor("j14", folder).names == H36M_14


def test_either_order_of_the_legs_of_h36m(folder: Path) -> None:
    stored, _ = matrix_for("h36m")
    write_matrix(folder, "J_regressor_h36m", stored)
    right_first = load_regressor("h36m", folder)
    write_matrix(folder, "J_regressor_h36m", stored[[0, 4, 5, 6, 1, 2, 3, *range(7, 17)]])
    left_first = load_regressor("h36m", folder)
    assert (right_first.names[1], left_first.names[1]) == ("right_hip", "left_hip")
    vertices = random_vertices(2)
    for names in (H36M_14, H36M_17):
        torch.testing.assert_close(left_first.select(names)(vertices), right_first.select(names)(vertices))
    assert left_first.select(H36M_14).names == H36M_14
    with pytest.raises(ValueError, match="no joint is called tail; there are pelvis"):
        left_first.select(["pelvis", "tail"])


@pytest.mark.parametrize("skeleton", ["coco", "h36m", "j14"])
def test_a_mirrored_matrix_is_refused(folder: Path, skeleton: str) -> None:
    stored, _ = matrix_for(skeleton)
    names = JOINTS[skeleton]
    wrist = [names.index(name) for name in ("left_wrist", "right_wrist")]
    stored[wrist] = stored[wrist[::-1]]
    write_matrix(folder, SOURCES[skeleton].names[0], stored)
    with pytest.raises(ValueError, match="left ones are not on the left"):
        load_regressor(skeleton, folder)


@pytest.mark.parametrize("skeleton", JOINTS)
def test_a_missing_file_says_where_to_get_it(folder: Path, skeleton: str) -> None:
    with pytest.raises(FileNotFoundError, match=rf"No .*{SOURCES[skeleton].names[0]}.*https://\S+.*put it there"):
        load_regressor(skeleton, folder)


def test_a_missing_mapping_or_body_says_where_to_get_it(folder: Path) -> None:
    write_matrix(folder, "J_regressor_coco", matrix_for("coco")[0])
    (folder / "smplx" / "SMPLX_NEUTRAL.npz").unlink()
    with pytest.raises(FileNotFoundError, match="https://smpl-x.is.tue.mpg.de"):
        load_regressor("coco", folder)
    (folder / "smplx2smpl.pkl").unlink()
    with pytest.raises(FileNotFoundError, match="smplx2smpl or smplx_to_smpl.*https://bedlam"):
        load_regressor("coco", folder)


def test_an_unknown_skeleton_names_the_known(folder: Path) -> None:
    with pytest.raises(ValueError, match="expected smpl, h36m, j14, coco, body25; got 'halpe'"):
        load_regressor("halpe", folder)


BROKEN: dict[str, tuple[Any, str]] = {
    "rows": (np.zeros((18, 6890)), r"expected a matrix of shape \(17, 10475 or 6890\), got \(18, 6890\)"),
    "columns": (np.zeros((17, 6891)), r"got \(17, 6891\)"),
    "nan": (np.full((17, 6890), np.nan), "finite numbers"),
    "sums": (np.ones((17, 6890)), "sum to 1"),
    "dimensions": (np.zeros((17, 6890, 2)), "not a joint regressor"),
    "text": (np.array(["a", "b"]), "not a joint regressor"),
    "objects": (np.array([{}], dtype=object), "not a joint regressor"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_other_matrices_are_refused(folder: Path, how: str) -> None:
    matrix, says = BROKEN[how]
    np.save(folder / "J_regressor_coco.npy", matrix)
    with pytest.raises(ValueError, match=says):
        load_regressor("coco", folder)


@pytest.mark.parametrize("suffix", ["npy", "npz", "pkl"])
def test_damaged_files_are_refused(folder: Path, suffix: str) -> None:
    (folder / f"J_regressor_coco.{suffix}").write_bytes(b"\x80\x04nothing of the kind")
    with pytest.raises(ValueError, match=rf"J_regressor_coco.{suffix} is not a joint regressor .*get the file again"):
        load_regressor("coco", folder)


def test_a_file_without_the_key_says_what_it_has(folder: Path) -> None:
    np.savez(folder / "J_regressor_coco.npz", other=np.zeros(3))
    with pytest.raises(ValueError, match="should hold J_regressor or matrix or arr_0, it has other"):
        load_regressor("coco", folder)


class Trap:
    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> Any:
        return os.system, (self.command,)


@pytest.mark.parametrize("name", ["SMPLX_to_J14.pkl", "SMPLX_to_J14.npy", "SMPLX_to_J14.npz"])
def test_nothing_in_a_file_is_run(folder: Path, name: str) -> None:
    trace = folder / "trace"
    evil = np.array([Trap(f"touch {trace}")], dtype=object)
    if name.endswith("pkl"):
        (folder / name).write_bytes(pickle.dumps({"J_regressor": evil}))
    elif name.endswith("npy"):
        np.save(folder / name, evil, allow_pickle=True)
    else:
        np.savez(folder / name, J_regressor=evil)
    with pytest.raises(ValueError, match="system|[Oo]bject arrays"):
        load_regressor("j14", folder)
    assert not trace.exists()


def test_other_meshes_are_refused(folder: Path) -> None:
    write_matrix(folder, "SMPLX_to_J14", matrix_for("j14")[0])
    with pytest.raises(ValueError, match=r"expected \(10475, 3\) vertices a person, got \(2, 6890, 3\)"):
        load_regressor("j14", folder)(torch.zeros(2, 6890, 3))


@pytest.mark.parametrize("skeleton", [COCO_17, BODY_25, SMPL_22], ids=["coco", "body25", "smpl"])
def test_what_smplx_gives_without_files(body_file: Path, skeleton: tuple[str, ...]) -> None:
    """By the smplx package's list of names, which is in the order of its joints."""
    names = pytest.importorskip("smplx.joint_names", reason="the smplx package is an optional extra").JOINT_NAMES
    with no_reduced_mesh():
        body = create_body("smplx", body_file.parent.parent)
    places = named_keypoints(skeleton, body.info.keypoint_names)
    assert [names[place] for place in places] == [{"mid_hip": "pelvis"}.get(name, name) for name in skeleton]


def test_a_body_without_a_joint_says_which() -> None:
    info = create_body("anny").info
    assert len(named_keypoints(COCO_17, info.keypoint_names)) == 17
    with pytest.raises(ValueError, match="no keypoint head_top"):
        named_keypoints(H36M_14, info.keypoint_names)
