"""The launch file: its arguments, parameters, topics, environment; and the runner for machines without ros2 launch."""

# ruff: noqa: E402 (where ROS's own launch is, there is nothing to import)

import dataclasses
import itertools
import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import ros_fakes  # noqa: F401  (sets the environment before ROS is loaded)

# isort: split

import pytest
import rclpy
import yaml
from signalling import signal_until_it_ends

multihmr_launch = pytest.importorskip("multihmr_launch", reason="pip_ros is not installed")
if not multihmr_launch.add_stand_ins():
    pytest.skip("ROS's own launch is here: ros2 launch reads the launch file", allow_module_level=True)

from multihmr_launch.evaluate import Process, declared_arguments, evaluate, find_launch_file, load
from multihmr_launch.run import run

from ros2_multihmr.ros.camera_node import CameraConfig
from ros2_multihmr.ros.environment import PROFILE_VARIABLES
from ros2_multihmr.ros.parameters import NodeConfig

ROOT = Path(__file__).resolve().parents[1]
LAUNCH_FILE = ROOT / "launch" / "camera.launch.py"
ASKED_FOR = (
    "image", "camera_info", "namespace", "params_file", "weights", "device", "rviz", "use_sim_time", "log_level",
    "source",
)  # fmt: skip


@pytest.fixture
def processes(tmp_path):
    """Evaluates the launch file; returns the processes by executable."""

    def get(**arguments: str) -> dict[str, Process]:
        found = evaluate(load(LAUNCH_FILE), arguments, tmp_path)
        assert len({p.executable for p in found}) == len(found)
        return {p.executable: p for p in found}

    return get


def _after(process: Process, flag: str) -> list[str]:
    pairs = itertools.pairwise(process.arguments)
    return [value for name, value in pairs if name == flag]


def _remaps(process: Process) -> dict[str, str]:
    return dict(rule.split(":=") for rule in _after(process, "-r"))


def _given(process: Process) -> dict[str, object]:
    """Returns the parameters that the launch file adds to the YAML file's, and checks that they go to this node."""
    file = _after(process, "--params-file")[-1]
    ((node, content),) = yaml.safe_load(Path(file).read_text()).items()
    remaps = _remaps(process)
    assert node == f"{remaps['__ns'].rstrip('/')}/{remaps['__node']}"
    return content["ros__parameters"]


# ---- arguments and parameters


def test_arguments_are_declared_and_described():
    arguments = {a.name: a for a in declared_arguments(load(LAUNCH_FILE))}
    assert set(ASKED_FOR) <= set(arguments)
    assert all(len(a.description) > 10 for a in arguments.values())
    assert all(a.default_value is not None for a in arguments.values())


@pytest.mark.parametrize(("file", "config"), [("multihmr.yaml", NodeConfig), ("camera.yaml", CameraConfig)])
def test_yaml_keys_are_the_declared_parameters(file, config):
    (content,) = yaml.safe_load((ROOT / "config" / file).read_text()).values()
    declared = {name: list(value) if isinstance(value, tuple) else value for name, value in vars(config()).items()}
    assert content["ros__parameters"] == declared


def test_node_parameters_fit_their_declaration(processes):
    found = processes(weights="w.safetensors", device="cuda:1", image_transport="compressed", use_sim_time="true")
    given = _given(found["multihmr_node"])
    assert given.pop("use_sim_time") is True
    config = NodeConfig(**given)
    assert (config.weights, config.device, config.image_transport) == ("w.safetensors", "cuda:1", "compressed")
    assert config.autostart


def test_camera_parameters_fit_their_declaration(processes):
    camera = processes(source="0", fov="60", rate="7", loop="false", image_transport="compressed")["multihmr_camera"]
    given = _given(camera)
    assert given.pop("use_sim_time") is False
    assert CameraConfig(**given) == CameraConfig(
        source="0", fov_deg=60.0, rate_hz=7.0, loop=False, image_transport="compressed"
    )
    assert _given(processes(source="v.mp4", calibration="c.yaml")["multihmr_camera"])["calibration"] == "c.yaml"


def test_what_is_not_given_is_left_to_the_parameter_file(processes, tmp_path):
    own = tmp_path / "own.yaml"
    own.write_text("multihmr: {ros__parameters: {device: cuda}}\n")
    found = processes(params_file=str(own), source="x.jpg")
    assert set(_given(found["multihmr_node"])) == {"autostart", "use_sim_time"}
    assert set(_given(found["multihmr_camera"])) == {"source", "use_sim_time"}
    assert _after(found["multihmr_node"], "--params-file")[0] == str(own)
    assert _after(found["multihmr_camera"], "--params-file")[0] == str(ROOT / "config" / "camera.yaml")


@pytest.mark.parametrize("key", ["/**", "multihmr", "/multihmr", "/**/multihmr"])
def test_arguments_win_over_the_parameter_file(processes, tmp_path, key):
    own = tmp_path / "own.yaml"
    own.write_text(yaml.safe_dump({key: {"ros__parameters": {"device": "cuda", "weights": "mine"}}}))
    node = processes(params_file=str(own), device="cpu")["multihmr_node"]
    context = rclpy.Context()
    rclpy.init(args=list(node.arguments), context=context)
    ros_node = rclpy.create_node("any", context=context, automatically_declare_parameters_from_overrides=True)
    values = [ros_node.get_parameter(name).value for name in ("device", "weights", "autostart")]
    assert values == ["cpu", "mine", True]
    ros_node.destroy_node()
    context.shutdown()


@pytest.mark.parametrize("wrong", [{"rate": "fast"}, {"fov": "wide"}, {"loop": "maybe"}, {"rviz": "perhaps"}])
def test_wrong_values_are_named(processes, wrong):
    ((name, value),) = wrong.items()
    with pytest.raises(ValueError, match=value) as caught:
        processes(source="x.jpg", **wrong)
    assert name == "rviz" or name in str(caught.value)


@pytest.mark.parametrize("name", ["params_file", "camera_params_file"])
def test_missing_parameter_file_is_named(processes, name):
    with pytest.raises(FileNotFoundError, match=f"{name}:=nowhere.yaml"):
        processes(source="x.jpg", **{name: "nowhere.yaml"})


def test_home_is_expanded(processes, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    found = processes(source="~/a.mp4", weights="~/w", calibration="~/c.yaml")
    assert _given(found["multihmr_node"])["weights"] == "/home/me/w"
    camera = _given(found["multihmr_camera"])
    assert (camera["source"], camera["calibration"]) == ("/home/me/a.mp4", "/home/me/c.yaml")
    assert _given(processes(source="rtsp://eye//1")["multihmr_camera"])["source"] == "rtsp://eye//1"


def test_unknown_argument_is_named(processes):
    with pytest.raises(ValueError, match=r"cameras; this launch file has source, image"):
        processes(cameras="2")


@pytest.mark.parametrize(("name", "file"), [("target_rate", "params_file"), ("frame_id", "camera_params_file")])
def test_an_argument_that_is_a_parameter_is_sent_to_its_file(processes, name, file):
    with pytest.raises(
        ValueError, match=rf"unknown .*{name}; .*; {name} is a parameter: copy .*yaml.* {file}:="
    ) as told:
        processes(**{name: "5"})
    assert str(told.value).count("is a parameter") == 1


@pytest.mark.parametrize(
    "text", ["", "image: map.pgm\nresolution: 0.05", "- 1", "/**: {ros__parameters: }", "a: [", "\x00"]
)
def test_files_of_other_kinds_hold_no_parameters(tmp_path, text):
    from multihmr_launch.evaluate import _parameters

    file = tmp_path / "map.yaml"
    file.write_text(text)
    assert _parameters(file) == set() and _parameters(tmp_path / "none.yaml") == set()
    file.write_text("/**: {ros__parameters: {a: 1}}\nmore: {ros__parameters: {b: 2}}")
    assert _parameters(file) == {"a", "b"}


# ---- processes and topics


@pytest.mark.parametrize(("source", "rviz"), list(itertools.product(["", "video.mp4"], ["true", "false"])))
def test_processes_that_start(processes, source, rviz):
    found = processes(source=source, rviz=rviz)
    wanted = {"multihmr_node": "multihmr"}
    wanted |= {"multihmr_camera": "multihmr"} if source else {}
    wanted |= {"rviz2": "rviz2"} if rviz == "true" else {}
    assert {name: p.package for name, p in found.items()} == wanted


def test_which_end_ends_everything(processes):
    found = processes(source="video.mp4", rviz="true")
    ends = {name: (p.ends_all(0), p.ends_all(1)) for name, p in found.items()}
    assert ends == {"multihmr_node": (True, True), "multihmr_camera": (False, True), "rviz2": (False, False)}


RVIZ_TOPICS = ("markers", "predicted_paths/markers", "capsules/markers", "overlay", "vertices")


def test_rviz_shows_our_configuration_and_our_topics(processes):
    rviz = processes(rviz="true", namespace="left", image="/front/image")["rviz2"]
    assert rviz.arguments[:2] == ("-d", str(ROOT / "config" / "multihmr.rviz"))
    displays = yaml.safe_load(Path(rviz.arguments[1]).read_text())["Visualization Manager"]["Displays"]
    topics = {display["Topic"]["Value"] for display in displays if "Topic" in display}
    assert {topic: _remaps(rviz)[topic] for topic in topics} == {
        "/camera/image_raw": "/front/image",
        **{f"/multihmr/{name}": f"/left/multihmr/{name}" for name in RVIZ_TOPICS},
    }


TOPICS = [
    ({}, "/camera/image_raw", "/camera/camera_info"),
    ({"image": "/front/image_rect"}, "/front/image_rect", "/front/camera_info"),
    ({"image": "/image", "camera_info": "/info"}, "/image", "/info"),
    ({"namespace": "left"}, "/left/camera/image_raw", "/left/camera/camera_info"),
    ({"namespace": "/a/b/", "image": "eye/image"}, "/a/b/eye/image", "/a/b/eye/camera_info"),
    ({"namespace": "left", "image": "/eye/image", "camera_info": "info"}, "/eye/image", "/left/info"),
]


@pytest.mark.parametrize(("arguments", "image", "info"), TOPICS)
def test_node_and_camera_meet_on_the_same_topics(processes, arguments, image, info):
    found = processes(source="x.jpg", **arguments)
    node, camera = _remaps(found["multihmr_node"]), _remaps(found["multihmr_camera"])
    assert (node["image"], node["camera_info"]) == (image, info)
    assert (camera["image_raw"], camera["camera_info"]) == (image, info)
    assert camera["image_raw/compressed"] == f"{image}/compressed"
    namespace = "/" + arguments.get("namespace", "").strip("/")
    assert (node["__ns"], node["__node"]) == (namespace, "multihmr")
    assert (camera["__ns"], camera["__node"]) == (f"{namespace.rstrip('/')}/camera", "camera")


def test_log_level_reaches_the_nodes(processes):
    found = processes(source="x.jpg", log_level="debug")
    assert all(_after(p, "--log-level") == ["debug"] for p in found.values())


# ---- environment


def test_environment_is_set_for_all(processes, monkeypatch, share):
    for name in (*PROFILE_VARIABLES, "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "FASTDDS_BUILTIN_TRANSPORTS"):
        monkeypatch.delenv(name, raising=False)
    for process in processes(source="x.jpg", rviz="true").values():
        profiles = {process.environment[name] for name in PROFILE_VARIABLES}
        assert profiles == {str(share / "config" / "fastdds_large_images.xml")}
        assert int(process.environment["GOMP_SPINCOUNT"]) > 0
        assert process.environment["PATH"] == os.environ["PATH"]
    assert not set(PROFILE_VARIABLES) & set(os.environ)


@pytest.mark.parametrize("own", PROFILE_VARIABLES)
def test_the_users_environment_stays(processes, monkeypatch, own):
    for name in PROFILE_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(own, "/my/profile.xml")
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    environment = processes()["multihmr_node"].environment
    assert {name: environment[name] for name in PROFILE_VARIABLES if name in environment} == {own: "/my/profile.xml"}
    assert environment["OMP_WAIT_POLICY"] == "active"


# ---- the runner


# Runs until SIGINT, which it survives only after it has said that it is ready.
ENDLESS = "trap 'echo stopped > {0}/out; exit 0' INT; touch {0}/ready; echo ready:; while :; do sleep 0.05; done"


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Makes programs of the package `some`, which the runner finds as those of an installed package."""
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path / "prefix"))

    def make(name: str, script: str, ends_all: bool = False) -> Process:
        path = tmp_path / "prefix" / "lib" / "some" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/bin/sh\n" + script)
        path.chmod(0o755)
        return Process("some", name, ("a", "b"), dict(os.environ, OWN="mine"), lambda _: ends_all)

    return make


def test_runner_waits_for_the_last_and_passes_arguments_and_environment(program, tmp_path):
    lines = []
    quick = program("quick", "exit 0")
    slow = program("slow", f'sleep 0.3; echo "$*" $OWN > {tmp_path}/out')
    assert run([quick, slow], lines.append) == 0
    assert (tmp_path / "out").read_text() == "a b mine\n"
    assert [line for line in lines if "cleanly" in line] == [
        "quick-1: process has finished cleanly", "slow-2: process has finished cleanly"
    ]  # fmt: skip


def test_runner_tells_failure(program):
    lines = []
    assert run([program("bad", "exit 3")], lines.append) == 1
    assert "bad-1: process has died, exit code 3" in lines


def test_end_of_the_main_process_ends_the_others(program, tmp_path):
    endless = program("endless", ENDLESS.format(tmp_path))
    main = program("main", f"until [ -e {tmp_path}/ready ]; do sleep 0.05; done", ends_all=True)
    assert run([endless, main], lambda _: None) == 0
    assert (tmp_path / "out").read_text() == "stopped\n"


def test_missing_program_starts_nothing(program, tmp_path):
    writer = program("writer", f"touch {tmp_path}/out")
    with pytest.raises(FileNotFoundError, match="program nothing of the ROS package some is not installed"):
        run([writer, dataclasses.replace(writer, executable="nothing")], lambda _: None)
    assert not (tmp_path / "out").exists()


def test_command_runs_a_launch_file_and_ctrl_c_ends_it(program, tmp_path):
    program("endless", ENDLESS.format(tmp_path))
    file = tmp_path / "one.launch.py"
    file.write_text(
        textwrap.dedent("""
        from launch import LaunchDescription
        from launch.actions import DeclareLaunchArgument
        from launch.conditions import IfCondition
        from launch.substitutions import LaunchConfiguration
        from launch_ros.actions import Node

        def generate_launch_description():
            two = Node(package="some", executable="missing", condition=IfCondition(LaunchConfiguration("two")))
            return LaunchDescription([
                DeclareLaunchArgument("two", description="starts a second one", choices=["true", "false"]),
                Node(package="some", executable="endless"), two,
            ])
        """)
    )
    command = [sys.executable, "-m", "multihmr_launch.cli", str(file)]
    assert b"Required launch argument 'two'" in subprocess.run(command, capture_output=True).stderr
    assert b"starts a second one" in subprocess.run([*command, "-s"], capture_output=True).stdout
    wrong = subprocess.run([*command, "two:=maybe"], capture_output=True)
    assert wrong.returncode == 2 and b"Valid options are: 'true', 'false'" in wrong.stderr
    process = subprocess.Popen([*command, "two:=false"], stdout=subprocess.PIPE, text=True)
    watchdog = threading.Timer(60, process.kill)
    watchdog.start()
    assert {process.stdout.readline().split(":")[0] for _ in range(2)} == {"endless-1", "ready"}
    process.send_signal(signal.SIGINT)
    rest = process.stdout.read()
    assert process.wait() == 0, rest
    watchdog.cancel()
    assert (tmp_path / "out").read_text() == "stopped\n"


SLOW_TO_END = "trap 'sleep 1; touch {0}/ended; exit 0' INT; echo ready:; while :; do sleep 0.05; done"
ONE_NODE = """
from launch import LaunchDescription
from launch_ros.actions import Node

def generate_launch_description():
    return LaunchDescription([Node(package="some", executable="slow")])
"""


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_more_signals_while_it_ends_change_nothing(program, tmp_path, first):
    program("slow", SLOW_TO_END.format(tmp_path))
    file = tmp_path / "one.launch.py"
    file.write_text(ONE_NODE)
    command = [sys.executable, "-m", "multihmr_launch.cli", str(file)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    watchdog = threading.Timer(60, process.kill)
    watchdog.start()
    assert {process.stdout.readline().split(":")[0] for _ in range(2)} == {"slow-1", "ready"}
    signal_until_it_ends(process, first)
    watchdog.cancel()
    assert (process.returncode, process.stdout.read()) == (0, "user interrupted: sending SIGINT to all processes\n")
    assert (tmp_path / "ended").exists()


def test_launch_file_is_found_by_name_where_the_package_is_installed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    path = tmp_path / "share" / "multihmr" / "launch" / "some.launch.py"
    path.parent.mkdir(parents=True)
    path.touch()
    assert find_launch_file("some.launch.py") == path
    with pytest.raises(FileNotFoundError, match=str(path.parent)):
        find_launch_file("other.launch.py")
