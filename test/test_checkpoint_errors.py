"""Official files that are not what they should be: what was expected, what came; and nothing in them is run."""

from __future__ import annotations

import argparse
import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from official_recipe import golden, official_state
from parity import ANNY_CASES
from torch import Tensor

from ros2_multihmr.model.checkpoint import load_weights
from ros2_multihmr.model.weights_error import WeightsError

FAMILIES = {"smplx": "S224_b11", "anny": ANNY_CASES[0]}
State = dict[str, Tensor]


@functools.cache
def official(family: str) -> State:
    recipe = golden(FAMILIES[family])["recipe"]
    return official_state(recipe["keys"], recipe["fixed"], recipe["seed"])


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def some(state: State) -> str:
    """A tensor in the middle of the head."""
    return next(name for name in state if name.endswith("layers.1.1.fn.to_kv.weight"))


def refused(path: Path, content: Any) -> str:
    torch.save(content, path)
    with pytest.raises(WeightsError) as error:
        load_weights(path)
    return str(error.value)


def test_an_extra_tensor(family: str, tmp_path: Path) -> None:
    text = refused(tmp_path / "extra.pt", {"model_state_dict": {**official(family), "decoder.surprise": torch.ones(2)}})
    assert "extra.pt" in text and "unknown decoder.surprise" in text


def test_a_missing_tensor(family: str, tmp_path: Path) -> None:
    state = dict(official(family))
    state.pop(some(state))
    text = refused(tmp_path / "missing.pt", {"model_state_dict": state})
    assert "missing" in text and "layers.1.cross_attention.to_kv.weight" in text


def test_a_misshapen_tensor(family: str, tmp_path: Path) -> None:
    state = dict(official(family))
    name = some(state)
    rows, columns = state[name].shape
    state[name] = state[name][:, :-1].clone()
    text = refused(tmp_path / "misshapen.pt", {"model_state_dict": state})
    assert f"expected shape ({rows}, {columns}), got ({rows}, {columns - 1})" in text


@pytest.mark.parametrize("part", [0.0, 0.3, 0.99])
def test_a_truncated_file(tmp_path: Path, part: float) -> None:
    path = tmp_path / "cut.pt"
    torch.save({"model_state_dict": official("smplx")}, path)
    with path.open("r+b") as file:
        file.truncate(int(part * path.stat().st_size))
    with pytest.raises(WeightsError, match=r"cut.pt: damaged or not written by torch.save .*Get the file again"):
        load_weights(path)


class Calls:
    """Its pickle calls a function."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("place", ["args", "epoch", "model_state_dict"])
@pytest.mark.parametrize("protocol", ["zip", "old"])
def test_a_pickle_that_calls_os_system(tmp_path: Path, place: str, protocol: str) -> None:
    path, trace = tmp_path / "evil.pt", tmp_path / "trace"
    content = {"model_state_dict": official("smplx"), "args": argparse.Namespace(nearness=True), "epoch": 1}
    content[place] = Calls(os.system, f"touch {trace}")
    torch.save(content, path, _use_new_zipfile_serialization=protocol == "zip")
    with pytest.raises(WeightsError):
        load_weights(path)
    assert not trace.exists()


@pytest.mark.parametrize("function", [eval, exec, open, getattr, os.popen])
def test_other_calls_are_refused_too(tmp_path: Path, function: Callable[..., object]) -> None:
    text = refused(tmp_path / "evil.pt", {"args": Calls(function, "print(1)")})
    assert "nothing in it was run" in text


def test_the_name_that_was_refused_is_told_and_no_advice_to_trust_it(tmp_path: Path) -> None:
    text = refused(tmp_path / "evil.pt", {"args": Calls(os.system, "true")})
    assert f"it names {os.system.__module__}.system" in text and "weights_only" not in text


def test_a_web_page_in_place_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "page.pt"
    path.write_text("<!DOCTYPE html><html>Not found</html>")
    with pytest.raises(WeightsError, match=r"page.pt: damaged or not written by torch.save .*Get the file again"):
        load_weights(path)


@pytest.mark.parametrize("content", [torch.ones(2), [torch.ones(2)], None])
def test_tensors_that_are_no_dictionary(tmp_path: Path, content: Any) -> None:
    text = refused(tmp_path / "other.pt", {"model_state_dict": content})
    assert f"model_state_dict: expected a dictionary of tensors, got {type(content).__name__}" in text


@pytest.mark.parametrize("arguments", [5, None, ["img_size", 224]])
def test_arguments_that_are_none(tmp_path: Path, arguments: Any) -> None:
    state = {"backbone.encoder.norm.bias": torch.ones(2), "x_attention_head.init_cam": torch.ones(2)}
    text = refused(tmp_path / "other.pt", {"model_state_dict": state, "args": arguments})
    assert f"args: expected training arguments, got {type(arguments).__name__}" in text


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"useful_rotmat": torch.ones(1, 163)}, "useful_rotmat: expected the released networks' 75 posed bones"),
        ({"body_model.anchors.age": torch.zeros(5)}, "body_model.anchors.age: expected"),
        ({"init_body_pose": torch.zeros(1, 900)}, "init_body_pose: expected shape (1, 978), got (1, 900)"),
        ({"mlp_shape.2.bias": torch.zeros(10)}, "mlp_shape.2.bias: expected shape (11,), got (10,)"),
    ],
)
def test_constants_of_the_anny_family(tmp_path: Path, change: State, expected: str) -> None:
    assert expected in refused(tmp_path / "other.pt", {"model_state_dict": {**official("anny"), **change}})


@pytest.mark.parametrize("missing", ["useful_rotmat", "mlp_pose.0.bias", "dec_pos_emb"])
def test_tensors_that_are_folded_must_be_there(tmp_path: Path, missing: str) -> None:
    state = {name: tensor for name, tensor in official("anny").items() if name != missing}
    assert f"'{missing}' is missing" in refused(tmp_path / "hole.pt", {"model_state_dict": state})


def test_arguments_of_another_anny_network(tmp_path: Path) -> None:
    arguments = argparse.Namespace(img_size=224, simple_depth_encoding=0)
    text = refused(tmp_path / "other.pt", {"model_state_dict": official("anny"), "args": arguments})
    assert "simple_depth_encoding: expected 1" in text
