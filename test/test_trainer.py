"""The trainer: it learns, skips what is not finite, keeps the average, and goes on where it stopped."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import random
import stat
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from training_fakes import BODY, batches_of, made_up_samples, smoke_objective, smoke_trainer

from ros2_multihmr.model.checkpoint import load_weights, save_weights
from ros2_multihmr.training.checkpoints import (
    Checkpoint,
    Progress,
    load_checkpoint,
    newest_checkpoint,
    random_state,
    restore_random_state,
    save_checkpoint,
)
from ros2_multihmr.training.initialise import FIRST_DEPTH, FIRST_SCORE
from ros2_multihmr.training.objective import Losses
from ros2_multihmr.training.optimiser import Average
from ros2_multihmr.training.recipe import load_recipe
from ros2_multihmr.training.run_folder import RunFolder, recipe_of

SMOKE = load_recipe("smoke")


@pytest.fixture(scope="module")
def batches() -> list:
    return batches_of(made_up_samples(6), SMOKE)


def lines(folder: Path, kind: str = "train") -> list[dict]:
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [row for row in rows if row["kind"] == kind]


def state(trainer) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in trainer.objective.state_dict().items()}


def assert_same(one: dict, other: dict) -> None:
    assert one.keys() == other.keys()
    for name in one:
        assert torch.equal(one[name], other[name]), name


# ---- where it starts


def test_an_untrained_network_sees_nobody_and_thinks_of_a_person_who_stands(batches) -> None:
    model = smoke_objective(SMOKE).model
    tokens = model.backbone(batches[0].pixels)
    torch.testing.assert_close(model.score(tokens), torch.full((2, 8, 8), FIRST_SCORE), atol=0.004, rtol=0)
    raw = model(batches[0].pixels, batches[0].k, torch.tensor(0.0))
    focal = batches[0].k[:, 0, 0] / (112 / (2 * math.tan(math.radians(30))))
    torch.testing.assert_close(raw.depth, (FIRST_DEPTH * focal)[:, None].expand_as(raw.depth))
    posed = BODY(raw.rotmats[0, :1], raw.shape[0, :1], raw.expression[0, :1], torch.tensor([[0.0, 0, 4]]))
    names = BODY.info.keypoint_names
    head, foot, nose = (posed.keypoints[0, names.index(name)] for name in ("head", "left_ankle", "nose"))
    assert foot[1] - head[1] > 1.0  # y points down
    assert nose[2] < head[2]  # towards the camera


def test_the_start_depends_on_the_seed_alone() -> None:
    one, same = smoke_objective(SMOKE), smoke_objective(SMOKE)
    assert_same(one.state_dict(), same.state_dict())
    other = smoke_objective(dataclasses.replace(SMOKE, seed=1))
    assert not torch.equal(one.model.backbone.pos_embed, other.model.backbone.pos_embed)


def test_gradients_reach_every_parameter(batches) -> None:
    objective = smoke_objective(SMOKE)
    optimiser = torch.optim.AdamW(objective.parameters(), lr=1e-3)
    for _ in range(4):  # what lies before layers of zeros hears nothing in the first step
        optimiser.zero_grad()
        objective(batches[0]).total.backward()
        optimiser.step()
    silent = [name for name, p in objective.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


# ---- how it learns


def test_it_learns_what_it_sees(tmp_path: Path, batches) -> None:
    changes = ["length.steps=60", "optimiser.learning_rate=3e-3", "length.validate_every=60"]
    trainer = smoke_trainer(tmp_path, batches[:1], changes, validation=batches[:1])
    assert trainer.run()
    losses = [line["loss"] for line in lines(tmp_path)]
    assert len(losses) == 60
    assert losses[-1] < 0.6 * losses[0]
    (validation,) = lines(tmp_path, "validation")
    assert validation["loss"] < losses[0]
    assert trainer.progress.best_step == 60


def test_the_averaged_weights_come_out_and_load_as_any_others(tmp_path: Path, batches) -> None:
    trainer = smoke_trainer(tmp_path, batches, validation=batches[:1])
    assert trainer.run()
    network = load_weights(tmp_path / "weights.safetensors")
    assert (network.config.untrained, network.config.weights, network.config.body) == (False, "smoke", "anny")
    for name, tensor in network.named_parameters():
        assert torch.equal(tensor, trainer.average.tensors[f"model.{name}"])
    assert not torch.equal(network.to_score.fc1.weight, trainer.objective.model.to_score.fc1.weight)
    raw = network(batches[0].pixels, batches[0].k, torch.tensor(0.3))
    assert torch.isfinite(raw.rotmats).all()


def test_weights_with_16_bits_are_half_the_size(tmp_path: Path, batches) -> None:
    for half in ("false", "true"):
        smoke_trainer(tmp_path / half, batches, ["length.steps=1", f"length.half={half}"]).run()
    sizes = [(tmp_path / half / "weights.safetensors").stat().st_size for half in ("false", "true")]
    assert 0.5 <= sizes[1] / sizes[0] < 0.55
    load_weights(tmp_path / "true" / "weights.safetensors")


def test_a_step_without_people_changes_what_it_can(batches) -> None:
    empty = batches_of([s for s in made_up_samples(9) if len(s.labels) == 0], SMOKE)
    trainer = smoke_trainer(None, empty, ["length.steps=2"])
    assert trainer.run() and trainer.progress.skipped == 0


def test_the_average_remembers_less_while_it_is_young() -> None:
    layer = torch.nn.Linear(1, 1, bias=False)
    layer.weight.data.fill_(0.0)
    average = Average(layer, 0.9)
    layer.weight.data.fill_(1.0)
    average.update(layer, 0)
    assert float(average.tensors["weight"]) == pytest.approx(0.9)  # memory 1 / 10
    average.update(layer, 10**6)
    assert float(average.tensors["weight"]) == pytest.approx(0.91)
    average.swap(layer)
    assert layer.weight.item() == pytest.approx(0.91) and float(average.tensors["weight"]) == 1.0
    average.swap(layer)
    assert layer.weight.item() == 1.0


# ---- numbers that are not finite


class Poisoned(torch.nn.Module):
    """An objective whose loss is NaN at some calls."""

    def __init__(self, objective, bad) -> None:
        super().__init__()
        self.objective, self.bad, self.calls = objective, bad, 0
        self.body, self.model = objective.body, objective.model
        self.counts, self.save = objective.counts, objective.save

    def forward(self, batch, counts=None) -> Losses:
        losses = self.objective(batch, counts)
        self.calls += 1
        return losses._replace(total=losses.total * math.nan) if self.bad(self.calls) else losses


def test_a_step_that_is_not_finite_changes_nothing_and_is_counted(batches) -> None:
    trainer = smoke_trainer(
        None, batches, ["length.steps=1"], objective=Poisoned(smoke_objective(SMOKE), lambda _: True)
    )
    before = state(trainer)
    assert trainer.run()
    assert_same(before, state(trainer))
    assert (trainer.progress.step, trainer.progress.skipped) == (1, 1)


def test_the_run_goes_on_after_a_bad_step(tmp_path: Path, batches) -> None:
    poisoned = Poisoned(smoke_objective(SMOKE), lambda call: call in (2, 4))
    trainer = smoke_trainer(tmp_path, batches, ["length.steps=6", "optimiser.most_skips=2"], objective=poisoned)
    assert trainer.run()
    assert (trainer.progress.skipped, trainer.progress.skipped_in_a_row) == (2, 0)
    assert all(math.isfinite(line["loss"]) for line in lines(tmp_path) if "loss" in line)


def test_too_many_bad_steps_end_the_run_with_a_reason(batches) -> None:
    poisoned = Poisoned(smoke_objective(SMOKE), lambda call: call > 2)
    trainer = smoke_trainer(None, batches, ["length.steps=50", "optimiser.most_skips=3"], objective=poisoned)
    with pytest.raises(FloatingPointError, match=r"step 4: .*3 steps in a row; lower optimiser.learning_rate"):
        trainer.run()


def test_half_precision_scales_its_loss(batches) -> None:
    trainer = smoke_trainer(None, batches, ["length.steps=3", "optimiser.precision=float16"])
    assert trainer.scaler.is_enabled()
    before = state(trainer)
    trainer.run()
    assert trainer.progress.skipped < 3
    assert not torch.equal(before["model.backbone.pos_embed"], state(trainer)["model.backbone.pos_embed"])


# ---- time


def test_a_run_of_some_minutes_ends_annealed(tmp_path: Path, batches) -> None:
    now = iter(range(10**6))
    changes = ["length.steps=0", "length.max_minutes=1", "optimiser.warm_up_steps=0", "optimiser.final_fraction=0"]
    trainer = smoke_trainer(tmp_path, batches, changes, clock=lambda: float(next(now)))
    assert trainer.run()
    rates = [line["learning_rate"] for line in lines(tmp_path)]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] > 0.9 * SMOKE.optimiser.learning_rate and rates[-1] < 0.02 * SMOKE.optimiser.learning_rate
    assert 60 <= load_checkpoint(newest_checkpoint(tmp_path / "checkpoints")).progress.elapsed_s < 63


# ---- going on


@pytest.mark.parametrize(("stop_after", "kind"), [(1, "adamw"), (4, "adamw"), (4, "muon")])
def test_a_run_that_was_stopped_ends_as_if_it_had_not_been(tmp_path: Path, batches, stop_after: int, kind: str) -> None:
    changes = ["length.steps=7", "length.validate_every=3", f"optimiser.kind={kind}"]
    whole = smoke_trainer(tmp_path / "whole", batches, changes, validation=batches[:1])
    assert whole.run()

    stopped = smoke_trainer(tmp_path / "stopped", batches, changes, validation=batches[:1])
    stopped._show = lambda progress, values: setattr(stopped, "stop", progress.step >= stop_after)
    assert not stopped.run()
    assert stopped.progress.step == stop_after
    torch.rand(3)
    resumed = smoke_trainer(tmp_path / "stopped", batches, changes, validation=batches[:1])
    resumed.resume(tmp_path / "stopped" / "checkpoints")
    assert resumed.progress.step == stop_after
    assert resumed.run()

    assert_same(state(whole), state(resumed))
    assert_same(whole.average.tensors, resumed.average.tensors)
    assert whole.progress == resumed.progress
    assert [line["loss"] for line in lines(tmp_path / "whole")] == [
        line["loss"] for line in lines(tmp_path / "stopped")
    ]


def test_without_a_checkpoint_a_run_starts_at_the_beginning(tmp_path: Path, batches) -> None:
    trainer = smoke_trainer(None, batches)
    trainer.resume(tmp_path / "nowhere")
    assert trainer.progress == Progress()


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path, batches) -> None:
    smoke_trainer(tmp_path, batches, ["length.steps=1"]).run()
    other = smoke_trainer(None, batches, ["network.width=16"])
    with pytest.raises(ValueError, match="of another network than the recipe's"):
        other.resume(tmp_path / "checkpoints")


# ---- checkpoints


def checkpoint(step: int, best: int = -1) -> Checkpoint:
    weights = {"a": torch.arange(3.0) + step}
    optimiser = {0: {"step": torch.tensor(float(step)), "exp_avg": torch.ones(3)}}
    scaler = {"scale": 2.0, "_growth_tracker": 1}
    progress = Progress(step=step, elapsed_s=0.1, best_loss=1 / 3, best_step=best)
    return Checkpoint(progress, weights, {"a": torch.zeros(3)}, optimiser, scaler, {"seed": 1}, random_state())


def test_checkpoints_come_back_exactly(tmp_path: Path) -> None:
    before = checkpoint(3)
    after = load_checkpoint(save_checkpoint(tmp_path, before, 1))
    for kind in ("progress", "scaler", "recipe"):
        assert getattr(after, kind) == getattr(before, kind)
    assert_same(after.weights, before.weights)
    assert_same(after.optimiser[0], before.optimiser[0])
    endless = dataclasses.replace(before, progress=Progress())
    assert load_checkpoint(save_checkpoint(tmp_path / "other", endless, 1)).progress == Progress()


def test_the_newest_and_the_best_are_kept(tmp_path: Path) -> None:
    for step in range(1, 7):
        save_checkpoint(tmp_path, checkpoint(step, best=2 if step > 1 else -1), keep=2)
    steps = sorted(load_checkpoint(path).progress.step for path in tmp_path.iterdir())
    assert steps == [2, 5, 6]
    assert load_checkpoint(newest_checkpoint(tmp_path)).progress.step == 6


def test_a_file_that_was_being_written_is_no_checkpoint(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, checkpoint(1), 1)
    (tmp_path / ".step-000000002.safetensors.part").write_bytes(b"half")
    assert load_checkpoint(newest_checkpoint(tmp_path)).progress.step == 1


def test_a_write_that_fails_leaves_the_old_one(tmp_path: Path, monkeypatch) -> None:
    path = save_checkpoint(tmp_path, checkpoint(1), 1)

    def fail(tensors, file, metadata) -> None:
        Path(file).write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr("ros2_multihmr.training.checkpoints.save_file", fail)
    with pytest.raises(OSError, match="disk full"):
        save_checkpoint(tmp_path, checkpoint(2), 1)
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_told_as_the_system_tells_it(tmp_path: Path, monkeypatch) -> None:
    def fail(tensors, file, metadata) -> None:
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("ros2_multihmr.training.checkpoints.save_file", fail)
    with pytest.raises(OSError, match=r"step-000000002\.safetensors: cannot be written .*No space left on device"):
        save_checkpoint(tmp_path, checkpoint(2), 1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_files_have_the_rights_that_the_umask_leaves(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        save_weights(smoke_objective(SMOKE).model, tmp_path / "weights.safetensors")
        save_checkpoint(tmp_path, checkpoint(1), 1)
    finally:
        os.umask(before)
    assert [stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()] == [mode, mode]


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, checkpoint(1), 1)
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(ValueError, match="damaged"):
        load_checkpoint(path)


def test_random_generators_go_on() -> None:
    before = random_state()
    drawn = (torch.rand(2).tolist(), np.random.rand(2).tolist(), random.random(), random.gauss(0, 1))
    restore_random_state(
        json.loads(json.dumps({k: v for k, v in before.items() if k in ("python", "numpy")}))
        | {"torch": before["torch"]}
    )
    assert (torch.rand(2).tolist(), np.random.rand(2).tolist(), random.random(), random.gauss(0, 1)) == drawn


# ---- the folder


def test_the_folder_says_what_ran(tmp_path: Path, batches) -> None:
    trainer = smoke_trainer(
        tmp_path, batches, validation=batches[:1], draw=lambda model: [np.zeros((4, 6, 3), np.uint8)]
    )
    trainer.run()
    about = json.loads((tmp_path / "run.json").read_text())
    assert about["machine"]["torch"] and about["version"]
    assert recipe_of(tmp_path) == SMOKE
    assert [path.name for path in sorted((tmp_path / "pictures").iterdir())] == [
        "step-000000003-0.jpg",
        "step-000000006-0.jpg",
    ]
    assert {"loss", "vertices", "mpjpe_mm", "learning_rate", "images_per_s"} <= set(lines(tmp_path)[0])


def test_metrics_after_the_checkpoint_are_forgotten(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, tensorboard=False)
    for step in (1, 2, 3):
        folder.write_metrics("train", step, {"loss": 1.0})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"kind": "train", "st')
    folder.rewind(2)
    assert [line["step"] for line in lines(tmp_path)] == [1, 2]


def test_without_tensorboard_the_remedy_is_told(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
    with pytest.raises(ValueError, match=r"pip install 'multihmr\[train\]'"):
        RunFolder(tmp_path, tensorboard=True)


def test_tensorboard_gets_the_numbers(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    folder = RunFolder(tmp_path, tensorboard=True)
    folder.write_metrics("train", 1, {"loss": 1.0})
    folder.close()
    (file,) = (tmp_path / "tensorboard").iterdir()
    assert b"train/loss" in file.read_bytes()


def test_checkpoints_hold_no_pickle(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, checkpoint(1), 1)
    assert set(load_file(path)) >= {"weights/a", "average/a", "optimiser/0/exp_avg", "random/torch"}
