"""A folder has one writer at a time."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ros2_multihmr.files.folder_lock import only_writer

TAKE = """import pathlib, sys
from ros2_multihmr.files.folder_lock import only_writer
try:
    with only_writer(pathlib.Path(sys.argv[1]), "--out", "it is taken"):
        print("taken")
except ValueError as error:
    print(error)"""


def another(folder: Path) -> str:
    """What another process is told that wants to write there."""
    done = subprocess.run([sys.executable, "-c", TAKE, str(folder)], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_others_are_kept_out_until_the_block_ends(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), only_writer(tmp_path, "--out", "unused"):
        told = another(tmp_path)
        raise RuntimeError
    assert told.startswith(f"--out {tmp_path}: it is taken (process {os.getpid()} on ")
    assert told.endswith("); wait until it ends, stop it, or give another folder")
    assert another(tmp_path) == "taken"


def test_a_file_system_without_locks_is_told(tmp_path: Path, monkeypatch) -> None:
    def none(*_) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", none)
    refusal = rf"must lie on a file system that has locks: '{tmp_path}/.lock'"
    with pytest.raises(OSError, match=refusal), only_writer(tmp_path, "--out", "unused"):
        raise AssertionError("nobody may write")
