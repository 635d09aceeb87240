"""Files that are whole or not there."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Puts a file's name into errors of writing it: the system names a file where it is opened, and not where it fails.

    Raises:
        OSError: It cannot be written; the text tells which file and why.
    """
    try:
        yield
    except OSError as error:
        if error.filename is not None or error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Lets a file be written beside its place, and puts it there once it is whole and on the disk.

    Whatever writes it, its rights are those of any new file of this user (umask).

    Args:
        path: The file's place.

    Yields:
        Where to write it.

    Raises:
        OSError: It cannot be written, for example because the disk is full.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        part.unlink(missing_ok=True)
        part.touch()
        rights = stat.S_IMODE(part.stat().st_mode)
        yield part
        part.chmod(rights)
        _to_disk(part)
        part.replace(path)
        _to_disk(path.parent)
    except SafetensorError as error:
        raise OSError(f"{path}: cannot be written ({error})") from error
    except OSError as error:
        if error.errno not in _FULL or error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        part.unlink(missing_ok=True)


def _to_disk(path: Path) -> None:
    """Waits until a file, or a folder's list of files, would outlive a loss of power."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
