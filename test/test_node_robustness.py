"""What the node survives, what it drops, and what may change while it runs."""

import array
import gc
import time
import tracemalloc

import numpy as np
import pytest
from multihmr.msg import Human
from rclpy.parameter import Parameter
from rclpy.serialization import serialize_message
from ros_graph import HEIGHT, WIDTH


def set_parameters(graph, **values):
    return graph.node.set_parameters([Parameter(name, value=value) for name, value in values.items()])


# ---- bad input


BAD_IMAGES = {
    "unknown encoding": {"encoding": "rgb9"},
    "cut off": {"data": array.array("B", bytes(100))},
    "empty data": {"data": array.array("B")},
    "no size": {"width": 0, "height": 0},
    "step too small": {"step": 5},
}


@pytest.mark.parametrize("fields", BAD_IMAGES.values(), ids=BAD_IMAGES)
def test_a_bad_image_is_counted_and_the_next_one_processed(graph, capfd, fields):
    g = graph().start("humans")
    g.send(**fields)
    assert g.fates()["FAILED"] == 1
    image = g.send()
    assert g.last("humans").header == image.header and len(g.received["humans"]) == 1
    assert "image skipped: ImageError: image: " in capfd.readouterr().err


def test_images_whose_bytes_end_too_early_are_counted_and_the_next_one_processed(graph, capfd):
    g = graph(args=("-p", "diagnostics_period_s:=0.1")).start("humans", "diagnostics")
    (images,) = (one for one in g.node._inputs._subscriptions if one.topic_name == "/image")
    raw = serialize_message(g.image())
    for size in (0, 20, 60):
        images.callback(raw[:size])
    assert g.node.statistics.counts[0] == 3 and g.fates()["FAILED"] == 3
    level, text, _ = g.diagnostics()
    assert level == 2 and "expected a serialized sensor_msgs/Image, got 60 bytes" in text
    image = g.send()
    assert g.last("humans").header == image.header
    assert capfd.readouterr().err.count("image skipped: ValueError: image: expected a serialized") == 1, "throttled"


def test_padded_rows_are_no_problem(graph):
    g = graph().start("humans", "overlay")
    padded = np.full((HEIGHT, WIDTH * 3 + 5), 255, np.uint8)
    padded[:, : WIDTH * 3] = 0
    g.backend.people = []
    g.send(step=WIDTH * 3 + 5, data=array.array("B", padded.tobytes()))
    assert not np.any(g.last("overlay").data)


@pytest.mark.parametrize("width, height", [(1, 1), (7680, 4320)])
def test_tiny_and_huge_images(graph, width, height):
    g = graph().start("humans")
    image = g.image(width=width, height=height, step=3 * width, data=array.array("B", bytes(3 * width * height)))
    g.node._on_image(image)  # 100 MB are no matter of the network between two nodes here
    g.until(lambda: g.finished() == 1)
    assert (g.last("humans").image_width, g.last("humans").image_height) == (width, height)


BAD_INFOS = {
    "zero K": ({"k": np.zeros(9)}, "not calibrated"),
    "wrong size": ({"width": 640}, "640 x 48"),
    "NaN in D": ({"d": [float("nan")] * 5}, "finite"),
    "NaN in K": ({"k": np.full(9, np.nan)}, "finite"),
}


@pytest.mark.parametrize("fields, said", BAD_INFOS.values(), ids=BAD_INFOS)
def test_a_bad_calibration_is_replaced_by_a_guess_and_told(graph, capfd, fields, said):
    g = graph(args=("-p", "diagnostics_period_s:=0.1", "-p", "fallback_fov_deg:=90.0")).start("humans", "diagnostics")
    for _ in range(2):
        image = g.image()
        g.send(image, g.info(image, **fields))
    message = g.last("humans", 2)
    assert message.calibrated is False and message.k[0] == pytest.approx(WIDTH / 2)
    assert capfd.readouterr().err.count(said) == 1, "the remedy is told once"
    level, text, values = g.diagnostics()
    assert level == 1 and said in text and values["calibrated"] == "False"
    g.send()
    assert g.last("humans", 3).calibrated is True
    assert g.diagnostics()[2]["calibrated"] == "True"


def test_no_calibration_at_all(graph, capfd):
    g = graph().start("humans")
    g.other.destroy_publisher(g.infos)
    g.until(lambda: g.node.count_publishers("/camera_info") == 0)
    g.images.publish(g.image())
    g.until(g.finished)
    assert g.last("humans").calibrated is False
    assert "no CameraInfo on /camera_info" in capfd.readouterr().err


def test_a_calibration_that_comes_after_its_image_is_waited_for(graph):
    g = graph(args=("-p", "camera_info_timeout_s:=5.0")).start("humans")
    image = g.image()
    g.images.publish(image)
    g.settle(0.1)
    g.infos.publish(g.info(image))
    assert g.last("humans").calibrated is True


@pytest.mark.parametrize(
    "error", [RuntimeError("out of memory"), ValueError("bad"), FloatingPointError("not finite"), KeyError("k")]
)
def test_a_model_that_throws_is_counted_and_the_next_image_processed(graph, capfd, error):
    g = graph().start("humans")
    g.backend.error = error
    g.send()
    g.backend.error = None
    image = g.send()
    assert g.fates()["FAILED"] == 1 and g.last("humans").header == image.header
    err = capfd.readouterr().err
    assert f"{type(error).__name__}: {error}" in err
    assert ("Traceback" in err) == isinstance(error, (RuntimeError, KeyError)), "a defect shows where it is"


def test_a_failure_is_an_error_in_diagnostics(graph):
    g = graph(args=("-p", "diagnostics_period_s:=0.1")).start("humans", "diagnostics")
    g.backend.error = RuntimeError("the model is ill")
    g.send()
    level, text, values = g.diagnostics()
    assert level == 2 and "the model is ill" in text
    assert values["failed"] == "1" and values["published"] == "0"


# ---- the newest image wins


def test_a_burst_ends_with_its_newest_image_and_everything_is_counted(graph):
    g = graph(people=1).start("humans")
    period_s = 0.02
    g.backend.wait = lambda: time.sleep(period_s)
    sent = []

    def burst():
        for _ in range(100):
            image = g.image()
            g.infos.publish(g.info(image))
            g.images.publish(image)
            sent.append(image.header.stamp.sec)
            end = time.monotonic() + period_s / 10
            while time.monotonic() < end:
                g.executor.spin_once(timeout_sec=0.0)
        received = lambda: g.node.statistics.counts[0]  # noqa: E731
        g.until(lambda: g.finished() == received() and g.received["humans"][-1].header.stamp.sec == newest(g))

    newest = record_received(g)
    burst()
    del g.received["humans"][:-1]
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    burst()
    del g.received["humans"][:-1]
    gc.collect()
    growth = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()

    received, fates = g.node.statistics.counts
    assert received == sum(fates.values()) and received > 100
    fates = {fate.name: count for fate, count in fates.items()}
    assert fates["NEWER_CAME"] > 0 and fates["PUBLISHED"] + fates["NEWER_CAME"] == received
    assert g.received["humans"][-1].header.stamp.sec == newest(g)
    assert growth < 1_000_000, f"{growth} bytes more after 100 images"


def record_received(graph):
    """Returns a function that tells the newest stamp that the node's callback got."""
    stamps, on_image = [], graph.node._worker.submit

    def submit(message):
        stamps.append(message.header.stamp.sec)
        del stamps[:-1]
        on_image(message)

    graph.node._worker.submit = submit
    return lambda graph: stamps[-1]


def test_the_network_runs_in_the_worker_alone(graph):
    g = graph().start("humans")
    g.send()
    g.send()
    assert g.backend.threads == {"multihmr_worker"}


def test_old_images_are_dropped(graph):
    g = graph(args=("-p", "max_age_s:=5.0")).start("humans")
    now = g.other.get_clock().now()
    old, new = g.image(), g.image()
    old.header.stamp.sec = now.to_msg().sec - 60
    new.header.stamp = now.to_msg()
    g.send(old)
    g.send(new)
    assert g.last("humans").header == new.header and len(g.received["humans"]) == 1
    assert g.fates()["TOO_OLD"] == 1


def test_a_bag_that_starts_over_goes_on(graph, capfd):
    g = graph(args=("-p", "markers_rate_hz:=10.0")).start("humans", "markers", "tf")
    for second in (100, 101, 50, 51):
        image = g.image()
        image.header.stamp.sec = second
        g.send(image)
    for key in ("humans", "markers", "tf"):
        g.last(key, 4)
    assert capfd.readouterr().err.count("jumped back") == 1


# ---- parameters


def test_a_threshold_takes_effect_with_the_next_image(graph):
    g = graph(people=2).start("humans")
    g.send()
    assert len(g.last("humans").humans) == 2
    assert set_parameters(g, detection_threshold=0.88)[0].successful
    g.send()
    states = [human.tracking_state for human in g.last("humans", 2).humans]
    assert states == [Human.TRACK_OK, Human.TRACK_LOST]


def test_fixed_and_bad_values_are_refused_while_active(graph):
    g = graph().start("humans")
    refused = set_parameters(g, device="cuda", mesh_lod="tiny", detection_threshold=3.0)
    assert [result.successful for result in refused] == [False] * 3
    assert g.node.config.device == "auto" and g.node.config.mesh_lod == "reduced"
    g.send()
    g.last("humans")


def test_an_unknown_parameter_stops_the_node(graph):
    with pytest.raises(ValueError, match="unknown parameter treshold"):
        graph(args=("-p", "treshold:=0.1"))
