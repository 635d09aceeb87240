"""Locks: one process at a time writes into a folder."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK = ".lock"


@contextmanager
def only_writer(folder: Path, flag: str, taken: str) -> Iterator[None]:
    """Keeps other processes that ask for the same out of a folder until the block ends, or the process does in any way.

    The lock is the process's own: workers that it starts do not have it, and cannot keep it when it is killed. The
    file stays: who removed it could let in two.

    Args:
        folder: The folder, which is there.
        flag: What gives it, for the message: `--out`.
        taken: What is told where another process has it: "another run is writing there".

    Raises:
        ValueError: Another process has it; says which one.
        OSError: The lock cannot be written, or the file system has none.
    """
    path = folder / LOCK
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:
            file.seek(0)
            raise ValueError(
                f"{flag} {folder}: {taken} ({file.read().strip()}); wait until it ends, stop it, or give another folder"
            ) from error
        except OSError as error:
            reason = f"{error.strerror}; the folder must lie on a file system that has locks"
            raise OSError(error.errno, reason, str(path)) from error
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        yield
