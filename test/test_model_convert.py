"""Weights from file to file: the same network, its licence with it, and what a file holds."""

from __future__ import annotations

import argparse
import functools
from pathlib import Path
from typing import Any

import pytest
import torch
from official_recipe import golden, official_state
from parity import intrinsics, run
from safetensors import safe_open
from small_network import small_network

from ros2_multihmr.model.checkpoint import load_weights, save_weights
from ros2_multihmr.model.convert import LICENCES, convert_weights, describe_weights
from ros2_multihmr.model.weights_error import WeightsError

CASES = {"smplx": "S224_b11", "anny": "anny_S_224_a_regressedK"}


@functools.cache
def case_of(family: str) -> dict[str, Any]:
    return golden(CASES[family])


def write_official(path: Path, family: str) -> Path:
    recipe = case_of(family)["recipe"]
    state = official_state(recipe["keys"], recipe["fixed"], recipe["seed"])
    size = {"smplx": [224, 224], "anny": 224}[family]
    torch.save({"model_state_dict": state, "args": argparse.Namespace(img_size=size, person_center="head")}, path)
    return path


@pytest.mark.parametrize("family", CASES)
def test_a_converted_official_file_is_the_same_network(tmp_path: Path, family: str) -> None:
    official, ours = write_official(tmp_path / "multiHMR_224_S.pt", family), tmp_path / "ours.safetensors"
    summary = convert_weights(official, ours)
    case = case_of(family)
    before, after = load_weights(official), load_weights(ours)
    assert before.config == after.config and before.config.weights == "multiHMR_224_S.pt"
    inputs = case["pixels"], intrinsics(case), torch.tensor(float(case["det_thresh"]))
    with torch.inference_mode():
        for a, b in zip(before(*inputs), after(*inputs), strict=True):
            assert torch.equal(a, b)
    assert int(run(after, case).found) == case["idx"].shape[1]
    with safe_open(ours, "pt") as file:
        assert file.metadata()["license"] == LICENCES[f"official_{family}"]
    assert summary == describe_weights(ours)
    assert (summary.image_size, summary.backbone, summary.untrained) == (224, "ViT-S/14, 12 blocks", False)
    assert summary.body == {"smplx": "smplx_11", "anny": "anny_official"}[family]
    assert "non-commercial" in summary.licence and summary.file_bytes == ours.stat().st_size > 4 * summary.parameters


def test_half_the_size(tmp_path: Path) -> None:
    full, half = tmp_path / "full.safetensors", tmp_path / "half.safetensors"
    save_weights(small_network(), full)
    summary = convert_weights(full, half, half=True)
    assert half.stat().st_size < 0.6 * full.stat().st_size and summary.licence == ""
    for name, tensor in load_weights(full).state_dict().items():
        torch.testing.assert_close(load_weights(half).state_dict()[name], tensor, atol=1e-4, rtol=1e-3)


def test_numbers_too_big_for_half(tmp_path: Path) -> None:
    model = small_network()
    model.to_score.fc1.bias.fill_(1e6)
    save_weights(model, tmp_path / "full.safetensors")
    with pytest.raises(ValueError, match=r"to_score.fc1.bias hold numbers too big for 16 bits"):
        convert_weights(tmp_path / "full.safetensors", tmp_path / "half.safetensors", half=True)
    assert [path.name for path in tmp_path.iterdir()] == ["full.safetensors"]


def test_a_failure_keeps_what_was_there(tmp_path: Path) -> None:
    out = tmp_path / "out.safetensors"
    out.write_bytes(b"before")
    with pytest.raises(WeightsError, match="no such weights file"):
        convert_weights(tmp_path / "nothing.pt", out)
    assert out.read_bytes() == b"before"
    with pytest.raises(ValueError, match="ending in"):
        save_weights(small_network(), tmp_path / "out.bin")


def test_describe_names_damage(tmp_path: Path) -> None:
    path = tmp_path / "cut.safetensors"
    save_weights(small_network(), path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(WeightsError, match="damaged"):
        describe_weights(path)
