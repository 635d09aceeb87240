"""Info: what is missing comes with a remedy, and nothing that is missing breaks it."""

import importlib.util
import json

import pytest
import torch
from official_recipe import golden, official_state
from small_network import small_network

from ros2_multihmr import cli
from ros2_multihmr.assets import asset
from ros2_multihmr.model.checkpoint import save_weights
from ros2_multihmr.model.stand_in import stand_in_model
from ros2_multihmr.verbs import info
from ros2_multihmr.verbs.info import Options, collect


def _by_subject(options=Options()):  # noqa: B008
    return {finding.subject: finding for finding in collect(options)}


def test_the_weights_of_the_package_are_named():
    weights = _by_subject()["weights"]
    assert "with the package" in weights.found and "UNTRAINED" not in weights.found and weights.state == "ok"


def test_untrained_weights_are_named_so_with_a_remedy(tmp_path):
    path = tmp_path / "mine.safetensors"
    save_weights(stand_in_model(), path)
    weights = _by_subject(Options(weights=str(path)))["weights"]
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


@pytest.fixture
def official(tmp_path):
    """A random checkpoint in the official structure."""
    recipe, path = golden("anny_S_224_a_regressedK")["recipe"], tmp_path / "official.pt"
    torch.save({"model_state_dict": official_state(recipe["keys"], recipe["fixed"], recipe["seed"])}, path)
    return path


def test_a_file_is_told_with_variant_size_body_and_licence(official, capsys):
    assert cli.main(["info", str(official), "--json"]) == 0
    found = {finding["subject"]: finding["found"] for finding in json.loads(capsys.readouterr().out)}
    for said in (
        "Anny family",
        "ViT-S/14, 12 blocks",
        "224 px",
        "M parameters",
        "MB",
        "body anny_official",
        "not measured",
    ):
        assert said in found["file"]
    assert "non-commercial" in found["file"] and "Checkpoint_License_Anny.txt" in found["file"]
    assert str(official) in found["weights"] and "anny/0.3" in found["body"]


def test_a_file_is_told_although_its_body_is_missing(tmp_path):
    path = tmp_path / "small.safetensors"
    save_weights(small_network(body="smplx"), path)
    found = _by_subject(Options(weights=str(path), body_models=str(tmp_path)))
    assert "112 px" in found["file"].found and "body smplx" in found["file"].found
    assert found["network"].state == "missing" and "smpl-x.is.tue.mpg.de" in found["network"].remedy


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


def test_weights_of_a_second_look_are_described():
    found = _by_subject(Options(weights=str(asset("weights/refiner.safetensors"))))
    assert not [subject for subject, finding in found.items() if finding.state == "missing"]
    text = found["second look"].found
    assert "5 crops of 112 x 112 px" in text and "goes in as refiner_weights" in text
