"""Runs the processes of a launch file until they end or the user ends them."""

from __future__ import annotations

import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from .evaluate import Process, find_executable

if TYPE_CHECKING:
    _Ended = queue.SimpleQueue[tuple[str, int] | None]  # name and exit code of a process, or None for a signal

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # the last: the terminal was closed
_STEPS = ((signal.SIGINT, 10.0), (signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0))  # and how long each may take [s]


def run(processes: Sequence[Process], say: Callable[[str], None]) -> int:
    """Start all processes and wait for the last one; SIGINT, SIGTERM and SIGHUP end them in order.

    Args:
        processes: What to start. None is started if a program is missing.
        say: Takes lines about starts and ends.

    Returns:
        0 if all ended well, 1 otherwise.

    Raises:
        FileNotFoundError: a program is missing.
    """
    commands = [[str(find_executable(p.package, p.executable)), *p.arguments] for p in processes]
    running: dict[str, subprocess.Popen[bytes]] = {}
    ended: _Ended = queue.SimpleQueue()  # the one kind of queue that a signal handler may write to
    well = True
    with _signals_told(ended):
        try:
            for number, (process, command) in enumerate(zip(processes, commands), 1):
                name = f"{process.executable}-{number}"
                # A session of its own: the terminal's Ctrl-C reaches only this process, which passes it on once.
                running[name] = subprocess.Popen(command, env=dict(process.environment), start_new_session=True)
                threading.Thread(target=_report_end, args=(name, running[name], ended), daemon=True).start()
                say(f"{name}: process started with pid {running[name].pid}")
            well = _wait(processes, running, ended, say)
        finally:
            well = _stop(running, ended, say) and well
    return 0 if well else 1


@contextmanager
def _signals_told(ended: _Ended) -> Iterator[None]:
    """Put None into `ended` for every signal to end. Once one has come, those after the block are ignored."""
    asked = False

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        asked = True
        ended.put(None)

    before = {number: signal.signal(number, on_signal) for number in _ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if asked else handler)  # who has been asked to end does so anyway


def _wait(
    processes: Sequence[Process],
    running: dict[str, subprocess.Popen[bytes]],
    ended: _Ended,
    say: Callable[[str], None],
) -> bool:
    """Wait until all have ended, or one whose end ends all, or a signal. Return whether all ends were good."""
    well = True
    while running:
        end = ended.get()
        if end is None:
            say("user interrupted: sending SIGINT to all processes")
            break
        name, code = end
        del running[name]
        well = well and code == 0
        say(f"{name}: process has finished cleanly" if code == 0 else f"{name}: process has died, exit code {code}")
        if processes[int(name.rpartition("-")[2]) - 1].ends_all(code):
            break
    return well


def _report_end(name: str, process: subprocess.Popen[bytes], ended: _Ended) -> None:
    ended.put((name, process.wait()))


def _stop(running: dict[str, subprocess.Popen[bytes]], ended: _Ended, say: Callable[[str], None]) -> bool:
    """End processes, ever less gently. Return whether all ended well, which the signal asked for counts as."""
    well = True
    for number, patience_s in _STEPS:
        deadline_s = time.monotonic() + patience_s
        for process in running.values():
            process.send_signal(number)
        while running:
            try:
                end = ended.get(timeout=max(0.0, deadline_s - time.monotonic()))
            except queue.Empty:
                say(f"still running {patience_s:g} s after {number.name}: {', '.join(running)}")
                break
            if end is not None:  # None: another signal, which asks for what is being done
                name, code = end
                del running[name]
                well = well and code in (0, -signal.SIGINT)
    return well and not running
