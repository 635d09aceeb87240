"""The Fast DDS settings that ship: in force in a process that uses them, and harmful to nobody else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from ros2_multihmr.ros.environment import set_defaults

PROFILE = Path(__file__).resolve().parents[1] / "config" / "fastdds_large_images.xml"
NAMESPACE = {"d": "http://www.eprosima.com"}
IMAGE_BYTES = 1280 * 720 * 3

# What the kernel knows of a process with one ROS node: its shared memory segments, and its sockets' buffers.
LOOK = """
import json, os, socket, stat
import rclpy
rclpy.init()
node = rclpy.create_node("looked_at")
segments = {}
for line in open("/proc/self/maps"):
    fields = line.split()
    if fields[-1].startswith("/dev/shm/fastrtps_") or fields[-1].startswith("/dev/shm/fastdds_"):
        begin, end = (int(number, 16) for number in fields[0].split("-"))
        segments[fields[-1]] = segments.get(fields[-1], 0) + end - begin
buffers, ports = [], []
for name in os.listdir("/proc/self/fd"):
    try:
        if stat.S_ISSOCK(os.stat(int(name)).st_mode):
            with socket.socket(fileno=os.dup(int(name))) as copy:
                if copy.type == socket.SOCK_DGRAM:
                    buffers.append(copy.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF))
                    ports.append(copy.getsockname()[1])
    except OSError:
        pass  # closed since it was listed
print(json.dumps({"segment": max(segments.values(), default=0), "buffer": max(buffers, default=0), "ports": ports}))
node.destroy_node()
rclpy.shutdown()
"""


def look(environment: dict[str, str]) -> dict:
    done = subprocess.run(
        [sys.executable, "-c", LOOK], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("discovery", ["LOCALHOST", "SUBNET"])
def test_a_process_with_our_defaults_has_room_for_images(discovery):
    environment = {**os.environ, "ROS_AUTOMATIC_DISCOVERY_RANGE": discovery}
    without = look(environment)
    set_defaults(environment)
    found = look(environment)
    assert without["segment"] < IMAGE_BYTES < 10 * IMAGE_BYTES < found["segment"]
    # The kernel grants no more than its limit, and counts its own overhead as as much again.
    limit = int(Path("/proc/sys/net/core/rmem_max").read_text())
    assert found["buffer"] == 2 * min(4194304, limit)
    # Processes of other machines meet at the multicast port of the domain (RTPS 9.6.1.1), where they should at all.
    meeting_port = 7400 + 250 * int(environment["ROS_DOMAIN_ID"])
    assert (meeting_port in found["ports"]) == (meeting_port in without["ports"]) == (discovery == "SUBNET")


def test_other_machines_are_still_seen():
    root = ElementTree.parse(PROFILE).getroot()
    kinds = {e.text for e in root.iterfind(".//d:transport_descriptor/d:type", NAMESPACE)}
    assert kinds == {"SHM", "UDPv4"}
    assert root.find(".//d:interfaceWhiteList", NAMESPACE) is None
    assert root.find(".//d:initialPeersList", NAMESPACE) is None
    used = {e.text for e in root.iterfind(".//d:userTransports/d:transport_id", NAMESPACE)}
    made = {e.text for e in root.iterfind(".//d:transport_descriptor/d:transport_id", NAMESPACE)}
    assert used == made
    # The participants of every program that reads this file get it, without naming it.
    (participant,) = root.iterfind(".//d:participant", NAMESPACE)
    assert participant.get("is_default_profile") == "true"
