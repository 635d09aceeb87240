"""Sparse matrices from the parts that files hold of them.

scipy's own classes trust these parts: where they contradict each other, it reads memory that is not theirs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

Matrix = Any  # a scipy.sparse matrix, for which no types are published
FORMATS = ("csr", "csc", "coo")
_MOST_ROWS = 2**20  # bodies have 10 475 vertices; a big number in a crooked file would take all memory


def sparse_matrix(form: str, parts: Mapping[str, Any]) -> Matrix:
    """Makes a CSR matrix of its parts, as scipy names them.

    Args:
        form: One of `FORMATS`, how it is stored.
        parts: shape, data (n,), and for coo row (n,) and col (n,), otherwise indices (n,) and indptr (rows or
            columns + 1,).

    Raises:
        ValueError: The parts are not those of one matrix.
        KeyError: One is missing.
    """
    if form not in FORMATS:
        raise ValueError(f"expected a sparse matrix stored as {', '.join(FORMATS)}; got {form!r}")
    rows, columns = (int(size) for size in parts["shape"])
    if not (0 < rows <= _MOST_ROWS and 0 < columns <= _MOST_ROWS):
        raise ValueError(f"a sparse matrix of shape {(rows, columns)}")
    data = _vector("data", parts["data"], "biuf")
    if form == "coo":
        row, column = _vector("row", parts["row"], "iu"), _vector("col", parts["col"], "iu")
    else:
        inner = _vector("indices", parts["indices"], "iu")
        outer = _expanded(_vector("indptr", parts["indptr"], "iu"), rows if form == "csr" else columns, len(inner))
        row, column = (outer, inner) if form == "csr" else (inner, outer)
    _check_places(row, rows, len(data))
    _check_places(column, columns, len(data))
    return scipy.sparse.coo_matrix((data, (row, column)), shape=(rows, columns)).tocsr()


def _expanded(starts: NDArray[np.int64], count: int, entries: int) -> NDArray[np.int64]:
    """The row of each entry, of where the rows start."""
    lengths = np.diff(starts)
    if len(starts) != count + 1 or starts[0] != 0 or starts[-1] != entries or np.any(lengths < 0):
        raise ValueError(f"the indptr of a sparse matrix should rise from 0 to {entries} in {count} steps")
    return np.repeat(np.arange(count), lengths)


def _vector(name: str, array: Any, kinds: str) -> NDArray[Any]:
    if not isinstance(array, np.ndarray) or array.ndim != 1 or array.dtype.kind not in kinds:
        raise ValueError(f"the {name} of a sparse matrix should be a vector of numbers")
    return array.astype(np.int64) if kinds == "iu" else array.astype(array.dtype.newbyteorder("="))


def _check_places(places: NDArray[np.int64], count: int, entries: int) -> None:
    if len(places) != entries or np.any((places < 0) | (places >= count)):
        raise ValueError(f"a sparse matrix should have {entries} places below {count}")
