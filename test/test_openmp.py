"""PyTorch's OpenMP threads wait as the user says, and those of a network that was loaded aside are gone."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ros2_multihmr.openmp import aside, wait_briefly

COUNT = """
import os, time, torch
from ros2_multihmr.openmp import aside
torch.set_num_threads(2)
work = lambda: torch.zeros(1 << 22).add_(1.0)
threads = lambda: len(os.listdir("/proc/self/task"))
before = threads()
aside(work)
deadline = time.monotonic() + 20.0
while threads() > before and time.monotonic() < deadline:
    time.sleep(0.01)
gone = threads() - before
work()
print(gone, threads() - before)
"""


def test_work_aside_is_done_in_a_thread_that_has_ended() -> None:
    thread = aside(threading.current_thread)
    assert thread is not threading.current_thread() and not thread.is_alive()
    with pytest.raises(FileNotFoundError, match="nowhere"):
        aside(Path("/nowhere").read_text)


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted in /proc")
def test_the_threads_of_work_aside_end_with_it() -> None:
    told = subprocess.run([sys.executable, "-c", COUNT], capture_output=True, text=True, check=True).stdout.split()
    assert told == ["0", "1"], "none stayed of those aside; one more in the thread that is still there"


def test_the_waiting_of_the_user_stays() -> None:
    environ: dict[str, str] = {}
    wait_briefly(environ)
    assert environ["OMP_WAIT_POLICY"] == "passive" and 0 < int(environ["GOMP_SPINCOUNT"]) < 30000
    for name, value in (("OMP_WAIT_POLICY", "active"), ("GOMP_SPINCOUNT", "7")):
        environ = {name: value}
        wait_briefly(environ)
        assert environ == {name: value}
