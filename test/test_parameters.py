"""Parameters are the dataclass: every field is declared, checked, and nothing else is accepted."""

from dataclasses import fields
from pathlib import Path

import pytest
import rclpy
import yaml
from rclpy.context import Context
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter

from ros2_multihmr.ros.parameters import NodeConfig, check_change, declare
from ros2_multihmr.settings import setting_info

CONFIG_FILE = Path(__file__).resolve().parents[1] / "config" / "multihmr.yaml"


@pytest.fixture(scope="module")
def context():
    context = Context()
    rclpy.init(context=context)
    yield context
    rclpy.shutdown(context=context)


@pytest.fixture
def make_node(context):
    nodes = []

    def make(*args):
        nodes.append(Node("multihmr", context=context, cli_args=["--ros-args", *args]))
        return nodes[-1]

    yield make
    for node in nodes:
        node.destroy_node()


def test_without_overrides_the_defaults_are_those_of_the_dataclass(make_node):
    node = make_node()
    assert declare(node) == NodeConfig()


def test_every_parameter_is_described(make_node):
    node = make_node()
    declare(node)
    for field in fields(NodeConfig):
        info, descriptor = setting_info(field), node.describe_parameter(field.name)
        assert descriptor.description == info.description and len(info.description) > 10
        ranges = [*descriptor.floating_point_range, *descriptor.integer_range]
        if info.low is not None and info.high is not None:
            assert [(r.from_value, r.to_value) for r in ranges] == [(info.low, info.high)]
        else:
            assert not ranges
        assert all(choice in descriptor.additional_constraints for choice in info.choices)
        assert ("fixed while the node is configured" in descriptor.additional_constraints) == (not info.runtime)


def test_command_line_and_file_override_the_defaults(make_node, tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text("/**:\n  ros__parameters:\n    rectify: always\n    max_humans: 7\n")
    node = make_node("--params-file", str(path), "-p", "detection_threshold:=0.5")
    config = declare(node)
    assert (config.rectify, config.max_humans, config.detection_threshold) == ("always", 7, 0.5)


def test_a_misspelt_parameter_is_refused_with_a_hint(make_node):
    with pytest.raises(ValueError, match=r"unknown parameter detection_treshold; did you mean detection_threshold\?"):
        declare(make_node("-p", "detection_treshold:=0.5"))


def test_a_parameter_that_resembles_nothing_is_refused_with_the_list(make_node):
    with pytest.raises(ValueError, match=r"unknown parameter qqqq; known: .*detection_threshold"):
        declare(make_node("-p", "qqqq:=1"))


def test_ros_own_parameters_are_not_unknown(make_node):
    node = make_node("-p", "use_sim_time:=true", "-p", "qos_overrides./image.subscription.reliability:=reliable")
    declare(node)
    assert node.get_parameter("use_sim_time").value is True


@pytest.mark.parametrize(
    "override, error",
    [
        ("detection_threshold:=1.5", InvalidParameterValueException),
        ("detection_threshold:=high", InvalidParameterTypeException),
        ("max_humans:=0", InvalidParameterValueException),
    ],
)
def test_a_value_of_the_wrong_kind_or_size_is_refused(make_node, override, error):
    with pytest.raises(error, match=override.partition(":")[0]):
        declare(make_node("-p", override))


DOUBLES = [field.name for field in fields(NodeConfig) if isinstance(field.default, float)]


@pytest.mark.parametrize("name", DOUBLES)
def test_a_number_without_its_decimal_point_is_refused_with_what_to_write(make_node, name):
    with pytest.raises(ValueError, match=rf"{name}: for ROS, 30 is a whole number, another type; write 30\.0$"):
        declare(make_node("-p", f"{name}:=30"))


def test_a_number_without_its_decimal_point_in_a_file_is_refused_with_what_to_write(make_node, tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text("/**:\n  ros__parameters:\n    target_rate: 30\n")
    with pytest.raises(ValueError, match=r"target_rate: .*; write 30\.0$"):
        declare(make_node("--params-file", str(path)))


@pytest.mark.parametrize("override", ["rectify:=sometimes", "max_age_s:=-1.0", "frame_prefix:=/robot"])
def test_a_value_that_is_not_allowed_is_refused(make_node, override):
    node = make_node("-p", override)
    with pytest.raises(ValueError, match=override.partition(":")[0]):
        declare(node)


@pytest.mark.parametrize(
    "given, value", [("[]", ()), ("[hri]", ("hri",)), ("[vision_msgs, hri]", ("vision_msgs", "hri"))]
)
def test_a_list_of_words_may_be_empty(make_node, given, value):
    node = make_node("-p", f"bridges:={given}")
    assert declare(node).bridges == value and node.get_parameter("bridges").value == list(value)


@pytest.mark.parametrize("given, error", [("hri", InvalidParameterTypeException), ("[hri, rviz]", ValueError)])
def test_a_list_of_anything_else_is_refused(make_node, given, error):
    with pytest.raises(error, match="bridges"):
        declare(make_node("-p", f"bridges:={given}"))


def change(*, configured=True, **values):
    return check_change(
        NodeConfig(), [Parameter(name, value=value) for name, value in values.items()], configured=configured
    )


def test_run_time_settings_may_change_while_configured():
    assert change(detection_threshold=0.6, publish_vertices=True, mesh_lod="full", max_age_s=1.0).successful


@pytest.mark.parametrize("name, value", [("weights", "/a"), ("device", "cpu"), ("rectify", "never"), ("max_humans", 3)])
def test_fixed_settings_change_only_while_unconfigured(name, value):
    refused = change(**{name: value})
    assert not refused.successful and name in refused.reason and "clean it up" in refused.reason
    assert change(configured=False, **{name: value}).successful


def test_setting_a_fixed_value_to_what_it_is_already_is_no_change():
    assert change(rectify=NodeConfig().rectify).successful


@pytest.mark.parametrize(
    "name, value",
    [("detection_threshold", 2.0), ("mesh_lod", "tiny"), ("jpeg_quality", 0), ("max_age_s", float("nan"))],
)
def test_a_bad_change_is_refused_with_a_reason(name, value):
    refused = change(**{name: value})
    assert not refused.successful and name in refused.reason


def test_parameters_of_others_are_let_through():
    assert change(use_sim_time=True).successful


def test_the_shipped_file_holds_every_parameter_at_its_default_and_nothing_else():
    shipped = yaml.safe_load(CONFIG_FILE.read_text())["/**"]["ros__parameters"]
    shipped = {name: tuple(value) if isinstance(value, list) else value for name, value in shipped.items()}
    assert shipped == {field.name: field.default for field in fields(NodeConfig)}


def test_the_shipped_file_explains_every_parameter():
    lines = CONFIG_FILE.read_text().splitlines()
    for field in fields(NodeConfig):
        line = next(line for line in lines if line.strip().startswith(f"{field.name}:"))
        assert "# " in line, f"{field.name} has no comment"


def test_the_shipped_file_is_accepted_by_the_node(make_node):
    node = make_node("--params-file", str(CONFIG_FILE))
    assert declare(node) == NodeConfig()


def test_autostart_is_read_at_start_alone(make_node):
    node = make_node("-p", "autostart:=true")
    assert declare(node).autostart is True
    assert node.describe_parameter("autostart").read_only
    result = node.set_parameters([Parameter("autostart", value=False)])[0]
    assert not result.successful and "read-only" in result.reason
    assert node.set_parameters([Parameter("max_humans", value=3)])[0].successful
