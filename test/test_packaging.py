"""One package, two builds: their files agree with one another, with the code, and with what is installed."""

from __future__ import annotations

import ast
import importlib
import itertools
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from configparser import ConfigParser
from pathlib import Path

import multihmr.msg
import numpy as np
import pytest
import rclpy
from ament_index_python import get_package_prefix, get_package_share_directory
from packaging.requirements import Requirement
from rclpy.serialization import deserialize_message, serialize_message
from type_hashes import field_types, type_hash

import ros2_multihmr

ROOT = Path(__file__).resolve().parents[1]
MESSAGES = sorted(path.stem for path in (ROOT / "msg").glob("*.msg"))
CMAKE = (ROOT / "CMakeLists.txt").read_text()
PACKAGE_XML = ElementTree.parse(ROOT / "package.xml").getroot()
# Python module -> ROS package, where the names differ.
ROS_PACKAGES = {"tf2_ros": "tf2_ros_py"}
# Module -> distribution on PyPI, where the names differ.
DISTRIBUTIONS = {"cv2": "opencv-python-headless", "PIL": "pillow", "yaml": "pyyaml"}


def pyproject() -> dict:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def declared(*tags: str) -> set[str]:
    return {element.text for element in PACKAGE_XML if element.tag in tags}


def imported(*folders: str) -> set[str]:
    """The top-level modules that the files of these folders import."""
    names: set[str] = set()
    for path in itertools.chain.from_iterable((ROOT / folder).rglob("*.py") for folder in folders):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names.add(node.module.split(".")[0])
    return names - set(sys.stdlib_module_names) - {"multihmr", "ros2_multihmr", "__future__"}


def constraints(name: str) -> dict[str, str]:
    lines = [line.split("#")[0].strip() for line in (ROOT / name).read_text().splitlines()]
    pairs = [line.split(";")[0].split("==") for line in lines if line]
    return {key.strip().lower().replace("_", "-"): version.strip() for key, version in pairs}


def is_ros(module: str) -> bool:
    return module in {"rclpy", "cv_bridge", "launch", "ament_index_python"} or bool(
        re.search(r"_(msgs|msgs_py|interfaces|ros)$|^tf", module)
    )


# ---- the files agree


def test_versions_and_names_agree():
    assert PACKAGE_XML.findtext("version") == ros2_multihmr.__version__
    assert PACKAGE_XML.findtext("name") == pyproject()["name"] == re.search(r"project\((\w+)\)", CMAKE)[1]
    assert PACKAGE_XML.findtext("license") == pyproject()["license"] == "Apache-2.0"
    assert PACKAGE_XML.get("format") == "3"


def test_cmake_builds_every_message_with_what_it_contains():
    block = re.search(r"rosidl_generate_interfaces\(.*?\n\)", CMAKE, re.DOTALL)[0]
    assert re.findall(r'"msg/(\w+)\.msg"', block) == MESSAGES
    contained = set().union(*(field_types((ROOT / "msg" / f"{name}.msg").read_text()) for name in MESSAGES))
    packages = {name.split("/")[0] for name in contained if "/" in name}
    assert set(block.split("DEPENDENCIES")[1].strip(" )\n").split()) == packages == declared("depend")


def test_package_xml_declares_every_ros_package_that_is_imported():
    modules = {module for module in imported("ros2_multihmr", "launch") if is_ros(module)}
    assert {"rclpy", "cv_bridge", "tf2_ros", "sensor_msgs_py", "launch_ros"} <= modules  # the filter sees them
    optional = {"vision_msgs", "people_msgs", "hri_msgs"}  # looked for when the node is configured, see package.xml
    assert optional == modules & optional and not optional & declared("depend", "exec_depend")
    missing = {ROS_PACKAGES.get(m, m) for m in modules - optional} - declared("depend", "exec_depend")
    assert not missing, f"add to package.xml: {sorted(missing)}"


def test_pyproject_declares_every_other_module_that_is_imported():
    groups = [pyproject()["dependencies"], *pyproject()["optional-dependencies"].values()]
    known = {Requirement(text).name for text in itertools.chain(*groups)}
    others = {module for module in imported("ros2_multihmr") if not is_ros(module)}
    missing = {DISTRIBUTIONS.get(m, m) for m in others} - known
    assert not missing, f"add to pyproject.toml: {sorted(missing)}"
    unused = {Requirement(text).name for text in groups[0]} - {DISTRIBUTIONS.get(m, m) for m in others}
    assert not unused, f"nothing imports {sorted(unused)}"


@pytest.mark.parametrize("distro", ["jazzy", "kilted"])
def test_every_requirement_is_pinned_within_its_range(distro):
    pins = constraints("constraints.txt") | constraints(f"constraints-{distro}.txt")
    extras = pyproject()["optional-dependencies"]
    other = {"jazzy": "kilted", "kilted": "jazzy"}[distro]
    groups = [pyproject()["dependencies"], *(extras[name] for name in extras if name != other)]
    for requirement in map(Requirement, itertools.chain(*groups)):
        pin = pins[requirement.name.lower()]
        assert requirement.specifier.contains(pin), f"{requirement} is pinned to {pin}"
    assert {Requirement(r).name for r in extras["jazzy"]} == {Requirement(r).name for r in extras["kilted"]}


def test_entry_points_exist():
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    lines = config["options.entry_points"]["console_scripts"].strip().splitlines()
    assert {line.split("=")[0].strip() for line in lines} == {"multihmr", "multihmr_camera", "multihmr_node"}
    for line in lines:
        module, function = line.split("=")[1].strip().split(":")
        tree = ast.parse((ROOT / f"{module.replace('.', '/')}.py").read_text())
        assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, line


# ---- the messages


def msg_file(type_name: str) -> Path:
    package, _, name = type_name.split("/")
    if package == "multihmr":
        return ROOT / "msg" / f"{name}.msg"
    if package == "tf2_msgs":
        return ROOT / "pip_ros" / "tf2_msgs" / "msg" / f"{name}.msg"
    # <prefix>/lib/python3.x/site-packages/<package>/__init__.py
    module = Path(importlib.import_module(package).__file__)
    return module.parents[4] / "share" / package / "msg" / f"{name}.msg"


def test_our_way_to_hash_gives_a_known_hash():
    # From a Jazzy installation: ros2 topic info --verbose /tf
    known = "RIHS01_e369d0f05a23ae52508854b66f6aa0437f3449d652e8cbf22d5abe85d020f087"
    assert type_hash("tf2_msgs/msg/TFMessage", msg_file) == known


@pytest.fixture(scope="module")
def node():
    rclpy.init()
    node = rclpy.create_node("packaging")
    yield node
    node.destroy_node()
    rclpy.shutdown()


@pytest.mark.parametrize("name", MESSAGES)
def test_messages_on_the_wire_have_the_hash_of_their_files(node, name):
    message = getattr(multihmr.msg, name)
    topic = f"/{message.__name__}"
    publisher = node.create_publisher(message, topic, 1)
    (info,) = node.get_publishers_info_by_topic(topic)
    hash_on_the_wire = info.topic_type_hash
    node.destroy_publisher(publisher)
    assert info.topic_type == f"multihmr/msg/{message.__name__}"
    assert str(hash_on_the_wire) == type_hash(info.topic_type, msg_file)


def test_tf_message_has_the_hash_that_ros_has(node):
    from tf2_msgs.msg import TFMessage

    publisher = node.create_publisher(TFMessage, "/tf_like", 1)
    (info,) = node.get_publishers_info_by_topic("/tf_like")
    node.destroy_publisher(publisher)
    assert str(info.topic_type_hash) == type_hash("tf2_msgs/msg/TFMessage", msg_file)


def filled(message_type: type, generator: np.random.Generator):
    """A message with every field set, and sequences of different lengths."""
    message = message_type()
    for name, kind in message.get_fields_and_field_types().items():
        setattr(message, name, _other_value(name, kind, getattr(message, name), generator))
    return message


def _other_value(name: str, kind: str, value, generator: np.random.Generator):
    simple = {bool: True, int: int(generator.integers(1, 100)), float: 0.5, str: f"{name} \u00e9"}
    if type(value) in simple:
        return simple[type(value)]
    if hasattr(value, "get_fields_and_field_types"):
        return filled(type(value), generator)
    length = len(value) or int(generator.integers(1, 5))
    if kind == "sequence<string>":
        return [f"{name} {i}" for i in range(length)]
    nested = re.fullmatch(r"sequence<(\w+)/(\w+)>", kind)
    if nested:
        kind_of_one = getattr(importlib.import_module(f"{nested[1]}.msg"), nested[2])
        return [filled(kind_of_one, generator) for _ in range(length)]
    numbers = generator.integers(1, 100, length)
    return (numbers / 2 if "float" in kind or "double" in kind else numbers).tolist()


@pytest.mark.parametrize("name", MESSAGES)
def test_messages_survive_serialisation(name):
    message_type = getattr(multihmr.msg, name)
    message = filled(message_type, np.random.default_rng(0))
    empty = message_type()
    for name in message.get_fields_and_field_types():
        assert getattr(message, name) is not None and not np.array_equal(getattr(message, name), getattr(empty, name))
    assert deserialize_message(serialize_message(message), message_type) == message
    assert deserialize_message(serialize_message(empty), message_type) == empty


# ---- what was installed


@pytest.fixture(scope="module")
def prefix() -> Path:
    if not os.environ.get("AMENT_PREFIX_PATH"):
        pytest.skip("not installed, neither by pip (make setup) nor by colcon")
    return Path(get_package_prefix("multihmr"))


def test_the_share_folder_has_what_the_tree_has(prefix):
    share = Path(get_package_share_directory("multihmr"))
    assert share == prefix / "share" / "multihmr"
    files = [ROOT / "package.xml", *(f for d in ("msg", "launch", "config") for f in (ROOT / d).glob("*.*"))]
    for file in files:
        assert (share / file.relative_to(ROOT)).read_bytes() == file.read_bytes(), (
            f"{file.name} is not what was installed"
        )
    for name in MESSAGES:
        assert (share / "msg" / f"{name}.idl").is_file()


def test_ros_tools_find_the_messages(prefix):
    index = prefix / "share" / "ament_index" / "resource_index" / "rosidl_interfaces" / "multihmr"
    assert {f"msg/{name}.msg" for name in MESSAGES} <= set(index.read_text().split())


@pytest.mark.parametrize("name", ["multihmr", "multihmr_camera", "multihmr_node"])
def test_ros2_run_finds_executables(prefix, name):
    assert os.access(prefix / "lib" / "multihmr" / name, os.X_OK)


def test_an_executable_starts(prefix):
    pytest.importorskip("tyro")
    command = [str(prefix / "lib" / "multihmr" / "multihmr"), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, cwd="/", timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "predict" in done.stdout
