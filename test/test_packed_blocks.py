"""Blocks packed for a CPU compute what the plain ones do."""

from __future__ import annotations

import pytest
import torch
from small_network import small_inputs, small_network

from ros2_multihmr.backends import packed_blocks
from ros2_multihmr.backends.agreement import TOLERANCES, compare
from ros2_multihmr.backends.backend import open_backend
from ros2_multihmr.backends.packed_blocks import PackedBlock, pack_blocks, why_plain
from ros2_multihmr.backends.torch_backend import TorchBackend
from ros2_multihmr.model.token_window import TokenWindow
from ros2_multihmr.model.vit import Block

SOME = 0.5
needs_packing = pytest.mark.skipif(bool(why_plain(torch.float32)), reason="blocks cannot be packed on this machine")
needs_bfloat16 = pytest.mark.skipif(bool(why_plain(torch.bfloat16)), reason="no packed bfloat16 on this machine")


@needs_packing
@pytest.mark.parametrize("rows", [1, 5, 768])
def test_a_block_computes_the_same_in_any_groups(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    """Every parameter counts: LayerScale and biases are drawn, too."""
    monkeypatch.setattr(packed_blocks, "ROWS", rows)
    generator = torch.Generator().manual_seed(1)
    block, tokens = Block(32, 2), torch.randn(3, 7, 32, generator=generator)
    for parameter in block.requires_grad_(False).parameters():
        parameter.copy_(torch.randn(parameter.shape, generator=generator))
    packed = PackedBlock(block, torch.float32)
    torch.testing.assert_close(packed(tokens), block(tokens), atol=2e-3, rtol=1e-5)  # numbers of some hundreds
    torch.testing.assert_close(packed(tokens[1:2]), packed(tokens)[1:2], atol=2e-3, rtol=1e-5)


@needs_packing
@pytest.mark.parametrize("stem", ["patch", "conv"])
@pytest.mark.parametrize("rows", [8, 4])
def test_people_are_the_same(stem: str, rows: int) -> None:
    """Square and cut, as one batch and alone."""
    pixels, k = small_inputs(3)
    pixels = TokenWindow(8, rows, 8).of_square(pixels)
    expected = TorchBackend(small_network(stem=stem)).infer(pixels, k, SOME)
    backend = TorchBackend(small_network(stem=stem), packed=True)
    whole = backend.infer(pixels, k, SOME)
    assert whole.mask.any()
    for name, ours, theirs in zip(whole._fields, whole, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4, msg=name)
    for place in range(3):
        alone = backend.infer(pixels[place : place + 1], k[place : place + 1], SOME)
        for name, ours, theirs in zip(whole._fields, alone, whole, strict=True):
            torch.testing.assert_close(ours[0], theirs[place], atol=1e-5, rtol=1e-4, msg=name)


@needs_bfloat16
def test_bfloat16_rounds_no_more_than_the_plain_blocks_may() -> None:
    pixels, k = small_inputs(3)
    expected = TorchBackend(small_network()).infer(pixels, k, SOME)
    agreement = compare(
        [(expected, TorchBackend(small_network(), precision="bfloat16", packed=True).infer(pixels, k, SOME))]
    )
    assert agreement.people > 3 and agreement.largest["scores"] > 0
    assert agreement.beyond({name: 8 * limit for name, limit in TOLERANCES["float16"].items()}) == []


@needs_packing
def test_packed_blocks_keep_no_plain_weights_and_show_their_features() -> None:
    model, seen = small_network(), []
    plain = sum(parameter.numel() for parameter in model.backbone.blocks.parameters())
    backend = TorchBackend(model, packed=True)
    left = sum(parameter.numel() for parameter in model.backbone.blocks.parameters())
    assert left == 2 * 4 * 32 < plain  # two normalisations in each of two blocks
    backend.watch_features(lambda pixels, tokens: seen.append((pixels, tokens)))
    pixels, k = small_inputs(2)
    first = backend.infer(pixels, k, SOME)
    backend.unload()
    backend.load()
    again = backend.infer(pixels, k, SOME)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    expected = small_network().backbone(pixels)
    torch.testing.assert_close(seen[1][1], expected, atol=1e-4, rtol=1e-4)


@needs_packing
def test_a_cpu_packs_unless_it_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    def packed(**settings: object) -> bool:
        calls.clear()
        open_backend("", "cpu", **settings)  # type: ignore[arg-type]
        return bool(calls)

    calls: list[object] = []
    monkeypatch.setattr("ros2_multihmr.backends.torch_backend.pack_blocks", lambda *given: calls.append(given))
    assert packed() and not packed(precision="float16") and not packed(compile=True)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("platform.machine", lambda: "aarch64", "only measured on x86, not on aarch64"),
        ("torch.backends.mkldnn.is_available", lambda: False, "this PyTorch has no oneDNN"),
        ("ros2_multihmr.backends.packed_blocks._agrees", lambda dtype: False, "are not those of PyTorch"),
        ("ros2_multihmr.backends.packed_blocks._unary", lambda: torch.ops.mkldnn.none_such, "lacks oneDNN's"),
    ],
)
def test_what_keeps_blocks_plain(monkeypatch: pytest.MonkeyPatch, name: str, value: object, text: str) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr(name, value)
    why_plain.cache_clear()
    try:
        assert text in why_plain(torch.float32)
        assert why_plain(torch.float16) == "not for float16"
        with pytest.raises(ValueError, match=f"packed: the blocks stay plain here .*{text}"):
            TorchBackend(small_network(), packed=True)
    finally:
        why_plain.cache_clear()


@needs_packing
def test_blocks_are_packed_once() -> None:
    model = small_network()
    pack_blocks(model.backbone, torch.float32)
    assert all(isinstance(block, PackedBlock) for block in model.backbone.blocks)
