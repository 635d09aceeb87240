"""Defaults of the environment: there for whoever has none, out of the way of whoever has."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ros2_multihmr.ros.environment import PROFILE, PROFILE_VARIABLES, set_defaults, share_file

LOG = {"ROS_LOG_DIR": "/mine"}
WAITING = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "5000"}


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_an_empty_environment_gets_profile_and_waiting_policy(share):
    environ = dict(LOG)
    set_defaults(environ)
    profile = str(share / "config" / PROFILE)
    assert environ == {**LOG, **WAITING, **dict.fromkeys(PROFILE_VARIABLES, profile)}


@pytest.mark.parametrize("name", [*PROFILE_VARIABLES, "FASTDDS_BUILTIN_TRANSPORTS"])
def test_who_has_chosen_a_transport_keeps_it(name):
    environ = {**LOG, name: "mine", "OMP_WAIT_POLICY": "active"}
    set_defaults(environ)
    assert environ == {**LOG, name: "mine", "OMP_WAIT_POLICY": "active"}


@pytest.mark.parametrize("name", ["DEFAULT_FASTRTPS_PROFILES.xml", "DEFAULT_FASTDDS_PROFILES.xml"])
def test_who_has_a_profile_in_the_folder_keeps_it(tmp_path, name):
    (tmp_path / name).touch()
    environ = dict(LOG)
    set_defaults(environ)
    assert environ == {**LOG, **WAITING}


def test_setting_twice_changes_nothing():
    environ = {}
    set_defaults(environ)
    again = dict(environ)
    set_defaults(again)
    assert again == environ


@pytest.mark.parametrize("home", [{}, {"HOME": ""}, {"HOME": "/dev/null"}])
def test_who_has_no_home_to_write_to_gets_a_folder_for_logs(tmp_path, monkeypatch, home):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    environ = dict(home)
    set_defaults(environ)
    folder = Path(environ["ROS_LOG_DIR"])
    assert folder.parent == tmp_path and folder.is_dir()


@pytest.mark.parametrize("own", ["HOME", "ROS_HOME", "ROS_LOG_DIR"])
def test_who_has_a_place_for_logs_keeps_it(tmp_path, own):
    environ = {own: str(tmp_path / "new")}
    set_defaults(environ)
    assert environ.get("ROS_LOG_DIR") == (str(tmp_path / "new") if own == "ROS_LOG_DIR" else None)


def test_a_missing_file_says_where_it_was_looked_for():
    with pytest.raises(FileNotFoundError, match="config/none.yaml of the package multihmr is missing"):
        share_file("config/none.yaml")


def test_the_nodes_module_loads_without_torch_and_ros():
    """OpenMP reads its variables when torch loads it, so `main` must set them before."""
    program = "import sys, ros2_multihmr.ros.node; sys.exit(bool({'torch', 'rclpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program], env=dict(os.environ), check=False).returncode == 0
