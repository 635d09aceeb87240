"""The made-up SMPL-X file with which the golden cases were recorded: real keys and sizes, random numbers.

What is drawn, and in which order, decides every number: rows must not be moved.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from synthetic_smplx import JOINTS, PARENTS, VERTICES

FACES, SEED = 20908, 20240914
TRUNK = (
    *((0, -0.35, 0), (0.06, -0.44, 0), (-0.06, -0.44, 0), (0, -0.24, -0.02), (0.11, -0.82, 0), (-0.11, -0.82, 0)),
    *((0, -0.10, 0), (0.09, -1.23, -0.03), (-0.09, -1.23, -0.03), (0, -0.04, 0.02), (0.12, -1.28, 0.09)),
    *((-0.12, -1.28, 0.09), (0, 0.17, -0.02), (0.08, 0.08, 0), (-0.08, 0.08, 0), (0, 0.26, 0.01), (0.17, 0.11, 0)),
    *((-0.17, 0.11, 0), (0.43, 0.10, -0.02), (-0.43, 0.10, -0.02), (0.67, 0.11, -0.03), (-0.67, 0.11, -0.03)),
    *((0, 0.25, 0.02), (0.03, 0.31, 0.08), (-0.03, 0.31, 0.08)),
)
HANDS = ((1, 20, 25), (-1, 21, 40))  # side, wrist, first finger joint
JAW = 22

Array = NDArray[np.float64]


def write_recorded_smplx(folder: Path) -> Path:
    """Writes folder/smplx/SMPLX_NEUTRAL.npz, 230 MB, and returns its path."""
    path = folder / "smplx" / "SMPLX_NEUTRAL.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **recorded_arrays())
    return path


def recorded_arrays() -> dict[str, NDArray[Any]]:
    """The arrays that a forward needs."""
    rng = np.random.default_rng(SEED)
    rest = _rest_joints(rng)
    vertices = _vertices(rng, rest)
    distance = ((vertices[:, None] - rest[None]) ** 2).sum(-1)
    regressor = _regressor(rng, distance)
    faces = np.stack([rng.permutation(VERTICES)[:3] for _ in range(FACES)]).astype(np.uint32)
    return {
        "v_template": vertices,
        "f": faces,
        "shapedirs": _shapes(rng, vertices, rest[JAW]),
        "posedirs": rng.normal(0, 1, (VERTICES, 3, 9 * (JOINTS - 1))) * 0.0015,
        "J_regressor": regressor,
        "weights": _weights(distance),
        "kintree_table": np.stack([np.array(PARENTS) % 2**32, np.arange(JOINTS)]),
        **_landmarks(rng),
    }


def _rest_joints(rng: np.random.Generator) -> Array:
    rest = np.zeros((JOINTS, 3))
    rest[: len(TRUNK)] = TRUNK
    for side, wrist, first in HANDS:
        for finger in range(5):
            for k in range(3):
                away = np.array([side * (0.09 + 0.03 * k), 0.005 * k - 0.01, 0.045 - 0.022 * finger])
                rest[first + 3 * finger + k] = rest[wrist] + away
    return rest + rng.normal(0, 0.003, rest.shape)


def _vertices(rng: np.random.Generator, rest: Array) -> Array:
    bone = rng.integers(1, JOINTS, size=VERTICES)
    along = rng.random(VERTICES)[:, None]
    middle = (1 - along) * rest[np.array(PARENTS)[bone]] + along * rest[bone]
    return middle + rng.normal(0, 0.03, (VERTICES, 3))


def _weights(distance: Array) -> Array:
    nearest = np.argsort(distance, 1)[:, :4]
    chosen = np.take_along_axis(distance, nearest, 1)
    share = np.exp(-(chosen - chosen.min(1, keepdims=True)) / (2 * 0.08**2))
    weights = np.zeros(distance.shape)
    np.put_along_axis(weights, nearest, share / share.sum(1, keepdims=True), 1)
    return weights


def _regressor(rng: np.random.Generator, distance: Array) -> Array:
    regressor = np.zeros((JOINTS, VERTICES))
    for joint in range(JOINTS):
        nearest = np.argsort(distance[:, joint])[:24]
        share = rng.random(24) + 0.1
        regressor[joint, nearest] = share / share.sum()
    return regressor


def _shapes(rng: np.random.Generator, vertices: Array, jaw: Array) -> Array:
    shapes = rng.normal(0, 1, (VERTICES, 3, 400)) * 0.004
    shapes[:, :, :10] *= 3
    for beta in range(10):
        shapes[:, :, beta] += vertices * rng.normal(0, 0.02, 3)
    for expression in range(10):
        face = np.exp(-((vertices - jaw) ** 2).sum(1) / (2 * 0.1**2))[:, None]
        shapes[:, :, 300 + expression] = face * rng.normal(0, 0.01, (VERTICES, 3))
    return shapes


def _landmarks(rng: np.random.Generator) -> dict[str, NDArray[Any]]:
    corners = rng.random((51, 3)) + 0.1
    rng.random((79, 17, 3))  # of the contour
    rng.normal(size=(2, 45, 45))  # of the hands' PCA
    rng.normal(0, 0.3, (2, 45))
    rng.normal(0, 1, (2, 1554, 45))
    return {
        "lmk_bary_coords": corners / corners.sum(1, keepdims=True),
        "lmk_faces_idx": rng.integers(0, FACES, 51),
    }
