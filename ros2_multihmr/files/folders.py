"""Places for results: a wrong one is told before any work is done."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path


def check_folder(path: Path, flag: str) -> None:
    """Checks that a folder is there or can be made; leaves nothing there.

    Args:
        path: The folder.
        flag: What gives it, for the message: `--out`.

    Raises:
        ValueError: A file is in the way, or the place cannot be written to.
    """
    there = next(folder for folder in (path.absolute(), *path.absolute().parents) if os.path.lexists(folder))
    if not there.is_dir():
        raise ValueError(f"{flag} {path}: {there} is a file; give a folder for the results")
    reason = _why_not_writable(there)
    if reason:
        raise ValueError(f"{flag} {path}: nothing can be written to {there} ({reason}); give another folder")


def check_file(path: Path, flag: str) -> None:
    """Checks that a file can be written into a folder that is there or can be made; leaves nothing there.

    Raises:
        ValueError: The file is a folder, or see `check_folder`.
    """
    if path.is_dir():
        raise ValueError(f"{flag} {path}: is a folder; give a file in it")
    check_folder(path.absolute().parent, flag)


def _why_not_writable(folder: Path) -> str:
    """Why nothing can be written to a folder, empty if something can."""
    try:  # rights do not tell all: root may do everything, but nothing in /proc, and a disk may be full
        with tempfile.TemporaryDirectory(prefix=".multihmr_", dir=folder):
            return ""
    except OSError as error:
        return "it holds no files of yours" if error.errno == errno.ENOENT else str(error.strerror)


def make_folder(path: Path, flag: str) -> None:
    """Makes a folder, and those above it, unless it is there.

    Raises:
        ValueError: It cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"{flag} {path}: the folder cannot be made ({error.strerror}); give another one") from error


def file_beside(source: Path, given: str, suffix: str) -> Path:
    """Returns where the result of a file goes: where `--out` says, otherwise beside the file, with another ending.

    Args:
        source: The file.
        given: What the user said, empty for nothing.
        suffix: The other ending.

    Raises:
        ValueError: The source has no name, or the result is the file itself, has another ending, or cannot be written.
    """
    if not source.name:
        raise ValueError("no file is given: expected the path of a weights file")
    out = Path(given).expanduser() if given else source.with_suffix(suffix)
    if out.resolve() == source.resolve():
        raise ValueError(f"{source}: would be written over itself; give another file with --out")
    if out.suffix != suffix:
        raise ValueError(f"--out {out}: expected a name ending in {suffix}")
    if out.is_dir():
        raise ValueError(f"--out {out}: is a folder; give a file in it")
    if not out.parent.is_dir():
        raise ValueError(f"--out {out}: there is no folder {out.parent}; make it, or give another file")
    reason = _why_not_writable(out.parent)
    if reason:
        raise ValueError(
            f"--out {out}: nothing can be written to {out.parent} ({reason}); give a file elsewhere with --out"
        )
    return out
