"""The monitor: what the table says while images flow, and after the last one."""

import time

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from multihmr.msg import BodyModelInfo, Human, HumanArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, QoSProfile

from ros2_multihmr.ros import monitor as monitor_module
from ros2_multihmr.ros.monitor import Monitor, image_counts, lost_images

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
DEADLINE_S = 30.0
COUNTS = {"received": 5, "dropped": 2, "published": 3, "failed": 0, "dropped, a newer image came": 2}


class _Clock:
    """Time that the test decides about."""

    def __init__(self):
        self.now_s = 100.0

    def monotonic(self):
        return self.now_s


@pytest.fixture
def clock(monkeypatch):
    clock = _Clock()
    monkeypatch.setattr(monitor_module, "time", clock)
    return clock


@pytest.fixture
def monitor():
    rclpy.init()
    monitor = Monitor("/camera/camera_info", "/multihmr/humans")
    yield monitor
    monitor.destroy_node()
    rclpy.try_shutdown()


def _diagnostics(**values):
    status = DiagnosticStatus(name="multihmr: people", level=DiagnosticStatus.OK)
    status.values = [KeyValue(key=key, value=str(value)) for key, value in (COUNTS | values).items()]
    return DiagnosticArray(status=[status])


def test_table_of_an_ended_source_stays(monitor, clock):
    for latency_s in (0.1, 0.2, 0.3):
        clock.now_s += 0.5
        monitor.images.add(clock.now_s, latency_s)
    clock.now_s += 3.0
    monitor.freeze()
    clock.now_s += 60.0
    assert dict(monitor.rows())["images"] == "2.0 Hz, 200 ms after the stamp, 3 in all"


def test_silence_is_told_in_words(monitor, clock):
    assert dict(monitor.rows())["people"] == "none yet"
    monitor.images.add(clock.now_s, 0.1)
    clock.now_s += 60.0
    assert dict(monitor.rows())["images"] == "none in the last 5 s, 1 in all"
    monitor.freeze()
    assert dict(monitor.rows()) == {"images": "none in the last 5 s, 1 in all", "people": "none came"}


def test_it_is_settled_when_the_node_has_dealt_with_every_image(monitor, clock):
    monitor.people.count = 3
    assert not monitor.settled(clock.now_s - 1.0)  # the node has said nothing
    monitor._on_diagnostics(_diagnostics(received=6))
    assert not monitor.settled(clock.now_s - 1.0)  # one is under way
    monitor._on_diagnostics(_diagnostics())
    assert monitor.settled(clock.now_s - 1.0) and not monitor.settled(clock.now_s)  # said before
    monitor.people.count = 2
    assert not monitor.settled(clock.now_s - 1.0)  # one HumanArray is still to come
    assert dict(monitor.rows())["dropped"] == "2 of 5"


def test_images_that_failed_are_told_with_their_last_error(monitor):
    monitor._on_diagnostics(_diagnostics(failed=0))
    assert "failed" not in dict(monitor.rows())
    monitor._on_diagnostics(_diagnostics(failed=2, **{"last error": "needs another window"}))
    assert dict(monitor.rows())["failed"] == "2, the last by needs another window"


@pytest.mark.parametrize(
    ("counts", "failure"),
    [
        ({}, ""),
        ({"published": 0}, ""),
        ({"published": 1, "failed": 4}, ""),
        ({"published": 0, "failed": 3}, "no image could be processed: 3 of 5 failed, the last by bad shape"),
    ],
)
def test_that_every_image_failed_is_told(monitor, counts, failure):
    assert monitor.failure == ""
    monitor._on_diagnostics(_diagnostics(**counts, **{"last error": "bad shape"}))
    assert monitor.failure == failure


def test_people_of_the_last_image_are_those_seen(monitor, clock):
    states = (Human.TRACK_OK, Human.TRACK_NEW, Human.TRACK_PREDICTED, Human.TRACK_LOST)
    monitor._on_humans(HumanArray(humans=[Human(tracking_state=state) for state in states], calibrated=True))
    assert dict(monitor.rows())["last image"] == "2 people, 1 more predicted"
    monitor._on_humans(HumanArray(humans=[Human(tracking_state=Human.TRACK_LOST)], calibrated=True))
    assert dict(monitor.rows())["last image"] == "0 people"


def test_stages_of_the_last_period_with_images_stay(monitor):
    monitor._on_diagnostics(_diagnostics(**{"network [ms]": "12.5"}))
    monitor._on_diagnostics(_diagnostics())
    assert dict(monitor.rows())["stages [ms]"] == "network 12.5"


def test_end_of_the_source_is_no_warning_but_counts_go_on(monitor):
    monitor._on_diagnostics(_diagnostics(received=6))
    monitor.freeze()
    late = _diagnostics(dropped=3)
    late.status[0].level, late.status[0].message = DiagnosticStatus.WARN, "no images"
    monitor._on_diagnostics(late)
    rows = dict(monitor.rows())
    assert "ok" in rows and "warning" not in rows and rows["dropped"] == "3 of 5"


def test_losses_are_named():
    counts = image_counts({name: str(count) for name, count in COUNTS.items()} | {"rate [Hz]": "1.0"})
    assert counts["received"] == 5 and lost_images(counts) == {"failed": 0, "dropped, a newer image came": 2}


def test_connected_means_that_nothing_can_be_missed(monitor):
    node, executor = rclpy.create_node("multihmr"), SingleThreadedExecutor()
    executor.add_node(monitor)
    people = node.create_publisher(HumanArray, "/multihmr/humans", 5)
    body = node.create_publisher(BodyModelInfo, "/multihmr/body_model", LATCHED)
    deadline = time.monotonic() + DEADLINE_S
    while monitor._humans.get_publisher_count() == 0 and time.monotonic() < deadline:
        executor.spin_once(timeout_sec=0.1)
    assert not monitor.connected  # the publishers are there, but the node is not active
    body.publish(BodyModelInfo())
    while not monitor.connected and time.monotonic() < deadline:
        executor.spin_once(timeout_sec=0.1)
    assert monitor.connected and people.get_subscription_count() > 0
    people.publish(HumanArray())
    while not monitor.people.count and time.monotonic() < deadline:
        executor.spin_once(timeout_sec=0.1)
    assert monitor.people.count == 1
