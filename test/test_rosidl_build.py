"""Messages without CMake: what a build makes, when it builds again, and what it says when it cannot."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from type_hashes import type_hash

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "pip_ros"))
import rosidl_build

PACKAGE = "tea_msgs"
MESSAGES = {
    "Cup": "uint8 SMALL=1\nstring<=20 owner # of the cup\nfloat32 volume 0.25\ngeometry_msgs/Point place\n",
    "Tray": "std_msgs/Header header\nCup[] cups\nCup[2] spare\nint16[<=3] grid\nchar letter\nbyte[] raw\n",
}

# In a process of its own: what is loaded once, stays. The two ends of a topic find a type support each.
TRY = """
import sys, time
sys.path.insert(0, sys.argv[1])
import tea_msgs.tea_msgs_s__rosidl_typesupport_c  # rosidl hides why an extension cannot be loaded
import rclpy
from geometry_msgs.msg import Point
from tea_msgs.msg import Cup, Tray

cup = Cup(owner="Ada", place=Point(x=1.5))
assert Cup.SMALL == 1 and cup.volume == 0.25
sent = Tray(cups=[cup, Cup(owner="Bob")], grid=[-1, 2], letter=65, raw=[b"a", b"b"])
sent.spare[1].owner = "Cleo"
rclpy.init()
node = rclpy.create_node("tea")
received = []
node.create_subscription(Tray, "tray", received.append, 1)
publisher = node.create_publisher(Tray, "tray", 1)
end = time.monotonic() + 20
while not received and time.monotonic() < end:
    publisher.publish(sent)
    rclpy.spin_once(node, timeout_sec=0.1)
assert received[0] == sent, received
print(node.get_publishers_info_by_topic("tray")[0].topic_type_hash)
"""


def write(folder: Path, messages: dict[str, str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("*.msg"):
        path.unlink()
    for name, text in messages.items():
        (folder / f"{name}.msg").write_text(text)
    return folder


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("rosidl")
    rosidl_build.build_interfaces(PACKAGE, write(folder / "msg", MESSAGES), folder / "out", folder / "work")
    return folder


def build(workspace: Path, messages: dict[str, str]) -> rosidl_build.BuiltInterfaces:
    return rosidl_build.build_interfaces(
        PACKAGE, write(workspace / "msg", messages), workspace / "out", workspace / "work"
    )


def test_every_kind_of_field_goes_over_a_topic_with_the_right_hash(workspace):
    build(workspace, MESSAGES)
    command = [sys.executable, "-c", TRY, str(workspace / "out")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr

    def msg_file(name: str) -> Path:
        package, _, message = name.split("/")
        if package == PACKAGE:
            return workspace / "msg" / f"{message}.msg"
        return next(p / "share" / package / "msg" / f"{message}.msg" for p in rosidl_build.ros_prefixes())

    assert done.stdout.strip() == type_hash(f"{PACKAGE}/msg/Tray", msg_file)


def test_what_ros_tools_read_is_among_the_data_files(workspace):
    folders = dict(build(workspace, MESSAGES).data_files())
    names = {Path(path).name for path in folders[f"share/{PACKAGE}/msg"]}
    assert names == {f"{name}{suffix}" for name in MESSAGES for suffix in (".msg", ".idl", ".json")}
    (index,) = folders["share/ament_index/resource_index/rosidl_interfaces"]
    assert set(Path(index).read_text().split()) == {f"msg/{name}" for name in names}
    assert all(Path(path).is_file() for path in folders[f"share/{PACKAGE}/msg"])


def test_builds_again_when_a_message_changes_and_only_then(workspace):
    module = build(workspace, MESSAGES).module
    before = module.stat().st_mtime_ns
    assert build(workspace, MESSAGES).module.stat().st_mtime_ns == before
    only_cup = {"Cup": MESSAGES["Cup"] + "bool hot\n"}
    assert build(workspace, only_cup).module.stat().st_mtime_ns != before
    assert "_hot" in (module.parent / "msg" / "_cup.py").read_text()
    assert not (module.parent / "msg" / "_tray.py").exists()  # nothing of a message that is no more


def test_no_messages(tmp_path):
    with pytest.raises(FileNotFoundError, match=f"no .msg file in {tmp_path}.*tea_msgs"):
        rosidl_build.build_interfaces(PACKAGE, tmp_path, tmp_path / "out")


@pytest.mark.parametrize("compiler, said", [("no-such-compiler", "no compiler"), ("false", "this command failed")])
def test_no_compiler(tmp_path, monkeypatch, compiler, said):
    monkeypatch.setenv("CC", compiler)
    monkeypatch.setenv("CXX", compiler)
    with pytest.raises(RuntimeError, match=f"(?s){said}.*g\\+\\+ python3-dev"):
        rosidl_build.build_interfaces(PACKAGE, write(tmp_path / "msg", {"Cup": "bool hot\n"}), tmp_path / "out")
    assert not list((tmp_path / "out").rglob("*.so"))


def test_no_generators(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rosidl_adapter", None)
    with pytest.raises(RuntimeError, match="make setup"):
        rosidl_build.build_interfaces(PACKAGE, write(tmp_path / "msg", {"Cup": "bool hot\n"}), tmp_path / "out")


def test_environment_is_left_as_it_was(tmp_path, monkeypatch):
    monkeypatch.setenv("AMENT_PREFIX_PATH", "/somewhere")
    with pytest.raises(RuntimeError):
        monkeypatch.setenv("CC", "false")
        rosidl_build.build_interfaces(PACKAGE, write(tmp_path / "msg", {"Cup": "bool hot\n"}), tmp_path / "out")
    assert os.environ["AMENT_PREFIX_PATH"] == "/somewhere"
