"""Locks: one process at a time in a folder."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK = ".lock"


@contextmanager
def alone_in(folder: Path, flag: str) -> Iterator[None]:
    """Keeps other processes that ask for the same out of a folder; the system lets them in when this one ends or dies.

    A file system without locks keeps nobody out.

    Args:
        folder: The folder; there.
        flag: What gives it, for the message: `--out`.

    Raises:
        ValueError: Another one is in it.
        OSError: The lock's file cannot be opened.
    """
    lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _take(lock, folder, flag)
        yield
    finally:
        os.close(lock)  # the file stays: who removed it could let in two


def _take(lock: int, folder: Path, flag: str) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise ValueError(
            f"{flag} {folder}: expected a folder into which nobody else writes, got one that another process is "
            "filling now; wait until it is done, or give another folder"
        ) from error
    except OSError:
        return
