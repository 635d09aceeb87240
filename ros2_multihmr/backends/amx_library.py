"""The compiled code for Intel's AMX tiles (`amx_kernels/`): whether it is there and may run, and its functions."""

from __future__ import annotations

import ctypes
import functools
import platform
import struct
from pathlib import Path
from typing import Any

NOT_COMPILED = "its code was not compiled when the package was installed"
INSTALL_AGAIN = "install a C++ compiler (g++ 11 or newer) and this package again"
LIBRARY = "_amx*.so"
NEEDED = frozenset(["avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_bf16", "amx_tile", "amx_bf16"])
_INTERFACE = 1  # of the compiled functions; the same number is in kernels.cpp
_CPU_INFO = Path("/proc/cpuinfo")
_ARCH_PRCTL, _ASK_FOR, _TILES = 158, 0x1023, 18  # arch_prctl(2): ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA

_INT, _LONG, _POINTER = ctypes.c_int, ctypes.c_long, ctypes.c_void_p
_SIGNATURES: dict[str, list[Any]] = {
    "split": [_INT, _POINTER, _LONG, _LONG, _POINTER],
    "linear": [_INT, _POINTER, *[_LONG] * 3, _POINTER, _POINTER, _INT, _POINTER, _POINTER, _INT],
    "attention": [_INT, *[_POINTER] * 3, *[_LONG] * 5, _POINTER, _INT],
}


@functools.cache
def why_not_here() -> str:
    """Says in a few words what keeps this machine from it, whatever was compiled; "" if nothing does."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        return "only for x86-64 and Linux"
    if not cpu_flags() >= NEEDED:
        return "this processor has no AMX"
    return "" if _tiles_are_given() else "the system does not let programs use AMX"


def cpu_flags() -> set[str]:
    """Returns what the processor has, in the system's words."""
    try:
        lines = _CPU_INFO.read_text().splitlines()
    except OSError:
        return set()
    return set(next((line.split(":")[1].split() for line in lines if line.startswith("flags")), []))


def call(name: str, *given: Any) -> None:
    """Calls a function of kernels.cpp.

    Raises:
        OSError: See `library`.
        RuntimeError: It was not made for so many parts, which come first.
    """
    if not getattr(library(), f"multihmr_amx_{name}")(*given):
        raise RuntimeError(f"amx: {name} was not made for {given[0]} parts")


@functools.cache
def library() -> ctypes.CDLL:
    """Loads what was compiled. It has no OpenMP of its own: two in one process would fight for the cores.

    Raises:
        OSError: It is not there, damaged, of another version, does not fit PyTorch's OpenMP, or there are no tiles.
    """
    if reason := why_not_here():
        raise OSError(reason)
    fault = NOT_COMPILED
    for file in sorted(Path(__file__).parent.glob(LIBRARY)):  # there may be those of other interpreters
        try:
            return _load(file)
        except OSError as error:
            fault = str(error)
    raise OSError(fault)


def _load(file: Path) -> ctypes.CDLL:
    try:
        _check_whole(file)
        library = ctypes.CDLL(str(file))
        interface = library.multihmr_amx_interface()
        for name, types in _SIGNATURES.items():
            function = getattr(library, f"multihmr_amx_{name}")
            function.argtypes, function.restype = types, ctypes.c_bool
    except AttributeError as error:
        raise OSError(f"{file.name} is none of this package's, or of another version") from error
    except OSError as error:
        raise OSError(f"{file.name} cannot be loaded: {str(error).splitlines()[0]}") from error
    if interface != _INTERFACE:
        raise OSError(f"{file.name} is of another version")
    return library


def _check_whole(file: Path) -> None:
    """Says so if a file ends too early: whoever loads such a library is killed. Its list of sections comes last."""
    with file.open("rb") as library:
        head = library.read(64)
    if len(head) < 64:
        raise OSError("it ends too early")
    (start,), (size, number) = struct.unpack_from("<Q", head, 40), struct.unpack_from("<HH", head, 58)
    if head[:4] == b"\x7fELF" and file.stat().st_size < start + size * number:
        raise OSError("it ends too early")


def _tiles_are_given() -> bool:
    """Asks the system for tiles, for all threads of this process: whoever uses them without is killed."""
    return bool(ctypes.CDLL(None).syscall(*map(_LONG, (_ARCH_PRCTL, _ASK_FOR, _TILES))) == 0)
