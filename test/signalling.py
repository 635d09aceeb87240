"""Processes that are asked to end, again and again."""

from __future__ import annotations

import itertools
import signal
import subprocess
import time
from typing import Any

_PERIOD_S = 0.005


def signal_until_it_ends(process: subprocess.Popen[Any], first: signal.Signals) -> None:
    """Sends a signal, and then others until the process has ended; whoever calls has a watchdog."""
    process.send_signal(first)
    for number in itertools.cycle((signal.SIGINT, signal.SIGTERM)):
        time.sleep(_PERIOD_S)
        if process.poll() is not None:
            return
        process.send_signal(number)
