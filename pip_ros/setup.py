"""Builds the wheel of multihmr-pip-ros: the Python stand-ins, and tf2_msgs made by ROS's own generators."""

from __future__ import annotations

import sys
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))  # not there in a build by pip

import real_ros  # noqa: E402
from build_backend import messages_version  # noqa: E402


class BuildPyWithMessages(build_py):
    """Adds the package tf2_msgs, and the files by which ROS's tools find it."""

    def run(self) -> None:
        """Build, and add the files to the distribution."""
        from rosidl_build import build_interfaces  # needs what pip installs only for the build

        super().run()
        built = build_interfaces("tf2_msgs", HERE / "tf2_msgs" / "msg", Path(self.build_lib))
        (built.package_dir / real_ros.MARKER).write_text((HERE / "src" / "tf2_ros" / real_ros.MARKER).read_text())
        self.distribution.data_files += built.data_files()


class BinaryDistribution(Distribution):
    """Has an extension module, though none that setuptools knows."""

    def has_ext_modules(self) -> bool:
        """Make the wheel one for this platform and interpreter."""
        return True


real_ros.refuse_where_ros_is()
setup(
    cmdclass={"build_py": BuildPyWithMessages},
    distclass=BinaryDistribution,
    install_requires=[
        "numpy>=1.26",
        "opencv-python-headless>=4.6",
        "pyyaml",
        "scipy>=1.11",
        "ros-rclpy[fastrtps]",
        "ros-sensor-msgs",
        f"ros-geometry-msgs=={messages_version()}",  # tf2_msgs is linked to its libraries
    ],
    data_files=[
        ("share/tf2_msgs", ["tf2_msgs/package.xml"]),
        ("share/ament_index/resource_index/packages", ["tf2_msgs/resource/tf2_msgs"]),
    ],
)
