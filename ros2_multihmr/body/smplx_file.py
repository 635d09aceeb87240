"""The user's SMPL-X model file: where it lies, what is in it, and what a checkpoint may put in its place.

Files hold either 400 components, 300 of the shape and 100 of the expression, or 20, 10 of each, as the first ones did.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from ros2_multihmr.body.smplx_pickle import read_pickled_arrays

Arrays = dict[str, NDArray[Any]]

NUM_VERTICES, NUM_JOINTS, NUM_LANDMARKS = 10475, 55, 51
WHOLE, FIRST = (300, 100), (10, 10)  # shape and expression components of a file
SUFFIXES = (".npz", ".pkl")
# RuntimeError: an encrypted or strangely compressed archive.
_FAULTS = (ValueError, OSError, EOFError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error)
REMEDY = "get SMPL-X v1.1 (NPZ or PKL) from https://smpl-x.is.tue.mpg.de (registration, its licence applies)"
_KEYS: dict[str, tuple[int | None, ...]] = {  # shapes of the file's arrays; None: any size
    "v_template": (NUM_VERTICES, 3),
    "shapedirs": (NUM_VERTICES, 3, None),
    "posedirs": (NUM_VERTICES, 3, 9 * (NUM_JOINTS - 1)),
    "J_regressor": (NUM_JOINTS, NUM_VERTICES),
    "weights": (NUM_VERTICES, NUM_JOINTS),
    "kintree_table": (2, NUM_JOINTS),
    "f": (None, 3),
    "lmk_faces_idx": (NUM_LANDMARKS,),
    "lmk_bary_coords": (NUM_LANDMARKS, 3),
}


def find_model(folder: Path, gender: str) -> Path:
    """Finds a SMPL-X model file.

    Args:
        folder: The user's body models.
        gender: "neutral", "male" or "female".

    Returns:
        SMPLX_<GENDER>.npz or, without one, .pkl, in `folder/smplx` or in `folder`: the first that is there.

    Raises:
        FileNotFoundError: None is there; says where to get the file and where to put it.
    """
    names = [f"SMPLX_{gender.upper()}{suffix}" for suffix in SUFFIXES]
    for path in (place / name for name in names for place in (folder / "smplx", folder)):
        if path.is_file():
            return path
    raise FileNotFoundError(
        f"No {' or '.join(names)} in {folder}: {REMEDY} and put it at {folder / 'smplx' / names[0]}"
    )


def read_smplx(path: Path) -> Arrays:
    """Reads the arrays that a forward needs; what else is in the file stays untouched.

    Args:
        path: SMPLX_<GENDER>.npz or .pkl. Nothing pickled in it is run.

    Returns:
        v_template (V, 3), shapedirs (V, 3, 400 or 20), posedirs (V, 3, 486), J_regressor (55, V), weights (V, 55),
        kintree_table (2, 55), f (F, 3), lmk_faces_idx (51,), lmk_bary_coords (51, 3); V = 10475, metres.

    Raises:
        ValueError: It is not a SMPL-X model file, or holds what no model file needs; nothing was run.
    """
    try:
        arrays = _read(path, tuple(_KEYS))
        check_smplx(arrays)
    except _FAULTS as error:
        raise ValueError(f"{path} is not a SMPL-X model file ({error}): {REMEDY}") from error
    return arrays


def read_template(path: Path) -> NDArray[np.float64]:
    """Reads the mean person in the T-pose alone, (V, 3) [m], x to the left, y up; see `read_smplx`."""
    try:
        template = _read(path, ("v_template",))["v_template"]
        _check_array("v_template", template, _KEYS["v_template"])
    except _FAULTS as error:
        raise ValueError(f"{path} is not a SMPL-X model file ({error}): {REMEDY}") from error
    return template.astype(np.float64)


def count_components(shapedirs: NDArray[Any]) -> tuple[int, int]:
    """How many components of the shape and, behind them, of the expression a file has."""
    return WHOLE if shapedirs.shape[2] >= sum(WHOLE) else FIRST


def check_smplx(arrays: Mapping[str, NDArray[Any]]) -> None:
    """Raises ValueError if the arrays of a model file do not fit each other, naming the first that does not."""
    for key, shape in _KEYS.items():
        _check_array(key, arrays[key], shape)
    if arrays["shapedirs"].shape[2] < sum(FIRST):
        raise ValueError(f"its shapedirs should hold at least 20 components, got {arrays['shapedirs'].shape[2]}")
    for key, count in (("f", NUM_VERTICES), ("lmk_faces_idx", len(arrays["f"]))):
        if not np.all((arrays[key] >= 0) & (arrays[key] < count)):
            raise ValueError(f"its {key} should hold indices below {count}, got {arrays[key].max()}")


def with_stored(arrays: Arrays, stored: Mapping[str, NDArray[Any]], num_betas: int) -> Arrays:
    """Puts the buffers that a checkpoint has of the body in the place of the file's.

    Args:
        arrays: Of `read_smplx`.
        stored: By the names of the smplx package's module: v_template, shapedirs (V, 3, num_betas), expr_dirs
            (V, 3, 10), posedirs (486, 3 V), J_regressor, parents (55,), lbs_weights, faces_tensor, lmk_faces_idx,
            lmk_bary_coords. Those that are missing stay the file's.
        num_betas: Shape components in use.

    Raises:
        ValueError: The result is no body; says what was expected and what came.
    """
    for name, shape in _stored_shapes(num_betas).items():
        if name in stored:
            _check_array(name, stored[name], shape)
    renamed = {"lbs_weights": "weights", "faces_tensor": "f"}
    alike = ("v_template", "J_regressor", "lmk_faces_idx", "lmk_bary_coords", *renamed)
    changed = arrays | {renamed.get(name, name): stored[name] for name in alike if name in stored}
    first = count_components(arrays["shapedirs"])[0]
    shapes = arrays["shapedirs"].astype(np.float32)
    for name, start, count in (("shapedirs", 0, num_betas), ("expr_dirs", first, FIRST[1])):
        if name in stored:
            shapes[..., start : start + count] = stored[name]
    changed["shapedirs"] = shapes
    if "posedirs" in stored:
        changed["posedirs"] = stored["posedirs"].T.reshape(NUM_VERTICES, 3, -1)
    if "parents" in stored:
        changed["kintree_table"] = np.stack([stored["parents"], np.arange(NUM_JOINTS)])
    check_smplx(changed)
    return changed


def _stored_shapes(num_betas: int) -> dict[str, tuple[int | None, ...]]:
    """Shapes of the buffers that are laid out otherwise than in the file."""
    return {
        "shapedirs": (NUM_VERTICES, 3, num_betas),
        "expr_dirs": (NUM_VERTICES, 3, FIRST[1]),
        "posedirs": (9 * (NUM_JOINTS - 1), 3 * NUM_VERTICES),
        "parents": (NUM_JOINTS,),
    }


def _read(path: Path, keys: tuple[str, ...]) -> Arrays:
    if path.suffix == ".pkl":
        content: Mapping[str, Any] = read_pickled_arrays(path)
        return _chosen(content, set(content), keys)
    if not zipfile.is_zipfile(path):
        raise ValueError("expected a whole NPZ archive; the name of a pickle has to end in .pkl")
    with np.load(path, allow_pickle=False) as file:
        return _chosen(file, set(file.files), keys)  # the file's object arrays stay untouched


def _chosen(content: Mapping[str, Any], there: set[str], keys: tuple[str, ...]) -> Arrays:
    if missing := sorted(set(keys) - there):
        raise ValueError(f"it lacks {', '.join(missing)}")
    arrays = {key: content[key] for key in keys}
    return {key: array.toarray() if scipy.sparse.issparse(array) else array for key, array in arrays.items()}


def _check_array(key: str, array: NDArray[Any], shape: tuple[int | None, ...]) -> None:
    got = array.shape
    if len(got) != len(shape) or any(want not in (None, size) for want, size in zip(shape, got)):
        raise ValueError(f"its {key} should have the shape {shape}, got {got}")
    if array.dtype.kind not in "iuf" or not np.isfinite(array).all():
        raise ValueError(f"its {key} should hold finite numbers, got {array.dtype}")
