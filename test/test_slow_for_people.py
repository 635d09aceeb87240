"""The example that slows a base for people: its rules, and all of it with a simulated base among the clip's people."""

import array
import re
import time

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from example_graph import (
    PATIENCE_S,
    ExampleGraph,
    base_pose,
    camera_pose,
    crossing,
    crossing_and_paths,
    crossing_people,
)
from geometry_msgs.msg import Point, PoseWithCovariance, Twist, TwistWithCovariance
from multihmr.msg import Human, HumanArray, PredictedPath, PredictedPathArray
from people_on_the_ground import Person, along_path, at_this_velocity, on_the_ground
from ros_graph import MANY_RELIABLE
from simulated_base import as_odometry
from slow_for_people import Rules, allowed, gaps_m
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage

RULES = Rules()
SIZE_M = RULES.base_radius_m + RULES.body_margin_m
START, SPEED = (1.2, -1.6), 0.8  # across the way of the first who crosses


def _person(x, y, velocity=(0.0, 0.0), sigma=0.0):
    times = np.arange(0.0, 3.05, 0.1)
    covariances = np.tile(sigma**2 * np.eye(2), (len(times), 1, 1))
    return Person("body_1", np.array([[x, y]]), times, times[:, None] * velocity, covariances)


def _allowed(person, velocity=(0.5, 0.0), age_s=0.0):
    gaps = gaps_m(person, np.zeros(2), np.array(velocity), age_s, RULES)
    return allowed(gaps, person.times_s, RULES)


@pytest.mark.parametrize(
    ("gap", "factor"), [(5.0, 1.0), (RULES.slow_gap_m, 1.0), (0.9, 0.5), (RULES.stop_gap_m, 0.0), (-0.2, 0.0)]
)
def test_who_is_near_slows_a_base_that_will_not_meet_anybody(gap, factor):
    found, why = _allowed(_person(-gap - SIZE_M, 0.0), velocity=(0.0, 0.0))
    assert (found == pytest.approx(factor) and "away" in why) or factor == 1.0


def test_who_will_be_met_slows_long_before_being_near():
    ahead = (0.8, 0.0)
    slow, why = _allowed(_person(2.0, -3.0, (0.0, 1.2)), ahead)  # crosses its way when it is there
    assert 0.0 < slow < 0.6 and "met" in why
    assert _allowed(_person(2.0, -3.0), ahead)[0] == 1.0  # stands there
    assert _allowed(_person(2.0, -3.0, (0.0, -1.2)), ahead)[0] == 1.0  # goes away
    assert _allowed(_person(2.0, 0.0, ahead), ahead)[0] == 1.0  # goes on ahead, as fast as the base


def test_doubt_and_old_images_bring_people_nearer():
    sure = gaps_m(_person(3.0, 0.0), np.zeros(2), np.zeros(2), 0.0, RULES)
    unsure = gaps_m(_person(3.0, 0.0, sigma=0.5), np.zeros(2), np.zeros(2), 0.0, RULES)
    assert np.allclose(sure - unsure, 0.5 * RULES.sigmas) and sure[0] == pytest.approx(3.0 - SIZE_M)
    fresh, old = (
        gaps_m(_person(3.0, 0.0, (-1.0, 0.0)), np.zeros(2), np.zeros(2), age_s, RULES) for age_s in (0.0, 0.4)
    )
    assert old[0] == pytest.approx(fresh[0] - 0.4)
    assert _allowed(_person(9.0, 0.0, sigma=1e3))[0] == 0.0  # nobody knows where


def _path(human, header):
    """The path of a person who goes on as now, as the node tells it: twelve poses over three seconds."""
    linear, place = human.twist.twist.linear, human.pose.pose.position
    message, path = PredictedPathArray(header=header), PredictedPath(track_id=human.track_id)
    for time_s in np.arange(1, 13) * 0.25:
        seconds, ns = divmod(header.stamp.nanosec + round(time_s * 1e9), 1_000_000_000)
        message.stamps.append(Time(sec=header.stamp.sec + seconds, nanosec=ns))
        pose = PoseWithCovariance()
        for axis in "xyz":
            setattr(pose.pose.position, axis, getattr(place, axis) + time_s * getattr(linear, axis))
        pose.covariance = human.pose.covariance + time_s**2 * human.twist.covariance
        path.poses.append(pose)
    message.paths = [path]
    return message


def test_the_same_from_a_path_as_from_a_velocity():
    message, pose = crossing()[20], camera_pose()
    human = next(human for human in message.humans if human.twist_valid)
    paths = _path(human, message.header)
    by_path = on_the_ground(human, pose, along_path(paths.paths[0], paths, pose))
    by_twist = on_the_ground(human, pose, at_this_velocity(human, pose, 3.0, 1.2))
    assert np.allclose(by_path.times_s, by_twist.times_s)
    assert np.allclose(by_path.moves, by_twist.moves, atol=1e-6)
    assert np.allclose(by_path.covariances, by_twist.covariances, atol=0.25**2 / 4 * 0.1)  # straight between the steps


def test_a_velocity_that_is_not_known_is_doubted():
    first = crossing()[0]
    assert not any(human.twist_valid for human in first.humans)
    person = on_the_ground(first.humans[0], camera_pose(), at_this_velocity(first.humans[0], camera_pose(), 3.0, 1.2))
    assert np.allclose(person.moves, 0.0)
    assert np.allclose(person.covariances[-1] - person.covariances[0], (3.0 * 1.2) ** 2 * np.eye(2), rtol=1e-3)


class Drive(ExampleGraph):
    """A simulated base that drives among the clip's people, slowed by the example."""

    def __init__(self):
        super().__init__()
        self.people = self.other.create_publisher(HumanArray, "/multihmr/humans", 5)
        self.paths = self.other.create_publisher(PredictedPathArray, "/multihmr/predicted_paths", 5)
        self.places, self.commands = [], []
        self.other.create_subscription(TFMessage, "/tf", self.on_place, MANY_RELIABLE)
        self.other.create_subscription(Twist, "/cmd_vel", lambda twist: self.commands.append(twist.linear.x), 10)
        self.run("slow_for_people.py")
        x, y = START
        self.run("simulated_base.py", "--ros-args", "-p", f"x:={x}", "-p", f"y:={y}", "-p", f"speed:={SPEED}")
        listened = [self.people.get_subscription_count, self.paths.get_subscription_count]
        self.until(lambda: all(count() for count in listened) and self.commands and self.places, PATIENCE_S)

    def on_place(self, message):
        self.places += [transform.transform.translation for transform in message.transforms]

    def send(self, people, paths=None):
        """Sends people as of now, and where they are going to be."""
        people.header.stamp = self.other.get_clock().now().to_msg()
        self.people.publish(people)
        if paths is not None:
            self.paths.publish(crossing_people.moved(paths, people.header.stamp))

    def gap_m(self, people):
        """Free space between the base and the true keypoints [m]."""
        place = self.places[-1]
        return min((_distance_m(human, place) for human in people.humans), default=np.inf) - SIZE_M


def _distance_m(human, place):
    pose = camera_pose()
    points = np.array(human.keypoints_3d).reshape(-1, 3) @ pose[:3, :3].T + pose[:3, 3]
    return np.hypot(points[:, 0] - place.x, points[:, 1] - place.y).min()


def _passer_by(place, header):
    """Somebody who stands at (2,) in odom, and the node's word, in odom, that they will cross the base's way."""
    human, pose = Human(track_id=77, tracking_state=Human.TRACK_OK, twist_valid=True), camera_pose()
    point = pose[:3, :3].T @ (np.append(place, 1.0) - pose[:3, 3])
    human.keypoints_3d = array.array("f", point)
    position = human.pose.pose.position
    position.x, position.y, position.z = point.tolist()
    paths = _path(human, Header(stamp=header.stamp, frame_id="odom"))
    for step, pose in enumerate(paths.paths[0].poses):
        pose.pose.position = Point(x=place[0], y=place[1] + 0.35 * step, z=1.0)
    return human, paths


def _nobody():
    return HumanArray(header=Header(frame_id="camera_optical_frame"), calibrated=True)


@pytest.fixture(scope="module")
def drive():
    with Drive() as drive:
        yield drive


@pytest.mark.timeout(300)
def test_a_base_among_people(drive):
    """One test: what comes later needs what came before."""
    # Nothing is known of people: it stands, whatever is wanted.
    drive.until(lambda: drive.told("no people of the last"), PATIENCE_S)
    assert max(drive.commands) == 0.0 and (drive.places[-1].x, drive.places[-1].y) == START

    # Whoever would be met is let pass; it drives, slows long before that person is near, and goes on.
    gaps = []
    for people, paths in crossing_and_paths():
        drive.send(people, paths)
        drive.settle(0.1)
        gaps.append(drive.gap_m(people))
    assert drive.told("body_3 would be met"), drive.lines
    assert min(gaps) > RULES.stop_gap_m
    straight = [
        _distance_m(human, Point(x=START[0] + 0.1 * index * SPEED, y=START[1]))
        for index, people in enumerate(crossing())
        for human in people.humans
    ]
    assert min(straight) < SIZE_M  # who had driven on would have hit that person

    # Nobody is there: full speed.
    began_x, deadline = drive.places[-1].x, time.monotonic() + PATIENCE_S
    while drive.commands[-1] < SPEED and time.monotonic() < deadline:
        drive.send(_nobody())
        drive.settle(0.1)
    assert drive.commands[-1] == pytest.approx(SPEED) and drive.places[-1].x > began_x > START[0]
    assert any("free to go" in line for line in drive.lines)

    # Nothing more comes: it stands within the time that the rules give it, and says why.
    said = len(drive.lines)
    drive.until(lambda: drive.commands[-1] == 0.0, PATIENCE_S)
    drive.until(lambda: any(re.search("stands: no people", line) for line in drive.lines[said:]), PATIENCE_S)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("doubt", [{"untrained": True}, {"calibrated": False}])
def test_people_who_must_not_be_believed_move_nothing(drive, doubt):
    drive.until(lambda: drive.commands[-1] == 0.0, PATIENCE_S)
    seen = len(drive.commands)
    for _ in range(10):
        people = _nobody()
        for name, value in doubt.items():
            setattr(people, name, value)
        drive.send(people)
        drive.settle(0.05)
    drive.until(lambda: len(drive.commands) > seen, PATIENCE_S)
    assert not any(drive.commands[seen:])


@pytest.mark.timeout(300)
def test_the_node_s_paths_are_believed_rather_than_velocities(drive):
    deadline = time.monotonic() + PATIENCE_S
    while not drive.told("body_77 would be met") and time.monotonic() < deadline:
        people = _nobody()
        people.header.stamp = drive.other.get_clock().now().to_msg()
        place = np.array([drive.places[-1].x + 1.6, drive.places[-1].y - 2.5])
        human, paths = _passer_by(place, people.header)
        people.humans = [human]
        drive.paths.publish(paths)
        drive.people.publish(people)
        drive.settle(0.1)
    assert drive.told("body_77 would be met"), drive.lines
    alone = on_the_ground(human, camera_pose(), at_this_velocity(human, camera_pose(), 3.0, 1.2))
    assert (gaps_m(alone, place - (1.6, -2.5), np.array([SPEED, 0.0]), 0.0, RULES) > RULES.stop_gap_m).all()


class Odometry:
    """Fields of nav_msgs/Odometry, which PyPI does not have."""

    def __init__(self, header, child_frame_id):
        self.header, self.child_frame_id = header, child_frame_id
        self.pose, self.twist = PoseWithCovariance(), TwistWithCovariance()


def test_the_base_tells_its_odometry_where_the_package_is_there(monkeypatch):
    monkeypatch.setattr("simulated_base.Odometry", Odometry)
    pose = base_pose(1.0, 2.0, 0.5)
    told = as_odometry(pose, 0.4, -0.1)
    place, twist = told.pose.pose, told.twist.twist
    assert (told.header.frame_id, told.child_frame_id) == ("odom", "base_link")
    assert (place.position.x, place.position.y, place.orientation) == (1.0, 2.0, pose.transform.rotation)
    assert (twist.linear.x, twist.angular.z) == (0.4, -0.1)
