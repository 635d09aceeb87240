"""The pip build: messages by the rosidl generators, code for processors with AMX, and what ROS's tools look for.

colcon does not come by here, see CMakeLists.txt. Everything that is not computed is in pyproject.toml and setup.cfg.
"""

from __future__ import annotations

import os
import platform
import sys
import sysconfig
from configparser import ConfigParser
from importlib import metadata
from pathlib import Path
from typing import ClassVar

from setuptools import Command, Distribution, Extension, find_packages, setup
from setuptools.command.build import build

NAME = "multihmr"
ROOT = Path(__file__).resolve().parent
# Generated code belongs to one environment: the Makefile names a folder in it, so that two can share a tree.
ROSIDL_DIR = Path(os.path.relpath(os.environ.get("MULTIHMR_ROSIDL_DIR", ROOT / "build" / "rosidl"), ROOT))
SHARE = {"": [Path("package.xml")], **{folder: sorted(Path(folder).glob("*.*")) for folder in ("launch", "config")}}

# ros2 run and launch start what lies in lib/<package>; pip puts the commands into bin.
EXECUTABLE = '#!/bin/sh\nexec "$(dirname "$(readlink -f "$0")")/../../bin/{name}" "$@"\n'
# What a workspace's setup.bash does, for the Pythons of this environment: ROS's tools look for packages here, too.
PATH_FILE = (
    'import os, sys; _p = [sys.prefix, *filter(None, os.environ.get("AMENT_PREFIX_PATH", "").split(":"))]; '
    'os.environ["AMENT_PREFIX_PATH"] = ":".join(dict.fromkeys(_p)); del _p\n'
)
# Not linked against OpenMP: PyTorch's is there when it is loaded. CMakeLists.txt says the same.
AMX = Path("ros2_multihmr", "backends", "amx_kernels")
AMX_FLAGS = "-O3 -std=c++17 -fopenmp -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512bf16 -mamx-tile -mamx-bf16"
SITE_PACKAGES = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"


class BuildRosidl(Command):
    """Generates and compiles the messages, and stages the entries of the ament index."""

    description = "generate and compile the ROS messages"
    editable_mode = False
    build_lib = None

    def initialize_options(self) -> None:
        """Takes no options."""

    def finalize_options(self) -> None:
        """Takes no options."""

    def run(self) -> None:
        """Builds, and adds what was made to the distribution's data files."""
        sys.path.insert(0, str(ROOT / "pip_ros"))  # here: its imports are not there when pip asks what is required
        from build_backend import messages_version
        from rosidl_build import build_interfaces

        at_hand = [found.version for found in metadata.distributions(name="ros-geometry-msgs")]
        if at_hand and messages_version() not in at_hand:
            raise SystemExit(
                f"the messages would be built for ros-geometry-msgs {at_hand[0]}, but they will run with "
                f"{messages_version()}: install with --no-build-isolation (make setup does)"
            )
        built = build_interfaces(NAME, ROOT / "msg", ROOT / ROSIDL_DIR)
        self.distribution.data_files += [*built.data_files(), *ament_files(ROOT / ROSIDL_DIR.parent / "ament")]

    def get_source_files(self) -> list[str]:
        """Returns the sources, for the source distribution."""
        return [str(path) for path in Path("msg").glob("*.msg")]

    def get_outputs(self) -> list[str]:
        """Returns nothing: build_py installs the generated package."""
        return []

    def get_output_mapping(self) -> dict[str, str]:
        """Returns nothing: build_py installs the generated package."""
        return {}


class Build(build):
    """The standard build, after the messages."""

    sub_commands: ClassVar = [("build_rosidl", None), *build.sub_commands]


def compiled() -> list[Extension]:
    """The code for processors with AMX, where there are such; a compiler that knows no AMX leaves it out."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        return []
    return [
        Extension(
            "ros2_multihmr.backends._amx",
            [str(AMX / "kernels.cpp")],
            depends=[str(path) for path in sorted(AMX.glob("*.hpp"))],
            extra_compile_args=AMX_FLAGS.split(),
            optional=True,
        )
    ]


class PlatformDistribution(Distribution):
    """A distribution with compiled code, though setuptools did not compile all of it."""

    def has_ext_modules(self) -> bool:
        """Makes the wheel one for this platform and interpreter."""
        return True

    def has_data(self) -> bool:
        """Makes an editable installation install the data files: setuptools asks by this name, but has another."""
        return self.has_data_files()


def ament_files(stage: Path) -> list[tuple[str, list[str]]]:
    """Writes the package's entry in the ament index and its executables; returns them as data files."""
    marker, path_file = stage / "packages" / NAME, stage / f"{NAME}_ament_index.pth"
    marker.parent.mkdir(parents=True, exist_ok=True)
    marker.touch()
    path_file.write_text(PATH_FILE)
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    lines = config["options.entry_points"]["console_scripts"].split("\n")
    executables = [stage / "bin" / line.split("=")[0].strip() for line in lines if line]
    for path in executables:
        path.parent.mkdir(exist_ok=True)
        path.write_text(EXECUTABLE.format(name=path.name))
        path.chmod(0o755)
    index = "share/ament_index/resource_index/packages"
    folders = {index: [marker], f"lib/{NAME}": executables, SITE_PACKAGES: [path_file]}
    return [(folder, [os.path.relpath(path, ROOT) for path in paths]) for folder, paths in folders.items()]


(ROOT / ROSIDL_DIR / NAME / "msg").mkdir(parents=True, exist_ok=True)  # setuptools wants packages to exist beforehand
setup(
    packages=[*find_packages(include=["ros2_multihmr", "ros2_multihmr.*"]), NAME, f"{NAME}.msg"],
    ext_modules=compiled(),
    package_dir={NAME: (ROSIDL_DIR / NAME).as_posix()},
    package_data={
        "ros2_multihmr": ["assets/**", "training/recipes/*.yaml"],
        NAME: [f"*{sysconfig.get_config_var('EXT_SUFFIX')}"],
    },
    exclude_package_data={"ros2_multihmr": ["assets/__pycache__/*"]},
    data_files=[(str(Path("share", NAME, folder)), [str(path) for path in paths]) for folder, paths in SHARE.items()],
    cmdclass={"build": Build, "build_rosidl": BuildRosidl},
    distclass=PlatformDistribution,
)
