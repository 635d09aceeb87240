"""A SMPL-X model file without SMPL-X: the real keys and sizes, made-up numbers. A blob stands where the body would."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from unittest.mock import patch

import numpy as np
from synthetic_pickles import pickled

VERTICES, JOINTS = 10475, 55
PARENTS = (
    *(-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 15, 15, 15),
    *(20, 25, 26, 20, 28, 29, 20, 31, 32, 20, 34, 35, 20, 37, 38),
    *(21, 40, 41, 21, 43, 44, 21, 46, 47, 21, 49, 50, 21, 52, 53),
)
_RINGS, _AROUND = 95, 110


def write_smplx(folder: Path, gender: str = "neutral", *, components: int = 400, seed: int = 0) -> Path:
    """Writes folder/smplx/SMPLX_<GENDER>.npz and returns its path."""
    path = folder / "smplx" / f"SMPLX_{gender.upper()}.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **smplx_arrays(components=components, seed=seed))
    return path


def write_smplx_pickle(
    folder: Path, gender: str = "neutral", *, style: str = "python2", components: int = 400, seed: int = 0
) -> Path:
    """Writes folder/smplx/SMPLX_<GENDER>.pkl, the same numbers as `write_smplx`, and returns its path."""
    path = folder / "smplx" / f"SMPLX_{gender.upper()}.pkl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickled(smplx_arrays(components=components, seed=seed), style))
    return path


@contextmanager
def no_reduced_mesh() -> Iterator[None]:
    """Makes bodies quickly: the reduced mesh, of no interest to most tests, is one triangle while the context lasts."""
    triangle = np.arange(3), np.array([[0, 1, 2]])
    with patch("ros2_multihmr.body.smplx.reduce_mesh", lambda *_: triangle):
        yield


def smplx_arrays(*, components: int = 400, seed: int = 0) -> dict[str, np.ndarray]:
    """The arrays of a SMPL-X model file, the caller's own; half precision, to be quick to write."""
    return {name: array.copy() for name, array in _smplx_arrays(components, seed).items()}


@lru_cache(maxsize=4)
def _smplx_arrays(components: int, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    vertices, faces = blob()
    joints = rng.uniform(-1, 1, (JOINTS, 3)) * (0.1, 0.8, 0.05)
    joints[0], joints[15] = (0, -0.1, 0), (0, 0.6, 0)
    distance = np.linalg.norm(vertices[:, None] - joints, axis=2)
    weights = np.exp(-20 * distance) + 1e-9
    regressor = np.exp(-40 * distance.T)
    offsets = 0.004 * rng.standard_normal((VERTICES, 3, components), np.float32)
    bulges = 0.002 * rng.standard_normal((VERTICES, 3, 9 * (JOINTS - 1)), np.float32)
    names = np.array({"Pelvis": 0}, dtype=object)
    return {
        "v_template": vertices,
        "f": faces.astype(np.uint32),
        "shapedirs": offsets.astype(np.float16),
        "posedirs": bulges.astype(np.float16),
        "J_regressor": regressor / regressor.sum(1, keepdims=True),
        "weights": weights / weights.sum(1, keepdims=True),
        "kintree_table": np.stack([np.array(PARENTS) % 2**32, np.arange(JOINTS)]),
        "hands_componentsl": np.eye(45),
        "hands_componentsr": np.eye(45),
        "hands_meanl": rng.normal(0, 0.3, 45),
        "hands_meanr": rng.normal(0, 0.3, 45),
        "lmk_faces_idx": rng.integers(0, len(faces), 51),
        "lmk_bary_coords": rng.dirichlet((1, 1, 1), 51),
        "joint2num": names,
        "part2num": names,
    }


def blob() -> tuple[np.ndarray, np.ndarray]:
    """A closed surface as tall as a person; the last vertices belong to no face."""
    height, angle = np.meshgrid(
        np.linspace(0, np.pi, _RINGS + 2)[1:-1], np.linspace(0, 2 * np.pi, _AROUND, endpoint=False), indexing="ij"
    )
    radius = np.sin(height) * (1 + 0.1 * np.cos(7 * height))
    ring = np.stack([0.3 * radius * np.cos(angle), 0.9 * np.cos(height), 0.2 * radius * np.sin(angle)], -1)
    poles = np.array([[0, 0.9, 0], [0, -0.9, 0]])
    vertices = np.concatenate([ring.reshape(-1, 3), poles])
    vertices = np.concatenate([vertices, np.zeros((VERTICES - len(vertices), 3))])
    here = np.arange(_RINGS * _AROUND).reshape(_RINGS, _AROUND)
    right = np.roll(here, -1, axis=1)
    quads = [here[:-1], right[:-1], right[1:], here[1:]]
    a, b, c, d = (corner.ravel() for corner in quads)
    top, bottom = len(ring.reshape(-1, 3)), len(ring.reshape(-1, 3)) + 1
    caps = [(top, j, i) for i, j in zip(here[0], right[0])] + [(bottom, i, j) for i, j in zip(here[-1], right[-1])]
    return vertices, np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1), np.array(caps)])
