"""Runs the processes of a launch file until they end or the user ends them."""

from __future__ import annotations

import queue
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from types import FrameType

from .evaluate import Process, find_executable

_STEPS = ((signal.SIGINT, 10.0), (signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0))  # and how long each may take [s]


def run(processes: Sequence[Process], say: Callable[[str], None]) -> int:
    """Start all processes and wait for the last one; SIGINT and SIGTERM end them in order.

    Args:
        processes: What to start. None is started if a program is missing.
        say: Takes lines about starts and ends.

    Returns:
        0 if all ended well, 1 otherwise.

    Raises:
        FileNotFoundError: a program is missing.
    """
    commands = [[str(find_executable(p.package, p.executable)), *p.arguments] for p in processes]
    previous = signal.signal(signal.SIGTERM, _interrupt)
    running: dict[str, subprocess.Popen[bytes]] = {}
    ended: queue.Queue[tuple[str, int]] = queue.Queue()
    well = True
    try:
        for number, (process, command) in enumerate(zip(processes, commands), 1):
            name = f"{process.executable}-{number}"
            # A session of its own: the terminal's Ctrl-C reaches only this process, which passes it on once.
            running[name] = subprocess.Popen(command, env=dict(process.environment), start_new_session=True)
            threading.Thread(target=_report_end, args=(name, running[name], ended), daemon=True).start()
            say(f"{name}: process started with pid {running[name].pid}")
        while running:
            name, code = ended.get()
            del running[name]
            well = well and code == 0
            say(f"{name}: process has finished cleanly" if code == 0 else f"{name}: process has died, exit code {code}")
            if processes[int(name.rpartition("-")[2]) - 1].ends_all(code):
                break
    except KeyboardInterrupt:
        say("user interrupted: sending SIGINT to all processes")
    finally:
        well = _stop(running, ended, say) and well
        signal.signal(signal.SIGTERM, previous)
    return 0 if well else 1


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _report_end(name: str, process: subprocess.Popen[bytes], ended: queue.Queue[tuple[str, int]]) -> None:
    ended.put((name, process.wait()))


def _stop(
    running: dict[str, subprocess.Popen[bytes]], ended: queue.Queue[tuple[str, int]], say: Callable[[str], None]
) -> bool:
    """End processes, ever less gently. Return whether all ended well, which the signal asked for counts as."""
    well = True
    for number, patience_s in _STEPS:
        for process in running.values():
            process.send_signal(number)
        while running:
            try:
                name, code = ended.get(timeout=patience_s)
            except queue.Empty:
                say(f"still running {patience_s:g} s after {number.name}: {', '.join(running)}")
                break
            del running[name]
            well = well and code in (0, -signal.SIGINT)
    return well
