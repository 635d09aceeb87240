"""The second look in the node: other people on the same topic with the same names, and a failure that loses nobody."""

from pathlib import Path

import numpy as np
import pytest
import torch
from rclpy.parameter import Parameter
from ros_graph import anny

from ros2_multihmr.model.initialisation import draw_weights
from ros2_multihmr.model.multi_crop import MultiCrop
from ros2_multihmr.model.multi_crop_checkpoint import save_multi_crop
from ros2_multihmr.model.multi_crop_config import MultiCropConfig


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """A network that corrects everybody a little, at random."""
    config = MultiCropConfig.for_body(
        "anny", anny().info, weights="random", num_crops=2, crop_height=56, crop_width=56, width=32, depth=1, heads=2,
        fusion_width=32, num_bands=4, hidden=24, start="first_pass",
    )  # fmt: skip
    model = MultiCrop(config).requires_grad_(False)
    draw_weights(model, 0)
    for layer in (model.regressor.to_pose, model.regressor.to_camera):
        layer.weight.mul_(0.02)
    path = tmp_path_factory.mktemp("refiner") / "refiner.safetensors"
    save_multi_crop(model, path, for_training=False)
    return path


def args(weights: object, **more: object) -> tuple[str, ...]:
    values = {"refine": "true", "refiner_weights": weights, "refine_min_px": 1.0, "diagnostics_period_s": 0.1, **more}
    return tuple(word for name, value in values.items() for word in ("-p", f"{name}:={value}"))


def poses(message) -> np.ndarray:
    return np.array([human.body_pose for human in message.humans])


def test_people_are_refined_and_keep_ids_stamps_and_scores(graph, weights):
    g = graph(args=args(weights, publish_vertices="true")).start("humans", "diagnostics")
    image = g.send()
    refined = g.last("humans")
    g.node.set_parameters([Parameter("refine_min_px", value=10000.0)])
    g.send()
    plain = g.last("humans", 2)
    assert refined.header == image.header and len(refined.humans) == 2
    assert [human.track_id for human in refined.humans] == [human.track_id for human in plain.humans]
    assert [human.score for human in refined.humans] == [human.score for human in plain.humans]
    for ours, theirs in zip(refined.humans, plain.humans):
        assert not np.allclose(ours.body_pose, theirs.body_pose, atol=1e-3)
        assert len(ours.vertices) == len(theirs.vertices) > 0
    values = g.diagnostics()[2]
    assert values["refiner"] == "random" and values["people refined"] == "2"
    assert values["people too small to refine"] == "2" and values["refiner failures"] == "0"


def test_a_failure_falls_back_to_the_first_pass_and_is_counted(graph, weights, capfd):
    g = graph(args=args(weights)).start("humans", "diagnostics")
    g.node.set_parameters([Parameter("refine_min_px", value=10000.0)])
    g.send()
    first = poses(g.last("humans"))
    g.node.set_parameters([Parameter("refine_min_px", value=1.0)])
    network = g.node._second_look._refiner.network
    sound = network.regressor.to_pose.bias.clone()
    network.regressor.to_pose.bias.fill_(torch.nan)
    for count in (2, 3):
        image = g.send()
        assert g.last("humans", count).header == image.header
        np.testing.assert_array_equal(poses(g.received["humans"][-1]), first)
    assert g.fates()["PUBLISHED"] == 3 and g.fates()["FAILED"] == 0
    assert capfd.readouterr().err.count("the second look failed, people are as first found: ") == 1, "throttled"
    statuses = [message.status[0] for message in g.received["diagnostics"]]
    g.until(lambda: any("failed in" in one.message for one in statuses) or statuses.append(_status(g)))
    told = next(one for one in statuses if "failed in" in one.message)
    assert told.level[0] == 1 and "FloatingPointError: second look: the network 'random' returned" in told.message
    assert g.diagnostics()[2]["refiner failures"] == "2"
    network.regressor.to_pose.bias.copy_(sound)
    g.send()
    assert not np.allclose(poses(g.last("humans", 4)), first, atol=1e-3)
    assert g.diagnostics()[2]["people refined"] == "2"


def _status(g):
    seen = len(g.received["diagnostics"])
    return g.last("diagnostics", seen + 1).status[0]


def test_weights_that_are_not_there_are_told_at_configure(graph, capfd, monkeypatch):
    monkeypatch.setattr("ros2_multihmr.model.embedded.EMBEDDED_REFINER", "weights/none.safetensors")
    g = graph(args=("-p", "refine:=true"))
    assert g.node.trigger_configure().name == "FAILURE"
    assert "cannot configure: second look: this installation has no weights for it" in capfd.readouterr().err
    g.node.set_parameters([Parameter("refine", value=False)])
    assert g.node.trigger_configure().name == "SUCCESS"


def test_memory_is_given_back_and_taken_again(graph, weights, monkeypatch):
    g, moves = graph(args=args(weights)), []
    assert g.node.trigger_configure().name == "SUCCESS"
    refiner = g.node._second_look._refiner
    monkeypatch.setattr(refiner, "load", lambda: moves.append("load"))
    monkeypatch.setattr(refiner, "unload", lambda: moves.append("unload"))
    assert g.node.trigger_activate().name == "SUCCESS" and moves == ["load"]
    assert g.node.trigger_deactivate().name == "SUCCESS" and moves == ["load", "unload"]
