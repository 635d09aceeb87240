"""Weights files: what is written comes back, and damage is named."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from official_recipe import golden, official_state
from safetensors.torch import load_file, save_file
from small_network import SMALL, small_inputs, small_network

from ros2_multihmr.model.checkpoint import CONFIG_KEY, load_weights, save_weights
from ros2_multihmr.model.weights_error import WeightsError


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "small.safetensors"
    save_weights(small_network(), path)
    return path


def rewrite(path: Path, changes: dict[str, Any], config: str | None = "same") -> None:
    """Replaces tensors (None removes one) and the configuration's text."""
    state = {name: tensor for name, tensor in load_file(path).items() if changes.get(name, tensor) is not None}
    state.update({name: tensor for name, tensor in changes.items() if tensor is not None})
    text = json.dumps({**vars(SMALL)}) if config == "same" else config
    save_file(state, path, metadata=None if text is None else {CONFIG_KEY: text})


def test_what_is_saved_comes_back(saved: Path) -> None:
    model, loaded = small_network(), load_weights(saved)
    assert loaded.config == SMALL
    with torch.inference_mode():
        inputs = (*small_inputs(), torch.tensor(0.5))
        for ours, theirs in zip(model(*inputs), loaded(*inputs), strict=True):
            assert torch.equal(ours, theirs)


def test_half_precision_files_load_as_float32(saved: Path) -> None:
    rewrite(saved, {"to_score.fc1.weight": small_network().to_score.fc1.weight.half()})
    assert load_weights(saved).to_score.fc1.weight.dtype == torch.float32


def test_tensors_that_share_memory_are_saved_whole(tmp_path: Path) -> None:
    model = small_network()
    state = model.state_dict()
    flat, names = torch.cat([tensor.flatten() for tensor in state.values()]), list(state)
    parts = flat.split([state[name].numel() for name in names])
    shared = {name: part.view(state[name].shape) for name, part in zip(names, parts, strict=True)}
    model.load_state_dict(shared, strict=True, assign=True)
    save_weights(model, tmp_path / "apart.safetensors")
    loaded = load_weights(tmp_path / "apart.safetensors").state_dict()
    assert all(torch.equal(loaded[name], shared[name]) for name in names)
    save_weights(model, tmp_path / "half.safetensors", half=True)


def test_slots_and_suppression_may_be_replaced(saved: Path) -> None:
    config = load_weights(saved, max_humans=4, nms_kernel=5).config
    assert (config.max_humans, config.nms_kernel) == (4, 5)
    with pytest.raises(ValueError, match="width belong to the weights"):
        load_weights(saved, width=64)
    with pytest.raises(ValueError, match="max_humans: expected at most 64"):
        load_weights(saved, max_humans=65)


def test_other_endings_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"ending in \.safetensors"):
        save_weights(small_network(), tmp_path / "small.pt")


def test_missing_file_and_other_endings(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"no such weights file\. Give the path"):
        load_weights(tmp_path / "nothing.safetensors")
    with pytest.raises(WeightsError, match="not a file"):
        load_weights(tmp_path)
    text = tmp_path / "weights.txt"
    text.write_text("hello")
    with pytest.raises(WeightsError, match=r"end in \.safetensors or \.pt or \.pth, not in '\.txt'"):
        load_weights(text)


@pytest.mark.parametrize("keep", [0, 4, 100, 40_000])
def test_truncated_files(saved: Path, keep: int) -> None:
    saved.write_bytes(saved.read_bytes()[:keep])
    with pytest.raises(WeightsError, match="damaged or not a safetensors file"):
        load_weights(saved)


def test_garbage(saved: Path) -> None:
    saved.write_bytes(np.random.default_rng(0).bytes(5000))
    with pytest.raises(WeightsError, match="damaged"):
        load_weights(saved)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"to_score.fc1.weight": None}, "missing to_score.fc1.weight"),
        ({"extra": torch.zeros(2)}, "unknown extra"),
        ({"to_score.fc1.bias": torch.zeros(31)}, r"to_score.fc1.bias: expected shape \(32,\), got \(31,\)"),
        ({"to_score.fc1.bias": torch.zeros(32, dtype=torch.int64)}, "expected floating-point numbers"),
        ({"to_score.fc1.bias": torch.full((32,), torch.nan)}, "to_score.fc1.bias hold numbers that are not finite"),
    ],
)
def test_wrong_tensors_are_named(saved: Path, changes: dict[str, Any], text: str) -> None:
    rewrite(saved, changes)
    with pytest.raises(WeightsError, match=text):
        load_weights(saved)


@pytest.mark.parametrize(
    ("config", "text"),
    [
        (None, "no network configuration in the metadata"),
        ("{", "belongs to another version"),
        ("[]", "belongs to another version"),
        (json.dumps({**vars(SMALL), "colour": 1}), r"unknown \['colour'\]"),
        (json.dumps({**vars(SMALL), "width": 64}), "expected shape"),
    ],
)
def test_wrong_configurations(saved: Path, config: str | None, text: str) -> None:
    rewrite(saved, {}, config)
    with pytest.raises(WeightsError, match=text):
        load_weights(saved)


class Malicious:
    """Its pickle calls os.system."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.trace}",)


@pytest.fixture(scope="module")
def official() -> dict[str, Any]:
    recipe = golden("S224_b11")["recipe"]
    state = official_state(recipe["keys"], recipe["fixed"], recipe["seed"])
    arguments = argparse.Namespace(img_size=[224, 224], nearness=True, person_center="head", num_betas=11)
    return {"epoch": 3, "best_val": np.float64(61.2), "model_state_dict": state, "args": arguments}


def test_official_files_load(official: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "multiHMR_224_S.pt"
    torch.save(official, path)
    config = load_weights(path, max_humans=7).config
    assert (config.kind, config.weights, config.body) == ("official_smplx", "multiHMR_224_S.pt", "smplx_11")
    assert (config.image_size, config.num_shape, config.max_humans) == (224, 11, 7)
    torch.save(official["model_state_dict"], path)
    assert load_weights(path).config.untrained is False


@pytest.mark.parametrize("name", ["mlp_classif.0.weight", "x_attention_head.init_cam", "backbone.encoder.norm.bias"])
def test_official_files_with_a_hole(official: dict[str, Any], tmp_path: Path, name: str) -> None:
    state = {key: value for key, value in official["model_state_dict"].items() if key != name}
    torch.save({**official, "model_state_dict": state}, tmp_path / "hole.pt")
    with pytest.raises(WeightsError, match="missing"):
        load_weights(tmp_path / "hole.pt")


def test_official_files_with_more(official: dict[str, Any], tmp_path: Path) -> None:
    state = {**official["model_state_dict"], "mlp_surprise.weight": torch.zeros(1)}
    torch.save({**official, "model_state_dict": state}, tmp_path / "more.pt")
    with pytest.raises(WeightsError, match="unknown mlp_surprise"):
        load_weights(tmp_path / "more.pt")


def test_official_files_of_another_training(official: dict[str, Any], tmp_path: Path) -> None:
    torch.save({**official, "args": argparse.Namespace(person_center="pelvis")}, tmp_path / "other.pt")
    with pytest.raises(WeightsError, match="person_center: expected 'head'"):
        load_weights(tmp_path / "other.pt")
    torch.save({**official, "args": argparse.Namespace(img_size=[896, 896])}, tmp_path / "other.pt")
    with pytest.raises(WeightsError, match="img_size: expected 224 as the tensors' shapes say"):
        load_weights(tmp_path / "other.pt")


def test_other_pickles_are_refused(tmp_path: Path) -> None:
    path, trace = tmp_path / "evil.pt", tmp_path / "trace"
    torch.save({"model_state_dict": {}, "args": Malicious(trace)}, path)
    with pytest.raises(WeightsError, match="nothing in it was run"):
        load_weights(path)
    assert not trace.exists()
    torch.save([1, 2], path)
    with pytest.raises(WeightsError, match="expected a dictionary, got list"):
        load_weights(path)
    torch.save({"weight": torch.zeros(1)}, path)
    with pytest.raises(WeightsError, match="neither of the official families"):
        load_weights(path)


def test_truncated_official_files(official: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "cut.pt"
    torch.save({"model_state_dict": {"a": torch.zeros(1000)}}, path)
    for keep in (0, 10, 3000):
        path.write_bytes(path.read_bytes()[:keep])
        with pytest.raises(WeightsError, match="damaged"):
            load_weights(path)
