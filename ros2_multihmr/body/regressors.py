"""Joints of other skeletons, regressed from SMPL-X's vertices by matrices that the user has.

Benchmarks define their joints as weighted sums of the vertices of SMPL, or of SMPL-X. The matrices belong to others and
do not come with this package; those for SMPL's 6890 vertices want a second matrix, which makes these of SMPL-X's. What
a body gives without any file is in `skeletons.named_keypoints`.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
import torch
from numpy.typing import NDArray
from torch import Tensor

from ros2_multihmr.body.skeletons import BODY_25, COCO_17, H36M_14, H36M_17, SMPL_24
from ros2_multihmr.body.smplx_file import NUM_VERTICES, find_model, read_template
from ros2_multihmr.body.smplx_pickle import read_pickled_arrays
from ros2_multihmr.body.sparse import Matrix, sparse_matrix

SMPL_VERTICES = 6890
_SUFFIXES = (".npy", ".npz", ".pkl")
_SUM_TOLERANCE = 0.05  # of a row's weights around 1: published matrices are rounded, other files are far off


@dataclass(frozen=True)
class _Source:
    """Where a skeleton's matrix comes from: file names without endings, its rows, and who has it."""

    names: tuple[str, ...]
    joints: tuple[str, ...]
    remedy: str


_SPIN = "J_regressor_h36m.npy comes with the data of https://github.com/nkolot/SPIN"
_SMPL = "SMPL_NEUTRAL.pkl from https://smplify.is.tue.mpg.de or https://smpl.is.tue.mpg.de holds it (registration)"
SOURCES: dict[str, _Source] = {
    "smpl": _Source(("J_regressor_smpl", "smpl/SMPL_NEUTRAL", "SMPL_NEUTRAL"), SMPL_24, _SMPL),
    "h36m": _Source(("J_regressor_h36m", "J_regressor_h36m_correct"), H36M_17, _SPIN),
    "j14": _Source(
        ("SMPLX_to_J14",), H36M_14, "SMPLX_to_J14.pkl comes with the data of https://github.com/vchoutas/expose"
    ),
    "coco": _Source(
        ("J_regressor_coco",),
        COCO_17,
        "J_regressor_coco.npy comes with https://github.com/yohanshin/WHAM's body models",
    ),
    "body25": _Source(
        ("J_regressor_body25",),
        BODY_25,
        "J_regressor_body25.npy is in data/smplx of https://github.com/zju3dv/EasyMocap",
    ),
}
_MAPPING = ("smplx2smpl", "smplx_to_smpl")
_MAPPING_KEYS = ("matrix", "mtx")
_MAPPING_REMEDY = (
    "smplx2smpl.pkl comes with BEDLAM's training data (https://bedlam.is.tue.mpg.de), smplx_to_smpl.pkl with the model "
    "transfer data of https://smpl-x.is.tue.mpg.de (registration)"
)


@dataclass(frozen=True)
class JointRegressor:
    """Joints as weighted sums of a mesh's vertices.

    Attributes:
        names: The J joints.
        vertices: (S,) vertices that any joint needs.
        weights: (J, S) float32, how much of each.
        num_vertices: V of the full mesh.
    """

    names: tuple[str, ...]
    vertices: Tensor
    weights: Tensor
    num_vertices: int

    def __call__(self, vertices: Tensor) -> Tensor:
        """Returns the (N, J, 3) joints of (N, V, 3) vertices, in their frame and unit; differentiable, N may be 0.

        Raises:
            ValueError: Vertices of another mesh.
        """
        if vertices.shape[-2:] != (self.num_vertices, 3):
            raise ValueError(f"expected ({self.num_vertices}, 3) vertices a person, got {tuple(vertices.shape)}")
        return self.weights.to(vertices) @ vertices[..., self.vertices.to(vertices.device), :]

    def select(self, names: Sequence[str]) -> JointRegressor:
        """Returns the regressor of some of the joints, in the order of the names.

        Raises:
            ValueError: It has no joint of that name.
        """
        if unknown := sorted(set(names) - set(self.names)):
            raise ValueError(f"no joint is called {', '.join(unknown)}; there are {', '.join(self.names)}")
        rows = [self.names.index(name) for name in names]
        return JointRegressor(tuple(names), self.vertices, self.weights[rows], self.num_vertices)


def load_regressor(skeleton: str, body_models_dir: str | Path) -> JointRegressor:
    """Reads the matrix that makes another skeleton's joints of SMPL-X's vertices.

    Args:
        skeleton: One of `SOURCES`: "smpl" (24 joints), "h36m" (17; `.select(H36M_14)` are those that benchmarks count),
            "j14" (the same 14, by a matrix for SMPL-X itself), "coco" (17), "body25" (25, OpenPose's).
        body_models_dir: The user's body models: the matrix as .npy, .npz or .pkl (nothing in it is run), SMPL-X itself,
            and for matrices of SMPL's vertices smplx2smpl.pkl or smplx_to_smpl.pkl.

    Raises:
        FileNotFoundError: A file is missing; says where to get it and where to put it.
        ValueError: No such skeleton, or a file holds another matrix than it should.
    """
    if skeleton not in SOURCES:
        raise ValueError(f"skeleton: expected {', '.join(SOURCES)}; got {skeleton!r}")
    source, folder = SOURCES[skeleton], Path(body_models_dir).expanduser()
    path = _find(folder, source.names, source.remedy)
    matrix = _read_matrix(path, ("J_regressor", "matrix"))
    _check(path, matrix, (len(source.joints),), (NUM_VERTICES, SMPL_VERTICES))
    if matrix.shape[1] == SMPL_VERTICES:
        matrix = matrix @ _read_mapping(folder)
    template = read_template(find_model(folder, "neutral"))
    return _regressor(_names_by_sides(source.joints, matrix @ template, path), matrix)


def _regressor(names: tuple[str, ...], matrix: Matrix) -> JointRegressor:
    needed = np.unique(matrix.nonzero()[1])
    weights = matrix[:, needed].toarray().astype(np.float32)
    return JointRegressor(names, torch.from_numpy(needed.astype(np.int64)), torch.from_numpy(weights), matrix.shape[1])


def _names_by_sides(names: tuple[str, ...], joints: NDArray[np.float64], path: Path) -> tuple[str, ...]:
    """Names the rows so that left ones lie on the left of the mean person.

    Matrices for Human3.6M are in use with the right leg before the left and the other way round, under equal names.
    """
    legs = ("hip", "knee", "ankle")
    swapped = tuple(_mirrored(name) if name.endswith(legs) else name for name in names)
    for order in (names, swapped) if names == H36M_17 else (names,):
        if all(_left_of(order, joints, name) for name in order if name.startswith("left_")):
            return order
    raise ValueError(
        f"{path}: its rows are not {', '.join(names)}: in the T-pose, left ones are not on the left. Use another file."
    )


def _left_of(names: tuple[str, ...], joints: NDArray[np.float64], name: str) -> bool:
    return bool(joints[names.index(name), 0] > joints[names.index(_mirrored(name)), 0])


def _mirrored(name: str) -> str:
    side, _, rest = name.partition("_")
    return f"{'right' if side == 'left' else 'left'}_{rest}" if side in ("left", "right") else name


def _read_mapping(folder: Path) -> Matrix:
    """Reads the (6890, 10475) matrix that makes SMPL's vertices of SMPL-X's."""
    path = _find(folder, _MAPPING, f"matrices of SMPL's vertices want it: {_MAPPING_REMEDY}")
    matrix = _read_matrix(path, _MAPPING_KEYS)
    if matrix.shape == (SMPL_VERTICES, 2 * NUM_VERTICES):  # the second half is for normals, as its makers use it
        matrix = matrix[:, :NUM_VERTICES]
    _check(path, matrix, (SMPL_VERTICES,), (NUM_VERTICES,))
    return matrix


def _find(folder: Path, names: Sequence[str], remedy: str) -> Path:
    places = [folder / f"{name}{suffix}" for name in names for suffix in _SUFFIXES]
    places += [folder / "smplx" / place.name for place in places]
    for place in places:
        if place.is_file():
            return place
    raise FileNotFoundError(f"No {' or '.join(names)} ({', '.join(_SUFFIXES)}) in {folder}: {remedy}; put it there")


def _read_matrix(path: Path, keys: Sequence[str]) -> Matrix:
    """Reads a matrix, dense or sparse, as a CSR matrix of float64."""
    try:
        return scipy.sparse.csr_matrix(_array_of(path, keys), dtype=np.float64)
    except (ValueError, TypeError, KeyError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path} is not a joint regressor or vertex mapping ({error}): get the file again") from error


def _array_of(path: Path, keys: Sequence[str]) -> NDArray[Any] | Matrix:
    """The first of the keys that the file has; a bare array has none."""
    if path.suffix == ".npy":
        return np.load(path, allow_pickle=False)
    if path.suffix == ".pkl":
        arrays = read_pickled_arrays(path)
        return arrays[_key(("", *keys), list(arrays))]
    with np.load(path, allow_pickle=False) as file:
        if "format" in file.files:  # scipy.sparse.save_npz
            return sparse_matrix(bytes(file["format"].item()).decode("ascii"), file)
        return file[_key((*keys, "arr_0"), file.files)]


def _key(keys: Sequence[str], there: Sequence[str]) -> str:
    for key in keys:
        if key in there:
            return key
    raise ValueError(f"it should hold {' or '.join(filter(None, keys))}, it has {', '.join(there) or 'no numbers'}")


def _check(path: Path, matrix: Matrix, rows: tuple[int, ...], columns: tuple[int, ...]) -> None:
    wide = " or ".join(map(str, columns))
    if matrix.shape[0] not in rows or matrix.shape[1] not in columns:
        raise ValueError(f"{path}: expected a matrix of shape ({rows[0]}, {wide}), got {matrix.shape}")
    if not np.isfinite(matrix.data).all():
        raise ValueError(f"{path}: expected finite numbers")
    sums = np.asarray(matrix.sum(1)).ravel()
    if np.abs(sums - 1).max() > _SUM_TOLERANCE:
        raise ValueError(
            f"{path}: expected weights that sum to 1 in each row, got sums from {sums.min():.3g} to {sums.max():.3g}"
        )
