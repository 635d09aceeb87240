"""Parity with the official network, on recorded outputs of random networks."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from block_kinds import ways
from official_recipe import golden, layout
from parity import SMPLX_CASES, cells, intrinsics, network_of, people, run

from ros2_multihmr.backends.blocks import replace_blocks
from ros2_multihmr.model.camera_embedding import embed_camera
from ros2_multihmr.model.detection import fill_slots, suppress
from ros2_multihmr.model.multihmr import MultiHMR
from ros2_multihmr.model.official import official_config, rename_official
from ros2_multihmr.model.raw_outputs import RawOutputs

# About ten times the noise of float32 in the official code itself.
TOLERANCES = {
    "scores": 1e-5,
    "loc": 5e-4,
    "transl": 2e-5,
    "rotvec": 2e-4,
    "expression": 5e-5,
    "shape": 5e-5,
}


@pytest.fixture(params=SMPLX_CASES)
def case(request: pytest.FixtureRequest) -> dict[str, Any]:
    return golden(request.param)


def test_recipe_draws_the_recorded_images(case: dict[str, Any]) -> None:
    np.testing.assert_allclose(case["pixels"].flatten()[::10007], case["pixels_probe"], atol=1e-6)


def check_people(case: dict[str, Any], outputs: RawOutputs) -> None:
    np.testing.assert_array_equal(cells(outputs), case["idx"][:3])
    np.testing.assert_allclose(outputs.scores_map, case["scores_map"], atol=1e-5)
    if not outputs.mask.any():
        assert outputs.found.tolist() == [0] and "scores" not in case
        return
    ours = people(outputs, intrinsics(case))
    for name, tolerance in TOLERANCES.items():
        np.testing.assert_allclose(ours[name], case[name], atol=tolerance, rtol=0, err_msg=name)


def test_same_people(case: dict[str, Any]) -> None:
    check_people(case, run(network_of(case), case))


@pytest.mark.parametrize("kind", ways(torch.float32, 384, 6))
def test_same_people_however_a_cpu_computes_blocks(case: dict[str, Any], kind: str) -> None:
    model = copy.deepcopy(network_of(case))
    replace_blocks(model.backbone.blocks, kind, torch.float32)
    check_people(case, run(model, case))


@pytest.mark.parametrize("name", ["S448_a_default", "S448_c_batch2", "S224_b11"])
def test_same_features(name: str) -> None:
    case = golden(name)
    model = network_of(case)
    step = (5, 3) if name.startswith("S448") else (1, 1)
    grid = model.config.grid
    with torch.inference_mode():
        tokens = model.backbone(case["pixels"])
        rays = embed_camera(intrinsics(case), model.config).unflatten(1, (grid, grid))
    np.testing.assert_allclose(tokens[:, ::13], case["tokens"], atol=5e-5)
    np.testing.assert_allclose(rays[:, :: step[0], :: step[1]], case["ray_embedding"], atol=2e-5)


@pytest.mark.parametrize("name", ["S448_a_default", "S224_b11"])
def test_same_inside_the_head(name: str) -> None:
    case = golden(name)
    model = network_of(case)
    found = case["idx"].shape[1]
    with torch.inference_mode():
        tokens = model.backbone(case["pixels"])
        slots = fill_slots(model.detect(tokens), torch.tensor(float(case["det_thresh"])), model.config.max_humans)
        features = torch.cat([tokens, embed_camera(intrinsics(case), model.config)], -1)
        queries = model.head.tokens(features, slots)
        decoded = model.head.decode(queries, model.head.context(features, slots), slots.mask)
    np.testing.assert_allclose(queries[:, :found], case["token_in"], atol=5e-5)
    np.testing.assert_allclose(decoded[:, :found], case["token_out"], atol=1e-4)


@pytest.mark.parametrize("window", [1, 2, 3, 4, 5, 7])
def test_same_suppression(window: int) -> None:
    case = golden("S448_f_nms")
    every_score = torch.from_numpy(case["map_1"][..., 0])
    scores = suppress(every_score, window)
    slots = fill_slots(scores, torch.tensor(0.25), 60)
    found = slots.tokens[slots.mask]
    np.testing.assert_array_equal(scores, case[f"map_{window}"][..., 0])
    np.testing.assert_array_equal(torch.stack([found // 32, found % 32]), case[f"idx_{window}"][1:3])
    np.testing.assert_array_equal(slots.scores[slots.mask], case[f"scores_{window}"])


def test_same_scores_before_suppression() -> None:
    case = golden("S448_f_nms")
    model = network_of(case)
    with torch.inference_mode():
        scores = model.score(model.backbone(case["pixels"]))
    np.testing.assert_allclose(scores, case["map_1"][..., 0], atol=1e-5)


@pytest.mark.parametrize(
    ("keys", "size", "width", "depth"),
    [
        ("keys_S_672.txt", 672, 384, 12),
        ("keys_B_672.txt", 672, 768, 12),
        ("keys_L_896.txt", 896, 1024, 24),
        ("keys_L_1288.txt", 1288, 1024, 24),
    ],
)
def test_released_layouts_load_strictly(keys: str, size: int, width: int, depth: int) -> None:
    state = {name: torch.empty(shape, device="meta") for name, shape in layout(keys).items()}
    config = official_config(state, {"nearness": True, "person_center": "head"}, "released")
    assert (config.image_size, config.width, config.depth) == (size, width, depth)
    with torch.device("meta"):
        model = MultiHMR(config)
    model.load_state_dict(rename_official(state, config), strict=True, assign=True)
