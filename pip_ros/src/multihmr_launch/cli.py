"""The command multihmr-launch."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from . import add_stand_ins
from .evaluate import declared_arguments, evaluate, find_launch_file, load
from .run import run

_REAL = "ROS's own launch is installed here: use `ros2 launch multihmr camera.launch.py`"


def main(args: list[str] | None = None) -> int:
    """Run a launch file; return the exit code: 0 well, 1 a process failed, 2 wrong use."""
    parser = argparse.ArgumentParser(prog="multihmr-launch", description="Runs a ROS launch file.")
    parser.add_argument("file", help="launch file: a path, or a name such as camera.launch.py")
    parser.add_argument("arguments", nargs="*", metavar="name:=value", help="arguments of the launch file")
    parser.add_argument(
        "-s", "--show-args", action="store_true", help="list the launch file's arguments, start nothing"
    )
    options = parser.parse_args(args)
    if not add_stand_ins():
        return _fail(_REAL)
    try:
        description = load(find_launch_file(options.file))
        if options.show_args:
            _say(describe(description))
            return 0
        with tempfile.TemporaryDirectory(prefix="multihmr_launch_") as folder:
            return run(evaluate(description, _parse(options.arguments), Path(folder)), _say)
    except (OSError, ValueError, RuntimeError) as error:
        return _fail(str(error))
    except KeyboardInterrupt:  # before anything was started
        return 130


def describe(description: object) -> str:
    """Return the launch file's arguments with descriptions and defaults, as `ros2 launch --show-args` lists them."""
    lines = ["Arguments (pass arguments as '<name>:=<value>'):"]
    for argument in declared_arguments(description):
        choices = f". Valid choices are: {argument.choices}" if argument.choices else ""
        default = "" if argument.default_value is None else f"\n        (default: {argument.default_value!r})"
        lines.append(f"\n    '{argument.name}':\n        {argument.description}{choices}{default}")
    return "\n".join(lines)


def _parse(arguments: list[str]) -> dict[str, str]:
    parsed = {}
    for argument in arguments:
        name, separator, value = argument.partition(":=")
        if not separator or not name:
            raise ValueError(f"expected name:=value, got {argument!r}")
        parsed[name] = value
    return parsed


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _fail(text: str) -> int:
    sys.stderr.write(f"multihmr-launch: {text}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main())
