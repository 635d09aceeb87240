"""Finds ROS's own packages of the stand-ins' names: those and the stand-ins would hide each other."""

from __future__ import annotations

import importlib.machinery
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

NAMES = ("cv_bridge", "sensor_msgs_py", "tf2_msgs", "tf2_ros", "tf_transformations")
MARKER = "STAND_IN"  # a file in each of our packages: an earlier installation is no reason to refuse

_MESSAGE = """\
multihmr-pip-ros stands in for ROS packages that PyPI lacks, but this Python can import the real ones:
{found}
Do not install it here: on a machine with ROS 2 the real packages do all of this, and more.
(To make an environment from PyPI alone, use a shell in which ROS's setup.bash was not sourced, and a virtual
environment without --system-site-packages. If a package above is a leftover, uninstall it.)"""


def refuse_where_ros_is(path: Sequence[str] | None = None) -> None:
    """Stop the set-up where a real package can be imported.

    Args:
        path: Folders to look in; default: `import_path()`.

    Raises:
        SystemExit: with what was found where, and what to do.
    """
    found = real_packages(import_path() if path is None else path)
    if found:
        raise SystemExit(_MESSAGE.format(found="\n".join(f"  {name}: {place}" for name, place in found.items())))


def real_packages(path: Iterable[str]) -> dict[str, Path]:
    """Return the real packages among `NAMES` that are importable from the folders of `path`, with their places."""
    folders, found = list(path), {}
    for name in NAMES:
        for folder in folders:  # each alone: a stand-in earlier on the path must not hide the real one
            spec = importlib.machinery.PathFinder.find_spec(name, [folder])
            if spec and spec.origin and not (Path(spec.origin).parent / MARKER).exists():
                found[name] = Path(spec.origin).parent
                break
    return found


def import_path() -> list[str]:
    """Return the folders that the installed packages will be imported from.

    pip builds in an environment of its own, which hides both the interpreter's packages and PYTHONPATH: ask a fresh
    interpreter for the former, and AMENT_PREFIX_PATH for the latter: ROS's setup.bash sets both.
    """
    hidden = ("PYTHONPATH", "PYTHONNOUSERSITE", "PYTHONSAFEPATH")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    command = [sys.executable, "-c", "import json, sys; print(json.dumps(sys.path[1:]))"]
    shown = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True).stdout
    folders = [*os.environ.get("PYTHONPATH", "").split(os.pathsep), *json.loads(shown.splitlines()[-1])]
    python = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for prefix in filter(None, os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)):
        folders += [f"{prefix}/lib/{python}/site-packages", f"{prefix}/local/lib/{python}/dist-packages"]
    return list(dict.fromkeys(filter(None, folders)))
