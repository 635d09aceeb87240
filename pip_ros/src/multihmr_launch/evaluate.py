"""From a launch file to a list of processes."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

LAUNCH_FOLDERS = ("", "launch")  # where a launch file lies, below a package's share folder


@dataclass(frozen=True)
class Process:
    """One process of a launch file.

    Attributes:
        package: ROS package of the program.
        executable: Name of the program.
        arguments: Its arguments.
        environment: Its whole environment.
        ends_all: Whether its end with an exit code ends the others.
    """

    package: str
    executable: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    ends_all: Callable[[int], bool]


def load(path: Path) -> Any:
    """Return the LaunchDescription of a launch file.

    Raises:
        AttributeError: the file has no generate_launch_description.
    """
    spec = importlib.util.spec_from_file_location("launch_file", path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{path} is no Python launch file: expected a name that ends with .py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.generate_launch_description()


def declared_arguments(description: Any) -> list[Any]:
    """Return the DeclareLaunchArgument actions of a description."""
    return [entity for entity in description.entities if hasattr(entity, "default_value")]


def evaluate(description: Any, arguments: Mapping[str, str], folder: Path) -> list[Process]:
    """Return the processes that a launch file asks for.

    Args:
        description: What `load` returned.
        arguments: Values of launch arguments.
        folder: Takes the parameter files.

    Raises:
        ValueError: an argument that the launch file does not declare.
    """
    from launch import LaunchContext

    known = [argument.name for argument in declared_arguments(description)]
    unknown = sorted(set(arguments) - set(known))
    if unknown:
        problem = f"unknown launch arguments {', '.join(unknown)}; this launch file has {', '.join(known)}"
        raise ValueError("; ".join([problem, *_given_by_file(unknown, declared_arguments(description))]))
    return _visit(description.entities, LaunchContext(arguments, folder))


def _given_by_file(names: Iterable[str], arguments: Iterable[Any]) -> list[str]:
    """Return a sentence for each name that is a parameter in the YAML file which an argument stands for."""
    files = {a.name: Path(a.default_value) for a in arguments if str(a.default_value).endswith(".yaml")}
    parameters = {argument: _parameters(file) for argument, file in files.items() if file.is_file()}
    return [
        f"{name} is a parameter: copy {files[argument]}, write your {name} there, and give {argument}:=<your file>"
        for name in names
        for argument, known in parameters.items()
        if name in known
    ]


def _parameters(file: Path) -> set[str]:
    """Return the names of all parameters in a parameter file; none if the file is of another kind."""
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return set()
    nodes = content.values() if isinstance(content, dict) else []
    parameters = [node.get("ros__parameters") for node in nodes if isinstance(node, dict)]
    return {name for given in parameters if isinstance(given, dict) for name in given}


def _visit(actions: Iterable[Any], context: Any) -> list[Process]:
    from launch.substitutions import perform
    from launch_ros.actions import Node

    found = []
    for action in actions:
        if not isinstance(action, Node):
            found += _visit(action.visit(context), context)
        elif action.condition is None or action.condition.evaluate(context):
            names = perform(context, action.package), perform(context, action.executable)
            line, environment = tuple(action.command_line(context)), dict(context.environment)
            found.append(Process(*names, line, environment, _ends_all(action, context)))
    return found


def _ends_all(node: Any, context: Any) -> Callable[[int], bool]:
    return lambda code: bool(node.actions_on_exit(context, code))  # Shutdown is the only action that can be there


def find_launch_file(name: str) -> Path:
    """Return the path of a launch file: `name` itself, or that file of the package multihmr.

    Raises:
        FileNotFoundError: there is none; says where it was looked for.
    """
    shares = [prefix / "share" / "multihmr" for prefix in _prefixes()]
    places = [Path(name), *(share / folder / name for share in shares for folder in LAUNCH_FOLDERS)]
    for place in places:
        if place.is_file():
            return place.absolute()
    raise FileNotFoundError(f"no launch file {name}; looked for {', '.join(map(str, places))}")


def find_executable(package: str, executable: str) -> Path:
    """Return the path of a package's program: in lib/<package> as in ROS, or among this environment's commands.

    Raises:
        FileNotFoundError: the package is not installed here; says where it was looked for.
    """
    folders = [*(prefix / "lib" / package for prefix in _prefixes()), Path(sys.executable).parent]
    for folder in folders:
        if os.access(folder / executable, os.X_OK):
            return folder / executable
    looked = ", ".join(map(str, folders))
    raise FileNotFoundError(f"program {executable} of the ROS package {package} is not installed (looked in {looked})")


def _prefixes() -> list[Path]:
    sourced = os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)
    return [Path(prefix) for prefix in [*sourced, sys.prefix] if prefix]
