"""Defaults of the environment: there for whoever has none, out of the way of whoever has."""

import os
import subprocess
import sys

import pytest

from ros2_multihmr.ros.environment import PROFILE, PROFILE_VARIABLES, set_defaults, share_file


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_an_empty_environment_gets_profile_and_waiting_policy(share):
    environ = {}
    set_defaults(environ)
    profile = str(share / "config" / PROFILE)
    assert environ == {"OMP_WAIT_POLICY": "passive", **dict.fromkeys(PROFILE_VARIABLES, profile)}


@pytest.mark.parametrize("name", [*PROFILE_VARIABLES, "FASTDDS_BUILTIN_TRANSPORTS"])
def test_who_has_chosen_a_transport_keeps_it(name):
    environ = {name: "mine", "OMP_WAIT_POLICY": "active"}
    set_defaults(environ)
    assert environ == {name: "mine", "OMP_WAIT_POLICY": "active"}


@pytest.mark.parametrize("name", ["DEFAULT_FASTRTPS_PROFILES.xml", "DEFAULT_FASTDDS_PROFILES.xml"])
def test_who_has_a_profile_in_the_folder_keeps_it(tmp_path, name):
    (tmp_path / name).touch()
    environ = {}
    set_defaults(environ)
    assert environ == {"OMP_WAIT_POLICY": "passive"}


def test_setting_twice_changes_nothing():
    environ = {}
    set_defaults(environ)
    again = dict(environ)
    set_defaults(again)
    assert again == environ


def test_a_missing_file_says_where_it_was_looked_for():
    with pytest.raises(FileNotFoundError, match="config/none.yaml of the package multihmr is missing"):
        share_file("config/none.yaml")


def test_the_nodes_module_loads_without_torch():
    """OpenMP reads its variables when torch loads it, so `main` must set them before."""
    program = "import sys, ros2_multihmr.ros.node; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], env=dict(os.environ), check=False).returncode == 0
