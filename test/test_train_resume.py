"""`multihmr train` as a process: killed at any moment and resumed, it ends as if nothing had happened."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from training_fakes import write_data

from ros2_multihmr.cli import main
from ros2_multihmr.training.checkpoints import newest_checkpoint
from ros2_multihmr.training.run_folder import RunFolder
from ros2_multihmr.verbs.train import _new_folder

STEPS = 40
SETTINGS = (
    *(f"length.steps={STEPS}", "length.validate_every=15", "length.checkpoint_every=4", "length.pictures=0"),
    *("data.workers=1", "data.batch_size=2", "data.validation_images=2"),
)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory) -> Path:
    """A run that nobody disturbed."""
    out = tmp_path_factory.mktemp("whole")
    assert start(data, out).wait(120) == 0
    return out


def start(data: Path, out: Path, *more: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "ros2_multihmr.cli", "train", "--data", str(data), "--out", str(out)]
    command += ["--recipe", "smoke", "--threads", "1", "--device", "cpu", "--set", *SETTINGS, *more]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, **quiet, start_new_session=True)


def steps(out: Path) -> int:
    path = out / "metrics.jsonl"
    return path.read_text().count('"kind": "train"') if path.exists() else 0


def wait_for(process: subprocess.Popen, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 100
    while not condition():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.002)


def assert_same_run(one: Path, other: Path) -> None:
    assert (one / "weights.safetensors").read_bytes() == (other / "weights.safetensors").read_bytes()
    ends = [load_file(newest_checkpoint(out / "checkpoints")) for out in (one, other)]
    assert ends[0].keys() == ends[1].keys()
    for name in ends[0]:
        assert torch.equal(ends[0][name], ends[1][name]), name
    losses = [
        [(row["kind"], row["step"], row["loss"]) for row in map(json.loads, (out / "metrics.jsonl").open())]
        for out in (one, other)
    ]
    assert losses[0] == losses[1]


def test_a_run_that_is_killed_again_and_again_ends_with_the_same_weights(
    data: Path, whole: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    for reached in (1, 9):
        process = start(data, out, "--resume")
        wait_for(process, lambda reached=reached: steps(out) >= reached)
        process.send_signal(signal.SIGKILL)
        assert process.wait(20) == -signal.SIGKILL
        process.stderr.close()
    assert start(data, out, "--resume").wait(120) == 0
    assert_same_run(whole, out)


def test_signals_save_and_leave(data: Path, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    for number, reached in ((signal.SIGTERM, 5), (signal.SIGINT, 12)):
        process = start(data, out, "--resume")
        wait_for(process, lambda reached=reached: steps(out) >= reached)
        os.killpg(process.pid, number)  # as a terminal and service managers do: the workers get it, too
        _, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) == (130, "")
        assert steps(out) < STEPS
        stopped = newest_checkpoint(out / "checkpoints")
        assert int(stopped.stem.removeprefix("step-")) == steps(out)
    assert start(data, out, "--resume").wait(120) == 0
    assert_same_run(whole, out)


def test_a_run_is_not_overwritten_and_only_its_length_may_change(data: Path, whole: Path, capsys) -> None:
    args = ["train", "--data", str(data), "--out", str(whole), "--device", "cpu"]
    for recipe in ([], ["--recipe", "smoke"]):
        assert main([*args, *recipe]) == 2
        assert "there is a run already; go on with --resume" in capsys.readouterr().err
        assert main([*args, *recipe, "--resume", "--set", "optimiser.learning_rate=1.0"]) == 2
        message = capsys.readouterr().err
        assert re.search(
            r"--out \S+: optimiser.learning_rate \(0.\d+ -> 1.0\) cannot change while a run goes on", message
        )


def test_another_recipe_is_refused_with_its_differences(data: Path, whole: Path, tmp_path: Path, capsys) -> None:
    before = {path: path.read_bytes() for path in whole.glob("*.*") if path.is_file()}
    args = ["train", "--data", str(data), "--out", str(whole), "--device", "cpu", "--resume"]
    assert main([*args, "--recipe", "embedded"]) == 2
    message = capsys.readouterr().err
    assert "name ('smoke' -> 'embedded')" in message and "network.width (" in message
    assert "length." not in message.partition("cannot change")[0]
    assert "leave --recipe away" in message
    assert {path: path.read_bytes() for path in before} == before


def test_a_given_recipes_length_counts_and_none_given_is_the_runs(data: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "run"
    args = ["train", "--data", str(data), "--out", str(out), "--device", "cpu"]
    assert main([*args, "--recipe", "smoke", "--set", "length.steps=1", "length.pictures=0"]) == 0
    assert main([*args, "--resume"]) == 0
    assert steps(out) == 1
    longer = tmp_path / "smoke.yaml"
    longer.write_text((out / "recipe.yaml").read_text().replace("steps: 1\n", "steps: 3\n"))
    capsys.readouterr()
    assert main([*args, "--resume", "--recipe", str(longer)]) == 0
    assert steps(out) == 3
    assert "Goes on with another length.steps: 1 -> 3" in capsys.readouterr().out


def test_a_second_run_is_kept_out_of_a_live_ones_folder(data: Path, whole: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "run"
    process = start(data, out)
    wait_for(process, lambda: steps(out) >= 1)
    process.send_signal(signal.SIGSTOP)
    args = ["train", "--data", str(data), "--out", str(out), "--device", "cpu", "--resume"]
    assert main(args) == 2
    process.send_signal(signal.SIGCONT)
    assert f"another run is writing there (process {process.pid} on " in capsys.readouterr().err
    assert process.wait(120) == 0
    process.stderr.close()
    assert_same_run(whole, out)
    assert main(args) == 0


def test_two_new_runs_in_one_folder(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("length: {steps: 1}")
    with pytest.raises(ValueError, match="another run began there meanwhile"), _new_folder(tmp_path):
        pass


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("network.weights=none.safetensors", "none.safetensors: no such weights file"),
        ("network.backbone=none.pth", "none.pth: no such weights file"),
        ("data.batch_size=8", "validation: expected at least a batch of 8 images"),
    ],
)
def test_a_start_that_fails_leaves_nothing_and_the_mended_command_runs(
    data: Path, tmp_path: Path, capsys, wrong: str, message: str
) -> None:
    out = tmp_path / "run"
    args = ["train", "--data", str(data), "--out", str(out), "--device", "cpu", "--recipe", "smoke"]
    assert main([*args, "--set", wrong]) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()
    assert main([*args, "--set", "length.steps=1", "length.pictures=0"]) == 0


def test_a_full_disk_ends_the_run_in_one_line_and_it_goes_on(data: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    out = tmp_path / "run"
    args = ["train", "--data", str(data), "--out", str(out), "--device", "cpu", "--recipe", "smoke"]
    args += ["--set", "length.steps=3", "length.pictures=0"]
    out.mkdir()
    (out / "metrics.jsonl").symlink_to("/dev/full")  # which has no end, so it must not be read
    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "rewind", lambda self, step: None)
        assert main(args) == 2
    message = capsys.readouterr().err
    assert re.search(r"No space left on device: '\S+/metrics.jsonl'; the run ended after step 1\.", message)
    assert "the same command with --resume goes on" in message
    (out / "metrics.jsonl").unlink()
    assert main([*args, "--resume"]) == 0
    assert steps(out) == 3


def test_a_run_that_is_over_can_be_made_longer(data: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "run")
    args = ["train", "--data", str(data), "--out", out, "--recipe", "smoke", "--device", "cpu"]
    few = ["length.steps=2", "length.pictures=1"]
    assert main([*args, "--set", *few]) == 0
    assert main([*args, "--resume", "--set", "length.steps=4"]) == 0
    assert steps(tmp_path / "run") == 4
    assert len(list((tmp_path / "run" / "pictures").iterdir())) >= 2


def test_the_weights_are_described_by_info(whole: Path, capsys) -> None:
    assert main(["info", str(whole / "weights.safetensors")]) in (0, 1)
    out = capsys.readouterr().out
    assert "smoke" in out and "untrained" not in out.lower().replace("untrained: no", "")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "no samples: give their folder with --data"),
        (["--data", "nowhere"], "nowhere/train has no manifest.json"),
        (["--data", "nowhere", "--recipe", "huge"], "recipe 'huge': expected a .yaml file or one of base_448"),
        (["--data", "nowhere", "--set", "data.batchsize=3"], "did you mean 'batch_size'"),
    ],
)
def test_wrong_use_is_told(args: list[str], message: str, tmp_path: Path, capsys) -> None:
    assert main(["train", *args, "--out", str(tmp_path / "run")]) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("batch", "images", "remedy"),
    [
        (8, 8, "a batch of 8 images, got 4; make more, or lower data.batch_size"),
        (8, 4, "a batch of 8 images, got 4; make more and raise data.validation_images, or lower data.batch_size"),
        (4, 3, "a batch of 4 images, got 3; raise data.validation_images, or lower data.batch_size"),
    ],
)
def test_a_batch_larger_than_the_validation_set_is_told(
    data: Path, tmp_path: Path, capsys, batch: int, images: int, remedy: str
) -> None:
    args = ["--data", str(data), "--out", str(tmp_path / "run"), "--recipe", "smoke"]
    assert main(["train", *args, "--set", f"data.batch_size={batch}", f"data.validation_images={images}"]) == 2
    assert f"validation: expected at least {remedy}\n" in capsys.readouterr().err
