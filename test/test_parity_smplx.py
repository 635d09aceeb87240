"""Parity with the official network, body included, on a made-up SMPL-X file: vertices, joints and their pixels."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from official_recipe import golden
from parity import SMPLX_CASES, VERTEX_STEP, intrinsics, network_of, places, run
from smplx_recipe import write_recorded_smplx
from torch import Tensor

from ros2_multihmr.body import BodyModel, create_body

TOLERANCES = {"v3d": 5e-5, "j3d": 5e-5, "transl_pelvis": 2e-5, "j2d": 1e-2, "v2d": 2e-2}
WITH_PEOPLE = tuple(name for name in SMPLX_CASES if "nobody" not in name)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bodies")
    write_recorded_smplx(folder)
    return folder


def one_triangle(vertices: NDArray[Any], faces: NDArray[Any], *_: object) -> tuple[NDArray[Any], NDArray[Any]]:
    """Stands in for the reduced mesh, which takes a minute on triangles drawn at random."""
    return faces[0].astype(np.int64), np.array([[0, 1, 2]])


@functools.cache
def body_with(folder: Path, num_betas: int) -> BodyModel:
    with patch("ros2_multihmr.body.smplx.reduce_mesh", one_triangle):
        return create_body(f"smplx_{num_betas}", folder)


def project(points: Tensor, k: Tensor) -> NDArray[np.float32]:
    pixels: NDArray[np.float32] = ((points / points[..., 2:]) @ k.transpose(1, 2))[..., :2].numpy()
    return pixels


@pytest.mark.parametrize("name", WITH_PEOPLE)
def test_same_vertices_joints_and_pixels(folder: Path, name: str) -> None:
    case = golden(name)
    model, k = network_of(case), intrinsics(case)
    outputs = run(model, case)
    mask, body = outputs.mask, body_with(folder, model.config.num_shape)
    center = places(outputs, k)
    posed = body(outputs.rotmats[mask], outputs.shape[mask], outputs.expression[mask], center, vertices=True)
    k_of_person = k[mask.nonzero()[:, 0]]
    ours = {
        "v3d": posed.vertices[:, ::VERTEX_STEP].numpy(),
        "j3d": posed.keypoints.numpy(),
        "transl_pelvis": posed.joints[:, :1].numpy(),
        "j2d": project(posed.keypoints, k_of_person),
        "v2d": project(posed.vertices[:, ::VERTEX_STEP], k_of_person),
    }
    for key, tolerance in TOLERANCES.items():
        np.testing.assert_allclose(ours[key], case[key], atol=tolerance, rtol=0, err_msg=key)
    torch.testing.assert_close(posed.joints[:, body.info.center_joint], center, atol=1e-6, rtol=0)
