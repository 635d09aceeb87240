"""The node's states, the files it needs, what it reports, and its end."""

import array
import gc
import threading
import time
import weakref

import numpy as np
import pytest
from rclpy.parameter import Parameter
from ros_fakes import Person
from ros_graph import HEIGHT, WIDTH, anny

from ros2_multihmr.estimator import create_estimator
from ros2_multihmr.model.checkpoint import save_weights
from ros2_multihmr.model.stand_in import stand_in_model
from ros2_multihmr.refining.refiner import create_refiner
from ros2_multihmr.ros.multihmr_node import UNTRAINED_WARNING
from ros2_multihmr.ros.silence import Silence


def set_parameters(graph, **values):
    return graph.node.set_parameters([Parameter(name, value=value) for name, value in values.items()])


def state(graph):
    return graph.node._state_machine.current_state[1]


# ---- weights and bodies


def configure_with(graph, *args):
    g = graph(create=create_estimator, args=args)
    return g, g.node.trigger_configure().name


def own_weights(path, **config):
    import dataclasses

    model = stand_in_model()
    object.__setattr__(model, "config", dataclasses.replace(model.config, **config))
    save_weights(model, path)
    return str(path)


@pytest.mark.parametrize("content", [None, b"", b"no safetensors", bytes(1000)])
def test_missing_or_damaged_weights_fail_configure_with_the_remedy(graph, capfd, tmp_path, content):
    path = tmp_path / "my.safetensors"
    if content is not None:
        path.write_bytes(content)
    g, result = configure_with(graph, "-p", f"weights:={path}")
    assert result == "FAILURE" and state(g) == "unconfigured"
    err = capfd.readouterr().err
    assert "cannot configure" in err and str(path) in err
    assert ("no such weights file" if content is None else "again") in err


def test_cut_off_weights_fail_configure(graph, capfd, tmp_path):
    path = tmp_path / "cut.safetensors"
    own_weights(path)
    path.write_bytes(path.read_bytes()[:100_000])
    _, result = configure_with(graph, "-p", f"weights:={path}")
    assert result == "FAILURE" and "damaged" in capfd.readouterr().err


def test_a_missing_smplx_file_says_where_to_get_it_and_where_to_put_it(graph, capfd, tmp_path):
    weights = own_weights(tmp_path / "smplx.safetensors", body="smplx")
    _, result = configure_with(graph, "-p", f"weights:={weights}", "-p", f"body_models:={tmp_path}")
    assert result == "FAILURE"
    err = capfd.readouterr().err
    assert "smpl-x.is.tue.mpg.de" in err and str(tmp_path) in err


def test_a_body_that_does_not_fit_the_weights_fails_configure(graph, capfd):
    from ros_fakes import FakeBackend, small_body

    from ros2_multihmr.estimator import Estimator

    g = graph(create=lambda config: Estimator(FakeBackend(small_body()), anny(), config))
    assert g.node.trigger_configure().name == "FAILURE" and state(g) == "unconfigured"
    assert "use the body that the weights were trained with" in capfd.readouterr().err


def test_networks_are_loaded_in_threads_that_end(graph, monkeypatch):
    """A set of OpenMP threads stayed otherwise, beside the worker's, and slowed it down (`openmp.aside`)."""
    threads = []

    def noting(create):
        return lambda *args: (threads.append(threading.current_thread()), create(*args))[1]

    monkeypatch.setattr("ros2_multihmr.ros.multihmr_node.create_refiner", noting(create_refiner))
    g = graph(create=noting(create_estimator))
    assert g.node.trigger_configure().name == "SUCCESS" and len(threads) == 2
    assert not any(thread.is_alive() for thread in threads)


def test_after_a_failed_configure_the_parameter_can_be_put_right(graph, tmp_path):
    g, result = configure_with(graph, "-p", f"weights:={tmp_path / 'none.safetensors'}")
    assert result == "FAILURE"
    assert set_parameters(g, weights="")[0].successful
    assert g.node.trigger_configure().name == "SUCCESS" and state(g) == "inactive"


def test_the_stand_in_finds_people_and_says_that_it_is_untrained(graph, capfd):
    given = ("diagnostics_period_s:=0.1", "threads:=1", "weights:=untrained")
    g = graph(create=create_estimator, args=[word for value in given for word in ("-p", value)])
    g.start("humans", "diagnostics")
    rng = np.random.default_rng(0)
    g.send(data=array.array("B", rng.integers(0, 256, HEIGHT * WIDTH * 3, np.uint8).tobytes()))
    message = g.last("humans")
    assert message.untrained is True and len(message.humans) > 0
    assert UNTRAINED_WARNING in capfd.readouterr().err
    level, text, values = g.diagnostics()
    assert level == 1 and UNTRAINED_WARNING in text and values["untrained"] == "True"


# ---- lifecycle


def test_weights_live_from_configure_to_cleanup_and_subscriptions_while_active(graph):
    g = graph()
    assert g.node.trigger_configure().name == "SUCCESS"
    estimator = weakref.ref(g.node._estimator)
    backend = g.node._estimator.backend
    assert not backend.loaded
    assert g.node.count_subscribers("/image") == 0
    for _ in range(2):
        assert g.node.trigger_activate().name == "SUCCESS"
        g.until(lambda: g.node.count_subscribers("/image") == 1)
        assert backend.loaded
        assert g.node.trigger_deactivate().name == "SUCCESS"
        g.until(lambda: g.node.count_subscribers("/image") == 0)
        assert not backend.loaded
    assert estimator() is not None
    assert g.node.trigger_cleanup().name == "SUCCESS"
    gc.collect()
    assert estimator() is None
    g.until(lambda: g.other.count_publishers("/multihmr/humans") == 0)
    assert g.node.trigger_configure().name == "SUCCESS"


def test_a_device_without_room_fails_activate_and_the_node_lives_on(graph, capfd):
    g = graph()
    assert g.node.trigger_configure().name == "SUCCESS"
    backend, load = g.node._estimator.backend, g.node._estimator.backend.load

    def no_room():
        raise MemoryError("no room for fake")

    backend.load = no_room
    assert g.node.trigger_activate().name == "FAILURE"
    assert "cannot activate: no room for fake" in capfd.readouterr().err
    backend.load = load
    assert g.node.trigger_activate().name == "SUCCESS"


def test_images_flow_again_after_a_second_activation(graph):
    g = graph().start("humans")
    g.send()
    g.node.trigger_deactivate()
    g.node.trigger_activate()
    g.until(lambda: g.images.get_subscription_count() and g.infos.get_subscription_count())
    image = g.send()
    assert g.last("humans", 2).header == image.header


def test_an_image_that_waits_when_the_node_stops_is_counted(graph):
    g = graph().start("humans")
    g.backend.wait = lambda: time.sleep(0.3)
    for _ in range(2):
        g.node._on_image(g.image())
        g.until(lambda: g.backend.calls == 1)
    g.node.trigger_deactivate()
    received, _ = g.node.statistics.counts
    assert received == 2 and g.fates()["PUBLISHED"] == 1 and g.fates()["STOPPED"] == 1


def test_a_defect_in_a_transition_is_logged_and_the_node_can_begin_again(graph, capfd):
    def broken(config):
        raise RuntimeError("no such kernel")

    g = graph(create=broken)
    assert g.node.trigger_configure().name == "ERROR"
    assert state(g) == "unconfigured" and "no such kernel" in capfd.readouterr().err
    g.listen("diagnostics")
    level, text, _ = g.diagnostics()
    assert level == 2 and "a transition failed, see the node's log" in text


# ---- diagnostics


def _values(report):
    return {value.key: value.value for value in report.status[0].values}


def test_diagnostics_tell_rate_stages_age_and_counts(graph):
    g = graph(people=2, args=("-p", "diagnostics_period_s:=0.2")).start("humans", "diagnostics")
    image = g.image()
    image.header.stamp = g.other.get_clock().now().to_msg()
    g.send(image)
    level, text, values = g.diagnostics()
    assert level == 0 and text == "2 people in the last image"
    stages = ("convert in", "preprocess", "network", "body", "describe", "track", "convert out", "publish")
    assert all(float(values[f"{stage} [ms]"]) >= 0 for stage in stages)
    assert 0 < float(values["image age [ms]"]) < 20_000
    for rate in ("rate [Hz]", "input rate [Hz]"):  # the image may come in one period and be published in the next
        assert sum(float(_values(report).get(rate, 0.0)) for report in g.received["diagnostics"]) == 5.0
    assert (values["received"], values["published"], values["dropped"], values["failed"]) == ("1", "1", "0", "0")
    assert values["weights"] == "fake" and values["body"] == anny().info.name


def test_diagnostics_tell_that_nobody_publishes_images(graph):
    g = graph(args=("-p", "diagnostics_period_s:=0.1"))
    assert g.node.trigger_configure().name == g.node.trigger_activate().name == "SUCCESS"
    g.listen("diagnostics")
    level, text, _ = g.diagnostics()
    assert level == 1 and "no images on /image, which has 0 publishers" in text


def test_diagnostics_tell_that_camera_infos_come_without_images(graph):
    g = graph(args=("-p", "diagnostics_period_s:=0.1")).start("diagnostics")
    assert g.diagnostics()[0] == 0, "a publisher that is there has a while to send"
    now_s = g.node._now_s
    g.node._now_s = lambda: now_s() + 6.0
    g.infos.publish(g.info(g.image()))
    g.until(lambda: "though CameraInfos come" in g.diagnostics()[1])
    level, text, _ = g.diagnostics()
    assert level == 1 and "which has 1 publishers" in text and "fastdds_large_images.xml" in text


def test_a_slow_source_is_no_silent_one():
    silence = Silence(100.0)
    assert silence.problem(104.9, "/image", 1) == "" and "no images" in silence.problem(105.1, "/image", 1)
    for second in (106.0, 116.0):
        silence.image(second)
        silence.info(second + 0.1)
    assert silence.problem(145.9, "/image", 1) == "", "an image every ten seconds"
    assert silence.problem(146.1, "/image", 1) == "no images on /image, which has 1 publishers"
    silence.info(147.0)
    assert "though CameraInfos come" in silence.problem(148.0, "/image", 1)


def test_diagnostics_tell_why_the_node_is_not_active(graph, tmp_path):
    g = graph(create=create_estimator, args=("-p", f"weights:={tmp_path}/none.pt", "-p", "diagnostics_period_s:=0.1"))
    g.listen("diagnostics")
    assert g.diagnostics()[:2] == (0, "unconfigured: waits for lifecycle commands")
    assert g.node.trigger_configure().name == "FAILURE"
    g.until(lambda: g.diagnostics()[0] == 2)
    assert "unconfigured: cannot configure: " in g.diagnostics()[1] and str(tmp_path) in g.diagnostics()[1]
    assert set_parameters(g, weights="", diagnostics_period_s=0.2)[0].successful
    assert g.node.trigger_configure().name == "SUCCESS"
    g.until(lambda: g.diagnostics()[1] == "inactive: waits for lifecycle commands")
    g.node.trigger_shutdown()
    g.until(lambda: g.diagnostics()[1] == "finalized: shut down for good")


def test_diagnostics_tell_who_was_left_out(graph):
    g = graph(people=0, args=("-p", "diagnostics_period_s:=0.1")).start("humans", "diagnostics")
    g.backend.people = [Person(score=0.9)] * 13
    g.send()
    level, text, values = g.diagnostics()
    assert level == 1 and values["people left out"] == "3" and "raise max_humans" in text
