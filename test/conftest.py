"""The tests' ROS graph is this machine's alone, and no other run's: set before anything imports rclpy."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ros2_multihmr.ros.domain import free_domain

# Workers of pytest-xdist import this file in processes of their own.
os.environ["ROS_DOMAIN_ID"] = str(free_domain())
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
os.environ["ROS_PYTHON_CHECK_FIELDS"] = "1"
# Tests decide themselves about big images' settings, and about where ROS looks for its log folder.
for name in ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE", "ROS_STATIC_PEERS", "ROS_NAMESPACE"):
    os.environ.pop(name, None)


@pytest.fixture
def graph():
    """Makes graphs with a node to test, and stops them at the end; see ros_graph.Graph."""
    from ros_graph import Graph  # loads ROS, which most tests do without

    graphs = []

    def make(*args, **kwargs):
        graphs.append(Graph(*args, **kwargs))
        return graphs[-1]

    yield make
    for one in graphs:
        one.stop()


@pytest.fixture(scope="session")
def small_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the weights of small_network.small_network, for all tests that only read it."""
    from small_network import small_network  # loads torch, which many tests do without

    from ros2_multihmr.model.checkpoint import save_weights

    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_weights(small_network(), path)
    return path


@pytest.fixture
def share() -> Path:
    """The folder above launch/ and config/ of the imported package: the tree, or where colcon installed it."""
    import ros2_multihmr

    tree = Path(__file__).resolve().parents[1]
    if Path(ros2_multihmr.__file__).resolve().parents[1] == tree:
        return tree
    from ament_index_python import get_package_share_directory

    return Path(get_package_share_directory("multihmr"))
