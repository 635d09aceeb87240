"""Benchmarks: they measure what they say, and the set-up for big images is in force where it should be."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from multihmr.msg import HumanArray
from rclpy.serialization import serialize_message

from ros2_multihmr import cli, report
from ros2_multihmr.backends.backend import open_backend
from ros2_multihmr.model.checkpoint import save_weights
from ros2_multihmr.model.stand_in import stand_in_model
from ros2_multihmr.ros import soak
from ros2_multihmr.ros.environment import PROFILE_VARIABLES, share_file
from ros2_multihmr.ros.processes import DISCOVERY_VARIABLE
from ros2_multihmr.ros.sink import Arrival, age_ms, arrivals
from ros2_multihmr.ros.soak import judge
from ros2_multihmr.ros.transport_benchmark import Options, environments, measure
from ros2_multihmr.verbs import startup
from ros2_multihmr.verbs.benchmark import stage_times

BENCHMARKS = [verb.split() for verb in cli.VERBS if verb.startswith("benchmark")]


@pytest.mark.parametrize("verb", BENCHMARKS, ids=" ".join)
def test_a_place_that_holds_no_results_is_refused_before_anything_is_measured(verb, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(report, "open_console", lambda: pytest.fail("goes on"))
    (tmp_path / "taken").write_text("mine")
    for out, says in ((tmp_path / "taken", "is a file; give a folder"), ("/proc/x", "nothing can be written to /proc")):
        assert cli.main([*verb, "--out", str(out)]) == 2
        told = capsys.readouterr().err
        assert f"--out {out}: " in told and says in told and told.count("\n") == 1
    assert (tmp_path / "taken").read_text() == "mine"


def test_stage_times_are_medians_with_a_total():
    runs = [{"a": 0.001, "b": 0.003}, {"a": 0.002, "b": 0.003}, {"a": 0.009, "b": 0.003}]
    times = {time.stage: time for time in stage_times(runs)}
    assert list(times) == ["a", "b", "total"]
    assert np.isclose(times["a"].median_ms, 2.0) and np.isclose(times["total"].median_ms, 5.0)
    assert np.isclose(times["b"].share, 0.6) and times["total"].share == 1.0


def test_estimator_benchmark_writes_json_and_a_table(tmp_path):
    arguments = ["--repeats", "2", "--width", "320", "--height", "240", "--out", str(tmp_path), "--no-memory"]
    arguments += ["--people", "1", "4", "200", "--padding", "square", "--variants", "padding=cut"]
    assert cli.main(["benchmark", *arguments]) == 0
    result = json.loads((tmp_path / "estimator.json").read_text())
    blocks = open_backend("", "cpu").blocks
    assert [(case["variant"], case["people"]) for case in result["cases"]] == [
        (f"torch, float32, {padding}, {blocks} blocks", people) for padding in ("square", "cut") for people in (1, 4)
    ]
    for case in result["cases"]:
        assert [row["stage"] for row in case["stages"]] == ["preprocess", "network", "body", "describe", "total"]
        assert all(row["median_ms"] > 0 for row in case["stages"])
        assert 0 < case["median_ms"] <= case["p95_ms"] <= case["p99_ms"] and case["per_second"] > 0
    assert len(result["notes"]) == 2 and all("200 people" in note for note in result["notes"])
    square, cut = result["limits"]
    assert square["cost"]["flops"] > cut["cost"]["flops"] > cut["cost"]["backbone_flops"] > 0
    assert square["backbone_ms"] > 0 and square["head_ms"] > 0 and square["kept_mb"] is None
    assert square["share"] == square["least_ms"] / square["network_ms"]
    assert result["hardware"]["cpu"] and not result["settings"]["network"]["untrained"]
    page = (tmp_path / "estimator.md").read_text()
    assert f"| torch, float32, cut, {blocks} blocks | 4 |" in page and result["hardware"]["cpu"] in page


def test_estimator_benchmark_takes_who_is_there_and_the_memory_of_a_fresh_process(tmp_path):
    arguments = ["--repeats", "1", "--width", "320", "--height", "240", "--out", str(tmp_path), "--batch", "2"]
    assert cli.main(["benchmark", *arguments]) == 0
    result = json.loads((tmp_path / "estimator.json").read_text())
    (case,), (limit,) = result["cases"], result["limits"]
    assert case["people"] > 0 and limit["kept_mb"] > 50 and limit["gpu_mb"] is None
    assert np.isclose(case["per_second"], 2e3 / case["median_ms"])


def test_startup_benchmark_tells_time_and_memory_of_every_stage(tmp_path):
    weights = tmp_path / "small.safetensors"
    save_weights(stand_in_model(), weights)
    arguments = ["--weights", str(weights), "--repeats", "1", "--out", str(tmp_path), "--device", "cpu"]
    assert cli.main(["benchmark", "startup", *arguments]) == 0
    result = json.loads((tmp_path / "startup.json").read_text())
    stages = {row["stage"]: row for row in result["stages"]}
    assert list(stages) == ["libraries", "weights", "body", "first image", "total"]
    assert all(row["seconds"] > 0 for row in stages.values())
    assert stages["weights"]["kept_mb"] > 0.8 * weights.stat().st_size / 1e6
    assert np.isclose(stages["total"]["kept_mb"], sum(stages[name]["kept_mb"] for name in list(stages)[:-1]))
    page = (tmp_path / "startup.md").read_text()
    assert "| first image |" in page and f"a file of {weights.stat().st_size / 1e6:.1f} MB" in page


def test_startup_benchmark_says_why_it_cannot_measure(capsys, monkeypatch):
    assert startup._main(["0.0", json.dumps({"weights": "/nowhere.pt"})]) == 1
    assert "/nowhere.pt: no such weights file" in capsys.readouterr().err
    monkeypatch.setattr(startup, "_MODULE", "no_such_module")
    assert cli.main(["benchmark", "startup"]) == 2
    assert "No module named no_such_module" in capsys.readouterr().err


def test_memory_in_passing_is_what_a_stage_does_not_keep():
    meter, kept = startup.Meter(), []
    with meter.stage("passing"):
        np.ones(25_000_000)
    with meter.stage("keeping"):
        kept.append(np.ones(25_000_000))
    assert meter.passing_mb["passing"] > 150 and meter.kept_mb["passing"] < 50
    assert meter.passing_mb["keeping"] < 50 and meter.kept_mb["keeping"] > 150


def run_verb(*arguments):
    command = [sys.executable, "-m", "ros2_multihmr.cli", "benchmark", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=240)


NODE_STAGES = {"convert in", "track", "convert out", "publish", "total"}
ESTIMATOR_STAGES = {"preprocess", "network", "body", "describe"}


@pytest.mark.parametrize(
    ("flags", "name", "stages"),
    [
        ([], "node", NODE_STAGES),
        # Another way than that of "auto" anywhere: the node must have the settings that the network has.
        (
            ["--network", "--image-transport", "compressed", "--blocks", "plain"],
            "chain",
            NODE_STAGES | ESTIMATOR_STAGES,
        ),
    ],
)
def test_node_benchmark_measures_every_stage_with_everybody_listening(tmp_path, flags, name, stages):
    arguments = ["--images", "5", "--people", "3", "--width", "320", "--height", "240", "--out", str(tmp_path)]
    done = run_verb("node", *arguments, *flags)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads((tmp_path / f"{name}.json").read_text())
    times = {row["stage"]: row["median_ms"] for row in result["stages"]}
    assert set(times) == stages and min(times.values()) > 0
    age = result["received"]["age"]
    assert result["received"]["rate_hz"] > 0 and 0 < age["median_ms"] <= age["p95_ms"]
    assert f"people at {result['received']['rate_hz']:.1f} Hz" in (tmp_path / f"{name}.md").read_text()


def test_soak_watches_a_node_process(tmp_path):
    limits = ["--most-mb-per-min", "1e9", "--most-growth", "1e9"]  # a few seconds say nothing of growth
    done = run_verb("soak", "--duration-s", "4", "--rate-hz", "5", "--out", str(tmp_path), *limits)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads((tmp_path / "soak.json").read_text())
    assert result["arrived"] > 1 and result["age"]["median_ms"] > 0 and min(result["memory_mb"]) > 50
    assert "slope of the memory" in (tmp_path / "soak.md").read_text()


def test_soak_ends_with_a_process_that_cannot_go_on(tmp_path):
    done = run_verb("soak", "--weights", str(tmp_path / "none.safetensors"))
    assert done.returncode == 2 and "no such weights file" in done.stderr


def soaked(memory_slope, age_slope):
    """Ten minutes at 10 Hz whose memory and latency grow, per minute, after a first minute in which more is taken."""
    times = np.arange(0, 600, 0.1)
    seen = [Arrival(at, 50 + age_slope * at / 60 + (at % 7)) for at in times]
    memory = [(float(at), 400 + 50 * min(at, 50) / 50 + memory_slope * at / 60 + (at % 3)) for at in range(600)]
    return judge(seen, memory, (0.0, 600.0), 10.0)


def test_soak_tells_growth_from_noise_and_from_the_beginning():
    still = soaked(0.0, 0.0)
    assert abs(still.mb_per_min) < 0.05 and abs(still.growth) < 0.01 and not still.problems(soak.Options())
    growing = soaked(2.0, 3.0)
    assert np.isclose(growing.mb_per_min, 2.0, atol=0.05) and np.isclose(growing.age_ms_per_min, 3.0, atol=0.1)
    assert growing.arrived == growing.sent == 6000 and len(growing.problems(soak.Options())) == 2


def test_soak_of_nothing_says_so():
    with pytest.raises(ValueError, match="only 0 images"):
        judge([], [(0.0, 1.0)] * 9, (0.0, 9.0), 10.0)


def test_sink_reads_the_stamp_of_a_serialized_message():
    message = HumanArray()
    message.header.stamp.sec, message.header.stamp.nanosec = 7, 250_000_000
    assert np.isclose(age_ms(serialize_message(message), 7_300_000_000), 50.0)
    assert arrivals(["[INFO] hello", "[[1.5, 20.0], [2.5, 30.0]]"]) == [Arrival(1.5, 20.0), Arrival(2.5, 30.0)]


def test_compared_environments_differ_in_the_profile_alone():
    mine = {"PATH": "/usr/bin", PROFILE_VARIABLES[0]: "/mine.xml"}
    shipped, default = environments(mine).values()
    for variable in PROFILE_VARIABLES:
        assert shipped[variable] == str(share_file("config/fastdds_large_images.xml")) and variable not in default
    assert set(shipped.items()) - set(default.items()) == {(name, shipped[name]) for name in PROFILE_VARIABLES}
    assert default[DISCOVERY_VARIABLE] == "LOCALHOST"


def test_shipped_profile_is_in_force_in_both_processes():
    """What they really ran with; how many big images arrive is for the benchmark to say, not for a test."""
    options = Options(count=3, width=64, height=48)
    rows = [
        measure(name, environment, options, as_bytes=name == "shipped profile")
        for name, environment in environments(os.environ).items()
    ]
    assert [set(row.profiles) for row in rows] == [{str(share_file("config/fastdds_large_images.xml"))}, {""}]
    assert rows[0].arrived == 3 and 0.0 < rows[0].p50_ms <= rows[0].p95_ms and rows[0].process_ms > 0.0
    assert [row.setup for row in rows] == ["shipped profile, taken as bytes", "Fast DDS default"]
