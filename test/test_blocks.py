"""Blocks as a CPU likes them compute what the plain ones do."""

from __future__ import annotations

import pytest
import torch
from block_kinds import ways
from small_network import small_inputs, small_network

from ros2_multihmr.backends import packed_blocks
from ros2_multihmr.backends.agreement import TOLERANCES, compare
from ros2_multihmr.backends.backend import open_backend
from ros2_multihmr.backends.blocks import WAYS, Way, choose_blocks, replace_blocks, why_not
from ros2_multihmr.backends.packed_blocks import PackedBlock
from ros2_multihmr.backends.tiled_blocks import TiledBlock
from ros2_multihmr.backends.torch_backend import TorchBackend
from ros2_multihmr.model.multihmr import MultiHMR
from ros2_multihmr.model.token_window import TokenWindow
from ros2_multihmr.model.vit import Block

SOME = 0.5
CPU = torch.device("cpu")
FLOAT, HALF = torch.float32, torch.bfloat16
WIDTH, HEADS = 64, 2
LIMITS = {"rotmats": 5e-5}  # six numbers of any length make a rotation, and a short one's rounding counts more


def network(**changes: object) -> MultiHMR:
    return small_network(width=WIDTH, heads=HEADS, **changes)


def drawn_block(generator: torch.Generator) -> Block:
    """Every parameter counts: LayerScale and biases are drawn, too."""
    block = Block(WIDTH, HEADS).requires_grad_(False)
    for parameter in block.parameters():
        parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return block


@pytest.mark.parametrize("kind", ways(FLOAT, WIDTH, HEADS))
@pytest.mark.parametrize("rows", [1, 5, 768])
def test_a_block_computes_the_same_in_any_groups(monkeypatch: pytest.MonkeyPatch, kind: str, rows: int) -> None:
    monkeypatch.setattr(packed_blocks, "ROWS", rows)
    generator = torch.Generator().manual_seed(1)
    block, tokens = drawn_block(generator), torch.randn(3, 7, WIDTH, generator=generator)
    other = WAYS[kind].make(block, FLOAT)
    torch.testing.assert_close(other(tokens), block(tokens), atol=2e-3, rtol=1e-5)  # numbers of some hundreds
    torch.testing.assert_close(other(tokens[1:2]), other(tokens)[1:2], atol=2e-3, rtol=1e-5)


@pytest.mark.parametrize("kind", ways(FLOAT, WIDTH, HEADS))
@pytest.mark.parametrize("stem", ["patch", "conv"])
@pytest.mark.parametrize("rows", [8, 4])
def test_people_are_the_same(kind: str, stem: str, rows: int) -> None:
    """Square and cut, as one batch and alone."""
    pixels, k = small_inputs(3)
    pixels = TokenWindow(8, rows, 8).of_square(pixels)
    expected = TorchBackend(network(stem=stem)).infer(pixels, k, SOME)
    backend = TorchBackend(network(stem=stem), blocks=kind)
    whole = backend.infer(pixels, k, SOME)
    assert whole.mask.any() and backend.blocks == kind
    for name, ours, theirs in zip(whole._fields, whole, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=LIMITS.get(name, 1e-5), rtol=1e-4, msg=name)
    for place in range(3):
        alone = backend.infer(pixels[place : place + 1], k[place : place + 1], SOME)
        for name, ours, theirs in zip(whole._fields, alone, whole, strict=True):
            torch.testing.assert_close(ours[0], theirs[place], atol=1e-5, rtol=1e-4, msg=name)


@pytest.mark.parametrize("kind", ways(HALF, WIDTH, HEADS))
def test_bfloat16_rounds_no_more_than_the_plain_blocks_may(kind: str) -> None:
    pixels, k = small_inputs(3)
    expected = TorchBackend(network()).infer(pixels, k, SOME)
    agreement = compare([(expected, TorchBackend(network(), precision="bfloat16", blocks=kind).infer(pixels, k, SOME))])
    assert agreement.people > 3 and agreement.largest["scores"] > 0
    assert agreement.beyond({name: 8 * limit for name, limit in TOLERANCES["float16"].items()}) == []


@pytest.mark.parametrize("kind", ways(HALF, WIDTH, HEADS)[:1])  # tiles
def test_tiles_keep_float32_between_the_products(kind: str) -> None:
    pixels, _ = small_inputs(3)
    exact = network().backbone(pixels)
    off = {}
    for way in ("plain", kind):
        model = network()
        TorchBackend(model, precision="bfloat16", blocks=way)
        off[way] = float((model.backbone(pixels) - exact).abs().max())
    assert 0 < off[kind] < off["plain"] / 2


@pytest.mark.parametrize("kind", ways(FLOAT, WIDTH, HEADS))
def test_other_blocks_keep_no_plain_weights_and_show_their_features(kind: str) -> None:
    model, seen = network(), []
    plain = sum(parameter.numel() for parameter in model.backbone.blocks.parameters())
    backend = TorchBackend(model, blocks=kind)
    left = sum(parameter.numel() for parameter in model.backbone.blocks.parameters())
    assert left == 2 * 4 * WIDTH < plain  # two normalisations in each of two blocks
    backend.watch_features(lambda pixels, tokens: seen.append((pixels, tokens)))
    pixels, k = small_inputs(2)
    first = backend.infer(pixels, k, SOME)
    backend.unload()
    backend.load()
    again = backend.infer(pixels, k, SOME)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    torch.testing.assert_close(seen[1][1], network().backbone(pixels), atol=1e-4, rtol=1e-4)


def test_a_cpu_takes_the_first_way_that_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    reasons = {"tiles": "", "packed": ""}
    for kind, way in WAYS.items():
        monkeypatch.setitem(
            WAYS, kind, Way(way.make, lambda *_, name=kind: reasons[name], keeps_float32=way.keeps_float32)
        )
    assert choose_blocks("auto", CPU, FLOAT, 64, 1) == "tiles"
    assert choose_blocks("packed", CPU, FLOAT, 64, 1) == "packed"
    assert choose_blocks("auto", torch.device("cuda"), FLOAT, 64, 1) == "plain"
    reasons["tiles"] = "this processor has no AMX"
    assert choose_blocks("auto", CPU, FLOAT, 64, 1) == "packed"
    with pytest.raises(ValueError, match=r"blocks: no tiles ones here \(this processor has no AMX\); use auto"):
        choose_blocks("tiles", CPU, FLOAT, 64, 1)
    with pytest.raises(ValueError, match="blocks: expected auto or tiles, packed, plain; got 'none'"):
        choose_blocks("none", CPU, FLOAT, 64, 1)


def test_heads_that_do_not_fit_tiles() -> None:
    assert why_not("tiles", CPU, FLOAT, 32, 2) == "heads of 16 channels, wanted a multiple of 32"
    assert TorchBackend(small_network(), blocks="auto").blocks != "tiles"


def test_the_embedded_network_takes_what_the_setting_says() -> None:
    assert open_backend("", "cpu").blocks == choose_blocks("auto", CPU, FLOAT, 192, 3)  # type: ignore[attr-defined]
    assert open_backend("", "cpu", blocks="plain").blocks == "plain"  # type: ignore[attr-defined]
    assert open_backend("", "cpu", compile=True).blocks == "plain"  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="blocks: torch.compile makes kernels of its own, not of packed blocks"):
        open_backend("", "cpu", compile=True, blocks="packed")


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("platform.machine", lambda: "aarch64", "only measured on x86, not on aarch64"),
        ("torch.backends.mkldnn.is_available", lambda: False, "this PyTorch has no oneDNN"),
        ("ros2_multihmr.backends.packed_blocks._agrees", lambda dtype: False, "are not those of PyTorch"),
        ("ros2_multihmr.backends.packed_blocks._unary", lambda: torch.ops.mkldnn.none_such, "lacks oneDNN's"),
    ],
)
def test_what_keeps_blocks_from_being_packed(
    monkeypatch: pytest.MonkeyPatch, name: str, value: object, text: str
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr(name, value)
    packed_blocks._why_not.cache_clear()
    try:
        assert text in why_not("packed", CPU, FLOAT, WIDTH, HEADS)
        assert why_not("packed", CPU, torch.float16, WIDTH, HEADS) == "not for float16"
        with pytest.raises(ValueError, match=f"blocks: no packed ones here .*{text}"):
            TorchBackend(network(), blocks="packed")
    finally:
        packed_blocks._why_not.cache_clear()


@pytest.mark.parametrize("kind", ways(FLOAT, WIDTH, HEADS))
def test_blocks_are_replaced_once(kind: str) -> None:
    blocks = network().backbone.blocks
    replace_blocks(blocks, kind, FLOAT)
    assert len(blocks) == 2 and all(isinstance(block, PackedBlock | TiledBlock) for block in blocks)
    replaced = list(blocks)
    replace_blocks(blocks, kind, FLOAT)
    assert list(blocks) == replaced
