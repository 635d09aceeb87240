"""Two processes on the same batches learn what one learns."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from training_fakes import write_data

from ros2_multihmr.training.distributed import World, join_world

SETTINGS = ("length.steps=8", "length.validate_every=4", "length.pictures=0", "data.batch_size=4", "data.augment=true")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def train(data: Path, out: Path, processes: int) -> None:
    """Runs as torchrun would: the same command in each process, the rest in the environment."""
    command = [sys.executable, "-m", "ros2_multihmr.cli", "train", "--data", str(data), "--out", str(out)]
    command += ["--recipe", "smoke", "--threads", "1", "--device", "cpu", "--set", *SETTINGS]
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(processes)}
    ranks = [{"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(processes)]
    alone = {"OMP_NUM_THREADS": "1"}
    running = [
        subprocess.Popen(command, env=os.environ | alone | ((place | rank) if processes > 1 else {})) for rank in ranks
    ]
    assert [process.wait(120) for process in running] == [0] * processes


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("distributed")
    data = write_data(folder / "data", train=8)
    for processes in (1, 2):
        train(data, folder / str(processes), processes)
    return folder / "1", folder / "2"


def rows(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def test_the_losses_agree_to_rounding(runs) -> None:
    one, two = map(rows, runs)
    assert [(row["kind"], row["step"]) for row in one] == [(row["kind"], row["step"]) for row in two]
    assert len(one) == 10
    names = {"loss", "detection", "vertices", "person_mask", "heatmaps", "reprojection"}
    for a, b in zip(one, two, strict=True):
        assert {name: a[name] for name in names} == pytest.approx({name: b[name] for name in names}, rel=2e-4)


def test_the_weights_agree_and_moved(runs) -> None:
    one, two = (load_file(run / "weights.safetensors") for run in runs)
    for name in one:
        torch.testing.assert_close(one[name], two[name], atol=2e-4, rtol=2e-3)
    assert one["to_score.fc2.bias"].item() != pytest.approx(-4.59512, abs=1e-4)


def test_only_the_first_process_writes(runs) -> None:
    files = [sorted(str(path.relative_to(run)) for path in run.rglob("*")) for run in runs]
    assert files[0] == files[1]


def test_alone_without_torchrun(monkeypatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with join_world("cpu") as world:
        assert world == World(0, 1, 0) and world.writes
        assert world.maximum([1.0, 2.0], torch.device("cpu")) == [1.0, 2.0]


def test_half_an_environment_is_told(monkeypatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(ValueError, match="RANK, WORLD_SIZE and LOCAL_RANK"), join_world("cpu"):
        pass


def test_parameters_without_a_gradient_get_zeros() -> None:
    layer = torch.nn.Linear(2, 2)
    World().add_gradients(layer)
    assert torch.equal(layer.weight.grad, torch.zeros(2, 2))
