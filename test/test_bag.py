"""Bags: what is written reads back by an independent reader, with the types that ROS itself knows."""

import time
from functools import partial

import numpy as np
import pytest
import rclpy
import ros_fakes
import yaml
from builtin_interfaces.msg import Time
from multihmr.msg import BodyModelInfo, Human, HumanArray
from rcl_interfaces.msg import ParameterDescriptor, ParameterEvent
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.serialization import serialize_message
from rosbags.typesys import Stores, get_typestore
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header
from visualization_msgs.msg import Marker, MarkerArray

from ros2_multihmr.ros.bag import BagWriter, message_definition, read_bag, register, type_name

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


@pytest.mark.parametrize("kind", [CameraInfo, Image, PointCloud2, MarkerArray, ParameterDescriptor, ParameterEvent])
def test_definitions_of_classes_have_the_hash_of_ros(kind):
    ours, known = get_typestore(Stores.EMPTY), get_typestore(Stores.ROS2_JAZZY)
    register(ours, kind)
    assert ours.hash_rihs01(type_name(kind)) == known.hash_rihs01(type_name(kind))


@pytest.mark.parametrize("kind", [HumanArray, BodyModelInfo])
def test_definitions_of_our_messages_have_the_hash_that_dds_announces(kind):
    store = get_typestore(Stores.EMPTY)
    register(store, kind)
    rclpy.init()
    try:
        node = rclpy.create_node("announcer")
        node.create_publisher(kind, "announced", 1)
        infos, deadline = [], time.monotonic() + 20.0
        while not infos and time.monotonic() < deadline:
            infos = node.get_publishers_info_by_topic("announced")
        digest = infos[0].topic_type_hash
    finally:
        rclpy.try_shutdown()
    assert store.hash_rihs01(type_name(kind)) == str(digest)


def test_definition_is_the_message_file_without_comments():
    assert message_definition(Human).splitlines()[:4] == [
        "uint32 track_id",
        "uint8 tracking_state",
        "builtin_interfaces/Duration age",
        "float32 score",
    ]


def _received(messages):
    """The bytes that a subscriber gets; `serialize_message` may add some at the end."""
    rclpy.init()
    try:
        node, raws = rclpy.create_node("loop"), []
        topics = [f"topic_{i}" for i in range(len(messages))]
        for topic, message in zip(topics, messages):
            node.create_subscription(type(message), topic, partial(_keep, raws, topic), 1, raw=True)
        publishers = [node.create_publisher(type(m), t, LATCHED) for t, m in zip(topics, messages)]
        for publisher, message in zip(publishers, messages):
            publisher.publish(message)
        deadline = time.monotonic() + 20.0
        while len(raws) < len(messages) and time.monotonic() < deadline:
            rclpy.spin_once(node, timeout_sec=0.1)
    finally:
        rclpy.try_shutdown()
    return [raw for _, raw in sorted(raws)]


def _keep(raws, topic, raw):
    raws.append((topic, raw))


def test_written_bag_reads_back(tmp_path):
    human = Human(track_id=7, score=0.5, betas=[1.0, 2.0], bbox=np.arange(4, dtype=np.float32))
    people = HumanArray(header=ros_fakes.header(), body_model="anny", humans=[human], untrained=True)
    marker = Marker(header=Header(stamp=Time(sec=3), frame_id="eye"), ns="mesh", id=7)
    raws = _received([people, MarkerArray(markers=[marker]), HumanArray()])
    with BagWriter(tmp_path / "bag") as bag:
        humans, markers = bag.add_topic("/humans", HumanArray, LATCHED), bag.add_topic("/markers", MarkerArray, LATCHED)
        bag.write(humans, raws[0], 10)
        bag.write(markers, raws[1], 20)
        bag.write(humans, raws[2], 30)
    read = read_bag(tmp_path / "bag")
    assert {topic: [t for t, _ in found] for topic, found in read.items()} == {"/humans": [10, 30], "/markers": [20]}
    (_, first), (_, empty) = read["/humans"]
    assert first.header.stamp.sec == people.header.stamp.sec and first.body_model == "anny" and first.untrained
    assert first.humans[0].track_id == 7 and list(first.humans[0].betas) == [1.0, 2.0] and not empty.humans
    assert list(first.humans[0].bbox) == [0, 1, 2, 3] and read["/markers"][0][1].markers[0].header.frame_id == "eye"


def test_metadata_is_what_ros_2_bag_looks_for(tmp_path):
    with BagWriter(tmp_path / "bag") as bag:
        bag.write(bag.add_topic("/humans", HumanArray, LATCHED), serialize_message(HumanArray()), 10)
    information = yaml.safe_load((tmp_path / "bag" / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    assert information["storage_identifier"] == "mcap" and information["message_count"] == 1
    topic = information["topics_with_message_count"][0]["topic_metadata"]
    assert (topic["name"], topic["type"]) == ("/humans", "multihmr/msg/HumanArray")
    assert topic["offered_qos_profiles"][0]["durability"] == "transient_local"
    assert [(tmp_path / "bag" / name).exists() for name in information["relative_file_paths"]] == [True]


def test_existing_folder_is_not_overwritten(tmp_path):
    with pytest.raises(ValueError, match="new folder"):
        BagWriter(tmp_path)


def test_a_place_where_nothing_can_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="no bag can be written there"):
        BagWriter(tmp_path / "file" / "bag")


def test_other_folders_are_no_bags(tmp_path):
    with pytest.raises(ValueError, match="cannot be read as a bag"):
        read_bag(tmp_path)
