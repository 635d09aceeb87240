"""The messages that bridges need: those that are installed, or else built from `bridge_messages` into a folder."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
PACKAGES = ("vision_msgs", "people_msgs", "hri_msgs")


def provide_messages(folder: Path) -> None:
    """Makes the packages importable, for the rest of the process."""
    sys.path.insert(0, str(HERE.parent / "pip_ros"))
    from rosidl_build import build_interfaces

    for package in PACKAGES:
        if importlib.util.find_spec(package) is None:
            build_interfaces(package, HERE / "bridge_messages" / package / "msg", folder)
    sys.path.append(str(folder))
    importlib.invalidate_caches()
