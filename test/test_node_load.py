"""The node with a target rate that this machine cannot reach: it says so, uses fewer images, and never an old one."""

import time

from rclpy.parameter import Parameter
from ros_graph import PATIENCE_S


def test_a_node_too_slow_for_its_target_says_so_skips_images_and_recovers_without_one(graph):
    g = graph(args=("-p", "diagnostics_period_s:=0.1", "-p", "target_rate:=100.0", "-p", "markers_rate_hz:=0.0"))
    g.start("humans", "markers", "diagnostics")
    g.backend.wait = lambda: time.sleep(0.1)

    def told():
        """Level and message of the newest report."""
        reports = g.received["diagnostics"]
        return (reports[-1].status[0].level[0], reports[-1].status[0].message) if reports else (0, "")

    end_s = time.monotonic() + PATIENCE_S
    while "images per second are allowed" not in told()[1] or not g.fates()["BEYOND_RATE"]:
        assert time.monotonic() < end_s, (told(), g.fates())
        g.infos.publish(g.info(image := g.image()))
        g.images.publish(image)
        g.settle(0.008)  # as a camera: who sends without a pause leaves the worker no turn of the interpreter
    assert told()[0] == 1 and "cannot keep up with target_rate 100 Hz" in told()[1]
    values = g.diagnostics()[2]
    g.until(lambda: g.finished() == g.node.statistics.counts[0])
    fates = g.fates()
    assert fates["FAILED"] == 0
    assert 0.0 < float(values["images allowed [Hz]"]) < 100.0 and values["worker busy"].endswith("%")
    assert int(values["dropped, beyond target_rate"]) <= fates["BEYOND_RATE"]
    g.last("humans", fates["PUBLISHED"])
    stamps = [message.header.stamp.sec for message in g.received["humans"]]
    assert stamps == sorted(stamps) and len(g.received["markers"]) < len(stamps), "the display gave way first"

    g.backend.wait = lambda: None
    assert g.node.set_parameters([Parameter("target_rate", value=0.0)])[0].successful
    for _ in range(5):
        image = g.send()
    assert g.last("humans", fates["PUBLISHED"] + 5).header == image.header
    level, _, values = g.diagnostics()
    assert level == 0 and values["images allowed [Hz]"] == "all"


def test_images_beyond_the_target_are_skipped_although_there_is_time(graph):
    g = graph(args=("-p", "target_rate:=0.1")).start("humans")
    for _ in range(4):
        g.send()
    assert g.fates()["PUBLISHED"] == 1 and g.fates()["BEYOND_RATE"] == 3
