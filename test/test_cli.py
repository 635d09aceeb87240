"""The command line: verbs, flags from settings, and errors that a user can act on."""

import importlib
import json
import os
import signal
import subprocess
import sys
import threading
import warnings
from dataclasses import dataclass, fields
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from signalling import signal_until_it_ends

from ros2_multihmr import __version__, cli
from ros2_multihmr.flags import parse_flags
from ros2_multihmr.ros import run
from ros2_multihmr.ros.bag import read_bag
from ros2_multihmr.ros.camera_node import CameraConfig
from ros2_multihmr.ros.environment import share_file
from ros2_multihmr.ros.parameters import NodeConfig
from ros2_multihmr.ros.params_file import check_params_file, file_text
from ros2_multihmr.settings import Settings, setting, setting_info


@dataclass(frozen=True)
class _Options(Settings):
    """Does things.

    More about them.
    """

    names: tuple[str, ...] = setting((), "Things to do")
    speed: float = setting(0.5, "How fast [m/s]", low=0.0, high=1.0)
    mode: str = setting("auto", "Which way", choices=("auto", "left"))
    loud: bool = setting(True, "With noise")
    count: int = setting(3, "How often")


@dataclass(frozen=True)
class _Ways(Settings):
    """Goes."""

    ways: tuple[str, ...] = setting((), "Which ways", choices=("left", "right"))


SAMPLES = str(Path(cli.__file__).parent / "assets" / "samples")
LOADED = "print([m for m in ('torch', 'cv2', 'rclpy') if m in sys.modules])"


def _parse(*args):
    return parse_flags(_Options, args, program="program verb", positional=("names",))


def test_verbs_tell_of_their_own(capsys):
    assert cli.main(["evaluate", "refined"]) == 2
    told = capsys.readouterr().err
    assert "'refined' is neither an option nor one of evaluate calibrate" in told and "evaluate refiner" in told
    with pytest.raises(SystemExit):
        cli.main(["evaluate", "--help"])
    assert "evaluate refiner" in " ".join(capsys.readouterr().out.split())


def test_outputs_to_record_want_a_bag(capsys):
    assert cli.main(["run", "--source", SAMPLES, "--record-outputs", "capsules"]) == 2
    assert "--record" in capsys.readouterr().err


def test_a_bag_that_is_there_is_told_before_anything_starts(tmp_path, capsys):
    assert cli.main(["run", "--source", SAMPLES, "--record", str(tmp_path)]) == 2
    assert "new folder" in capsys.readouterr().err


def test_flags_become_settings():
    assert _parse("a", "b") == _Options(names=("a", "b"))
    assert _parse("a", "--speed", "1", "--mode", "left", "--no-loud", "--count", "7") == _Options(
        ("a",), 1.0, "left", False, 7
    )


def test_several_words_of_a_choice():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert parse_flags(_Ways, ["--ways", "right", "left"], program="go") == _Ways(("right", "left"))
        assert parse_flags(_Ways, [], program="go") == _Ways()
    with pytest.raises(SystemExit):
        parse_flags(_Ways, ["--ways", "up"], program="go")


@pytest.mark.parametrize(
    "args",
    [("a", "--sped", "1"), ("a", "--speed", "fast"), ("a", "--mode", "right"), ("--help",)],
)
def test_wrong_flags_and_help_end_the_program(args, capsys):
    with pytest.raises(SystemExit):
        _parse(*args)
    assert "program verb" in "".join(capsys.readouterr())


def test_values_out_of_range_are_refused():
    with pytest.raises(ValueError, match="at most 1"):
        _parse("a", "--speed", "3")


def test_help_tells_descriptions_ranges_and_defaults(capsys):
    with pytest.raises(SystemExit):
        _parse("--help")
    text = " ".join(capsys.readouterr().out.split())
    for part in (
        "Does things.",
        "How fast [m/s]; at least 0 and at most 1",
        "default: 0.5",
        "{auto,left}",
        "--no-loud",
    ):
        assert part in text


@pytest.mark.parametrize("name", list(cli.VERBS))
def test_every_verb_has_options_that_say_what_they_are(name, capsys):
    verb = cli.VERBS[name]
    options = importlib.import_module(verb.module).Options
    assert all(setting_info(field).description for field in fields(options))
    with pytest.raises(SystemExit) as ended:
        cli.main([*name.split(), "--help"])
    assert ended.value.code in (0, None) and f"multihmr {name}" in capsys.readouterr().out


def test_help_lists_every_verb(capsys):
    assert cli.main([]) == 0 and cli.main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"  {name} " in text for name in (*cli.VERBS, *cli.NODES))


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["frobnicate"], "expected one of run, predict"),
        (["predict"], "no images"),
        (["predict", "/nowhere.jpg"], "no such file"),
        (["predict", "x.jpg", "--detection-threshold", "2"], "at most 1"),
        (["predict", "x.jpg", "--refiner-weights", "y.safetensors"], "nobody looks again; add --refine"),
        (["run", "--source", "/nowhere.mp4"], "no such file"),
        (["run"], "no source"),
        (["run", "--source", "0", "--calibration", "c.yaml", "--fov-deg", "60"], "calibration and fov_deg are both"),
    ],
)
def test_mistakes_are_told_in_one_line(args, says, capsys):
    assert cli.main(args) == 2
    told = capsys.readouterr().err
    assert says in told and "Traceback" not in told and told.count("\n") == 1


def test_missing_package_says_what_to_do(monkeypatch, capsys):
    def absent(name):
        raise ModuleNotFoundError(f"No module named {name!r}", name="rclpy")

    monkeypatch.setattr(importlib, "import_module", absent)
    assert cli.main(["run", "--source", "0"]) == 2
    assert "rclpy is not installed" in capsys.readouterr().err


def test_defects_are_not_hidden(monkeypatch):
    def broken(name):
        raise RuntimeError("a defect")

    monkeypatch.setattr(importlib, "import_module", broken)
    with pytest.raises(RuntimeError):
        cli.main(["info"])


def test_predict_needs_no_ros():
    modules = "ros2_multihmr.cli, ros2_multihmr.verbs.predict, ros2_multihmr.verbs.info"
    code = f"import sys; sys.modules['rclpy'] = None; import {modules}"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_run_needs_no_rosbags_unless_it_records():
    code = "import sys; sys.modules['rosbags'] = None; import ros2_multihmr.ros.run, ros2_multihmr.ros.node_benchmark"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_help_is_quick_because_it_loads_nothing():
    code = f"import sys; from ros2_multihmr import cli; cli.main([]); {LOADED}"
    done = subprocess.run([sys.executable, "-c", code], timeout=60, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]"


def _start(*args):
    command = [sys.executable, "-m", "ros2_multihmr.cli", "run", "--source", SAMPLES, *args]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_run_records_what_came_of_every_picture(tmp_path):
    arguments = ("--no-loop", "--rate-hz", "4", "--weights", "untrained")
    process = _start(*arguments, "--record", str(tmp_path / "bag"))
    text = process.communicate(timeout=120.0)[0]
    assert process.returncode == 0 and "the source has ended" in text and "never trained" in text, text
    people = read_bag(tmp_path / "bag")["/multihmr/humans"]
    assert len(people) == 2 and all(message.humans for _, message in people), text


def test_run_stops_on_interrupt():
    process, lines = _start(), []
    try:
        while not any("goes to" in line for line in lines) and process.poll() is None:
            lines.append(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        lines.append(process.communicate(timeout=60.0)[0])
    finally:
        process.kill()
    text = "".join(lines)
    assert process.returncode == 0, text
    assert "stopping" in text and "Traceback" not in text and "killed" not in text, text


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_more_signals_while_run_stops_change_nothing(first):
    process, lines = _start(), []
    watchdog = threading.Timer(120.0, process.kill)
    watchdog.start()
    try:
        while not any("goes to" in line for line in lines) and process.poll() is None:
            lines.append(process.stdout.readline())
        signal_until_it_ends(process, first)
        lines.append(process.communicate(timeout=60.0)[0])
    finally:
        watchdog.cancel()
        process.kill()
    text = "".join(lines)
    assert process.returncode == 0, text
    assert text.count("stopping") == 1 and "Traceback" not in text and "killed" not in text, text


@pytest.mark.parametrize("stopped", [False, True])
@pytest.mark.parametrize(("failure", "code"), [("", 0), ("no image could be processed", 1)])
def test_run_fails_when_every_image_has(stopped, failure, code, monkeypatch, capsys):
    class Group:
        def __init__(self, *_):
            self.ended = lambda: [SimpleNamespace(name="camera", exit_code=lambda: 0, fate=lambda: "ended")]

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def start(self, *_):
            pass

    def watch(_live, _group, _arguments, stop):
        if stopped:
            stop.set()
        return failure

    monkeypatch.setattr(os, "environ", dict(os.environ))  # it is the verb's own process whose environment it sets
    monkeypatch.setattr(run, "ProcessGroup", Group)
    monkeypatch.setattr(run, "_watch", watch)
    assert cli.main(["run", "--source", SAMPLES]) == code
    told = capsys.readouterr().out
    assert ("stopping" if stopped else "the source has ended") in told and failure in told


def test_run_ends_when_the_node_cannot_start():
    process = _start("--weights", "/nowhere.safetensors")
    text = process.communicate(timeout=60.0)[0]
    assert process.returncode == 1 and "no such weights file" in text and "Traceback" not in text, text


def test_version(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"multihmr {__version__}\n"


def test_camera_help_is_short_and_lists_its_parameters(capsys):
    assert cli.main(["camera", "--help"]) == 0
    told = capsys.readouterr()
    assert "usage: multihmr camera --ros-args -p source:=" in told.out and len(told.out.splitlines()) < 25
    assert all(f"  {field.name} " in told.out for field in fields(CameraConfig)) and not told.err


def test_what_must_be_given_has_no_default_in_the_help(capsys):
    with pytest.raises(SystemExit):
        _parse("--help")
    text = " ".join(capsys.readouterr().out.split())
    assert "(required)" in text and "(default: )" not in text


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "no such file"),
        ("multihmr: {ros__parameters: [", "no YAML"),
        ("multihmr:\n  device: cpu\n", "ros__parameters"),
        ("- a\n", "ros__parameters"),
    ],
)
def test_parameter_file_that_cannot_be_used_is_told_before_anything_starts(content, says, tmp_path, capsys):
    path = tmp_path / "params.yaml"
    if content is not None:
        path.write_text(content)
    assert cli.main(["run", "--source", SAMPLES, "--params-file", str(path)]) == 2
    told = capsys.readouterr().err
    assert says in told and str(path) in told and "Traceback" not in told and told.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "name"),
    [(["--target-rate", "5"], "target_rate"), (["--target_rate=5"], "target_rate"), (["--no-track"], "track")],
)
def test_flags_that_are_parameters_are_sent_to_a_file(words, name, capsys):
    assert cli.main(["run", *words]) == 2
    told = capsys.readouterr().err
    assert f"{words[0].partition('=')[0]} is no option; {name} is a parameter of the node" in told
    assert "--params-file FILE" in told and f"ros__parameters: {{{name}: " in told and told.count("\n") == 1


def test_the_line_for_a_parameter_is_a_file(tmp_path):
    path = tmp_path / "params.yaml"
    for field in fields(NodeConfig):
        path.write_text(file_text(field.name, field.default))
        check_params_file(str(path))
        value = yaml.safe_load(path.read_text())["/**"]["ros__parameters"][field.name]
        assert value == (list(field.default) if isinstance(field.default, tuple) else field.default)


def test_usual_parameter_files_are_accepted():
    check_params_file(str(share_file("config/multihmr.yaml")))


def test_info_as_json(capsys):
    assert cli.main(["info", "--json"]) == 0
    subjects = {finding["subject"] for finding in json.loads(capsys.readouterr().out)}
    assert {"multihmr", "device", "weights", "anny", "smplx", "ROS 2"} <= subjects
