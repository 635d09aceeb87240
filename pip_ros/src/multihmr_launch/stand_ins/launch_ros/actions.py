"""Stand-in for launch_ros.actions: a node as a process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from launch.actions import Action, Shutdown
from launch.events.process import ProcessExited
from launch.substitutions import Substitution, perform

from launch import LaunchContext


class Node(Action):
    """Starts a ROS node. Output goes to the screen, whatever `output` says."""

    def __init__(
        self,
        *,
        executable: Any,
        package: Any,
        name: Any = None,
        namespace: Any = None,
        parameters: Sequence[Any] = (),
        remappings: Iterable[tuple[Any, Any]] = (),
        ros_arguments: Sequence[Any] = (),
        arguments: Sequence[Any] = (),
        output: str = "screen",
        emulate_tty: bool = False,
        on_exit: Shutdown | Callable[[ProcessExited, LaunchContext], Sequence[Action] | None] | None = None,
        **action: Any,
    ) -> None:
        super().__init__(**action)
        self.executable, self.package, self.name, self.namespace = executable, package, name, namespace
        self.parameters, self.remappings = list(parameters), list(remappings)
        self.ros_arguments, self.arguments, self.on_exit = list(ros_arguments), list(arguments), on_exit

    def command_line(self, context: LaunchContext) -> list[str]:
        """Return the arguments of the process; parameters given as values go into a new file."""
        line = [perform(context, part) for part in self.arguments] + ["--ros-args"]
        line += [perform(context, part) for part in self.ros_arguments]
        if self.name is not None:
            line += ["-r", f"__node:={perform(context, self.name)}"]
        if self.namespace is not None:
            line += ["-r", f"__ns:={_absolute(perform(context, self.namespace))}"]
        for source in self.parameters:
            line += ["--params-file", self._parameter_file(context, source)]
        for before, after in self.remappings:
            line += ["-r", f"{perform(context, before)}:={perform(context, after)}"]
        return line

    def actions_on_exit(self, context: LaunchContext, returncode: int) -> list[Action]:
        """Return what is to be done when the process has ended with an exit code."""
        if self.on_exit is None or isinstance(self.on_exit, Shutdown):
            return [self.on_exit] if self.on_exit else []
        return list(self.on_exit(ProcessExited(returncode), context) or ())

    def _parameter_file(self, context: LaunchContext, source: Any) -> str:
        if not isinstance(source, Mapping):
            return str(source) if isinstance(source, Path) else perform(context, source)
        values = {perform(context, key): _value(context, value) for key, value in source.items()}
        # A file's key for this very node beats one for all nodes, so name the node as precisely as possible.
        named = self.name is not None and self.namespace is not None
        node = f"{_absolute(perform(context, self.namespace))}/{perform(context, self.name)}" if named else "/**"
        path = context.folder / f"parameters_{len(list(context.folder.iterdir()))}.yaml"
        path.write_text(yaml.safe_dump({node.replace("//", "/"): {"ros__parameters": values}}))
        return str(path)


def _absolute(namespace: str) -> str:
    return namespace if namespace.startswith("/") else f"/{namespace}"


def _value(context: LaunchContext, value: Any) -> Any:
    """Return a parameter's value: what a substitution gives is read as YAML, anything else is taken as it is."""
    return yaml.safe_load(value.perform(context)) if isinstance(value, Substitution) else value
