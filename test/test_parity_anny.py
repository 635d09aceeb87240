"""Parity with the official Anny network and its body, on recorded outputs of a random network."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
import torch
from official_recipe import golden, layout, official_state
from parity import ANNY_CASES, VERTEX_STEP, cells, intrinsics, network_of, places, rotvecs, run

from ros2_multihmr.body import create_body
from ros2_multihmr.body.anny_official import NUM_BONES, POSED_BONES
from ros2_multihmr.model.anny_multihmr import AnnyMultiHMR, camera_of_view
from ros2_multihmr.model.detection import fill_slots
from ros2_multihmr.model.official_anny import official_anny_config, rename_official_anny
from ros2_multihmr.model.raw_outputs import RawOutputs

SOMEBODY, NOBODY = ANNY_CASES


@functools.lru_cache(maxsize=1)
def somebody() -> tuple[dict[str, Any], AnnyMultiHMR, RawOutputs]:
    case = golden(SOMEBODY)
    model = network_of(case)
    assert isinstance(model, AnnyMultiHMR)
    return case, model, run(model, case)


@pytest.mark.parametrize("name", [SOMEBODY, NOBODY])
def test_same_features_scores_and_camera(name: str) -> None:
    case, (_, model, _) = golden(name), somebody()
    with torch.inference_mode():
        tokens = model.backbone(case["pixels"])
        logits = model.to_score(tokens)[..., 0].unflatten(1, (16, 16))
        fov = model.field_of_view(case["pixels"])
    np.testing.assert_allclose(case["pixels"].flatten()[::10007], case["pixels_probe"], atol=1e-6)
    np.testing.assert_allclose(tokens[:, ::13], case["feat"], atol=5e-5)
    np.testing.assert_allclose(logits, case["scores_logits"], atol=1e-4)
    np.testing.assert_allclose(fov, case["fov"], atol=1e-5)
    np.testing.assert_allclose(camera_of_view(fov, 224), case["K_regressed"], atol=1e-3)


def test_nobody() -> None:
    case = golden(NOBODY)
    outputs = run(network_of(case), case)
    assert outputs.found.tolist() == [0] and not outputs.mask.any()


def test_same_people() -> None:
    case, _, outputs = somebody()
    mask = outputs.mask
    np.testing.assert_array_equal(cells(outputs), case["idx"])
    rotmats = np.tile(np.eye(3), (int(mask.sum()), NUM_BONES, 1, 1))
    rotmats[:, POSED_BONES] = outputs.rotmats[mask].double()
    np.testing.assert_allclose(outputs.loc_px[mask], case["loc"], atol=5e-4)
    np.testing.assert_allclose(outputs.shape[mask], case["shape"][:, :6], atol=5e-5)
    np.testing.assert_allclose(rotvecs(rotmats), case["rotvec"], atol=2e-4)
    np.testing.assert_allclose(places(outputs, intrinsics(case)), case["raster_transl"], atol=2e-5)


def test_official_order_is_by_depth() -> None:
    case, _, outputs = somebody()
    order = outputs.depth[outputs.mask].argsort(stable=True)
    np.testing.assert_array_equal(order, case["order"])
    np.testing.assert_allclose(places(outputs, intrinsics(case))[order], case["person_transl"], atol=2e-5)


def test_same_inside_the_head() -> None:
    case, model, _ = somebody()
    with torch.inference_mode():
        tokens = model.backbone(case["pixels"])
        slots = fill_slots(model.detect(tokens), torch.tensor(float(case["det_thresh"])), model.config.max_humans)
        decoded = model.decode(tokens, slots)[slots.mask]
        log_inverse = model.to_depth(decoded)
        offset = model.to_offset(decoded)
    np.testing.assert_allclose(decoded, case["decoder_out"][0], atol=1e-4)
    np.testing.assert_allclose(log_inverse, case["dist_postprocessed"], atol=2e-5)
    np.testing.assert_allclose(offset, case["offset"], atol=5e-5)


def test_same_bodies() -> None:
    case, _, outputs = somebody()
    body, mask = create_body("anny_official"), outputs.mask
    posed = body(
        outputs.rotmats[mask],
        outputs.shape[mask],
        outputs.expression[mask],
        places(outputs, intrinsics(case)),
        vertices=True,
    )
    order = case["order"]
    k = torch.from_numpy(case["K_regressed"][0])
    j2d = (posed.joints / posed.joints[..., 2:]) @ k.T
    np.testing.assert_allclose(posed.vertices[order, ::VERTEX_STEP], case["v3d"], atol=5e-5)
    np.testing.assert_allclose(posed.joints[order], case["person_j3d"], atol=5e-5)
    np.testing.assert_allclose(posed.translation[order][:, None], case["person_transl_pelvis"], atol=2e-5)
    np.testing.assert_allclose(j2d[order, :, :2], case["person_j2d"], atol=1e-2)


@pytest.mark.parametrize(("keys", "width"), [("keys_anny_S_672.txt", 384), ("keys_anny_L_672.txt", 1024)])
def test_released_layouts_load_strictly(keys: str, width: int) -> None:
    state = {name: torch.empty(shape, device="meta") for name, shape in layout(keys).items()}
    constants = official_state("keys_anny_S_224.txt", "fixed_anny.npz", 17)
    state |= {name: value for name, value in constants.items() if name.startswith(("useful", "body_model."))}
    config = official_anny_config(state, {}, "released")
    assert (config.image_size, config.width, config.hph_depth, config.hph_heads) == (672, width, 8, 16)
    with torch.device("meta"):
        model = AnnyMultiHMR(config)
    model.load_state_dict(rename_official_anny(state, config), strict=True, assign=True)
