"""Processes of a small graph: started together with the same environment, stopped together, their lines passed on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from ros2_multihmr.ros.domain import free_domain
from ros2_multihmr.ros.environment import set_defaults

DISCOVERY_VARIABLE = "ROS_AUTOMATIC_DISCOVERY_RANGE"
RECORDING = "recording"
"""The recorder's word for: everybody publishes, I listen. Here, because the recorder needs packages of its own."""
RECORDED_IF_ASKED = ("predicted_paths", "proximity", "capsules", "vertices")
"""Topics of the node that the recorder listens to when it is told: the node works for whoever listens."""
_KEPT_LINES = 30
_POLL_S = 0.1
# A lifecycle node lives on after these, and waits for commands that nobody here will give.
_GIVEN_UP = ("cannot configure", "cannot activate")
# An interrupt ends a module silently until it listens to signals itself: which import was cut off is no news.
_RUN_MODULE = (
    "import runpy, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); del sys.argv[0]; "
    "runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)"
)
_CHILD = Path(__file__).with_name("child.py")


def local_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Returns `environ` with this package's defaults; found on this machine alone, unless the user chose otherwise."""
    result = dict(environ)
    set_defaults(result)
    result.setdefault(DISCOVERY_VARIABLE, "LOCALHOST")
    return result


def random_domain() -> dict[str, str]:
    """Returns an environment that keeps a graph on this machine, and apart from others there."""
    return {"ROS_DOMAIN_ID": str(free_domain()), DISCOVERY_VARIABLE: "LOCALHOST"}


def ros_arguments(parameters: Mapping[str, Any], remaps: Mapping[str, str] | None = None) -> list[str]:
    """Returns the `--ros-args` that set parameters and names; texts are quoted, so that "0" stays a text."""
    arguments = ["--ros-args"]
    for name, value in parameters.items():
        arguments += ["-p", f"{name}:={json.dumps(value)}"]
    for name, target in (remaps or {}).items():
        arguments += ["-r", f"{name}:={target}"]
    return arguments


def _tied_to_this_process(command: list[str]) -> list[str]:
    """The same, but ended when this process ends, even by SIGKILL; it keeps its process id."""
    if not sys.platform.startswith("linux"):
        return command
    # Not preexec_fn: Python code between fork and exec can lock up where other threads run.
    return [sys.executable, "-I", "-S", str(_CHILD), str(os.getpid()), *command]


class Process:
    """One running Python module; a thread hands its lines to `on_line(name, line)`.

    Attributes:
        name: What it is called in messages.
        tail: Its last lines.
        given_up: The line with which it said that it cannot go on; empty while it can.
    """

    def __init__(
        self, name: str, command: list[str], environment: Mapping[str, str], on_line: Callable[[str, str], None]
    ) -> None:
        self.name = name
        self.tail: deque[str] = deque(maxlen=_KEPT_LINES)
        self.given_up = ""
        # A session of its own: Ctrl-C in the terminal reaches the parent alone, which stops everyone in order.
        self._process = subprocess.Popen(
            _tied_to_this_process(command),
            env=dict(environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._pass_on, args=(on_line,), name=f"{name} lines", daemon=True)
        self._reader.start()

    def _pass_on(self, on_line: Callable[[str, str], None]) -> None:
        for line in self._process.stdout or ():
            self.tail.append(line.rstrip())
            if any(text in line for text in _GIVEN_UP):
                self.given_up = line.rstrip()
            on_line(self.name, line.rstrip())

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def exit_code(self) -> int | None:
        """Returns the exit code, None while it runs."""
        return self._process.poll()

    def fate(self) -> str:
        """Returns what became of it in words, empty while it runs well."""
        if self.given_up:
            return f"the {self.name} gave up: {self.given_up}"
        code = self.exit_code()
        return "" if code is None else f"the {self.name} ended with exit code {code}"

    def wait(self, timeout_s: float) -> int | None:
        """Waits for the end; returns the exit code, None if it still runs after `timeout_s`."""
        try:
            code = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None
        self._reader.join(1.0)
        return code

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal; nothing happens to a process that has ended."""
        self._process.send_signal(number)


class ProcessGroup:
    """Processes that live and end together; a context manager that stops them on the way out.

    Args:
        on_line: Gets every line that a process writes, with the process's name.
        environment: Theirs, see `local_environment`.
        grace_s: How long they have to end by themselves after Ctrl-C's signal.
    """

    def __init__(
        self, on_line: Callable[[str, str], None], environment: Mapping[str, str], grace_s: float = 10.0
    ) -> None:
        self.processes: list[Process] = []
        self._on_line = on_line
        self._environment = environment
        self._grace_s = grace_s

    def start(self, name: str, module: str, arguments: list[str]) -> Process:
        """Starts `python -m module arguments` with this interpreter; a module that wants SIGINT has to listen to it."""
        command = [sys.executable, "-u", "-c", _RUN_MODULE, module, *arguments]
        process = Process(name, command, self._environment, self._on_line)
        self.processes.append(process)
        return process

    def ended(self) -> list[Process]:
        """Returns the processes that have ended or given up."""
        return [process for process in self.processes if process.fate()]

    def wait_for_line(self, process: Process, text: str, timeout_s: float, stop: threading.Event) -> bool:
        """Waits for a line with `text`; False if any process ends, it takes too long, or `stop` is set."""
        deadline = time.monotonic() + timeout_s
        while not any(text in line for line in list(process.tail)):
            if self.ended() or time.monotonic() > deadline or stop.wait(_POLL_S):
                return False
        return True

    def stop(self) -> dict[str, int]:
        """Ends all, the last started first; asks with SIGINT and kills what does not answer. Returns the exit codes."""
        for process in reversed(self.processes):
            if process.exit_code() is None:
                process.signal(signal.SIGINT)
        deadline = time.monotonic() + self._grace_s
        codes = {}
        for process in self.processes:
            code = process.wait(max(0.0, deadline - time.monotonic()))
            if code is None:
                self._on_line(process.name, f"did not end within {self._grace_s:g} s: killed")
                process.signal(signal.SIGKILL)
                code = process.wait(self._grace_s)
            codes[process.name] = -signal.SIGKILL if code is None else code
        return codes

    def __enter__(self) -> ProcessGroup:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
