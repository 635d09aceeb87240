"""Info: what is missing comes with a remedy, and nothing that is missing breaks it."""

import importlib.util

import pytest

from ros2_multihmr import info
from ros2_multihmr.info import Options, collect


def _by_subject(options=Options()):  # noqa: B008
    return {finding.subject: finding for finding in collect(options)}


def test_embedded_weights_are_named_untrained_with_a_remedy():
    weights = _by_subject()["weights"]
    assert "UNTRAINED" in weights.found and "--weights" in weights.remedy and weights.state == "optional"


def test_missing_smplx_says_where_to_get_it_and_where_to_put_it(tmp_path):
    smplx = _by_subject(Options(body_models=str(tmp_path)))["smplx"]
    assert smplx.state == "optional" and "smpl-x.is.tue.mpg.de" in smplx.remedy and str(tmp_path) in smplx.remedy


def test_free_body_is_there():
    anny = _by_subject()["anny"]
    assert anny.state == "ok" and "vertices" in anny.found


@pytest.mark.parametrize(
    ("options", "says"),
    [(Options(weights="/nowhere.safetensors"), "no such weights file"), (Options(device="tpu"), "expected auto")],
)
def test_what_cannot_be_used_is_missing_and_fails(options, says, capsys):
    network = _by_subject(options)["network"]
    assert network.state == "missing" and says in network.remedy
    assert info.main(options) == 1 and says in " ".join(capsys.readouterr().out.split())


def test_missing_packages_are_listed_with_a_remedy(monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in ("torch", "rclpy") else real(name))
    found = _by_subject()
    assert found["torch"].state == "missing" and found["torch"].remedy == "pip install torch"
    assert "rclpy" in found["ROS 2"].found and "make setup" in found["ROS 2"].remedy
    assert "weights" not in found


def test_ros_and_messages_are_found():
    found = _by_subject()
    assert found["ROS 2"].state == "ok" and found["messages"].state == "ok"


def test_chosen_fast_dds_profile_is_shown(monkeypatch):
    monkeypatch.setenv("FASTRTPS_DEFAULT_PROFILES_FILE", "/mine.xml")
    assert _by_subject()["Fast DDS profile"].found == "/mine.xml"
