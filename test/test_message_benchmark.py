"""The messages' benchmark: both ways say the same, also of the body that is shipped, and the page tells the goals."""

import json

import numpy as np
import pytest
from rclpy.serialization import serialize_message
from rich.console import Console
from ros_fakes import random_humans, small_body
from ros_graph import anny
from std_msgs.msg import Header

from ros2_multihmr import cli
from ros2_multihmr.ros import message_benchmark
from ros2_multihmr.ros.message_benchmark import Options, alike, all_ways, measure


def test_every_message_has_the_same_bytes_in_both_ways():
    ways = all_ways(random_humans(anny().info, 2))
    assert len(ways) == 5
    for what, both in ways.items():
        assert alike(both.ours(), both.plain()), what


def test_other_bytes_are_not_alike():
    message = Header(frame_id="camera")
    data = serialize_message(message)
    assert alike(data, message) and not alike(data, Header(frame_id="camerb")) and not alike(data + b"0", message)


def test_what_is_not_the_same_is_not_measured(monkeypatch):
    monkeypatch.setattr(message_benchmark, "cloud", lambda *_: b"nothing")
    with pytest.raises(ValueError, match="point cloud: what is measured is not the same"):
        measure(random_humans(small_body(), 2), Options(repeats=1, plain_repeats=1), Console(quiet=True))


def test_the_page_tells_times_of_both_and_the_goals(tmp_path, monkeypatch):
    monkeypatch.setattr(message_benchmark, "_people", lambda count: random_humans(small_body(), count))
    assert cli.main(["benchmark", "messages", "--repeats", "3", "--plain-repeats", "2", "--out", str(tmp_path)]) == 0
    result = json.loads((tmp_path / "messages.json").read_text())
    assert result["hardware"]["cpu"] and result["settings"]["people"] == 10
    for row in result["messages"]:
        assert row["ours_ms"] > 0.0 and 0.0 < row["built_ms"] <= row["plain_ms"] and np.isfinite(row["megabytes"])
    page = (tmp_path / "messages.md").read_text()
    assert "| markers, full meshes |" in page and page.count("| 12 |") == 1 and "markers together" in page
