"""Environment variables that must be set before Fast DDS and OpenMP are loaded.

Out of the box, Fast DDS loses most best-effort images between two processes of one machine: its shared memory and
socket buffers are smaller than an image. And OpenMP's threads spin for too long while they wait, which starves others.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import MutableMapping
from pathlib import Path

from ros2_multihmr.openmp import wait_briefly

PACKAGE = "multihmr"
PROFILE = "fastdds_large_images.xml"
# The first name is the one that Jazzy's Fast DDS reads, the second Kilted's.
PROFILE_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
_USERS_OWN_VARIABLES = (*PROFILE_VARIABLES, "FASTDDS_BUILTIN_TRANSPORTS")
_USERS_OWN_FILES = ("DEFAULT_FASTRTPS_PROFILES.xml", "DEFAULT_FASTDDS_PROFILES.xml")


def set_defaults(environ: MutableMapping[str, str]) -> None:
    """Adds what this package's processes should run with; what the user has set stays.

    Args:
        environ: `os.environ`, or a copy of it for a process about to be started.
    """
    wait_briefly(environ)
    _set_log_folder(environ)
    if any(name in environ for name in _USERS_OWN_VARIABLES) or any(Path(name).exists() for name in _USERS_OWN_FILES):
        return
    profile = str(share_file(f"config/{PROFILE}"))
    for name in PROFILE_VARIABLES:
        environ[name] = profile


def _set_log_folder(environ: MutableMapping[str, str]) -> None:
    """ROS cannot start without a folder for its log, and containers and services often have no home to put it in."""
    if any(environ.get(name) for name in ("ROS_LOG_DIR", "ROS_HOME")):
        return
    home = environ.get("HOME")
    if home and _can_write(Path(home, ".ros", "log")):
        return
    folder = Path(tempfile.gettempdir(), f"ros_log_{os.getuid()}")
    folder.mkdir(exist_ok=True)
    environ["ROS_LOG_DIR"] = str(folder)


def _can_write(folder: Path) -> bool:
    """Says whether the folder can be written, or created."""
    try:
        existing = next(path for path in (folder, *folder.parents) if path.exists())
    except (OSError, StopIteration):
        return False
    return existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)


def share_file(name: str) -> Path:
    """Finds a file that belongs to the package but is no Python code, for example "config/multihmr.yaml".

    Looks into the source tree, the ROS workspace, and the Python environment, in this order.

    Raises:
        FileNotFoundError: The file is nowhere; says where it was looked for.
    """
    folders = _share_folders()
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    looked = ", ".join(str(folder) for folder in folders)
    raise FileNotFoundError(f"{name} of the package {PACKAGE} is missing; install it again (looked in {looked})")


def _share_folders() -> list[Path]:
    source_tree = Path(__file__).resolve().parents[2]
    folders = [source_tree] if (source_tree / "package.xml").is_file() else []
    # A plain Python environment has no ament index; where the package is not found in it, a KeyError comes.
    with contextlib.suppress(ImportError, KeyError, OSError):
        from ament_index_python.packages import get_package_share_directory

        folders.append(Path(get_package_share_directory(PACKAGE)))
    return [*folders, Path(sys.prefix) / "share" / PACKAGE]
