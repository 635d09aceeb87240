"""Shards in bulk: the same for any number of processes, after any interruption; memory does not grow."""

from __future__ import annotations

import functools
import hashlib
import os
import resource
import signal
import subprocess
import sys
import time
import tracemalloc
import types
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from ros2_multihmr.camera import Camera
from ros2_multihmr.cli import main as command_line
from ros2_multihmr.samples.bulk import Done, Job, produce
from ros2_multihmr.samples.contact_sheet import contact_sheet
from ros2_multihmr.samples.manifest import Manifest
from ros2_multihmr.samples.sample import Labels, Sample
from ros2_multihmr.samples.shards import ShardReader
from ros2_multihmr.verbs.synthesize import Options, synthesize_folder

WHO_WROTE = "pids"


def fake_sample(seed: int, *, pause_s: float = 0.0, log: Path | None = None, together: int = 1) -> Sample:
    """Noise and made-up people; a pause to be interrupted in, and first a wait until so many processes are there."""
    time.sleep(pause_s)
    if log is not None:
        with (log / WHO_WROTE).open("a") as file:
            file.write(f"{os.getpid()}\n")
        while len(pids_in(log)) < together:
            time.sleep(0.02)
    rng = np.random.default_rng(seed)
    people = int(rng.integers(0, 3))

    def floats(*tail: int) -> np.ndarray:
        return rng.normal(0, 1, (people, *tail)).astype(np.float32)

    arrays = (floats(4, 3, 3), floats(2), floats(1), floats(3), floats(5, 3), floats(5), floats())
    labels = Labels("fake", *arrays, np.arange(people, dtype=np.int32))
    image = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
    return Sample(f"fake-{seed:08d}", image, Camera.from_fov(16, 12, 60.0), labels)


def prepare(first_seed: int = 0, pause_s: float = 0.0, log: Path | None = None, together: int = 1):
    def make(index: int) -> Sample:
        return fake_sample(first_seed + index, pause_s=pause_s, log=log, together=together)

    return make


def prepare_wrong(kind: str):
    def make(index: int) -> Sample:
        if index < 5:
            return fake_sample(index)
        if kind == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        raise KeyError("a mistake")

    return make


def job(folder: Path, make=prepare, count: int = 30, per_shard: int = 3) -> Job:
    folder.mkdir(exist_ok=True)
    manifest = Manifest("fake", count, per_shard, {}, "1.0")
    manifest.begin(folder)
    return Job(folder, manifest, make)


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.glob("*.tar"))}


def ignore(_: Done) -> None:
    pass


@pytest.fixture(scope="module")
def wanted(tmp_path_factory) -> dict[str, str]:
    """What one process writes without interruption."""
    folder = tmp_path_factory.mktemp("wanted")
    produce(job(folder), 1, ignore)
    assert len(ShardReader.of_folder(folder)) == 30
    return digests(folder)


def test_any_number_of_processes_writes_the_same(tmp_path, wanted):
    told: list[Done] = []
    produce(job(tmp_path), 2, told.append)
    assert digests(tmp_path) == wanted and len(wanted) == 10
    keys = ShardReader.of_folder(tmp_path).keys
    assert keys == [f"fake-{seed:08d}" for seed in range(30)]
    assert len(told) == 30 and sum(done.people for done in told) == sum(len(fake_sample(i).labels) for i in range(30))


def test_finished_shards_are_left_alone(tmp_path, wanted):
    produce(job(tmp_path), 1, ignore)
    (tmp_path / "fake-000002.tar").unlink()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.tar")}
    told: list[Done] = []
    produce(job(tmp_path), 1, told.append)
    assert len(told) == 3 and digests(tmp_path) == wanted
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in before.items())
    produce(job(tmp_path), 1, told.append)
    assert len(told) == 3


def test_a_folder_may_grow(tmp_path, wanted):
    produce(job(tmp_path, count=13), 1, ignore)  # its last shard is not full
    full = {path: path.stat().st_mtime_ns for path in sorted(tmp_path.glob("*.tar"))[:-1]}
    told: list[Done] = []
    produce(job(tmp_path), 1, told.append)
    assert digests(tmp_path) == wanted and len(told) == 30 - 12
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in full.items())


def interrupted_program(folder: Path, workers: int) -> subprocess.Popen:
    """A process that writes slowly, after it has written a shard at least."""
    program = (
        "import functools, pathlib, sys\n"
        "import test_synthesize as t\n"
        "if __name__ == '__main__':\n"
        f"    folder = pathlib.Path({str(folder)!r})\n"
        f"    make = functools.partial(t.prepare, pause_s=0.1, log=folder, together={workers})\n"
        f"    t.produce(t.job(folder, make), {workers}, t.ignore)\n"
    )
    script = folder.parent / "program.py"
    script.write_text(program)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    process = subprocess.Popen([sys.executable, script], env=environment)
    end = time.monotonic() + 60
    while not (list(folder.glob("*.tar")) and len(pids_in(folder)) == workers) and time.monotonic() < end:
        time.sleep(0.02)
    assert process.poll() is None
    return process


def pids_in(folder: Path) -> set[int]:
    log = folder / WHO_WROTE
    return {int(line) for line in log.read_text().splitlines()} if log.exists() else set()


def is_there(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("workers", [1, 2])
def test_kill_loses_what_was_unfinished_and_leaves_nobody(tmp_path, wanted, workers):
    folder = tmp_path / "out"
    folder.mkdir()
    process = interrupted_program(folder, workers)
    process.kill()
    process.wait()
    finished = digests(folder)
    assert 0 < len(finished) < len(wanted)
    assert all(wanted[name] == digest for name, digest in finished.items())
    pids = pids_in(folder)
    assert len(pids) == workers
    end = time.monotonic() + 30
    while any(is_there(pid) for pid in pids) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(is_there(pid) for pid in pids)
    produce(job(folder), 1, ignore)
    assert digests(folder) == wanted
    assert not list(folder.glob("*.part")) and not list(folder.glob(".*.part"))


@pytest.mark.parametrize(
    ("kind", "error", "message"),
    [
        ("mistake", RuntimeError, "a mistake"),
        ("killed", ChildProcessError, "ended with code -9"),
    ],
)
def test_what_goes_wrong_in_a_process_is_told(tmp_path, kind, error, message):
    with pytest.raises(error, match=message):
        produce(job(tmp_path, functools.partial(prepare_wrong, kind)), 2, ignore)
    assert "fake-000003.tar" not in digests(tmp_path)


def test_samples_are_not_kept(tmp_path):
    peaks = []
    for count in (50, 350):
        tracemalloc.start()
        produce(job(tmp_path / str(count), count=count, per_shard=count), 1, ignore)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # 300 samples more, of over 1 kB each, and 900 members; only their keys may stay.
    assert peaks[1] - peaks[0] < 100e3


def test_growth_is_that_after_the_first_samples(tmp_path, monkeypatch):
    peaks = iter(range(1000, 1060))  # KiB, one more with each sample
    monkeypatch.setattr(resource, "getrusage", lambda who: types.SimpleNamespace(ru_maxrss=next(peaks)))
    told: list[Done] = []
    produce(job(tmp_path, count=60, per_shard=60), 1, told.append)
    assert [done.growth_bytes for done in told] == [0] * 50 + [1024 * k for k in range(1, 11)]


def test_folder_keeps_to_its_settings(tmp_path):
    console = Console(quiet=True)
    options = Options(count=5, per_shard=2, workers=1)
    summary = synthesize_folder(options, tmp_path / "train", prepare, console)
    assert (summary.made, summary.there) == (5, 5)
    assert synthesize_folder(options, tmp_path / "train", prepare, console).made == 0
    for changes in ({"count": 4}, {"seed": 1}, {"quality": 50}, {"max_people": 3}):
        with pytest.raises(ValueError, match=rf"{next(iter(changes))} is .* there"):
            synthesize_folder(Options(**({"count": 5, "per_shard": 2} | changes)), tmp_path / "train", prepare, console)


def test_a_folder_is_filled_by_one_process_and_free_when_that_is_killed(tmp_path):
    options, console = Options(count=2, workers=1), Console(quiet=True)
    program = f"""import pathlib, time
from ros2_multihmr.files.folder_lock import only_writer
with only_writer(pathlib.Path({str(tmp_path)!r}), "", ""):
    print(1, flush=True)
    time.sleep(60)"""
    other = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    try:
        other.stdout.readline()
        refusal = rf"--out {tmp_path}: another process is filling it \(process {other.pid} on .*\); wait"
        with pytest.raises(ValueError, match=refusal):
            synthesize_folder(options, tmp_path, prepare, console)
        assert not list(tmp_path.glob("*.json")), "nothing was touched"
    finally:
        other.kill()
        other.communicate()
    assert synthesize_folder(options, tmp_path, prepare, console).made == 2
    assert synthesize_folder(options, tmp_path, prepare, console).made == 0, "and free after that"


def test_contact_sheet_needs_samples():
    with pytest.raises(ValueError, match="at least one sample"):
        contact_sheet([], None)  # type: ignore[arg-type]


def test_the_command_makes_people(tmp_path, capsys):
    words = ["synthesize", "--out", str(tmp_path), "--count", "3", "--seed", "7", "--split", "val", "--workers", "1"]
    words += ["--longer-side", "64", "--preview"]
    assert command_line(words) == 0
    said = capsys.readouterr().out
    assert "3 images in 1 files" in said and "3 made now" in said and "preview.png" in said
    reader = ShardReader.of_folder(tmp_path / "val")
    assert reader.keys == ["val-00000007", "val-00000008", "val-00000009"]
    assert np.asarray(Image.open(tmp_path / "val" / "preview.png")).std() > 5
    assert command_line(words) == 0 and "0 made now" in capsys.readouterr().out


def test_the_command_refuses_wrong_folders(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert command_line(["synthesize", "--out", str(tmp_path / "file"), "--count", "1"]) == 2
    assert "is a file; give a folder" in capsys.readouterr().err
