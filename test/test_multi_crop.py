"""The multi-crop network: every switch, nobody, batch equals singles, gradients everywhere, learning, files."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_network import small_network
from small_truth import small_body
from torch import Tensor, nn

from ros2_multihmr.crops import crop_boxes, crop_table, plain_boxes
from ros2_multihmr.model.checkpoint import load_weights
from ros2_multihmr.model.crop_cameras import CropBoxes, local_cameras
from ros2_multihmr.model.crop_fusion import CropAwareFusion, make_fusion
from ros2_multihmr.model.crop_regressor import state_of
from ros2_multihmr.model.initialisation import draw, draw_weights
from ros2_multihmr.model.multi_crop import CropPeople, MultiCrop, pose_people
from ros2_multihmr.model.multi_crop_checkpoint import MULTI_CROP_KEY, load_multi_crop, save_multi_crop
from ros2_multihmr.model.multi_crop_config import CAMERAS, FUSIONS, POOLINGS, MultiCropConfig
from ros2_multihmr.model.weights_error import WeightsError
from ros2_multihmr.training.crop_losses import camera_loss, contrastive_loss
from ros2_multihmr.training.crop_start import borrow_backbone, load_crop_backbone, start_multi_crop

BODY = small_body()
SMALL = MultiCropConfig.for_body(
    "small", BODY.info, weights="small", num_crops=3, crop_height=84, crop_width=56, width=32, depth=1, heads=2,
    fusion_width=32, num_bands=4, hidden=24,
)  # fmt: skip
FUSED = [(fusion, boxes) for fusion in FUSIONS for boxes in (True, False) if (fusion, boxes) != ("mean", True)]


def changed(**changes: Any) -> MultiCropConfig:
    return dataclasses.replace(SMALL, **changes)


def small_model(config: MultiCropConfig = SMALL, seed: int = 0) -> MultiCrop:
    """A network whose people differ, and differ from the start."""
    model = start_multi_crop(config, BODY.info, seed).eval().requires_grad_(False)
    draw_weights(model, seed)
    head = model.regressor
    for layer in (head.to_pose, head.to_shape, head.to_expression, head.to_camera):
        layer.weight.mul_(0.1)
    return model


def small_inputs(people: int, config: MultiCropConfig = SMALL) -> tuple[Tensor, CropBoxes, Tensor]:
    bounds = torch.tensor([100.0, 60, 200, 300]) + 37 * torch.arange(people)[:, None]
    boxes = crop_boxes(plain_boxes(bounds, config.size), crop_table(config.num_crops, "fixed"))
    k = torch.tensor([[420.0, 0, 300], [0, 380, 260], [0, 0, 1]]).expand(people, -1, -1).clone()
    k[:, 0, 0] += 10 * torch.arange(people)
    return draw("crops", (people, config.num_crops, 3, *config.size), 3), boxes, k


def rows(inputs: tuple[Tensor, CropBoxes, Tensor], keep: slice) -> tuple[Tensor, CropBoxes, Tensor]:
    pixels, boxes, k = inputs
    return pixels[keep], CropBoxes(*(edges[keep] for edges in boxes)), k[keep]


@pytest.mark.parametrize("people", [0, 1, 4])
def test_shapes(people: int) -> None:
    out: CropPeople = small_model()(*small_inputs(people))
    assert {name: tuple(value.shape) for name, value in out._asdict().items()} == {
        "rotmats": (people, 5, 3, 3),
        "shape": (people, 3),
        "expression": (people, 2),
        "cameras": (people, 3, 3),
        "translations": (people, 3, 3),
        "translation": (people, 3),
        "embeddings": (people, 3, 0),
    }
    assert all(value.isfinite().all() for value in out)
    assert pose_people(BODY, out).joints.shape == (people, 6, 3)


def test_everybody_starts_standing_in_the_middle_of_the_plain_crop() -> None:
    model = start_multi_crop(SMALL, BODY.info, 0)
    boxes = small_inputs(2)[1]
    state = model.regressor.start(boxes)
    assert state.cameras[:, 0].tolist() == [[1.0, 0.0, 0.0]] * 2
    assert camera_loss(state.cameras, boxes).max() < 1e-10


@pytest.mark.parametrize(("fusion", "relative_boxes"), FUSED)
@pytest.mark.parametrize("cameras", CAMERAS)
def test_batch_equals_singles(fusion: str, relative_boxes: bool, cameras: str) -> None:
    config = changed(fusion=fusion, relative_boxes=relative_boxes, cameras=cameras)
    model, inputs = small_model(config), small_inputs(3, config)
    together = model(*inputs)
    for person in range(3):
        alone = model(*rows(inputs, slice(person, person + 1)))
        for name, ours, theirs in zip(alone._fields, alone, together, strict=True):
            torch.testing.assert_close(ours[0], theirs[person], atol=1e-5, rtol=1e-4, msg=name)
    assert not torch.allclose(together.rotmats[0], together.rotmats[1], atol=1e-4)


@pytest.mark.parametrize(("fusion", "relative_boxes"), FUSED)
@pytest.mark.parametrize("cameras", CAMERAS)
def test_gradients_reach_every_parameter(fusion: str, relative_boxes: bool, cameras: str) -> None:
    config = changed(fusion=fusion, relative_boxes=relative_boxes, cameras=cameras)
    model, inputs = small_model(config).train().requires_grad_(True), small_inputs(3, config)
    out = model(*inputs)
    posed = pose_people(BODY, out, vertices=True)
    loss = posed.vertices.square().mean() + out.expression.square().mean() + out.translations.square().mean()
    (loss + contrastive_loss(out.embeddings).mean() + camera_loss(out.cameras, inputs[1]).mean()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.any(), name


@pytest.mark.parametrize("pooling", POOLINGS)
def test_gradients_pass_every_pooling(pooling: str) -> None:
    config = changed(pooling=pooling)
    model = small_model(config).train().requires_grad_(True)
    model.encode(small_inputs(2)[0]).square().sum().backward()
    assert all(parameter.grad.any() for parameter in model.encoder.parameters())


def test_nobody_can_be_learned_from() -> None:
    model = small_model().train().requires_grad_(True)
    pixels, boxes, k = small_inputs(0)
    out = model(pixels, boxes, k)
    assert out.embeddings.shape == (0, 3, 32)
    (contrastive_loss(out.embeddings).sum() + camera_loss(out.cameras, boxes).sum() + out.rotmats.sum()).backward()
    grads = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    assert grads and all(not grad.any() for grad in grads)


def test_derived_cameras_agree_and_free_ones_need_not() -> None:
    inputs = small_inputs(3)
    free, derived = (small_model(changed(cameras=cameras))(*inputs) for cameras in CAMERAS)
    assert camera_loss(free.cameras, inputs[1]).min() > 1e-4
    assert camera_loss(derived.cameras, inputs[1]).max() < 1e-9
    everywhere = derived.translation[:, None].expand(-1, 3, -1)
    torch.testing.assert_close(derived.translations, everywhere, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("fusion", ["concat", "self_attention", "crop_aware"])
def test_only_with_the_encoding_does_fusion_know_where_crops_lie(fusion: str) -> None:
    features = draw("features", (2, 3, 32), 0)
    infos = draw("infos", (2, 3, 3), 1)
    for knows in (True, False):
        module = make_fusion(changed(fusion=fusion, relative_boxes=knows), 32)
        moved = infos.clone()
        moved[:, 1] += 0.3
        same_everywhere = infos + torch.tensor([0.4, -0.2, 0.1])
        assert torch.equal(module(features, infos), module(features, moved)) != knows
        torch.testing.assert_close(module(features, infos), module(features, same_everywhere), atol=1e-4, rtol=1e-4)


def test_crop_aware_fusion_is_a_mean_with_weights() -> None:
    module = CropAwareFusion(SMALL, 32)
    features, infos = draw("features", (2, 3, 32), 0), draw("infos", (2, 3, 3), 1)
    weights = module.weights(features, infos)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 3))
    assert (weights > 0).all() and not torch.allclose(weights[:, 0], weights[:, 1])
    expected = sum(weights[:, :, k, None] * features[:, None, k] for k in range(3))
    torch.testing.assert_close(module(features, infos), expected)


@pytest.mark.parametrize("count", [1, 2, 9])
def test_any_number_of_crops(count: int) -> None:
    config = changed(num_crops=count, contrastive=count > 1)
    assert small_model(config)(*small_inputs(2, config)).cameras.shape == (2, count, 3)


def test_without_steps_worth_mentioning_the_start_comes_back() -> None:
    config = changed(shape_activation="sigmoid")
    model, (pixels, boxes, k) = small_model(config), small_inputs(3, config)
    for layer in (model.regressor.to_pose, model.regressor.to_shape, model.regressor.to_expression):
        layer.weight.zero_()
    model.regressor.to_camera.weight.zero_()
    before = small_model(config, seed=1)(pixels, boxes, k)
    start = state_of(config, before.rotmats, before.shape, before.expression, before.translation, boxes, k)
    after = model(pixels, boxes, k, start)
    for name in ("rotmats", "shape", "expression", "translation"):
        torch.testing.assert_close(getattr(after, name), getattr(before, name), atol=1e-4, rtol=1e-4, msg=name)
    torch.testing.assert_close(after.cameras, local_cameras(before.translation[:, None], boxes, k))
    behind = before.translation * torch.tensor([1, 1, -1])
    with pytest.raises(ValueError, match=r"in front of the camera \(z > 0 m\)"):
        state_of(config, before.rotmats, before.shape, before.expression, behind, boxes, k)


def test_all_crops_of_all_people_are_one_batch_of_the_encoder() -> None:
    config = changed(num_crops=5)
    model, seen = small_model(config), []
    model.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(tuple(inputs[0].shape)))
    model(*small_inputs(10, config))
    assert seen == [(50, 3, 84, 56)]


def test_one_graph_for_any_number_of_people() -> None:
    model, people = small_model(changed(iterations=1)), torch.export.Dim("people", min=1, max=64)
    shapes = ({0: people}, CropBoxes({0: people}, {0: people}), {0: people})
    exported = torch.export.export(model, small_inputs(2), dynamic_shapes=shapes).module()
    for count in (1, 3):
        inputs = small_inputs(count)
        for ours, theirs in zip(model(*inputs), exported(*inputs), strict=True):
            torch.testing.assert_close(ours, theirs)


def test_the_root_is_where_the_cameras_put_it() -> None:
    out = small_model()(*small_inputs(3))
    posed = pose_people(BODY, out, vertices=True)
    torch.testing.assert_close(posed.joints[:, 0], out.translation)
    center = posed.joints[:, BODY.info.center_joint]
    for ours, theirs in zip(posed, BODY(out.rotmats, out.shape, out.expression, center, vertices=True), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_the_contrastive_loss_falls_and_people_come_apart() -> None:
    """Four people of four colours, in noise: their crops' features end closer than different people's."""
    torch.manual_seed(0)
    model = start_multi_crop(changed(crop_height=56, crop_width=28), BODY.info, 0).train()
    colours = torch.randn(4, 1, 3, 1, 1)
    learned = [*model.encoder.parameters(), *model.contrastive.parameters()]
    optimiser, losses = torch.optim.Adam(learned, lr=2e-3), []
    for _ in range(25):
        optimiser.zero_grad()
        loss = contrastive_loss(model.embed(model.encode(colours + 0.7 * torch.randn(4, 3, 3, 56, 28)))).mean()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) / 5 < sum(losses[:5]) / 5 - 0.1
    with torch.no_grad():
        z = model.embed(model.encode(colours + 0.7 * torch.randn(4, 3, 3, 56, 28)))
    similar = torch.einsum("pid,qjd->pqij", z, z)
    own = similar.diagonal(dim1=0, dim2=1).permute(2, 0, 1)[:, ~torch.eye(3, dtype=torch.bool)].mean()
    others = similar[~torch.eye(4, dtype=torch.bool)].mean()
    assert own > others + 0.3


def test_wrong_shapes_are_refused() -> None:
    model, (pixels, boxes, k) = small_model(), small_inputs(2)
    with pytest.raises(ValueError, match=r"pixels: expected shape \(2, 3, 3, 84, 56\), got \(2, 2, 3, 84, 56\)"):
        model(pixels[:, :2], boxes, k)
    with pytest.raises(ValueError, match=r"boxes.center: expected shape \(2, 3, 2\)"):
        model(pixels, CropBoxes(boxes.center[:, :1], boxes.size), k)
    with pytest.raises(ValueError, match=r"k: expected shape \(2, 3, 3\)"):
        model(pixels, boxes, k[0])


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"num_crops": 10}, "at most 9"),
        ({"num_crops": 1}, "contrastive: expected False with num_crops 1"),
        ({"fusion": "mean"}, "relative_boxes: expected False with fusion mean"),
        ({"fusion": "sum"}, "mean, concat, self_attention, crop_aware"),
        ({"scheme": "spiral"}, "fixed, random, shift, scale"),
        ({"crop_height": 100}, "crop_height: expected a multiple of 14"),
        ({"crop_width": 70}, "less a multiple of 28"),
        ({"heads": 5}, "divisor of the width 32"),
        ({"fusion_width": 40}, "multiple of 32"),
        ({"encoder": "resnet50"}, "crop_height: expected a multiple of 32 for resnet50"),
        ({"encoder": "resnet50", "crop_height": 64, "crop_width": 64, "pooling": "cls"}, "no CLS token"),
        ({"hidden": 1.5}, "expected int"),
    ],
)
def test_networks_that_cannot_be(change: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        changed(**change)


@pytest.mark.parametrize("half", [False, True])
def test_files_bring_the_network_back(tmp_path: Path, half: bool) -> None:
    model, inputs = small_model(), small_inputs(2)
    save_multi_crop(model, tmp_path / "a.safetensors", half=half, licence="free")
    back = load_multi_crop(tmp_path / "a.safetensors")
    assert back.config == model.config and not back.training
    for name, tensor in back.state_dict().items():
        stored = model.state_dict()[name]
        assert torch.equal(tensor, stored.half().float() if half and stored.is_floating_point() else stored)
    if not half:
        for ours, theirs in zip(back(*inputs), model(*inputs), strict=True):
            assert torch.equal(ours, theirs)


def test_files_for_use_lack_the_contrastive_head(tmp_path: Path) -> None:
    model, inputs = small_model(), small_inputs(2)
    save_multi_crop(model, tmp_path / "a.safetensors", for_training=False)
    assert not any("contrastive" in name for name in load_file(tmp_path / "a.safetensors"))
    back = load_multi_crop(tmp_path / "a.safetensors")
    assert back.contrastive is None and torch.equal(back(*inputs).rotmats, model(*inputs).rotmats)


def test_loading_is_strict(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_multi_crop(small_model(), path)
    state, text = load_file(path), json.dumps(dataclasses.asdict(SMALL))

    def loading(change: dict[str, Tensor], metadata: dict[str, str], drop: str = "") -> None:
        save_file({name: t for name, t in (state | change).items() if name != drop}, path, metadata=metadata)
        load_multi_crop(path)

    sound, bias = {MULTI_CROP_KEY: text}, "regressor.to_camera.bias"
    with pytest.raises(WeightsError, match=f"{bias} is missing"):
        loading({}, sound, drop=bias)
    with pytest.raises(WeightsError, match="more is unknown"):
        loading({"more": torch.zeros(1)}, sound)
    with pytest.raises(WeightsError, match=r"expected shape \(3,\), got \(4,\)"):
        loading({bias: torch.zeros(4)}, sound)
    with pytest.raises(WeightsError, match="expected torch.float32, got torch.int64"):
        loading({bias: torch.zeros(3, dtype=torch.int64)}, sound)
    with pytest.raises(WeightsError, match="not finite"):
        loading({bias: torch.full((3,), torch.nan)}, sound)
    with pytest.raises(WeightsError, match="no configuration of a multi-crop network"):
        loading({}, {"other": "{}"})
    with pytest.raises(WeightsError, match=r"unknown \['wings'\]"):
        loading({}, {MULTI_CROP_KEY: json.dumps(dataclasses.asdict(SMALL) | {"wings": 2})})
    path.write_bytes(b"none")
    with pytest.raises(WeightsError, match="damaged or not a safetensors file"):
        load_multi_crop(path)
    with pytest.raises(WeightsError, match="no such weights file"):
        load_multi_crop(tmp_path / "b.safetensors")


def test_files_are_not_taken_for_single_shot_networks(tmp_path: Path) -> None:
    save_multi_crop(small_model(), tmp_path / "a.safetensors")
    with pytest.raises(WeightsError, match="no network configuration.* second look go in as refiner_weights"):
        load_weights(tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match="ending in .safetensors"):
        save_multi_crop(small_model(), tmp_path / "a.pt")


def test_the_backbone_can_be_borrowed() -> None:
    source = small_network(stem="conv")
    model = start_multi_crop(changed(depth=2), BODY.info, 0)
    borrow_backbone(model, source)
    block = "blocks.1.attn.qkv.weight"
    assert torch.equal(model.encoder.backbone.state_dict()[block], source.backbone.state_dict()[block])
    with pytest.raises(WeightsError, match="vit of the encoder's sizes"):
        borrow_backbone(start_multi_crop(SMALL, BODY.info, 0), source)


def test_the_encoder_of_another_second_look_can_be_taken(tmp_path: Path) -> None:
    source = start_multi_crop(SMALL, BODY.info, 1)
    save_multi_crop(source, tmp_path / "a.safetensors")
    model = start_multi_crop(changed(num_crops=1, contrastive=False, fusion="mean", relative_boxes=False), BODY.info, 0)
    load_crop_backbone(model, str(tmp_path / "a.safetensors"))
    for name, tensor in source.encoder.state_dict().items():
        assert torch.equal(model.encoder.state_dict()[name], tensor), name
    with pytest.raises(WeightsError, match=r"a.safetensors: its encoder is another one: expected depth 2 but 1; set"):
        load_crop_backbone(start_multi_crop(changed(depth=2), BODY.info, 0), str(tmp_path / "a.safetensors"))


def test_encoders_of_timm_are_asked_for_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """With something in timm's place: the real ones take long to make, and are no dependency."""
    config = changed(encoder="resnet50", crop_height=64, crop_width=64)
    asked: list[Any] = []

    def create_model(name: str, **options: Any) -> nn.Module:
        asked.append((name, options))
        model = nn.Conv2d(3, 16, 32, 32)
        model.num_features = 16  # type: ignore[assignment]
        return model

    monkeypatch.setitem(sys.modules, "timm", SimpleNamespace(create_model=create_model))
    model = MultiCrop(config)
    assert asked == [("resnet50", {"pretrained": False, "num_classes": 0, "global_pool": ""})]
    assert model.encode(small_inputs(2, config)[0]).shape == (2, 3, 16)
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ImportError, match="encoder resnet50: needs the package timm"):
        MultiCrop(config)
