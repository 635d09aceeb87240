"""Matrices from vertices to joints without the licensed ones: the real sizes, sides where they should be."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
from synthetic_pickles import pickled, python2

SMPL_VERTICES = 6890
STYLES = ("npy", "npz", "scipy", "python2", "bare")
LEFT, RIGHT = 0.05, -0.05  # metres from the middle, at least


def mapping(template: np.ndarray, faces: np.ndarray) -> Any:
    """(6890, 10475): every vertex of the other mesh lies on a triangle of this one."""
    rng = np.random.default_rng(0)
    corners = faces[rng.integers(0, len(faces), SMPL_VERTICES)].astype(int)
    rows = np.repeat(np.arange(SMPL_VERTICES), 3)
    weights = rng.dirichlet((1, 1, 1), SMPL_VERTICES).ravel()
    return scipy.sparse.csr_matrix((weights, (rows, corners.ravel())), (SMPL_VERTICES, len(template)))


def regressor(names: Sequence[str], vertices: np.ndarray, seed: int = 0) -> np.ndarray:
    """(J, V): each joint is between five vertices of its side."""
    rng = np.random.default_rng(seed)
    matrix = np.zeros((len(names), len(vertices)))
    for row, name in zip(matrix, names):
        x = vertices[:, 0]
        side = {"left": x > LEFT, "right": x < RIGHT}.get(name.split("_")[0], np.abs(x) < LEFT)
        row[rng.choice(np.flatnonzero(side), 5, replace=False)] = rng.dirichlet(np.ones(5))
    return matrix


def write_matrix(folder: Path, name: str, matrix: Any, style: str = "npy", key: str = "J_regressor") -> Path:
    """Writes a matrix in one of the ways that are in use, and returns the file's path."""
    folder.mkdir(parents=True, exist_ok=True)
    dense = matrix.toarray() if scipy.sparse.issparse(matrix) else matrix
    path = folder / f"{name}.{ {'npy': 'npy', 'npz': 'npz', 'scipy': 'npz'}.get(style, 'pkl') }"
    if style == "npy":
        np.save(path, dense)
    elif style == "npz":
        np.savez(path, **{key: dense, "names": np.array([{}], dtype=object)})
    elif style == "scipy":
        scipy.sparse.save_npz(path, scipy.sparse.csc_matrix(matrix))
    elif style == "python2":
        path.write_bytes(python2({key: scipy.sparse.csc_matrix(matrix), "names": ["hip"]}))
    else:
        path.write_bytes(pickled(dense, "python3"))
    return path
