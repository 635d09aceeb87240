"""Measuring networks: turns, variants, crowds, the hardware's limit, and another program's code beside ours."""

import dataclasses
import os
import sys
import types

import numpy as np
import pytest
import torch
from official_recipe import images, write_official
from small_network import SMALL, small_inputs, small_network
from torch import nn

from ros2_multihmr.backends.blocks import KINDS
from ros2_multihmr.backends.torch_backend import TorchBackend
from ros2_multihmr.body import create_body
from ros2_multihmr.camera import Camera
from ros2_multihmr.estimator import Estimator
from ros2_multihmr.estimator_config import EstimatorConfig
from ros2_multihmr.measuring import split
from ros2_multihmr.measuring.beside import Ours, apart, compare_networks
from ros2_multihmr.measuring.borrowed import borrowed
from ros2_multihmr.measuring.crowd import network_call, with_people
from ros2_multihmr.measuring.options import Options
from ros2_multihmr.measuring.peer import Found, _attend, open_peer
from ros2_multihmr.measuring.roofline import Machine, count_cost, matmul_rate
from ros2_multihmr.measuring.turns import Latency, take_turns
from ros2_multihmr.measuring.variants import Variant, configurations, open_variants, told_apart
from ros2_multihmr.model.checkpoint import load_weights
from ros2_multihmr.model.stand_in import stand_in_model
from ros2_multihmr.what_runs import what_runs

CPU = torch.device("cpu")


def test_turns_alternate_and_what_warms_up_does_not_count():
    calls: list[str] = []

    def run(name):
        calls.append(name)
        return {"stage": float(len(calls))}

    runs = {name: lambda name=name: run(name) for name in "ab"}
    results = take_turns(runs, 5, block=2)
    assert "".join(calls) == "aaabbb" * 4
    assert [one["stage"] for one in results["a"]] == [8.0, 9.0, 14.0, 15.0, 20.0]
    assert len(results["b"]) == 5


def test_latency_has_percentiles_and_counts_the_images_of_a_run():
    latency = Latency.of([0.01] * 99 + [1.01], images=2)
    assert np.isclose(latency.median_ms, 10.0) and np.isclose(latency.per_second, 200 / 2.0)
    assert latency.median_ms <= latency.p95_ms <= latency.p99_ms < 1010.0


def test_variants_are_the_settings_given_and_what_each_changes():
    base = Options(weights="w.pt", nms_kernel=1)
    plain, cut = configurations(base, ["precision=bfloat16,padding=cut"])
    assert type(plain) is EstimatorConfig and plain.nms_kernel == 1
    assert cut == dataclasses.replace(plain, precision="bfloat16", padding="cut")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("cut", "NAME=VALUE"),
        ("colour=red", "colour=red"),
        ("threads=2", "threads=2"),
        ("precision=float8", "expected one of"),
        ("nms_kernel=three", "expected int"),
        ("padding=auto", "the same settings"),
        ("blocks=tiles,precision=float32,blocks=plain", "blocks is given twice"),
        ("blocks=plain,blocks=plain", "blocks is given twice"),
    ],
)
def test_wrong_variants_are_told(text, problem):
    with pytest.raises(ValueError, match=problem):
        configurations(EstimatorConfig(), [text])


@pytest.mark.parametrize("settings", [{"people": ("two",)}, {"people": ("0",)}, {"peer": "/peer", "batch": 2}])
def test_wrong_options_are_told(settings):
    with pytest.raises(ValueError, match="people|batch"):
        Options(**settings)


def test_more_people_than_a_network_may_have_are_refused_by_their_own_flag():
    with pytest.raises(ValueError, match="^--people: expected numbers from 1 to 200, got 201, 500$"):
        Options(people=("200", "201", "500"))


@pytest.fixture(scope="module")
def estimator():
    return Estimator(TorchBackend(stand_in_model(nms_kernel=1)), create_body("anny"), EstimatorConfig(nms_kernel=1))


@pytest.fixture(scope="module")
def picture():
    return np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8), Camera.from_fov(64, 48, 60.0)


@pytest.mark.parametrize("count", [1, 4, 10])
def test_a_crowd_is_as_large_as_it_should_be(estimator, picture, count):
    call = network_call(estimator, [picture[0]], picture[1])
    assert call.pixels.shape == (1, 3, 224, 224) and call.k.shape == (1, 3, 3)
    assert len(with_people(estimator, count, call.raw.scores_map).estimate(*picture)) == count


def test_a_crowd_too_large_says_why(estimator, picture):
    scores = network_call(estimator, [picture[0]], picture[1]).raw.scores_map
    with pytest.raises(ValueError, match="20 slots"):
        with_people(estimator, 21, scores)
    with pytest.raises(ValueError, match="candidates"):
        with_people(estimator, 10_000, scores)


def test_what_runs_is_named(estimator):
    blocks = estimator.backend.blocks
    assert blocks in KINDS and what_runs(estimator) == f"torch, float32, square, {blocks} blocks, nms_kernel=1"


def test_networks_of_the_same_settings_are_told_apart_by_their_files(estimator, picture):
    call = network_call(estimator, [picture[0]], picture[1])
    files = ["", "runs/a/weights.safetensors", "runs/b/weights.safetensors"]
    estimators = [Estimator(estimator.backend, estimator.body, EstimatorConfig(weights=file)) for file in files]
    variants = [Variant("torch, float32, cut", one, call, None) for one in estimators]
    other = dataclasses.replace(variants[0], name="torch, bfloat16, cut")
    assert [one.name for one in told_apart([*variants, other])] == [
        "embedded, torch, float32, cut",
        "runs/a/weights.safetensors, torch, float32, cut",
        "runs/b/weights.safetensors, torch, float32, cut",
        "torch, bfloat16, cut",
    ]


def test_a_variant_that_the_weights_make_the_same_is_told(picture):
    with pytest.raises(ValueError, match="padding=square: that is torch, float32, square, .* blocks, as another is"):
        open_variants(EstimatorConfig(weights="untrained"), ["padding=square"], 1, [picture[0]], picture[1])


def test_counted_operations_are_those_of_the_formula():
    """Blocks: twelve matrices of width squared per token, and two products of the tokens with each other."""
    tokens, width, depth = SMALL.num_tokens + 1, SMALL.width, SMALL.depth
    blocks = 2 * depth * (12 * tokens * width**2 + 2 * tokens**2 * width)
    patches = 2 * SMALL.num_tokens * 3 * 14 * 14 * width
    cost = count_cost(SMALL, (1, 3, 112, 112))
    assert cost.backbone_flops == blocks + patches < cost.flops
    network = small_network()
    numbers = sum(tensor.numel() for tensor in (*network.parameters(), *network.buffers()))
    assert cost.bytes == 4 * (numbers + 3 * 112 * 112)


def test_halves_and_cut_windows_cost_less():
    whole = count_cost(SMALL, (1, 3, 112, 112))
    assert count_cost(SMALL, (1, 3, 112, 112), "bfloat16").bytes < whole.bytes
    assert count_cost(SMALL, (1, 3, 56, 112)).flops < 0.6 * whole.flops
    assert count_cost(SMALL, (2, 3, 112, 112)).flops == 2 * whole.flops


def test_the_limit_is_the_slower_of_arithmetic_and_reading():
    cost = count_cost(SMALL, (1, 3, 112, 112))
    slow_memory, slow_units = Machine({"float32": 1e18}, 1.0), Machine({"float32": 1.0}, 1e18)
    assert slow_memory.least_ms(cost, "float32") == 1e3 * cost.bytes
    assert slow_units.least_ms(cost, "float32") == 1e3 * cost.flops
    assert matmul_rate(CPU, torch.float32, side=64) > 0


def test_backbone_and_head_are_the_network(monkeypatch):
    monkeypatch.setattr(split, "open_network", lambda weights, **_: small_network())
    runs = split.backbone_and_head(EstimatorConfig(), CPU, *small_inputs(1), 0.3, 3)
    assert len(runs) == 3 and all(run["backbone"] > 0 and run["head"] > 0 for run in runs)


def test_people_are_the_same_within_a_token():
    places = torch.tensor([[10.0, 10.0], [50.0, 50.0]])
    found = Found(torch.ones(2), places)
    assert apart(found, found) == ((2, 2), 0.0)
    assert apart(found, Found(torch.ones(1), places[:1] + torch.tensor([3.0, 4.0]))) == ((1, 1), 5.0)
    assert apart(found, Found(torch.ones(0), torch.zeros(0, 2))) == ((0, 0), 0.0)


def test_networks_are_compared_with_the_first():
    backend = TorchBackend(small_network())
    ours = Ours(backend, *small_inputs(1), threshold=0.0)
    rows = compare_networks({"official, float32": ours, "again": ours}, 10, CPU, 2)
    assert rows[0].times_faster == 1.0 and rows[1].found == (10, 10) and rows[1].farthest_px == 0.0
    assert rows[1].cells()[:2] == ("again", "10")


def test_borrowed_modules_leave_nothing_behind(tmp_path):
    (tmp_path / "utils").mkdir()
    (tmp_path / "utils" / "__init__.py").write_text("import no_such_package.part\nNAME = no_such_package.anything\n")
    mine = types.ModuleType("utils")
    sys.modules["utils"] = mine
    before = list(sys.path), set(sys.modules)
    try:
        with borrowed([tmp_path], ["utils"], ["no_such_package", "no_such_package.part"]):
            import utils

            assert utils.NAME is None and utils is not mine
        assert sys.modules["utils"] is mine
        assert (sys.path, set(sys.modules)) == before
    finally:
        del sys.modules["utils"]


def test_fused_attention_is_the_plain_one():
    torch.manual_seed(0)
    layer = nn.Module()
    layer.num_heads, layer.qkv, layer.proj = 2, nn.Linear(8, 24), nn.Linear(8, 8)
    tokens = torch.randn(2, 5, 8)
    query, key, value = layer.qkv(tokens).reshape(2, 5, 3, 2, 4).permute(2, 0, 3, 1, 4).unbind(0)
    weights = ((query @ key.transpose(-1, -2)) / 2).softmax(-1)
    expected = layer.proj((weights @ value).transpose(1, 2).reshape(2, 5, 8))
    assert torch.allclose(_attend(layer, tokens), expected, atol=1e-6)


@pytest.fixture(scope="module")
def official(tmp_path_factory):
    path = tmp_path_factory.mktemp("official") / "S_224.pt"
    write_official("keys_S_224_b11.txt", "fixed_S_224_b11.npz", path)
    return path


def test_a_peer_that_cannot_be_says_what_to_do(tmp_path, official):
    with pytest.raises(ValueError, match="git clone https://github.com/naver/multi-hmr"):
        open_peer(tmp_path, "", official, CPU)
    (tmp_path / "model.py").write_text("")
    with pytest.raises(ValueError, match="--peer-backbone"):
        open_peer(tmp_path, tmp_path, official, CPU)
    (tmp_path / "hubconf.py").write_text("")
    with pytest.raises(ValueError, match=r"an official file"):
        open_peer(tmp_path, tmp_path, "", CPU)


@pytest.mark.skipif("MULTIHMR_PEER" not in os.environ, reason="MULTIHMR_PEER names no checkout of the official code")
def test_the_official_code_finds_the_same_people(official):
    """With MULTIHMR_PEER and MULTIHMR_PEER_BACKBONE, folders with naver/multi-hmr and facebookresearch/dinov2."""
    peer = open_peer(os.environ["MULTIHMR_PEER"], os.environ.get("MULTIHMR_PEER_BACKBONE", ""), official, CPU)
    pixels, k = images(0, 1, 224), torch.tensor([[[190.0, 0, 112], [0, 190, 112], [0, 0, 1]]])
    raw = TorchBackend(load_weights(official)).infer(pixels, k, 0.3)
    found = peer.infer(pixels, k, 0.3, 3, "float32")
    assert len(found.scores) > 3
    torch.testing.assert_close(found.scores, raw.scores[raw.mask], atol=1e-5, rtol=0)
    torch.testing.assert_close(found.loc_px, raw.loc_px[raw.mask], atol=1e-2, rtol=0)
