"""Parity with the official Anny network and its body, on recorded outputs of a random network."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
import torch
from official_recipe import golden, layout, official_state
from scipy.spatial.transform import Rotation

from ros2_multihmr.body import create_body
from ros2_multihmr.body.anny_official import NUM_BONES, POSED_BONES
from ros2_multihmr.model.anny_multihmr import AnnyMultiHMR, camera_of_view
from ros2_multihmr.model.camera_embedding import unproject
from ros2_multihmr.model.checkpoint import assemble
from ros2_multihmr.model.detection import fill_slots
from ros2_multihmr.model.official_anny import official_anny_config, rename_official_anny
from ros2_multihmr.model.raw_outputs import RawOutputs

SOMEBODY, NOBODY = "anny_S_224_a_regressedK", "anny_S_224_d_nobody"
VERTEX_STEP = 7  # of the recorded vertices


@functools.lru_cache(maxsize=1)
def network() -> AnnyMultiHMR:
    recipe = golden(SOMEBODY)["recipe"]
    state = official_state(recipe["keys"], recipe["fixed"], recipe["seed"])
    config = official_anny_config(state, {"img_size": 224, "num_betas": 11, "simple_depth_encoding": 1}, "random")
    model = assemble(config, rename_official_anny(state, config), "recipe")
    assert isinstance(model, AnnyMultiHMR)
    return model


def run(case: dict[str, Any]) -> RawOutputs:
    """Runs the network with the camera that it guesses itself, as the recorded cases did."""
    model = network()
    with torch.inference_mode():
        k = camera_of_view(model.field_of_view(case["pixels"]), model.config.image_size)
        outputs: RawOutputs = model(case["pixels"], k, torch.tensor(float(case["det_thresh"])))
    return outputs


@functools.lru_cache(maxsize=1)
def somebody() -> tuple[dict[str, Any], RawOutputs]:
    case = golden(SOMEBODY)
    return case, run(case)


def places(case: dict[str, Any], outputs: RawOutputs) -> torch.Tensor:
    """Where the heads are: (N, 3)."""
    k = torch.from_numpy(case["K_regressed"])
    return (outputs.depth[..., None] * unproject(k, outputs.loc_px))[outputs.mask]


@pytest.mark.parametrize("name", [SOMEBODY, NOBODY])
def test_same_features_scores_and_camera(name: str) -> None:
    case, model = golden(name), network()
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
    outputs = run(golden(NOBODY))
    assert outputs.found.tolist() == [0] and not outputs.mask.any()


def test_same_people() -> None:
    case, outputs = somebody()
    mask = outputs.mask
    np.testing.assert_array_equal(outputs.cells[mask].T, case["idx"][1:])
    rotmats = np.tile(np.eye(3), (int(mask.sum()), NUM_BONES, 1, 1))
    rotmats[:, POSED_BONES] = outputs.rotmats[mask].double()
    rotvec = Rotation.from_matrix(rotmats.reshape(-1, 3, 3)).as_rotvec().reshape(-1, NUM_BONES, 3)
    np.testing.assert_allclose(outputs.loc_px[mask], case["loc"], atol=5e-4)
    np.testing.assert_allclose(outputs.shape[mask], case["shape"][:, :6], atol=5e-5)
    np.testing.assert_allclose(rotvec, case["rotvec"], atol=2e-4)
    np.testing.assert_allclose(places(case, outputs), case["raster_transl"], atol=2e-5)


def test_official_order_is_by_depth() -> None:
    case, outputs = somebody()
    order = outputs.depth[outputs.mask].argsort(stable=True)
    np.testing.assert_array_equal(order, case["order"])
    np.testing.assert_allclose(places(case, outputs)[order], case["person_transl"], atol=2e-5)


def test_same_inside_the_head() -> None:
    case, model = golden(SOMEBODY), network()
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
    case, outputs = somebody()
    body, mask = create_body("anny_official"), outputs.mask
    posed = body(
        outputs.rotmats[mask],
        outputs.shape[mask],
        outputs.expression[mask],
        places(case, outputs),
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
