"""Starts the node on one camera's images; a camera (webcam, video, pictures) and RViz on request.

    ros2 launch multihmr camera.launch.py image:=/front/image_raw rviz:=true
    ros2 launch multihmr camera.launch.py source:=0 fov:=60

Without ROS's launch (ROS from PyPI): multihmr-launch camera.launch.py source:=0 fov:=60
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable, Shutdown
from launch.conditions import IfCondition
from launch.events.process import ProcessExited
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from launch import LaunchContext, LaunchDescription
from ros2_multihmr.ros.environment import set_defaults

_CONFIG = Path(__file__).resolve().parents[1] / "config"  # beside this folder in the sources and in share/multihmr
_AS_IN_FILE = "; empty: as in the parameter file"
_SHOWN = ("markers", "predicted_paths/markers", "capsules/markers", "overlay", "vertices")
_TRUTHS = {"true": True, "1": True, "false": False, "0": False}


def generate_launch_description() -> LaunchDescription:
    """Returns the arguments, and what is made of them."""
    arguments = [
        ("source", "", "starts our camera node on it: webcam (0), video, picture, folder or stream; empty: none"),
        ("image", "camera/image_raw", "image topic, relative to namespace; with source, our camera publishes there"),
        ("camera_info", "", "CameraInfo topic, relative to namespace; empty: camera_info beside the image topic"),
        ("namespace", "", "namespace of all nodes, to run several cameras"),
        ("params_file", str(_CONFIG / "multihmr.yaml"), "YAML file with the node's parameters"),
        ("camera_params_file", str(_CONFIG / "camera.yaml"), "YAML file with our camera node's parameters"),
        ("weights", "", f"weights file{_AS_IN_FILE}"),
        ("device", "", f"auto, cpu, cuda, cuda:1, ...{_AS_IN_FILE}"),
        ("image_transport", "", f"raw or compressed{_AS_IN_FILE}"),
        ("calibration", "", f"calibration YAML of the source{_AS_IN_FILE}"),
        ("fov", "", f"field of view of the source over its longer side [degrees]{_AS_IN_FILE}"),
        ("rate", "", f"images per second of the source [Hz]{_AS_IN_FILE}"),
        ("loop", "", f"true starts the source over after its end, false ends our camera node{_AS_IN_FILE}"),
        ("autostart", "true", "true activates the lifecycle node by itself, false waits for lifecycle commands"),
        ("rviz", "false", "true starts RViz"),
        ("use_sim_time", "false", "true takes the time from /clock"),
        ("log_level", "info", "debug, info, warn, error or fatal"),
    ]
    declared = [DeclareLaunchArgument(n, default_value=value, description=text) for n, value, text in arguments]
    return LaunchDescription([*declared, OpaqueFunction(function=_environment), OpaqueFunction(function=_nodes)])


def _environment(context: LaunchContext) -> list[SetEnvironmentVariable]:
    """Sets what big images and many threads need, unless the user has set it: see ros2_multihmr/ros/environment.py."""
    before, after = dict(context.environment), dict(context.environment)
    set_defaults(after)
    return [SetEnvironmentVariable(name, value) for name, value in after.items() if before.get(name) != value]


def _nodes(context: LaunchContext) -> list[Node]:
    given = dict(context.launch_configurations)
    namespace = "/" + given["namespace"].strip("/")
    image = _resolve(given["image"], namespace)
    info = _resolve(given["camera_info"] or f"{image.rpartition('/')[0]}/camera_info", namespace)
    common: dict[str, Any] = {
        "package": "multihmr",
        "ros_arguments": ["--log-level", given["log_level"]],
        "output": "screen",
        "emulate_tty": True,
    }
    cameras = [_camera(given, namespace, image, info, common)] if given["source"] else []
    return [*cameras, _node(given, namespace, image, info, common), _rviz(given, namespace, image)]


def _node(given: dict[str, str], namespace: str, image: str, info: str, common: dict[str, Any]) -> Node:
    parameters = _parameters(
        given, weights=_path, device=_text, image_transport=_text, autostart=_truth, use_sim_time=_truth
    )
    return Node(
        executable="multihmr_node",
        name="multihmr",
        namespace=namespace,
        parameters=[_file("params_file", given["params_file"]), parameters],
        remappings=[("image", image), ("camera_info", info)],
        on_exit=Shutdown(reason="the node has ended"),
        **common,
    )


def _camera(given: dict[str, str], namespace: str, image: str, info: str, common: dict[str, Any]) -> Node:
    parameters = _parameters(
        given, source=_path, calibration=_path, fov=_number, rate=_number, loop=_truth, image_transport=_text,
        use_sim_time=_truth,
    )  # fmt: skip
    return Node(
        executable="multihmr_camera",
        name="camera",
        namespace=f"{namespace.rstrip('/')}/camera",
        parameters=[_file("camera_params_file", given["camera_params_file"]), parameters],
        remappings=[
            ("image_raw", image),
            ("image_raw/compressed", f"{image}/compressed"),
            ("camera_info", info),
        ],
        on_exit=_end_if_failed,
        **common,
    )


def _end_if_failed(event: ProcessExited, _context: LaunchContext) -> list[Shutdown]:
    """Ends everything if the camera could not do its work; the node stays when a source has simply come to its end."""
    return [Shutdown(reason="our camera node has failed")] if event.returncode else []


def _rviz(given: dict[str, str], namespace: str, image: str) -> Node:
    """Returns RViz; the topics in its configuration are the default ones, without namespace."""
    shown = {f"/multihmr/{topic}": _resolve(f"multihmr/{topic}", namespace) for topic in _SHOWN}
    return Node(
        condition=IfCondition(LaunchConfiguration("rviz")),
        package="rviz2",
        executable="rviz2",
        namespace=namespace,
        arguments=["-d", str(_CONFIG / "multihmr.rviz")],
        parameters=[_parameters(given, use_sim_time=_truth)],
        remappings=[*shown.items(), ("/camera/image_raw", image)],
        output="screen",
    )


def _parameters(given: dict[str, str], **kinds: Callable[[str, str], Any]) -> dict[str, Any]:
    """Returns parameters for the launch arguments that were given; `kinds`: name of the argument = how to read it."""
    names = {"fov": "fov_deg", "rate": "rate_hz"}
    return {names.get(name, name): read(name, given[name]) for name, read in kinds.items() if given[name]}


def _text(_name: str, text: str) -> str:
    return text


def _path(_name: str, text: str) -> str:
    return str(Path(text).expanduser()) if text.startswith("~") else text  # the shell leaves the ~ in name:=~/file


def _file(name: str, text: str) -> str:
    path = _path(name, text)
    if not Path(path).is_file():
        raise FileNotFoundError(f"{name}:={text}: no such file")  # ros2 launch would go on without it
    return path


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{name}:={text}: expected a number") from None


def _truth(name: str, text: str) -> bool:
    if text.lower() not in _TRUTHS:
        raise ValueError(f"{name}:={text}: expected true or false")
    return _TRUTHS[text.lower()]


def _resolve(topic: str, namespace: str) -> str:
    return topic if topic.startswith("/") else f"{namespace.rstrip('/')}/{topic}"
