"""Ten minutes of people who come and go: few frame names, no transform twice, and no frame of who has left."""

from __future__ import annotations

import array
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest
import rclpy
from builtin_interfaces.msg import Time
from rclpy.context import Context
from rclpy.lifecycle import LifecycleNode
from rclpy.time import Time as RosTime
from ros_fakes import FakeBackend
from sensor_msgs.msg import Image
from small_truth import small_body
from test_tracker import BODY, people
from tf2_ros import Buffer, ExtrapolationException

from ros2_multihmr.estimator import Estimator
from ros2_multihmr.estimator_config import EstimatorConfig
from ros2_multihmr.ros.camera_info import CameraChooser, CameraInfoCache
from ros2_multihmr.ros.diagnostics import Fate, Statistics
from ros2_multihmr.ros.follower import Follower
from ros2_multihmr.ros.parameters import NodeConfig
from ros2_multihmr.ros.pipeline import Pipeline
from ros2_multihmr.ros.publishers import Publishers
from ros2_multihmr.ros.second_look import SecondLook

VISITS, CLIP_S, RATE_HZ, START_S = 500, 600.0, 2.5, 1000.0
LANES = 3.0 + 1.5 * np.arange(8)  # distances from the camera at which people cross the view [m]
VIEW = 0.55  # |x| / z of the view's edge
FRAME = "camera_optical_frame"


class Visit(NamedTuple):
    """Somebody who walks through the view from `begin_s` on, until the edge, or a door at `end_s`."""

    begin_s: float
    end_s: float
    start: np.ndarray
    speed: float
    size: float

    def place(self, time_s: float) -> np.ndarray:
        return self.start + np.array((self.speed * (time_s - self.begin_s), 0.0, 0.0))

    def seen(self, time_s: float) -> bool:
        if not self.begin_s <= time_s <= self.end_s:
            return False
        x, _, z = self.place(time_s)
        return bool(abs(x) < VIEW * z)


def make_visits(rng: np.random.Generator) -> list[Visit]:
    visits = []
    for i in range(VISITS):
        begin_s, z = i * (CLIP_S - 10.0) / VISITS, LANES[i % len(LANES)]
        start = np.array((rng.uniform(-0.5, 0.2) * z, 0.0, z))
        end_s, speed = begin_s + rng.uniform(3.0, 8.0), rng.uniform(0.3, 1.0)
        visits.append(Visit(begin_s, end_s, start, speed, rng.uniform(0.85, 1.15)))
    return visits


def make_stamps(rng: np.random.Generator) -> list[float]:
    """Irregular ones: some images are dropped, some come twice."""
    times = np.arange(0.0, CLIP_S, 1 / RATE_HZ) + rng.uniform(0.0, 0.05, int(CLIP_S * RATE_HZ))
    times = times[rng.random(len(times)) > 0.05]
    return sorted([*times.tolist(), *times[rng.random(len(times)) < 0.03].tolist()])


class FakeEstimator(Estimator):
    """Finds everybody who is in view at `time_s`, but for one in fifty."""

    def __init__(self, visits: list[Visit], rng: np.random.Generator) -> None:
        super().__init__(FakeBackend(BODY), small_body(), EstimatorConfig())
        self.visits, self.rng, self.time_s = visits, rng, 0.0
        self.last_seen: dict[int, float] = {}

    def estimate(self, image, camera, *, vertices=False, stopwatch=None):
        there = [i for i, visit in enumerate(self.visits) if visit.seen(self.time_s) and self.rng.random() > 0.02]
        self.last_seen |= dict.fromkeys(there, self.time_s)
        places = [self.visits[i].place(self.time_s) + self.rng.normal(0, 0.01, 3) for i in there]
        return people(places, size=np.array([self.visits[i].size for i in there]))


class Look(NamedTuple):
    """What a user of the buffer knows at the stamp of an image: where which frames are, and which were sent for it."""

    time_s: float
    places: dict[str, np.ndarray]
    sent: set[str]


class Listener:
    """Takes the node's messages from /tf into tf2's buffer."""

    def __init__(self) -> None:
        self.buffer, self.names, self.messages, self.looks = Buffer(), set(), [], []

    def publish(self, message) -> None:
        self.messages.append(message)
        self.names |= {transform.child_frame_id for transform in message.transforms}
        for transform in message.transforms:
            self.buffer.set_transform(transform, "test")

    def look(self, stamp: Time, time_s: float) -> None:
        places = {}
        for name in self.names:
            try:
                found = self.buffer.lookup_transform(FRAME, name, RosTime.from_msg(stamp)).transform.translation
            except ExtrapolationException:
                continue
            places[name] = np.array([found.x, found.y, found.z])
        last = self.messages[-1].transforms if self.messages else []
        self.looks.append(Look(time_s, places, {t.child_frame_id for t in last if t.header.stamp == stamp}))


@pytest.fixture(scope="module")
def clip():
    """Everything that was sent in ten minutes, what a listener knew meanwhile, and the truth."""
    rng = np.random.default_rng(0)
    visits, config, listener = make_visits(rng), NodeConfig(), Listener()
    estimator, context = FakeEstimator(visits, rng), Context()
    rclpy.init(context=context)
    node = LifecycleNode("multihmr", context=context, enable_rosout=False)
    publishers = Publishers(node, config, estimator, lambda topic, policy: None)
    publishers.people._broadcaster.pub_tf = SimpleNamespace(publish=listener.publish, topic_name="/tf")
    node.count_subscribers = lambda topic: 1
    logger, chooser = node.get_logger(), CameraChooser("never", "/image", "/camera_info")
    pipeline = Pipeline(
        estimator, config, chooser, CameraInfoCache(), lambda: False, SecondLook(None, logger),
        Follower(node, config, logger), publishers, statistics := Statistics(), node.get_clock(), logger,
    )  # fmt: skip
    stamps = make_stamps(rng)
    for number, time_s in enumerate(stamps):
        estimator.time_s = time_s
        nanoseconds = round((START_S + time_s) * 1e9)
        message = Image(height=48, width=64, encoding="mono8", step=64, data=array.array("B", bytes(48 * 64)))
        message.header.frame_id = FRAME
        message.header.stamp = Time(sec=nanoseconds // 10**9, nanosec=nanoseconds % 10**9)
        pipeline(message)
        if number % 2 == 0:
            listener.look(message.header.stamp, time_s)
    assert statistics.counts[1][Fate.PUBLISHED] == len(stamps)
    node.destroy_node()
    rclpy.shutdown(context=context)
    return SimpleNamespace(visits=visits, last_seen=estimator.last_seen, config=config, listener=listener)


def test_names_of_frames_are_few(clip):
    """No more than people who are there at once, or were within the time for which their ids wait for them."""
    waits_s = clip.config.track_predict_s + clip.config.track_id_cooldown_s
    times = np.arange(0.0, CLIP_S, 0.1)[:, None]
    begins = np.array([clip.visits[i].begin_s for i in clip.last_seen])
    ends = np.array([clip.last_seen[i] + waits_s for i in clip.last_seen])
    most = ((begins <= times) & (times <= ends)).sum(axis=1).max()
    assert len(begins) > 0.98 * VISITS, "the clip has as many entries and exits as it should"
    assert clip.listener.names <= {f"body_{number}" for number in range(1, most + 1)} and most < 30


def test_no_transform_is_sent_twice_and_tf2_does_not_complain(clip, capfd):
    latest, buffer = {}, Buffer()
    for message in clip.listener.messages:
        for transform in message.transforms:
            stamp = (transform.header.stamp.sec, transform.header.stamp.nanosec)
            assert transform.header.frame_id == FRAME and stamp > latest.get(transform.child_frame_id, (0, 0))
            latest[transform.child_frame_id] = stamp
            buffer.set_transform(transform, "test")
    assert "TF_" not in capfd.readouterr().err


def test_a_listener_knows_the_frames_of_an_image_and_no_others(clip):
    assert len(clip.listener.looks) > 500
    for look in clip.listener.looks:
        assert set(look.places) == look.sent


def test_frames_of_who_has_left_stop_in_time(clip):
    """No more frames than people seen within the timeout, each on the way of one of these, or a little ahead."""
    timeout_s = clip.config.track_predict_s
    for look in clip.listener.looks:
        alive = [i for i, end in clip.last_seen.items() if clip.visits[i].begin_s <= look.time_s <= end + timeout_s]
        assert len(look.places) <= len(alive), f"{look.time_s:.1f} s"
        begins = np.array([clip.visits[i].start for i in alive]).reshape(-1, 3)
        now = np.array([clip.visits[i].place(look.time_s) for i in alive]).reshape(-1, 3)
        unseen_s = np.array([max(look.time_s - clip.last_seen[i], 0.0) for i in alive])
        for name, place in look.places.items():
            off = np.linalg.norm(place - np.clip(place, begins, now), axis=1)
            assert (off < 0.5 + 1.0 * unseen_s).any(), f"{name} at {look.time_s:.1f} s is nobody"


def test_whoever_is_in_view_has_a_frame(clip):
    found = []
    for look in clip.listener.looks:
        places = np.array(list(look.places.values())).reshape(-1, 3)
        for visit in clip.visits:
            if visit.seen(look.time_s) and visit.begin_s < look.time_s - 1.0:
                off = np.linalg.norm(places - visit.place(look.time_s), axis=1)
                found.append(bool((off < 0.3).any()))
    assert len(found) > 1000 and np.mean(found) > 0.99
