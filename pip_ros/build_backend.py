"""Build backend: setuptools', after a look at where the result will be installed."""

from __future__ import annotations

from importlib import metadata
from typing import Any

import real_ros
from setuptools import build_meta
from setuptools.build_meta import *  # noqa: F403 (a backend is the functions of this module)

_JAZZY = "5.3.6"


def messages_version() -> str:
    """Return the version of the ROS message wheels to build against: the installed one, else Jazzy's."""
    installed = metadata.distributions(name="ros-geometry-msgs", path=real_ros.import_path())
    return next((found.version for found in installed), _JAZZY)


def get_requires_for_build_wheel(config_settings: Any = None) -> list[str]:
    """Return what the build needs: the message wheels bring the rosidl generators."""
    real_ros.refuse_where_ros_is()
    version = messages_version()
    needed = ["numpy", "pyyaml", f"ros-std-msgs=={version}", f"ros-geometry-msgs=={version}"]
    return [*build_meta.get_requires_for_build_wheel(config_settings), *needed]
