"""Checks what colcon installed: imports, messages that serialise, data, launch files and executables.

Use: python check_install_space.py INSTALL_PREFIX
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

from ament_index_python import get_package_share_directory
from rclpy.serialization import deserialize_message, serialize_message


def main(prefix: Path) -> None:
    """Raises or exits with a message where something is missing."""
    for name in ("multihmr", "multihmr.msg", "ros2_multihmr", "ros2_multihmr.humans"):
        origin = importlib.import_module(name).__file__
        if origin is None or prefix not in Path(origin).parents:
            sys.exit(f"{name} was imported from {origin}, not from {prefix}")
    from multihmr.msg import Human, HumanArray

    sent = HumanArray(humans=[Human(track_id=7)])
    if deserialize_message(serialize_message(sent), HumanArray) != sent:
        sys.exit("a HumanArray did not survive serialisation")
    share = Path(get_package_share_directory("multihmr"))
    if share != prefix / "share" / "multihmr":
        sys.exit(f"the ament index names {share}")
    source = Path(__file__).resolve().parents[1]
    for file in _installed_files(source, share, Path(importlib.import_module("ros2_multihmr").__file__).parent):
        if not _is_installed(file):
            sys.exit(f"{file} was not installed")
    for name in ("multihmr", "multihmr_camera", "multihmr_node"):
        if not os.access(prefix / "lib" / "multihmr" / name, os.X_OK):
            sys.exit(f"lib/multihmr/{name} is no executable")


def _is_installed(file: Path) -> bool:
    if file.suffix != ".so":
        return file.is_file()
    # Compiled beside its source by pip, with the interpreter in its name; by CMake without.
    return any(file.parent.glob(f"{file.name.partition('.')[0]}*.so"))


def _installed_files(source: Path, share: Path, package: Path) -> list[Path]:
    data = [f for f in (source / "ros2_multihmr").rglob("*") if f.is_file() and "__pycache__" not in f.parts]
    files = [package / f.relative_to(source / "ros2_multihmr") for f in data]
    shared = [f for folder in ("launch", "config", "msg") for f in (source / folder).iterdir() if f.is_file()]
    return [*files, *(share / f.relative_to(source) for f in shared), share / "package.xml"]


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
