"""A ROS domain that nobody on this machine uses."""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path

_DOMAINS = range(1, 102)  # above, the kernel gives the ports to anyone
_held: list[int] = []


def free_domain() -> int:
    """Returns a domain that no other caller has, in any process, and no program: its first port (RTPS 9.6.1.1) is free.

    It stays this process's until its end.

    Raises:
        RuntimeError: All are in use.
    """
    for domain in random.SystemRandom().sample(_DOMAINS, len(_DOMAINS)):
        if _take(domain):
            return domain
    raise RuntimeError(
        f"all ROS domains of this machine, {_DOMAINS[0]} to {_DOMAINS[-1]}, are in use: end some of them"
    )


def _take(domain: int) -> bool:
    path = Path(tempfile.gettempdir(), f"multihmr_domain_{domain}")
    try:
        # Another user's file can be locked, too, but not written. Closed by the end of the process: that is the lock's.
        lock = os.open(path, os.O_RDONLY | os.O_CREAT, 0o644)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("", 7400 + 250 * domain + 10))
    except OSError:
        os.close(lock)
        return False
    _held.append(lock)
    return True
