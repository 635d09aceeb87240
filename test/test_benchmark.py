"""Benchmarks: they measure what they say, and the set-up for big images is in force where it should be."""

import json
import os
import subprocess
import sys

import numpy as np

from ros2_multihmr import cli
from ros2_multihmr.benchmark import stage_times
from ros2_multihmr.ros.environment import PROFILE_VARIABLES, share_file
from ros2_multihmr.ros.processes import DISCOVERY_VARIABLE
from ros2_multihmr.ros.transport_benchmark import Options, environments, measure


def test_stage_times_are_medians_with_a_total():
    runs = [{"a": 0.001, "b": 0.003}, {"a": 0.002, "b": 0.003}, {"a": 0.009, "b": 0.003}]
    times = {time.stage: time for time in stage_times(runs)}
    assert list(times) == ["a", "b", "total"]
    assert np.isclose(times["a"].median_ms, 2.0) and np.isclose(times["total"].median_ms, 5.0)
    assert np.isclose(times["b"].share, 0.6) and times["total"].share == 1.0


def test_estimator_benchmark_writes_json_and_a_table(tmp_path):
    arguments = ["--repeats", "2", "--width", "320", "--height", "240", "--out", str(tmp_path)]
    assert cli.main(["benchmark", *arguments]) == 0
    result = json.loads((tmp_path / "estimator.json").read_text())
    assert [row["stage"] for row in result["stages"]] == ["preprocess", "network", "body", "describe", "total"]
    assert all(row["median_ms"] > 0 for row in result["stages"]) and result["hardware"]["cpu"]
    assert result["settings"]["people"] > 0 and result["settings"]["network"]["untrained"]
    page = (tmp_path / "estimator.md").read_text()
    assert "| network |" in page and result["hardware"]["cpu"] in page


def test_node_benchmark_measures_every_stage_with_everybody_listening(tmp_path):
    arguments = ["--images", "5", "--people", "10", "--width", "320", "--height", "240", "--out", str(tmp_path)]
    command = [sys.executable, "-m", "ros2_multihmr.cli", "benchmark", "node", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads((tmp_path / "node.json").read_text())
    stages = {row["stage"]: row["median_ms"] for row in result["stages"]}
    assert set(stages) == {"convert in", "track", "convert out", "publish", "total"} and min(stages.values()) > 0


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
    rows = [measure(name, environment, options) for name, environment in environments(os.environ).items()]
    assert [set(row.profiles) for row in rows] == [{str(share_file("config/fastdds_large_images.xml"))}, {""}]
    assert rows[0].arrived == 3 and 0.0 < rows[0].p50_ms <= rows[0].p95_ms
