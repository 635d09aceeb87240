"""The messages that bridges need: those that are installed, or else built from `bridge_messages` into build/."""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
PACKAGES = ("vision_msgs", "people_msgs", "hri_msgs")


def provide_messages() -> None:
    """Makes the packages importable, for the rest of the process; builds only what another run did not leave."""
    sys.path.insert(0, str(HERE.parent / "pip_ros"))
    from rosidl_build import build_interfaces

    environment = hashlib.sha256(f"{sys.prefix} {sys.version}".encode()).hexdigest()[:16]
    folder = HERE.parent / "build" / "bridge_messages" / environment / "packages"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # other processes of the same run wait until they are built
        for package in PACKAGES:
            if importlib.util.find_spec(package) is None:
                build_interfaces(package, HERE / "bridge_messages" / package / "msg", folder)
    sys.path.append(str(folder))
    importlib.invalidate_caches()
