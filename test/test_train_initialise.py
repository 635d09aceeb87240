"""A backbone that the user brings: DINOv2's names and position tables, and files that do not fit."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from training_fakes import BODY

from ros2_multihmr.model.checkpoint import save_weights
from ros2_multihmr.model.initialisation import draw
from ros2_multihmr.model.multihmr import MultiHMR
from ros2_multihmr.model.vit import VisionTransformer, resample_positions
from ros2_multihmr.model.weights_error import WeightsError
from ros2_multihmr.training.initialise import load_backbone, load_start, start_model, training_config
from ros2_multihmr.training.recipe import load_recipe

SETTINGS = dataclasses.replace(load_recipe("smoke").network, width=384, heads=6, depth=2, stem="patch")


def network(**changes) -> MultiHMR:
    config = training_config(dataclasses.replace(SETTINGS, **changes), BODY.info, "x")
    return start_model(config, BODY.info, 0)


def dinov2(grid: int = 37, chunks: bool = False) -> dict[str, Tensor]:
    """What a file of DINOv2 has, of two blocks."""
    names = VisionTransformer(grid * 14, 384, 2, 6).state_dict()
    state = {name: 0.02 * draw(name, tuple(tensor.shape), 7) for name, tensor in names.items()}
    state["mask_token"] = torch.zeros(1, 384)
    if chunks:
        state = {name.replace("blocks.", "blocks.0.", 1): tensor for name, tensor in state.items()}
    return state


def write(state: dict[str, Tensor], path: Path) -> Path:
    if path.suffix == ".safetensors":
        save_file(state, str(path))
    else:
        torch.save(state, path)
    return path


@pytest.mark.parametrize("name", ["dino.pth", "dino.safetensors"])
@pytest.mark.parametrize("chunks", [False, True])
def test_the_backbone_takes_every_tensor_and_the_positions_of_its_grid(tmp_path: Path, name: str, chunks: bool) -> None:
    state = dinov2(chunks=chunks)
    model = network()
    head = model.head.to_token.weight.clone()
    load_backbone(model, str(write(state, tmp_path / name)))
    plain = dinov2()
    for key, tensor in model.backbone.state_dict().items():
        expected = resample_positions(plain[key], model.config.grid) if key == "pos_embed" else plain[key]
        assert torch.equal(tensor, expected), key
    assert torch.equal(model.head.to_token.weight, head)
    assert model.backbone.pos_embed.requires_grad


def test_a_table_of_the_same_grid_is_kept(tmp_path: Path) -> None:
    state = dinov2(grid=8)
    model = network()
    load_backbone(model, str(write(state, tmp_path / "dino.pth")))
    assert torch.equal(model.backbone.pos_embed, state["pos_embed"])


def test_torch_hubs_folder_is_looked_into_and_nothing_is_downloaded(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda *_: pytest.fail("a download"))
    with pytest.raises(WeightsError, match=r"nothing is downloaded unasked. Get https://\S+dinov2_vits14_pretrain.pth"):
        load_backbone(network(), "dinov2")
    (tmp_path / "checkpoints").mkdir()
    write(dinov2(), tmp_path / "checkpoints" / "dinov2_vits14_pretrain.pth")
    model = network()
    load_backbone(model, "dinov2")
    assert torch.equal(model.backbone.cls_token, dinov2()["cls_token"])
    with pytest.raises(WeightsError, match="no DINOv2 is 32 wide; expected network.width 384, 768"):
        load_backbone(network(width=32, heads=1), "dinov2")


def test_files_that_do_not_fit_say_why(tmp_path: Path) -> None:
    state = dinov2()
    path = write(state, tmp_path / "dino.pth")
    with pytest.raises(WeightsError, match="no such weights file"):
        load_backbone(network(), str(tmp_path / "none.pth"))
    with pytest.raises(WeightsError, match="missing .*blocks.2.* check network.depth"):
        load_backbone(network(depth=3), str(path))
    with pytest.raises(WeightsError, match="expected shape .* check network.width"):
        load_backbone(network(width=32, heads=1), str(path))
    with pytest.raises(WeightsError, match="has the stem patch"):
        load_backbone(network(stem="conv"), str(path))
    with pytest.raises(WeightsError, match="with registers"):
        load_backbone(network(), str(write(state | {"register_tokens": torch.zeros(1, 4, 384)}, tmp_path / "reg.pth")))
    (tmp_path / "bad.safetensors").write_bytes(b"no")
    with pytest.raises(WeightsError, match="damaged or not a safetensors file"):
        load_backbone(network(), str(tmp_path / "bad.safetensors"))


def test_a_file_with_code_inside_is_refused(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"a": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(WeightsError, match="refused"):
        load_backbone(network(), str(tmp_path / "evil.pth"))
    assert not (tmp_path / "ran").exists()


def test_a_run_starts_from_weights_of_its_sizes_and_no_others(tmp_path: Path) -> None:
    learned = start_model(network().config, BODY.info, 5)
    save_weights(learned, tmp_path / "a.safetensors")
    model = network()
    load_start(model, str(tmp_path / "a.safetensors"))
    assert all(torch.equal(value, learned.state_dict()[name]) for name, value in model.state_dict().items())
    assert all(parameter.requires_grad for parameter in model.parameters())
    with pytest.raises(WeightsError, match="depth 2, the recipe's 3; change the recipe's network"):
        load_start(network(depth=3), str(tmp_path / "a.safetensors"))
