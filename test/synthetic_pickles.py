"""Pickles of arrays as the model files' makers wrote them: by Python 2 with chumpy, or by Python 3."""

from __future__ import annotations

import io
import pickle
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import scipy.sparse

STYLES = ("python2", "python3", "protocol5")
CHUMPY = ("v_template", "shapedirs", "posedirs")  # as in the files of SMPL and its successors
OLD_NAMES = {
    b"cnumpy._core.multiarray\n": b"cnumpy.core.multiarray\n",
    b"cscipy.sparse._csc\n": b"cscipy.sparse.csc\n",
}


def pickled(arrays: dict[str, Any], style: str) -> bytes:
    """The dictionary as a pickle; Python 2's has chumpy arrays and a sparse J_regressor."""
    if style != "python2":
        return pickle.dumps(arrays, protocol=5 if style == "protocol5" else 4)
    with chumpy() as kind:
        content = {key: kind(value) if key in CHUMPY else value for key, value in arrays.items()}
        if "J_regressor" in content:
            content["J_regressor"] = scipy.sparse.csc_matrix(content["J_regressor"])
        return python2(content)


def python2(content: object) -> bytes:
    """A pickle with Python 2's strings, and the module names of its time."""
    file = io.BytesIO()
    _Python2(file, protocol=2).dump(content)
    written = file.getvalue()
    for new, old in OLD_NAMES.items():
        written = written.replace(new, old)
    return written


@contextmanager
def chumpy() -> Iterator[type]:
    """A stand-in for the class chumpy.ch.Ch, which can be pickled while the context lasts."""

    class Ch:
        def __init__(self, x: np.ndarray) -> None:
            self.__dict__ = {"x": x, "_dirty_vars": {"x"}, "_itr": None, "_make_dense": False, "_status": "new"}

    Ch.__module__, Ch.__qualname__ = "chumpy.ch", "Ch"
    modules = {name: ModuleType(name) for name in ("chumpy", "chumpy.ch")}
    modules["chumpy.ch"].Ch = Ch
    sys.modules.update(modules)
    try:
        yield Ch
    finally:
        for name in modules:
            del sys.modules[name]


class _Python2(pickle._Pickler):
    """Writes bytes and text alike, as Python 2 did."""

    dispatch: ClassVar = dict(pickle._Pickler.dispatch)

    def save_string(self, text: bytes | str) -> None:
        data = text.encode("latin1") if isinstance(text, str) else text
        self.write(b"T" + struct.pack("<i", len(data)) + data)
        self.memoize(text)

    dispatch[bytes] = dispatch[str] = save_string
