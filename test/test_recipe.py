"""Recipes: YAML in and out, what is refused, and the schedule that follows from one."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
import yaml

from ros2_multihmr.body import create_body
from ros2_multihmr.model import crop_encoders
from ros2_multihmr.model.multi_crop import MultiCrop
from ros2_multihmr.model.multihmr import MultiHMR
from ros2_multihmr.training.crop_start import crop_training_config
from ros2_multihmr.training.initialise import training_config
from ros2_multihmr.training.optimiser import create_optimiser, decays, learning_rate, set_learning_rate
from ros2_multihmr.training.recipe import (
    load_recipe,
    recipe_from_dict,
    recipe_names,
    recipe_to_dict,
    save_recipe,
)
from ros2_multihmr.training.recipe_sections import LengthSettings, OptimiserSettings


class FakeTimm(torch.nn.Module):
    """Stands in for a network of timm."""

    num_features = 64


ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("name", recipe_names())
def test_recipes_of_the_package_come_back_from_yaml(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    save_recipe(recipe, tmp_path / "other.yaml")
    assert load_recipe(str(tmp_path / "other.yaml")) == recipe
    assert recipe.name == name


@pytest.mark.parametrize("name", [name for name in recipe_names() if not name.startswith("multi_crop")])
def test_recipes_describe_a_network(name: str) -> None:
    config = training_config(load_recipe(name).network, create_body("anny").info, name)
    with torch.device("meta"):
        network = MultiHMR(config)
    assert not config.untrained and config.weights == name
    assert network.config.image_size % 14 == 0


@pytest.mark.parametrize("name", [name for name in recipe_names() if name.startswith("multi_crop")])
def test_recipes_describe_a_second_look(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crop_encoders, "_timm_model", lambda encoder: FakeTimm())
    config = crop_training_config(load_recipe(name).network, create_body("anny").info, name)
    with torch.device("meta"):
        network = MultiCrop(config)
    assert config.weights == name and network.config.size == config.size


def test_the_embedded_network_is_the_same_for_cpu_and_gpu() -> None:
    assert (
        load_recipe("embedded").network == load_recipe("embedded_gpu").network == load_recipe("embedded_longer").network
    )


def test_recipes_are_installed() -> None:
    assert {
        "embedded",
        "embedded_longer",
        "embedded_gpu",
        "small_336",
        "base_448",
        "large_672",
        "large_896",
        "smoke",
    } <= set(recipe_names())
    for file in ("setup.py", "MANIFEST.in"):
        assert "training/recipes" in (ROOT / file).read_text()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"optimizer": {}}, "unknown key 'optimizer'; did you mean 'optimiser'"),
        ({"optimiser": {"learning_rat": 1.0}}, "optimiser: unknown key 'learning_rat'; did you mean 'learning_rate'"),
        ({"length": {"zebra": 1}}, "length: unknown key 'zebra'; expected one of steps, max_minutes"),
        ({"data": {"batch_size": 0}}, "data.batch_size: must be at least 1, got 0"),
        ({"data": {"batch_size": "many"}}, "data.batch_size: expected int, got 'many'"),
        ({"data": 3}, "data: expected names with values, got 3"),
        ({"optimiser": {"kind": "sgd"}}, "optimiser.kind: expected one of adamw, adam, muon; got 'sgd'"),
        ({"losses": {"verticles": 1.0}}, "did you mean 'vertices'"),
        ({"length": {}}, "length.steps: the run would never end"),
        ({"seed": -1}, "seed: expected a whole number from 0"),
        ({"name": ""}, "name: expected a word"),
        ({"kind": "triple"}, "kind: expected one of single_shot, multi_crop; got 'triple'"),
        ({"estimates": {}}, "unknown key 'estimates'"),
        (
            {"kind": "multi_crop", "network": {"num_crop": 5}},
            "network: unknown key 'num_crop'; did you mean 'num_crops'",
        ),
        ({"kind": "multi_crop", "losses": {"reprojection": 1.0}}, "losses: unknown key 'reprojection'"),
        ({"kind": "multi_crop", "network": {"image_size": 224}}, "network: unknown key 'image_size'"),
        ({"kind": "multi_crop", "network": {"contrastive": False}}, "losses.contrastive: expected 0 for a network"),
        ({"kind": "multi_crop", "estimates": {"source": "hearsay"}}, "estimates.source: expected one of first_pass"),
    ],
)
def test_wrong_values_say_what_is_expected(values: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        recipe_from_dict({"name": "x", "length": {"steps": 1}} | values)


def test_a_file_that_is_no_recipe_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("data: [1, 2")
    with pytest.raises(ValueError, match="bad.yaml: not a YAML file"):
        load_recipe(str(path))
    path.write_text("- 1")
    with pytest.raises(ValueError, match="bad.yaml: recipe: expected names with values"):
        load_recipe(str(path))
    with pytest.raises(ValueError, match="no such recipe file"):
        load_recipe(str(tmp_path / "none.yaml"))
    with pytest.raises(ValueError, match="expected a .yaml file or one of .*embedded"):
        load_recipe("embeded")


def test_overrides_replace_values() -> None:
    changes = ["length.steps=7", "optimiser.learning_rate=1e-4", "seed=5", "data.augment=false"]
    recipe = load_recipe("smoke", changes)
    before = load_recipe("smoke")
    assert (recipe.length.steps, recipe.optimiser.learning_rate, recipe.seed) == (7, 1e-4, 5)
    assert not recipe.data.augment and before.data.augment
    assert dataclasses.replace(recipe.length, steps=before.length.steps) == before.length
    for wrong in ("length.steps", "length.=3", "lenght.steps=3", "length.step=3"):
        with pytest.raises(ValueError, match="section.key=value|did you mean"):
            load_recipe("smoke", [wrong])


def test_values_are_plain() -> None:
    values = recipe_to_dict(load_recipe("embedded"))
    assert recipe_from_dict(yaml.safe_load(yaml.safe_dump(values))) == load_recipe("embedded")


def test_a_run_is_over_by_steps_or_by_minutes() -> None:
    both = LengthSettings(steps=100, max_minutes=2.0)
    assert both.part_done(50, 0.0) == 0.5
    assert both.part_done(0, 90.0) == 0.75
    assert both.part_done(500, 0.0) == 1.0
    assert LengthSettings(steps=10).part_done(5, 1e9) == 0.5
    assert LengthSettings(max_minutes=1.0).part_done(10**9, 0.0) == 0.0


def test_the_learning_rate_climbs_and_comes_down_with_the_progress() -> None:
    settings = OptimiserSettings(learning_rate=2.0, warm_up_steps=10, final_fraction=0.1)
    assert learning_rate(0, 0.0, settings) == pytest.approx(0.2)
    assert learning_rate(9, 0.0, settings) == pytest.approx(2.0)
    assert learning_rate(1000, 0.5, settings) == pytest.approx(2.0 * 0.55)
    assert learning_rate(1000, 1.0, settings) == pytest.approx(0.2)
    rates = [learning_rate(1000, part / 20, settings) for part in range(21)]
    assert rates == sorted(rates, reverse=True)
    assert learning_rate(0, 0.0, OptimiserSettings(learning_rate=2.0, warm_up_steps=0)) == 2.0


def test_norms_biases_and_tables_do_not_decay() -> None:
    with torch.device("meta"):
        network = MultiHMR(training_config(load_recipe("smoke").network, create_body("anny").info, "x"))
    decaying = {name for name, parameter in network.named_parameters() if decays(name, parameter)}
    assert {"backbone.blocks.0.attn.qkv.weight", "head.to_pose.weight", "backbone.patch_embed.proj.weight"} <= decaying
    kept = {name for name, _ in network.named_parameters()} - decaying
    assert {"backbone.pos_embed", "backbone.cls_token", "head.query_row", "backbone.blocks.0.ls1.gamma"} <= kept
    assert not any(name.endswith("bias") or "norm" in name for name in decaying)


def test_the_backbone_may_learn_more_slowly() -> None:
    network = MultiHMR(training_config(load_recipe("smoke").network, create_body("anny").info, "x"))
    optimiser = create_optimiser(network, OptimiserSettings(backbone_fraction=0.1, weight_decay=0.3))
    set_learning_rate(optimiser, 1.0)
    rates = {id(p): group["lr"] for group in optimiser.param_groups for p in group["params"]}
    decay = {id(p): group["weight_decay"] for group in optimiser.param_groups for p in group["params"]}
    assert len(rates) == len(list(network.parameters()))
    assert rates[id(network.backbone.pos_embed)] == pytest.approx(0.1)
    assert rates[id(network.head.to_pose.weight)] == 1.0
    assert (decay[id(network.head.to_pose.weight)], decay[id(network.head.to_pose.bias)]) == (0.3, 0.0)
    adam = create_optimiser(network, OptimiserSettings(kind="adam", weight_decay=0.3))
    assert type(adam) is torch.optim.Adam and all(group["weight_decay"] == 0 for group in adam.param_groups)


def test_muon_takes_the_hidden_matrices_and_nothing_else() -> None:
    torch.manual_seed(0)
    network = MultiHMR(training_config(load_recipe("smoke").network, create_body("anny").info, "x"))
    optimiser = create_optimiser(network, OptimiserSettings(kind="muon", weight_decay=0.0))
    set_learning_rate(optimiser, 0.01)
    before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    for parameter in network.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimiser.step()
    moved = {name: parameter.detach() - before[name] for name, parameter in network.named_parameters()}
    # A step of Muon is nearly orthogonal: its singular values are alike. AdamW's first step is the gradient's sign.
    step = moved["backbone.blocks.0.attn.qkv.weight"]
    values = torch.linalg.svdvals(step)
    assert values.max() < 2.5 * values.min()
    for name in ("head.to_pose.weight", "head.query_row", "backbone.patch_embed.proj.weight", "head.to_pose.bias"):
        torch.testing.assert_close(moved[name].abs(), torch.full_like(moved[name], 0.01), atol=1e-4, rtol=0)


def test_an_old_torch_has_no_muon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.optim, "Muon")
    with pytest.raises(
        ValueError, match=r"muon needs torch 2\.9 or newer, here is .*; install a newer one, or use adamw"
    ):
        create_optimiser(torch.nn.Linear(2, 2), OptimiserSettings(kind="muon"))


def test_what_is_learned_without_padding_runs_without_padding() -> None:
    for padding in ("square", "cut"):
        network = dataclasses.replace(load_recipe("smoke").network, padding=padding)
        assert training_config(network, create_body("anny").info, "x").padding == padding
