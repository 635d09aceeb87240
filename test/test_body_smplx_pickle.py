"""SMPL-X from pickles: the same body as from npz, and nothing in the file is run."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import torch
from synthetic_pickles import STYLES, chumpy, pickled, python2
from synthetic_smplx import no_reduced_mesh, smplx_arrays, write_smplx, write_smplx_pickle

from ros2_multihmr.body import create_body, smplx_pickle
from ros2_multihmr.body.smplx_file import read_smplx
from ros2_multihmr.body.smplx_pickle import PickleRefusedError, read_pickled_arrays


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    with no_reduced_mesh():
        yield


@pytest.fixture(scope="module")
def from_npz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_smplx(tmp_path_factory.mktemp("npz"), components=20)


@pytest.mark.parametrize("style", STYLES)
def test_same_body_as_from_npz(from_npz: Path, tmp_path: Path, style: str) -> None:
    path = write_smplx_pickle(tmp_path, style=style, components=20)
    for key, array in read_smplx(from_npz).items():
        np.testing.assert_array_equal(read_smplx(path)[key], array, err_msg=key)
    ours, theirs = create_body("smplx", tmp_path), create_body("smplx", from_npz.parent.parent)
    rotmats = torch.linalg.qr(torch.randn(2, 53, 3, 3, generator=torch.Generator().manual_seed(0))).Q
    inputs = rotmats, torch.ones(2, 10), torch.full((2, 10), 0.5), torch.tensor([[0.0, 0, 3], [1, 0, 4]])
    for a, b in zip(ours(*inputs, vertices=True), theirs(*inputs, vertices=True), strict=True):
        assert torch.equal(a, b)


def test_npz_comes_first_and_either_may_lie_in_the_folder_itself(tmp_path: Path) -> None:
    path = write_smplx_pickle(tmp_path, "male", components=20)
    path.rename(tmp_path / path.name)
    assert create_body("smplx_male", tmp_path).info.gender == "male"
    (tmp_path / path.name).write_bytes(b"not even a pickle")
    write_smplx(tmp_path, "male", components=20)
    assert create_body("smplx_male", tmp_path).info.gender == "male"


def test_chumpy_is_never_imported(tmp_path: Path) -> None:
    """A module of that name that cannot be imported without being noticed lies first on the path."""
    write_smplx_pickle(tmp_path, components=20)
    (tmp_path / "chumpy").mkdir()
    (tmp_path / "chumpy" / "__init__.py").write_text("raise SystemExit('chumpy was imported')")
    program = (
        "import sys; from pathlib import Path; from ros2_multihmr.body.smplx_file import read_smplx; "
        f"read_smplx(Path({str(tmp_path / 'smplx' / 'SMPLX_NEUTRAL.pkl')!r})); assert 'chumpy' not in sys.modules"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)


def read(data: bytes, tmp_path: Path) -> dict[str, Any]:
    path = tmp_path / "file.pkl"
    path.write_bytes(data)
    return read_pickled_arrays(path)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("kind", ["csr", "csc", "coo"])
@pytest.mark.parametrize("ending", ["matrix", "array"])
def test_sparse_matrices(tmp_path: Path, kind: str, ending: str, protocol: int) -> None:
    dense = np.arange(12.0).reshape(3, 4) % 5
    matrix = getattr(scipy.sparse, f"{kind}_{ending}")(dense)
    found = read(pickle.dumps({"m": matrix}, protocol=protocol), tmp_path)["m"]
    np.testing.assert_array_equal(found.toarray(), dense)


def test_sparse_matrices_of_old_versions(tmp_path: Path) -> None:
    dense = np.eye(3)[[2, 0, 1]]
    written = python2({"m": scipy.sparse.csc_matrix(dense)})
    assert b"scipy.sparse.csc\n" in written and b"numpy.core" in written
    np.testing.assert_array_equal(read(written, tmp_path)["m"].toarray(), dense)


ARRAYS = (
    np.arange(6, dtype=">i4").reshape(2, 3),
    np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    np.array(3.5, dtype=np.float16),
    np.float64(2.5),
    np.array([True, False]),
    np.zeros((0, 3), np.uint8),
    np.matrix([[1, 2]]),
    np.arange(24.0).reshape(2, 3, 4).transpose(1, 0, 2),
)


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: f"{array.dtype}{array.shape}")
def test_arrays_of_any_kind(tmp_path: Path, array: Any, protocol: int) -> None:
    found = read(pickle.dumps({"a": array}, protocol=protocol), tmp_path)["a"]
    np.testing.assert_array_equal(found, np.asarray(array))
    assert found.dtype == array.dtype


def test_what_is_no_number_is_left_out_and_a_bare_array_has_no_name(tmp_path: Path) -> None:
    content = {"a": np.ones(2), "names": {"hip": 1}, "o": np.array([None, {}], dtype=object), "s": "text"}
    assert set(read(pickle.dumps(content), tmp_path)) == {"a"}
    np.testing.assert_array_equal(read(pickle.dumps(np.ones(2)), tmp_path)[""], [1, 1])


def test_nested_chumpy(tmp_path: Path) -> None:
    with chumpy() as kind:
        written = pickle.dumps({"a": kind(kind(np.arange(3.0)))}, protocol=0)
    np.testing.assert_array_equal(read(written, tmp_path)["a"], [0, 1, 2])


class Calls:
    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def attacks(trace: Path) -> dict[str, tuple[object, str]]:
    """What a file may try, and the name that the refusal gives."""
    touch = f"touch {trace}"
    evil = Calls(os.system, touch)
    objects = np.empty(1, dtype=object)
    objects[0] = {"deep": [evil]}
    return {
        "system": (evil, "system"),
        "eval": (Calls(eval, f"__import__('os').system({touch!r})"), "eval"),
        "getattr": (Calls(Calls(getattr, os, "system"), touch), "getattr"),
        "numpy.load": (Calls(np.load, str(trace)), "load"),
        "object array": (objects, "system"),
        "partial": (Calls(__import__("functools").partial, evil), "partial"),
        "chumpy's other classes": (Calls(type, "X", (), {}), "type"),
        "memmap": (Calls(np.memmap, str(trace), "u1", "w+", 0, 8), "memmap"),
        "open": (Calls(open, str(trace), "w"), "open"),
    }


@pytest.mark.parametrize("name", sorted(attacks(Path())))
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_malicious_pickles_are_refused_and_named(tmp_path: Path, name: str, protocol: int) -> None:
    trace = tmp_path / "trace"
    content, says = attacks(trace)[name]
    with pytest.raises(PickleRefusedError, match=rf"names \S*{says}.*nothing in it was run") as error:
        read(pickled_attack(content, protocol), tmp_path)
    assert not trace.exists() and "system" not in str(error.value).replace(says, "")


def pickled_attack(content: object, protocol: int) -> bytes:
    """`getattr(os, "system")` cannot be pickled with the module itself in it: a name stands for it."""
    file = io.BytesIO()
    pickler = pickle._Pickler(file, protocol=protocol)
    pickler.dispatch = dict(pickler.dispatch)
    pickler.dispatch[type(os)] = lambda self, module: self.save(module.__name__)
    pickler.dispatch[Calls] = lambda self, calls: (self.save(calls.call[0]), self.save(calls.call[1]), self.write(b"R"))
    pickler.dump({"v_template": content})
    return file.getvalue()


def test_the_traps_work(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    pickle.loads(pickled_attack(attacks(trace)["object array"][0], 2))
    assert trace.exists()


@pytest.mark.parametrize(
    "data",
    [
        # they change our own classes
        b"cnumpy.core.multiarray\n_reconstruct\nN}X\x05\x00\x00\x00arrayX\x01\x00\x00\x00xs\x86b.",
        b"ccopy_reg\n_reconstructor\nN}X\x07\x00\x00\x00__new__X\x01\x00\x00\x00xs\x86b.",
        b"c_codecs\nencode\n(X\x01\x00\x00\x00aX\x04\x00\x00\x00zlibtR.",  # other codecs
        b"ccopy_reg\n_reconstructor\n(c__builtin__\nset\nc__builtin__\nobject\nNtR.",
        b"\x80\x04\x8c\x05numpy\x8c\x0fndarray.tofile\x93.",
        b"cnumpy\ndtype\n.",
        b"",
        b"\x80\x04not a pickle",
        b"\x82\x01.",
        b"Pid\n.",
    ],
)
def test_crooked_pickles_are_refused(tmp_path: Path, data: bytes) -> None:
    kinds = [getattr(smplx_pickle, name) for name in ("_New", "_Array")]
    before = [dict(vars(kind)) for kind in kinds]
    try:
        found = read(data, tmp_path)
    except ValueError:
        found = {}
    assert found == {}
    assert [dict(vars(kind)) for kind in kinds] == before


@pytest.mark.parametrize("part", [0.0, 0.5, 0.999])
def test_truncated_pickles_are_refused(tmp_path: Path, part: float) -> None:
    path = write_smplx_pickle(tmp_path, components=20)
    path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])
    with pytest.raises(ValueError, match="SMPLX_NEUTRAL.pkl is not a SMPL-X model file .*https://smpl-x.is.tue.mpg.de"):
        create_body("smplx", tmp_path)


CROOKED = {  # some of them crash scipy
    "index": {"indices": np.array([0, 1, 7], np.int32)},
    "negative": {"indices": np.array([0, 1, -7], np.int32)},
    "ends before": {"indptr": np.array([0, 10**6, 10**6, 0], np.int32)},
    "falls": {"indptr": np.array([0, 2, 1, 3], np.int32)},
    "short": {"indptr": np.array([0, 3], np.int32)},
    "starts late": {"indptr": np.array([2, 2, 2, 3], np.int32)},
    "fewer numbers": {"data": np.ones(1)},
    "fractions": {"indices": np.array([0.0, 1, 2])},
    "huge": {"_shape": (10**12, 3)},
    "no number": {"data": None},
}


@pytest.mark.parametrize("how", CROOKED)
@pytest.mark.parametrize("form", ["csc", "csr"])
def test_sparse_matrices_that_contradict_themselves_are_refused(tmp_path: Path, form: str, how: str) -> None:
    broken = getattr(scipy.sparse, f"{form}_matrix")(np.eye(3))
    vars(broken).update(CROOKED[how])
    with pytest.raises(ValueError):
        read(pickle.dumps({"m": broken}), tmp_path)


def test_mutations_of_a_pickle_end_in_arrays_or_value_errors(tmp_path: Path) -> None:
    with chumpy() as kind:
        content = {"a": np.ones((2, 3)), "m": scipy.sparse.csc_matrix(np.eye(3)), "c": kind(np.ones(2))}
        written = [python2(content), *(pickle.dumps(content, protocol=protocol) for protocol in (0, 2, 5))]
    rng = np.random.default_rng(0)
    for _ in range(600):
        data = bytearray(written[rng.integers(len(written))])
        data[rng.integers(len(data))] = rng.integers(256) if rng.random() < 0.5 else rng.choice(list(b"Rbcoitu.}])se0"))
        with contextlib.suppress(ValueError):
            read(bytes(data), tmp_path)


def test_the_error_of_a_body_names_what_was_refused(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    arrays = smplx_arrays(components=20) | {"part2num": Calls(os.system, f"touch {trace}")}
    path = tmp_path / "SMPLX_NEUTRAL.pkl"
    path.write_bytes(pickled(arrays, "python3"))
    with pytest.raises(ValueError, match=r"posix.system, which no array needs"):
        create_body("smplx", tmp_path)
    assert not trace.exists()
