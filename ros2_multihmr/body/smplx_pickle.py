"""Model files that are pickles, read without running what is pickled inside them.

A pickle is a program that may call anything. Here it may name only what arrays are made of, and each of these names
stands for a class of this file that keeps numbers and nothing else: neither numpy's, nor scipy's, nor chumpy's own
classes are ever called by the pickle, and chumpy need not be installed. Every other name is refused.
"""

from __future__ import annotations

import mmap
import pickle
import re
import struct
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from ros2_multihmr.body.sparse import Matrix, sparse_matrix

_PLAIN_TYPE = re.compile(r"\|?[?bB]1?|[biufSU]\d+")
_FAULTS = (
    *(pickle.UnpicklingError, AttributeError, EOFError, ImportError, IndexError, KeyError, MemoryError),
    *(OverflowError, TypeError, ValueError, AssertionError, struct.error),
)


class PickleRefusedError(ValueError):
    """A pickle names something that no array needs."""


def read_pickled_arrays(path: Path) -> dict[str, NDArray[Any] | Matrix]:
    """Reads the arrays of a pickled dictionary, or of a pickled array.

    Args:
        path: A pickle of numpy arrays, scipy.sparse matrices of any version, and chumpy arrays; written by Python 2
            or 3.

    Returns:
        The numeric arrays by their keys, sparse ones as scipy's CSR matrices; an array that is no dictionary's has
        the key "". Other values are left out.

    Raises:
        PickleRefusedError: It names anything else: which, and that nothing was run.
        ValueError: It is damaged, or no pickle.
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        try:
            # A map, not the file: it hands out what is there, where a file first takes as much memory as is asked for.
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                content = _Unpickler(data, encoding="latin1").load()
            values = content if isinstance(content, dict) else {"": content}
            arrays = {str(key): _array(value) for key, value in values.items()}
        except PickleRefusedError:
            raise
        except _FAULTS as error:
            raise ValueError(f"damaged, or no pickle of arrays: {error}") from error
    return {key: array for key, array in arrays.items() if array is not None}


class _StandIn:
    """What a pickle gets in place of the class that it names."""

    def __setstate__(self, state: Any) -> None:
        raise PickleRefusedError(f"it changes {type(self).__name__[1:]}, which holds nothing; nothing in it was run")


class _Dtype(_StandIn):
    """Stands in for numpy.dtype."""

    text: Any = ""
    order: Literal["<", ">", "="] = "="

    def __init__(self, text: str, *_: object) -> None:
        self.text = text

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = state[1] if state[1] in ("<", ">") else "="

    def plain(self) -> np.dtype[Any] | None:
        """The type, or None for one whose values are not plain numbers or text."""
        if not isinstance(self.text, str) or not _PLAIN_TYPE.fullmatch(self.text):
            return None
        return np.dtype(self.text).newbyteorder(self.order)


class _Array(_StandIn):
    """Stands in for numpy.ndarray and what makes one; `array` is None where it holds objects."""

    array: NDArray[Any] | None = None

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        shape, dtype, in_columns, raw = state[-4:]
        self.array = _from_bytes(raw, dtype, shape, "F" if in_columns else "C")


class _Buffer(_Array):
    """Stands in for numpy's _frombuffer, of pickles since protocol 5."""

    def __init__(
        self, raw: bytes, dtype: _Dtype, shape: tuple[int, ...], order: str, axes: tuple[int, ...] | None = None
    ) -> None:
        transposed = order == "K" and axes is not None
        array = _from_bytes(raw, dtype, shape, "F" if order == "F" else "C")
        self.array = array.transpose(axes) if transposed and array is not None else array


class _Scalar(_Array):
    """Stands in for numpy's scalars."""

    def __init__(self, dtype: _Dtype, raw: bytes | str = b"") -> None:
        self.array = _from_bytes(raw, dtype, (), "C")


class _Chumpy(_StandIn):
    """Stands in for chumpy's array: `x` is what it holds."""

    x: Any = None

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.x = state.get("x")


class _Sparse(_StandIn):
    """Stands in for a compressed matrix of scipy.sparse, by rows."""

    form = "csr"
    state: dict[str, Any] | None = None

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.state = state

    def matrix(self) -> Matrix:
        """The matrix, its parts checked."""
        parts = dict(self.state or {})
        if "_shape" in parts:
            parts["shape"] = parts["_shape"]
        if "coords" in parts:  # of late, in the place of row and col
            parts["row"], parts["col"] = parts["coords"]
        return sparse_matrix(
            self.form, {key: part.array if isinstance(part, _Array) else part for key, part in parts.items()}
        )


class _SparseColumns(_Sparse):
    form = "csc"


class _SparseTriplets(_Sparse):
    form = "coo"


class _Latin1(_StandIn):
    """Stands in for codecs.encode, with which pickles of Python 3 for Python 2 spell bytes."""

    def __new__(cls, text: str, encoding: str) -> Any:
        if encoding.replace("-", "").lower() != "latin1":
            raise PickleRefusedError(f"it spells bytes in {encoding!r}, not in latin1; nothing in it was run")
        return text.encode("latin1")


class _NoBytes(_StandIn):
    """Stands in for bytes, as which such pickles spell no bytes at all."""

    def __new__(cls) -> Any:
        return b""


class _New(_StandIn):
    """Stands in for copyreg's _reconstructor, which pickles before protocol 2 make objects with."""

    def __new__(cls, kind: Any, *_: object) -> Any:
        if kind not in _MADE:
            raise PickleRefusedError(f"it makes an object of {kind!r}; nothing in it was run")
        return kind.__new__(kind)


_MADE = (_Array, _Chumpy, _Sparse, _SparseColumns, _SparseTriplets)
_FORMATS = {"csr": _Sparse, "csc": _SparseColumns, "coo": _SparseTriplets}
_ALLOWED: dict[tuple[str, str], type] = {
    ("collections", "OrderedDict"): OrderedDict,
    **{(module, "set"): set for module in ("builtins", "__builtin__")},
    **{(module, "bytes"): _NoBytes for module in ("builtins", "__builtin__")},
    **{(module, "object"): object for module in ("builtins", "__builtin__")},
    **{(module, "_reconstructor"): _New for module in ("copyreg", "copy_reg")},
    ("_codecs", "encode"): _Latin1,
    **{("numpy", name): kind for name, kind in (("ndarray", _Array), ("matrix", _Array), ("dtype", _Dtype))},
    ("numpy.matrixlib.defmatrix", "matrix"): _Array,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _Array for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _Scalar for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _Buffer for core in ("core", "_core")},
    **{(module, "Ch"): _Chumpy for module in ("chumpy", "chumpy.ch")},
    # scipy 0.x named its modules csc, 1.8 and later _csc; classes are matrices and, of late, arrays
    **{
        (f"scipy.sparse{module}", f"{name}_{ending}"): kind
        for name, kind in _FORMATS.items()
        for module in ("", f".{name}", f"._{name}")
        for ending in ("matrix", "array")
    },
}


_WrittenInPython: Any = pickle._Unpickler


class _Unpickler(_WrittenInPython):
    """The unpickler that is written in Python: files that are crooked on purpose can crash the one written in C."""

    dispatch: ClassVar = dict(_WrittenInPython.dispatch)

    def load_bytearray8(self) -> None:
        size = int.from_bytes(self.read(8), "little")
        self.append(bytearray(self.read(min(size, sys.maxsize))))

    dispatch[pickle.BYTEARRAY8[0]] = load_bytearray8

    def find_class(self, module: str, name: str) -> type:
        if (module, name) in _ALLOWED:
            return _ALLOWED[module, name]
        raise PickleRefusedError(
            f"it names {module}.{name}, which no array needs; nothing in it was run. Use the file that its authors "
            "offer, and look twice at where this one came from"
        )


def _array(value: Any) -> NDArray[Any] | Matrix | None:
    """The numbers behind a stand-in; None where there are none."""
    if isinstance(value, _Chumpy):
        return _array(value.x)
    if isinstance(value, _Sparse):
        return value.matrix()
    return value.array if isinstance(value, _Array) else None


def _from_bytes(raw: Any, dtype: Any, shape: tuple[int, ...], order: Any) -> NDArray[Any] | None:
    plain = dtype.plain() if isinstance(dtype, _Dtype) else None
    if plain is None:
        return None
    data = raw.encode("latin1") if isinstance(raw, str) else raw
    array: NDArray[Any] = np.frombuffer(data, plain).reshape(shape, order=order)
    return array
