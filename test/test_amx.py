"""Products on AMX tiles are those of float64, to the rounding that their precision has."""

from __future__ import annotations

import ctypes
import os
import platform
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from pytest import LogCaptureFixture
from torch import Tensor

from ros2_multihmr.backends import amx, amx_library
from ros2_multihmr.backends.amx import AmxLinear, attend, why_absent, why_broken
from ros2_multihmr.backends.amx_library import NOT_COMPILED
from ros2_multihmr.backends.torch_backend import TorchBackend
from ros2_multihmr.model.stand_in import stand_in_model

FLOAT, HALF = torch.float32, torch.bfloat16
needs_amx = pytest.mark.skipif(bool(why_absent(FLOAT)), reason=f"no AMX: {why_absent(FLOAT)}")


ROOT = Path(__file__).resolve().parents[1]


def test_both_builds_compile_the_same_code_alike() -> None:
    (pip,) = re.findall(r'^AMX_FLAGS = "(.*)"$', (ROOT / "setup.py").read_text(), re.MULTILINE)
    cmake = (ROOT / "CMakeLists.txt").read_text()
    (options,) = re.findall(r"target_compile_options\(_amx PRIVATE\s+([^)]*)\)", cmake)
    assert {*options.split(), "-std=c++17"} == set(pip.split()) and "CXX_STANDARD 17" in cmake


@pytest.mark.skipif((platform.system(), platform.machine()) != ("Linux", "x86_64"), reason="not compiled here")
def test_the_compiled_code_is_there_and_loads() -> None:
    """Setuptools leaves it out without an error where the compiler knows no AMX."""
    known = subprocess.run(["c++", "-mamx-bf16", "-mavx512bf16", "-E", "-x", "c++", os.devnull], capture_output=True)
    if known.returncode != 0:
        pytest.skip("this compiler knows no AMX")
    files = list(Path(amx_library.__file__).parent.glob(amx_library.LIBRARY))
    assert files and ctypes.CDLL(str(files[0])).multihmr_amx_linear
    assert not amx_library.cpu_flags() >= amx_library.NEEDED or why_absent(FLOAT) == ""


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def error(found: Tensor, exact: Tensor) -> float:
    """Largest difference, as a share of the largest number."""
    return float((found.double() - exact).abs().max() / exact.abs().max())


@needs_amx
@pytest.mark.parametrize("rows", [1, 31, 32, 33, 145, 300])
@pytest.mark.parametrize(("inputs", "outputs"), [(32, 96), (160, 32)])
def test_linear_layers_of_any_number_of_rows(rows: int, inputs: int, outputs: int) -> None:
    """Not further from the truth than PyTorch's float32, which rounds after every addition."""
    x, weight = drawn(rows, inputs, seed=1), drawn(outputs, inputs, seed=2)
    bias, added = drawn(outputs, seed=3), drawn(rows, outputs, seed=4)
    layer = AmxLinear(weight, bias, FLOAT)
    plain = x.double() @ weight.double().T + bias
    for found, exact in (
        (layer(x), plain),
        (layer.gelu(x), F.gelu(plain)),
        (layer.added(x, added), plain + added),
    ):
        assert found.shape == exact.shape and error(found, exact) < 6e-7
    assert 1e-5 < error(AmxLinear(weight, bias, HALF)(x), plain) < 1e-2


@needs_amx
@pytest.mark.parametrize("tokens", [1, 32, 33, 256, 257, 530])
@pytest.mark.parametrize(("heads", "depth"), [(1, 32), (3, 64), (2, 96)])
def test_attention_of_any_number_of_tokens(tokens: int, heads: int, depth: int) -> None:
    qkv = 2 * drawn(2, tokens, 3 * heads * depth, seed=tokens)
    query, key, value = qkv.double().unflatten(2, (3, heads, depth)).permute(2, 0, 3, 1, 4)
    exact = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
    assert error(attend(qkv, heads, FLOAT), exact) < 2e-6
    assert error(attend(qkv, heads, HALF), exact) < 3e-2
    assert torch.equal(attend(qkv[1:], heads, FLOAT)[0], attend(qkv, heads, FLOAT)[1])


@needs_amx
def test_scores_of_any_size_and_numbers_of_any_size() -> None:
    """The largest score may come last, and others may be so small that nothing is left of them."""
    query, value = torch.ones(1, 300, 32), drawn(1, 300, 32)
    key = torch.linspace(-60, 60, 300)[None, :, None].expand(1, 300, 32)
    qkv = torch.cat([query, key, value], dim=2)
    exact = F.scaled_dot_product_attention(query.double(), key.double(), value.double())
    assert error(attend(qkv, 1, FLOAT), exact) < 1e-5  # scores of 300: their own rounding is 1e-5 of a weight
    for scale in (1e-20, 1e20):
        weight, x = drawn(64, 64, seed=5) * scale, drawn(40, 64, seed=6) / scale
        found = AmxLinear(weight, torch.zeros(64), FLOAT)(x)
        assert error(found, x.double() @ weight.double().T) < 6e-7


@needs_amx
def test_gelu_everywhere() -> None:
    x = torch.linspace(-12, 12, 32 * 1000).view(1000, 32)
    found = AmxLinear(torch.eye(32), torch.zeros(32), FLOAT).gelu(x)
    assert (found.double() - F.gelu(x.double())).abs().max() < 1e-6
    assert torch.isnan(AmxLinear(torch.eye(32), torch.zeros(32), FLOAT).gelu(torch.full((1, 32), torch.nan))).all()


@needs_amx
def test_the_same_bytes_with_any_number_of_threads_and_beside_other_users_of_tiles() -> None:
    layer, x, qkv = AmxLinear(drawn(96, 64), drawn(96), FLOAT), drawn(2, 700, 64), drawn(1, 200, 3 * 64)
    threads, found = torch.get_num_threads(), []
    try:
        for count in (1, 2, 5):
            torch.set_num_threads(count)
            found.append((layer(x), attend(qkv, 2, FLOAT)))
            drawn(64, 64).bfloat16() @ drawn(64, 64).bfloat16()  # oneDNN, which has tiles of its own
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(mine, first) for one in found for mine, first in zip(one, found[0], strict=True))
    assert torch.equal(layer(x.flip(0)).flip(0), found[0][0])
    assert layer(x[:, :0]).shape == (2, 0, 96) and attend(qkv[:, :0], 2, FLOAT).shape == (1, 0, 64)


@needs_amx
def test_what_does_not_fit_is_refused() -> None:
    layer = AmxLinear(drawn(64, 32), drawn(64), FLOAT)
    with pytest.raises(ValueError, match=r"weight: expected \(O, I\) in 32s float32 on the CPU, got \(64, 33\)"):
        AmxLinear(drawn(64, 33), drawn(64), FLOAT)
    with pytest.raises(ValueError, match=r"bias: expected \(64,\)"):
        AmxLinear(drawn(64, 32), drawn(63), FLOAT)
    with pytest.raises(ValueError, match=r"x: expected \(..., 32\) float32 on the CPU, got \(5, 31\)"):
        layer(drawn(5, 31))
    with pytest.raises(ValueError, match=r"x: .* got \(5, 32\) torch.float64"):
        layer(drawn(5, 32).double())
    with pytest.raises(ValueError, match=r"to: expected \(5, 64\)"):
        layer.added(drawn(5, 32), drawn(4, 64))
    with pytest.raises(ValueError, match=r"qkv: expected \(B, T, 3 C\) with heads of 32 channels or a multiple"):
        attend(drawn(1, 5, 96), 2, FLOAT)


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """A processor that has everything, and nothing known of it yet."""
    monkeypatch.setattr("platform.system", lambda: "Linux")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr(amx_library, "cpu_flags", lambda: set(amx_library.NEEDED))
    monkeypatch.setattr(amx_library, "_tiles_are_given", lambda: True)
    caches = why_broken, amx_library.why_not_here, amx_library.library
    for cached in caches:
        cached.cache_clear()
    yield monkeypatch
    for cached in caches:
        cached.cache_clear()


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("platform.machine", lambda: "aarch64", "only for x86-64 and Linux"),
        ("ros2_multihmr.backends.amx_library.cpu_flags", lambda: {"avx512f"}, "this processor has no AMX"),
        ("ros2_multihmr.backends.amx_library._tiles_are_given", lambda: False, "does not let programs use AMX"),
    ],
)
def test_a_machine_that_cannot(fresh: pytest.MonkeyPatch, name: str, value: object, text: str) -> None:
    fresh.setattr(name, value)
    assert text in why_absent(FLOAT) and why_broken(FLOAT) == "", "nothing that another installation would mend"
    assert why_absent(torch.float16) == "not for float16"


@needs_amx
def test_products_that_are_not_those_of_pytorch(fresh: pytest.MonkeyPatch) -> None:
    fresh.setattr(amx, "_agrees", lambda dtype: False)
    assert "are not those of PyTorch" in why_absent(FLOAT) and why_broken(FLOAT) == why_absent(FLOAT)


def another_library() -> Path:
    """The C library's mathematics, which numpy has loaded."""
    loaded = Path("/proc/self/maps").read_text().splitlines()
    return next(Path(line.split()[-1]) for line in loaded if re.search(r"/libm[.-]", line))


def compiled() -> bytes:
    file = next(Path(amx_library.__file__).parent.glob(amx_library.LIBRARY), None)
    return file.read_bytes() if file else b"\x7fELF" + 4000 * b"\xff"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (lambda: None, NOT_COMPILED),
        (lambda: b"", "_amx.so cannot be loaded: it ends too early"),
        (lambda: 100 * b"nothing ", "_amx.so cannot be loaded: "),
        (lambda: compiled()[:100], "_amx.so cannot be loaded: it ends too early"),
        (lambda: compiled()[:20000], "_amx.so cannot be loaded: it ends too early"),  # which kills whoever loads it
        (lambda: compiled()[:-1], "_amx.so cannot be loaded: it ends too early"),
        (lambda: another_library().read_bytes(), "_amx.so is none of this package's, or of another version"),
    ],
    ids=["absent", "empty", "text", "hardly begun", "half", "all but the last byte", "another library"],
)
def test_a_library_that_is_none(
    fresh: pytest.MonkeyPatch, tmp_path: Path, content: Callable[[], bytes | None], text: str
) -> None:
    if (given := content()) is not None:
        (tmp_path / "_amx.so").write_bytes(given)
    fresh.setattr(amx_library, "__file__", str(tmp_path / "amx_library.py"))
    assert text in why_absent(FLOAT) and why_broken(FLOAT) == why_absent(FLOAT)


@needs_amx
def test_a_library_of_another_version(fresh: pytest.MonkeyPatch) -> None:
    fresh.setattr(amx_library, "_INTERFACE", amx_library._INTERFACE + 1)
    assert "is of another version" in why_absent(FLOAT)


def test_a_network_says_that_a_damaged_library_slows_it(fresh: pytest.MonkeyPatch, caplog: LogCaptureFixture) -> None:
    fresh.setattr(amx_library, "LIBRARY", "_none*.so")
    assert TorchBackend(stand_in_model(), blocks="auto").blocks in ("packed", "plain")
    assert f"no blocks on AMX tiles ({NOT_COMPILED}); {amx_library.INSTALL_AGAIN}" in caplog.text
    with pytest.raises(ValueError, match="no tiles ones here"):
        TorchBackend(stand_in_model(), blocks="tiles")
    caplog.clear()
    TorchBackend(stand_in_model(), blocks="packed"), TorchBackend(stand_in_model(), precision="float16", blocks="auto")
    assert not caplog.text, "nothing is lost"


def test_the_processor_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(amx_library, "_CPU_INFO", tmp_path / "cpuinfo")
    assert amx_library.cpu_flags() == set()
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nflags\t\t: fpu amx_tile\nprocessor\t: 1\nflags\t\t: fpu\n")
    assert amx_library.cpu_flags() == {"fpu", "amx_tile"}
