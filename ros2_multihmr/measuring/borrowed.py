"""Modules of another program, imported from its folder under names that are free again afterwards."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType


class _Absent(ModuleType):
    """Stands for a package that is not installed and whose functions are never called; every name in it is None."""

    def __getattr__(self, name: str) -> None:
        if name.startswith("__") and name != "__path__":  # a path makes it a package
            raise AttributeError(name)


@contextmanager
def borrowed(folders: Sequence[Path], names: Collection[str], unused: Collection[str] = ()) -> Iterator[None]:
    """Lets modules be imported from `folders`; nothing else of this process sees them.

    Args:
        folders: Looked through first.
        names: Top-level names of theirs. Modules of other origin with these names are set aside meanwhile.
        unused: Modules that theirs import and never use in what is wanted; those not installed are replaced by nothing.
    """
    aside = {name: sys.modules.pop(name) for name in _loaded(names)}
    absent = [name for name in unused if not _installed(name)]
    path = list(sys.path)
    sys.path[:0] = [str(folder) for folder in folders]
    sys.modules.update({name: _Absent(name) for name in absent})
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # theirs are not our users' concern
            yield
    finally:
        sys.path[:] = path
        for name in [*_loaded(names), *absent]:
            del sys.modules[name]
        sys.modules.update(aside)


def _loaded(names: Collection[str]) -> list[str]:
    return [name for name in sys.modules if name.partition(".")[0] in names]


def _installed(name: str) -> bool:
    try:
        importlib.import_module(name)
    except ImportError:
        return False
    return True
