"""Training of the second look: where its people and crops come from, what it learns, and how a run goes on."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from training_fakes import BODY, made_up_samples, write_data

from ros2_multihmr.cli import main
from ros2_multihmr.crops import projected_bounds, worth_looking
from ros2_multihmr.model.checkpoint import load_weights, save_weights
from ros2_multihmr.model.crop_cameras import in_crops
from ros2_multihmr.model.multi_crop_checkpoint import load_multi_crop
from ros2_multihmr.model.weights_error import WeightsError
from ros2_multihmr.rotations import rotmat_to_rotvec
from ros2_multihmr.training.crop_batches import Bodies, CropBatch, collate_scenes
from ros2_multihmr.training.crop_feed import crop_batches
from ros2_multihmr.training.crop_losses import CropLossWeights, body_terms, keypoints_in_crops
from ros2_multihmr.training.crop_objective import TERMS, CropObjective
from ros2_multihmr.training.crop_start import load_crop_backbone, load_crop_start
from ros2_multihmr.training.distributed import World
from ros2_multihmr.training.initialise import start_model, training_config
from ros2_multihmr.training.loader import Share
from ros2_multihmr.training.recipe import MultiCropRecipe, load_recipe
from ros2_multihmr.training.run_folder import RunFolder
from ros2_multihmr.training.trainer import Trainer
from ros2_multihmr.training.work import _second_look, multi_crop_work

CPU = torch.device("cpu")
SAMPLES = made_up_samples(8)
TRUTH = ("estimates.source=truth",)
QUIET = tuple(f"estimates.{name}=0" for name in ("root_deg", "joint_deg", "shape", "expression", "depth", "place"))
STILL = ("estimates.box_shift=0", "estimates.box_scale=0")


def smoke(*overrides: str) -> MultiCropRecipe:
    recipe = load_recipe("multi_crop_smoke", list(overrides))
    assert isinstance(recipe, MultiCropRecipe)
    return recipe


ALONE = World()


def work(recipe: MultiCropRecipe, world: World = ALONE):
    return multi_crop_work(recipe, BODY, SAMPLES, SAMPLES, world, CPU)


def all_people(recipe: MultiCropRecipe) -> CropBatch:
    return first_of(recipe, 8)


def first_of(recipe: MultiCropRecipe, count: int) -> CropBatch:
    learner = work(recipe).learner
    look, size = _second_look(recipe, learner.model.config, BODY, CPU)
    return look(collate_scenes(SAMPLES[:count], size, 4), range(count))


def tensors(batch: CropBatch) -> Iterator[tuple[str, torch.Tensor]]:
    for field in dataclasses.fields(batch):
        value = getattr(batch, field.name)
        if isinstance(value, Bodies):
            yield from ((f"{field.name}.{part.name}", getattr(value, part.name)) for part in dataclasses.fields(value))
        else:
            yield field.name, value


def assert_same(one: CropBatch, other: CropBatch) -> None:
    for (name, ours), (_, theirs) in zip(tensors(one), tensors(other), strict=True):
        assert torch.equal(ours, theirs), name


@pytest.fixture(scope="module")
def single_shot(tmp_path_factory) -> Path:
    """Weights of the smallest single-shot network, of the sizes of the smallest second look."""
    recipe = load_recipe("smoke")
    path = tmp_path_factory.mktemp("weights") / "first.safetensors"
    model = start_model(training_config(recipe.network, BODY.info, "first"), BODY.info, 3)
    with torch.no_grad():
        model.backbone.pos_embed.normal_(generator=torch.Generator().manual_seed(0))
    save_weights(model, path)
    return path


# ---- people and their crops


def test_truth_without_noise_is_the_truth() -> None:
    batch = all_people(smoke(*TRUTH, *QUIET, *STILL))
    assert len(batch) >= 6
    for field in dataclasses.fields(Bodies):
        ours, theirs = getattr(batch.estimate, field.name), getattr(batch.true, field.name)
        torch.testing.assert_close(ours, theirs, atol=2e-3 if field.name in ("shape", "expression") else 2e-5, rtol=0)


def test_noise_is_as_large_as_asked_for() -> None:
    recipe = smoke(*TRUTH, *QUIET, *STILL, "estimates.root_deg=20", "estimates.joint_deg=10", "estimates.depth=0.1")
    learner = work(recipe).learner
    look, size = _second_look(recipe, learner.model.config, BODY, CPU)
    scenes = collate_scenes(SAMPLES, size, 4)
    batches = [look(scenes, range(8 * turn, 8 * turn + 8)) for turn in range(20)]
    turns = torch.cat([batch.estimate.rotmats @ batch.true.rotmats.transpose(-1, -2) for batch in batches]).numpy()
    degrees = np.degrees(np.linalg.norm(rotmat_to_rotvec(turns.reshape(-1, 3, 3)), axis=-1)).reshape(turns.shape[:2])
    assert math.sqrt((degrees[:, 0] ** 2).mean()) == pytest.approx(20, rel=0.15)
    assert math.sqrt((degrees[:, 1:] ** 2).mean()) == pytest.approx(10, rel=0.05)
    deeper = torch.cat([(batch.estimate.center[:, 2] / batch.true.center[:, 2]).log() for batch in batches])
    assert deeper.std().item() == pytest.approx(0.1, rel=0.2)


@pytest.mark.parametrize("scheme", ["fixed", "random"])
@pytest.mark.parametrize("source", ["truth", "first_pass"])
def test_chance_follows_from_the_seed_and_the_place_in_the_stream(source: str, scheme: str, single_shot: Path) -> None:
    changes = (f"estimates.weights={single_shot}", f"network.scheme={scheme}", f"estimates.source={source}")
    recipe = smoke("data.batch_size=4", "data.workers=0", *changes)
    step_two = next(work(recipe).feed(2))
    for _, again in zip(range(3), work(recipe).feed(0), strict=False):
        last = again
    assert_same(step_two, last)
    halves = [next(work(recipe, World(rank=rank, size=2)).feed(2)) for rank in (0, 1)]
    assert len(halves[0]) + len(halves[1]) == len(step_two)
    torch.testing.assert_close(torch.cat([half.center_px for half in halves]), step_two.center_px)
    torch.testing.assert_close(torch.cat([half.true.center for half in halves]), step_two.true.center)
    other = next(work(dataclasses.replace(recipe, seed=1)).feed(2))
    assert other.center_px.shape != step_two.center_px.shape or not torch.equal(other.center_px, step_two.center_px)


def test_the_plain_crop_holds_what_was_estimated() -> None:
    batch = all_people(smoke(*TRUTH, *STILL))
    px = batch.estimate.vertices / batch.estimate.vertices[..., 2:] @ batch.k.transpose(1, 2)
    places = in_crops(px[:, None, :, :2], batch.boxes)[:, 0]
    torch.testing.assert_close(places.abs().amax((1, 2)), torch.full((len(batch),), 1 / 1.2), atol=1e-4, rtol=0)


def test_estimates_of_a_network_are_what_it_says_at_the_peoples_tokens(single_shot: Path) -> None:
    """An untrained network has everybody stand at one distance, on the ray of the token."""
    batch = all_people(smoke(f"estimates.weights={single_shot}", *STILL))
    assert len(batch) >= 6
    per_focal = batch.estimate.center[:, 2] / batch.k[:, 0, 0]
    torch.testing.assert_close(per_focal, per_focal[:1].expand_as(per_focal))
    torch.testing.assert_close(batch.estimate.rotmats, batch.estimate.rotmats[:1].expand_as(batch.estimate.rotmats))
    px, true = (points / points[:, 2:] @ batch.k[0].T for points in (batch.estimate.center, batch.true.center))
    assert (px - true).abs().max() < 14 * 96 / 112  # a token of the network's input, in pixels of the image


def test_bounds_of_people_partly_behind_the_camera() -> None:
    k = torch.tensor([[[100.0, 0, 50], [0, 100, 40], [0, 0, 1]]])
    points = torch.tensor([[[0.0, 0, 1], [1, 1, 2], [5, 5, -1]]])
    torch.testing.assert_close(projected_bounds(points, k), torch.tensor([[50.0, 40, 100, 90]]))
    assert projected_bounds(-points[:, :2], k).isnan().all()
    bounds = torch.tensor([[0.0, 0, 4, 4], [10, 10, 60, 90], [-9e3, 0, 9e3, 50], [200, 0, 240, 50], [math.nan] * 4])
    assert worth_looking(bounds, (80, 100)).tolist() == [False, True, False, False, False]


def test_nobody_costs_nothing_and_moves_nothing() -> None:
    batch = first_of(smoke(*TRUTH), 3)
    nobody = dataclasses.replace(
        batch, **{name: getattr(batch, name)[:0] for name in ("of_image", "k", "center_px", "size_px", "visible")},
        estimate=batch.estimate.select(torch.tensor([], dtype=torch.long)),
        true=batch.true.select(torch.tensor([], dtype=torch.long)),
    )  # fmt: skip
    learner = work(smoke(*TRUTH)).learner
    losses = learner(nobody)
    losses.total.backward()
    assert losses.total.item() == 0 and all(value == 0 for value in losses.metrics.values())
    assert not any(p.grad is not None and p.grad.any() for p in learner.parameters())


# ---- the losses


def test_the_truth_costs_nothing() -> None:
    batch = all_people(smoke(*TRUTH))
    learner = work(smoke(*TRUTH)).learner
    weights = CropLossWeights(**dict.fromkeys(TERMS, 1.0))
    terms = body_terms(batch.true, batch.true, learner.layout, weights)
    assert set(terms) == set(TERMS) - {"keypoints_2d", "camera", "contrastive"}
    assert all((term == 0).all() for term in terms.values())
    everywhere = batch.true.keypoints[:, None].expand(-1, batch.center_px.shape[1], -1, -1)
    seen = (everywhere, batch.k, batch.boxes, batch.true.keypoints, batch.visible)
    assert (keypoints_in_crops(*seen) == 0).all()
    moved = keypoints_in_crops(everywhere + 0.1, *seen[1:])
    assert (moved > 0).all() and (keypoints_in_crops(everywhere + 0.2, *seen[1:]) > moved).all()
    assert (keypoints_in_crops(everywhere + 0.1, *seen[1:4], 0 * batch.visible) == 0).all()


def test_each_loss_can_be_left_out() -> None:
    recipe = smoke(*TRUTH, *(f"losses.{name}=1" for name in TERMS))
    batch = first_of(recipe, 2)
    model = work(recipe).learner.model
    everything = CropObjective(model, BODY, recipe.losses)(batch)
    assert set(everything.terms) == set(TERMS)
    for left in TERMS:
        fewer = CropObjective(model, BODY, dataclasses.replace(recipe.losses, **{left: 0.0}))(batch)
        assert set(fewer.terms) == set(TERMS) - {left}
        torch.testing.assert_close(fewer.total + everything.terms[left], everything.total, atol=1e-4, rtol=1e-5)


def test_a_start_of_the_first_pass_begins_there() -> None:
    recipe = smoke(*TRUTH, "network.start=first_pass")
    metrics = work(recipe).learner.eval()(all_people(recipe)).metrics
    for name in ("pve_mm", "hands_mm", "root_deg", "depth_percent"):
        assert metrics[name] == pytest.approx(metrics[f"start_{name}"].item(), rel=0.05), name
    mean = smoke(*TRUTH, "network.start=mean", "estimates.root_deg=5")
    metrics = work(mean).learner.eval()(all_people(mean)).metrics
    assert metrics["root_deg"] > 2 * metrics["start_root_deg"] > 0


def test_losses_of_two_processes_add_up() -> None:
    """All but the contrastive one, which knows the people of its own process alone."""
    recipe = smoke(*TRUTH, "data.batch_size=4", "data.workers=0", "losses.contrastive=0", "network.contrastive=false")
    learner = work(recipe).learner
    whole = next(work(recipe).feed(0))
    halves = [next(work(recipe, World(rank=rank, size=2)).feed(0)) for rank in (0, 1)]
    counts = sum(learner.counts(half) for half in halves)
    assert counts == learner.counts(whole)
    total = sum(learner(half, counts).total for half in halves)
    torch.testing.assert_close(total, learner(whole).total, rtol=1e-4, atol=1e-4)


# ---- learning


def test_it_learns_and_the_crops_of_a_person_come_closer() -> None:
    recipe = smoke(*TRUTH, "length.steps=30", "length.log_every=10", "length.validate_every=30", "losses.contrastive=5")
    batch = first_of(recipe, 5)
    rows = []
    trainer = Trainer(
        work(recipe).learner, recipe, lambda step: itertools.repeat(batch), [batch], clock=lambda: 0.0,
        show=lambda progress, values: rows.append(dict(values)),
    )  # fmt: skip
    assert trainer.run()
    first, last, validation = rows[0], rows[-2], rows[-1]
    assert last["contrastive"] < first["contrastive"] - 0.1
    assert last["pve_mm"] < 0.9 * first["start_pve_mm"]
    assert last["loss"] < 0.8 * first["loss"]
    assert {"validation contrastive", "validation camera", "validation hands_mm"} <= set(validation)


def run_to(folder: Path, recipe: MultiCropRecipe, last: int, *, resume: bool = False) -> dict[str, torch.Tensor]:
    """Runs until so many steps are done, and returns all that is trained."""
    made = work(recipe)

    def feed(step: int) -> Iterator[CropBatch]:
        for number, batch in enumerate(made.feed(step), step + 1):
            trainer.stop = number == last
            yield batch

    run = RunFolder(folder, tensorboard=False)
    run.begin(recipe, {}, "cpu")
    trainer = Trainer(made.learner, recipe, feed, [], folder=run, clock=lambda: 0.0)
    if resume:
        trainer.resume(run.checkpoints)
    trainer.run()
    assert trainer.progress.step == last
    return trainer.objective.state_dict() | {
        f"average {name}": value for name, value in trainer.average.tensors.items()
    }


def test_a_run_that_was_stopped_goes_on_as_if_nothing_had_happened(tmp_path: Path, single_shot: Path) -> None:
    recipe = smoke(f"estimates.weights={single_shot}", "data.batch_size=2", "length.pictures=0")
    whole = run_to(tmp_path / "whole", recipe, 6)
    run_to(tmp_path / "parts", recipe, 4)
    parts = run_to(tmp_path / "parts", recipe, 6, resume=True)
    assert whole.keys() == parts.keys()
    for name, tensor in whole.items():
        assert torch.equal(tensor, parts[name]), name


def test_the_command_trains_and_writes_weights_and_pictures(tmp_path: Path, single_shot: Path) -> None:
    changes = [f"estimates.weights={single_shot}", f"network.backbone={single_shot}", "data.batch_size=2"]
    changes += ["data.validation_images=2", "length.steps=2"]
    arguments = ["--recipe", "multi_crop_smoke", "--data", str(write_data(tmp_path / "data")), "--device", "cpu"]
    out = tmp_path / "run"
    assert main(["train", *arguments, "--threads", "1", "--out", str(out), "--set", *changes]) == 0
    model = load_multi_crop(out / "weights.safetensors")
    assert (model.config.weights, model.config.start, model.config.num_crops) == ("multi_crop_smoke", "first_pass", 3)
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert {"pve_mm", "start_pve_mm", "hands_mm", "camera", "contrastive"} <= set(rows[-1])
    assert list((out / "pictures").glob("*.jpg"))


def test_a_run_of_one_kind_does_not_go_on_as_another(tmp_path: Path, capsys) -> None:
    data, out = write_data(tmp_path / "data"), tmp_path / "run"
    arguments = ["train", "--data", str(data), "--out", str(out), "--device", "cpu", "--threads", "1"]
    changes = ["--set", "data.batch_size=2", "data.validation_images=2", "length.pictures=0"]
    assert main([*arguments, "--recipe", "multi_crop_smoke", *changes, *TRUTH, "length.steps=1"]) == 0
    assert main([*arguments, "--recipe", "smoke", "--resume", *changes]) != 0
    assert "kind ('multi_crop' -> 'single_shot')" in " ".join(capsys.readouterr().err.split())


# ---- where it starts


def test_the_encoder_starts_from_the_single_shot_backbone(single_shot: Path) -> None:
    model = work(smoke("estimates.source=truth", f"network.backbone={single_shot}")).learner.model
    source = load_weights(single_shot)
    for name, tensor in source.backbone.state_dict().items():
        if name != "pos_embed":
            assert torch.equal(model.encoder.backbone.state_dict()[name], tensor), name


def test_starts_that_do_not_fit_are_refused(single_shot: Path, tmp_path: Path) -> None:
    model = work(smoke(*TRUTH)).learner.model
    with pytest.raises(WeightsError, match="no such weights file"):
        load_crop_start(model, str(tmp_path / "none.safetensors"))
    with pytest.raises(WeightsError, match="Weights that find people go in as weights"):
        load_crop_start(model, str(single_shot))
    wider = work(smoke(*TRUTH, "network.hidden=48"))
    wider.learner.save(tmp_path / "wide.safetensors", half=False)
    with pytest.raises(WeightsError, match="of another network: hidden 48; set network"):
        load_crop_start(model, str(tmp_path / "wide.safetensors"))
    with pytest.raises(WeightsError, match="expected a vit of the encoder's sizes"):
        load_crop_backbone(work(smoke(*TRUTH, "network.width=64")).learner.model, str(single_shot))
    work(smoke(*TRUTH)).learner.save(tmp_path / "same.safetensors", half=False)
    load_crop_start(model, str(tmp_path / "same.safetensors"))


def test_shares_are_parts_of_one_batch() -> None:
    recipe = smoke(*TRUTH)
    learner = work(recipe).learner
    look, size = _second_look(recipe, learner.model.config, BODY, CPU)
    scenes = [collate_scenes(SAMPLES[2 * i : 2 * i + 2], size, 4) for i in range(2)]
    alone = list(crop_batches(iter(scenes), look, 2, CPU, share=Share()))
    second = next(crop_batches(iter(scenes[1:]), look, 4, CPU, share=Share(1, 2)))
    assert_same(alone[1], second)
