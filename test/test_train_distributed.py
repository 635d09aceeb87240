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

from ros2_multihmr.cli import main
from ros2_multihmr.training.distributed import World, join_world

SETTINGS = ("length.steps=4", "length.validate_every=2", "length.pictures=0", "data.batch_size=4", "data.augment=true")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def arguments(data: Path, out: Path) -> list[str]:
    flags = ["--recipe", "smoke", "--threads", "1", "--device", "cpu", "--set", *SETTINGS]
    return ["train", "--data", str(data), "--out", str(out), *flags]


def start_two(data: Path, out: Path, **options) -> list[subprocess.Popen]:
    """Starts as torchrun would: the same command in each process, the rest in the environment."""
    command = [sys.executable, "-m", "ros2_multihmr.cli", *arguments(data, out)]
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    ranks = [{"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(2)]
    return [subprocess.Popen(command, env=os.environ | place | rank, **options) for rank in ranks]


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("distributed")
    data = write_data(folder / "data", train=8)
    threads = torch.get_num_threads()
    assert main(arguments(data, folder / "1")) == 0
    torch.set_num_threads(threads)
    assert [process.wait(120) for process in start_two(data, folder / "2")] == [0, 0]
    return folder / "1", folder / "2"


def rows(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def test_the_losses_agree_to_rounding(runs) -> None:
    one, two = map(rows, runs)
    assert [(row["kind"], row["step"]) for row in one] == [(row["kind"], row["step"]) for row in two]
    assert len(one) == 6
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


def test_what_keeps_the_first_process_out_ends_all_with_its_message(runs, tmp_path) -> None:
    (tmp_path / ".lock").mkdir()  # who writes, stumbles over it
    processes = start_two(runs[0].parent / "data", tmp_path, stderr=subprocess.PIPE, text=True)
    told = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [2, 2]
    assert told[0] == told[1] and told[0].startswith("multihmr train: ") and str(tmp_path / ".lock") in told[0]


def test_a_fellow_that_is_gone_is_told(monkeypatch) -> None:
    def closed(*_) -> None:
        raise RuntimeError("Connection closed by peer\nexception raised from ...")

    monkeypatch.setattr(torch.distributed, "all_reduce", closed)
    with pytest.raises(ConnectionError, match=r"another process of the run is gone; .* \(Connection closed by peer\)"):
        World(0, 2, 0).maximum([1.0], torch.device("cpu"))


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
