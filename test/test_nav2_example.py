"""The recipe for Nav2: its settings fit what the example publishes, and people are obstacles exactly where they are."""

import numpy as np
import pytest
import torch
import yaml
from example_graph import EXAMPLES, PATIENCE_S, ExampleGraph, base_pose, camera_pose, crossing
from multihmr.msg import Human, HumanArray
from nav2_obstacle_layer import LAYER_PARAMETERS, SOURCE_PARAMETERS, ObstacleLayer
from rclpy.qos import qos_profile_sensor_data
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import PointCloud2
from sensor_msgs_py.point_cloud2 import read_points_numpy
from std_msgs.msg import Header
from tf2_ros import TransformBroadcaster

from ros2_multihmr.body import create_body
from ros2_multihmr.synthesis.clip_file import shipped_clip

SETTINGS = yaml.safe_load((EXAMPLES / "nav2" / "people_costmap.yaml").read_text())
COSTMAP = SETTINGS["local_costmap"]["local_costmap"]["ros__parameters"]
LAYER = COSTMAP["people_layer"]
SOURCES = {name: LAYER[name] for name in LAYER["observation_sources"].split()}
MARGIN_M = 0.15


def test_every_parameter_is_one_of_nav2_s():
    assert set(LAYER) - set(SOURCES) <= LAYER_PARAMETERS
    for source in SOURCES.values():
        assert set(source) <= SOURCE_PARAMETERS and source["data_type"] == "PointCloud2"
    assert COSTMAP["plugins"].index("people_layer") < COSTMAP["plugins"].index("inflation_layer")


def test_rays_reach_all_that_can_be_marked():
    corners_m = np.hypot(COSTMAP["width"], COSTMAP["height"]) / 2
    assert SOURCES["around"]["raytrace_max_range"] > max(corners_m, SOURCES["people"]["obstacle_max_range"])
    assert SOURCES["people"]["obstacle_max_range"] > corners_m
    assert not SOURCES["people"]["clearing"] and not SOURCES["around"]["marking"]


class Costmap(ExampleGraph):
    """The example that makes obstacles of people, and a costmap that listens to it."""

    def __init__(self):
        super().__init__()
        self.people = self.other.create_publisher(HumanArray, "/multihmr/humans", 5)
        self.base, self.clouds = TransformBroadcaster(self.other), {}
        self.layer, self.second = ObstacleLayer(COSTMAP, "people_layer"), 100
        for source in SOURCES.values():
            topic = source["topic"]
            self.other.create_subscription(
                PointCloud2, topic, lambda cloud, topic=topic: self.keep(topic, cloud), qos_profile_sensor_data
            )
        self.run("nav2/people_obstacles.py")
        topics = [source["topic"] for source in SOURCES.values()]
        self.until(lambda: all(self.other.count_publishers(topic) for topic in topics), PATIENCE_S)
        self.until(lambda: self.people.get_subscription_count() and self.base.pub_tf.get_subscription_count() > 0)

    def keep(self, topic, cloud):
        self.clouds[topic, cloud.header.stamp.sec] = cloud

    def show(self, people, x=0.5, y=0.0, yaw=0.0):
        """Shows people to the example, the base being there, and what comes to the costmap; returns the clouds."""
        self.second += 1
        pose = base_pose(x, y, yaw)
        people.header.stamp.sec = pose.header.stamp.sec = self.second
        people.header.stamp.nanosec = 0
        wanted = [(source["topic"], self.second) for source in SOURCES.values()]
        self.base.sendTransform(pose)
        self.people.publish(people)
        self.until(lambda: all(key in self.clouds for key in wanted), PATIENCE_S)
        turn = Rotation.from_euler("z", yaw).as_matrix()
        for topic, second in wanted:
            points = read_points_numpy(self.clouds[topic, second], field_names=["x", "y", "z"]).astype(float)
            self.layer.receive(topic, points @ turn.T + (x, y, 0.0), np.array([x, y, 0.0]))
        self.layer.update(np.array([x, y]))
        return [self.clouds[key] for key in wanted]


@pytest.fixture(scope="module")
def costmap():
    with Costmap() as costmap:
        yield costmap


def _nobody():
    return HumanArray(header=Header(frame_id="camera_optical_frame"), calibrated=True)


@torch.inference_mode()
def _true_ground(sample):
    """(N, 2) points of the true meshes in odom, of people who can be seen [m]."""
    labels = sample.labels.select(sample.labels.visibility >= 0.3)
    parts = (labels.rotmats, labels.shape, labels.expression, labels.center)
    meshes = create_body(labels.body)(*map(torch.from_numpy, parts)).vertices_lod.double().numpy()
    pose = camera_pose()
    return (meshes.reshape(-1, 3) @ pose[:3, :3].T + pose[:3, 3])[:, :2]


def _about_to(people):
    """The ways, in steps, that people are about to walk in odom: (S, N, 2) [m]."""
    turn, steps = camera_pose()[:3, :3], np.linspace(0.0, 0.5, 5)
    linear = [human.twist.twist.linear for human in people.humans]
    velocities = np.array([(v.x, v.y, v.z) for v in linear]) @ turn.T
    return steps[:, None, None] * velocities[:, :2]


@pytest.mark.timeout(300)
def test_what_is_published_is_what_the_settings_say(costmap):
    clouds = costmap.show(crossing()[20])
    kinds = dict(costmap.other.get_topic_names_and_types())
    for source, cloud in zip(SOURCES.values(), clouds):
        assert kinds[source["topic"]] == ["sensor_msgs/msg/PointCloud2"]
        assert cloud.header.frame_id == (source["sensor_frame"] or COSTMAP["robot_base_frame"])
        assert cloud.header.frame_id == COSTMAP["robot_base_frame"] and cloud.width > 0
        heights = read_points_numpy(cloud, field_names=["z"])
        assert (heights >= max(source["min_obstacle_height"], LAYER["min_obstacle_height"])).all()
        assert (heights <= min(source["max_obstacle_height"], LAYER["max_obstacle_height"])).all()


@pytest.mark.timeout(300)
def test_people_are_obstacles_where_they_are_and_leave_no_trail(costmap):
    clip, messages, checked = shipped_clip(), crossing(), 0
    for index in range(8, 40, 4):
        x, y, yaw = 0.5 + 0.02 * index, -0.01 * index, 0.01 * index  # the base drives on
        costmap.show(messages[index], x, y, yaw)
        layer, truth = costmap.layer, _true_ground(clip[index])
        cells = layer.cells(truth)
        near = layer.inside(cells) & (np.hypot(*(truth - (x, y)).T) < SOURCES["people"]["obstacle_max_range"] - 0.1)
        assert near.sum() > 500
        assert layer.marked[cells[near, 1], cells[near, 0]].mean() > 0.995
        # Nothing else is marked but a margin, and the way that somebody is about to walk.
        if all(human.tracking_state != Human.TRACK_PREDICTED for human in messages[index].humans):
            ways = _about_to(messages[index]).reshape(-1, 1, 2)
            tree = cKDTree((truth[::5] + ways).reshape(-1, 2))
            middles = (np.argwhere(layer.marked)[:, ::-1] + 0.5) * layer.resolution + layer.corner
            assert tree.query(middles)[0].max() < MARGIN_M + 0.1
            checked += 1
    assert checked >= 3


@pytest.mark.timeout(300)
def test_who_has_gone_is_forgotten(costmap):
    costmap.show(crossing()[20])
    assert costmap.layer.marked.any()
    marking, _ = costmap.show(_nobody())
    assert not costmap.layer.marked.any()
    assert marking.width == 1  # never empty: Nav2's iterators do not stand that
    costmap.layer.marked[:] = True  # whatever was marked, wherever the base stands
    costmap.show(_nobody(), 0.33, 0.21, 0.4)
    assert not costmap.layer.marked.any()


@pytest.mark.timeout(300)
def test_transforms_may_come_later_than_the_next_people(costmap):
    first, newer, pose = crossing()[20], crossing()[21], base_pose(0.5, 0.0, 0.0)
    costmap.second += 1
    for ahead, people in enumerate((first, newer)):
        people.header.stamp.sec, people.header.stamp.nanosec = costmap.second + ahead, 0
        costmap.people.publish(people)
        costmap.settle(0.1)
    pose.header.stamp.sec = costmap.second
    costmap.base.sendTransform(pose)
    costmap.until(lambda: (SOURCES["people"]["topic"], costmap.second) in costmap.clouds, PATIENCE_S)
    costmap.second += 1
    pose.header.stamp.sec = costmap.second
    costmap.base.sendTransform(pose)
    costmap.until(lambda: (SOURCES["people"]["topic"], costmap.second) in costmap.clouds, PATIENCE_S)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("doubt", [{"untrained": True}, {"calibrated": False}])
def test_people_who_must_not_be_believed_are_silence(costmap, doubt):
    people = _nobody()
    for name, value in doubt.items():
        setattr(people, name, value)
    costmap.show(_nobody())
    count = len(costmap.clouds)
    people.header.stamp.sec = costmap.second
    costmap.people.publish(people)
    costmap.until(lambda: costmap.told("no obstacles"), PATIENCE_S)
    costmap.settle(0.2)
    assert len(costmap.clouds) == count
