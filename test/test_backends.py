"""One suite for every backend."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from small_network import small_inputs, small_network
from torch import Tensor

from ros2_multihmr.backends.agreement import TOLERANCES, compare
from ros2_multihmr.backends.backend import Backend, choose_device, open_backend
from ros2_multihmr.backends.export import export_onnx
from ros2_multihmr.backends.onnxruntime_backend import OnnxRuntimeBackend
from ros2_multihmr.backends.torch_backend import PRECISIONS, TorchBackend
from ros2_multihmr.model.checkpoint import save_weights
from ros2_multihmr.model.raw_outputs import RawOutputs
from ros2_multihmr.model.weights_error import WeightsError

SOME, NOBODY = 0.5, 0.9999999
EVERYBODY = {"max_humans": 64, "nms_kernel": 1}  # every token may be a person; one export for all who want that
Opener = Callable[..., Backend]


def open_torch(**changes: int) -> Backend:
    return TorchBackend(small_network(**changes))


@pytest.fixture(scope="module")
def open_onnxruntime(tmp_path_factory: pytest.TempPathFactory) -> Opener:
    pytest.importorskip("onnxruntime", reason="ONNX Runtime is an optional extra")
    folder = tmp_path_factory.mktemp("exports")

    @functools.cache
    def open_export(**changes: int) -> Backend:
        weights, out = folder / "small.safetensors", folder / f"{len(list(folder.iterdir()))}.onnx"
        save_weights(small_network(), weights)
        export_onnx(weights, out, dynamic_batch=True, **{"max_humans": 10, "nms_kernel": 3, **changes})
        return OnnxRuntimeBackend(out)

    return open_export


@pytest.fixture(params=["torch", "onnxruntime"])
def opener(request: pytest.FixtureRequest) -> Opener:
    """Opens the small network with fields replaced."""
    return open_torch if request.param == "torch" else request.getfixturevalue("open_onnxruntime")  # type: ignore[no-any-return]


def assert_same(a: RawOutputs, b: RawOutputs, rows: slice) -> None:
    for name, ours, theirs in zip(a._fields, a, b, strict=True):
        torch.testing.assert_close(ours[rows], theirs, atol=1e-5, rtol=1e-4, msg=name)


@pytest.mark.parametrize("threshold", [SOME, 0.7, NOBODY])
def test_a_batch_equals_its_images(opener: Opener, threshold: float) -> None:
    backend, (pixels, k) = opener(), small_inputs(3)
    batch = backend.infer(pixels, k, threshold)
    for i in range(3):
        single = slice(i, i + 1)
        assert_same(batch, backend.infer(pixels[single], k[single], threshold), single)


def test_unloaded_and_loaded_it_sees_the_same(opener: Opener) -> None:
    backend, (pixels, k) = opener(), small_inputs(1)
    before = backend.infer(pixels, k, SOME)
    backend.unload()
    backend.load()
    assert_same(before, backend.infer(pixels, k, SOME), slice(None))


def test_images_without_people_beside_images_with(opener: Opener) -> None:
    backend, (pixels, k) = opener(), small_inputs(3)
    best = backend.infer(pixels, k, SOME).scores.amax(1)
    outputs = backend.infer(pixels, k, float(best.sort().values[1]) + 1e-6)
    assert outputs.mask.any(1).sum() == 1 and outputs.found.gt(0).sum() == 1
    assert all(bool(value.isfinite().all()) for value in outputs)


def test_a_higher_threshold_finds_a_subset(opener: Opener) -> None:
    backend, (pixels, k) = opener(**EVERYBODY), small_inputs(1)
    before: set[tuple[int, ...]] | None = None
    for threshold in (0.1, 0.4, 0.5, 0.6, 0.8, NOBODY):
        outputs = backend.infer(pixels, k, threshold)
        cells = {tuple(cell) for cell in outputs.cells[outputs.mask].tolist()}
        assert len(cells) == outputs.found.item() == int(outputs.mask.sum())
        assert before is None or cells <= before
        assert bool((outputs.scores[outputs.mask] >= threshold).all())
        before = cells
    assert before == set()


def test_the_best_scores_stay_in_raster_order(opener: Opener) -> None:
    few = opener(max_humans=3).infer(*small_inputs(2), 0.3)
    assert bool(few.mask.all()) and bool((few.found > 3).all())
    for i in range(2):
        everyone = few.scores_map[i].flatten().sort(descending=True).values
        assert int((everyone >= 0.3).sum()) == few.found[i]
        torch.testing.assert_close(few.scores[i].sort(descending=True).values, everyone[:3])
        places = few.cells[i, :, 0] * 8 + few.cells[i, :, 1]
        assert torch.equal(places, places.sort().values)
        assert torch.equal(few.scores_map[i].flatten()[places], few.scores[i])


def test_filled_slots_come_first(opener: Opener) -> None:
    outputs = opener().infer(*small_inputs(2), SOME)
    counts = outputs.mask.sum(1)
    assert bool((counts > 0).all()) and bool((counts < 10).all())
    assert torch.equal(outputs.mask, torch.arange(10) < counts[:, None])


def test_suppression_can_be_turned_off(opener: Opener) -> None:
    inputs = (*small_inputs(1), 0.3)
    everybody, outputs = (opener(**changes).infer(*inputs) for changes in (EVERYBODY, {}))
    assert everybody.found > outputs.found


def test_outputs_carry_no_gradient_and_inputs_are_left_alone(opener: Opener) -> None:
    backend, (pixels, k) = opener(), small_inputs(1)
    copies = pixels.clone(), k.clone()
    outputs = backend.infer(pixels.double(), k.double(), SOME)
    assert outputs.depth.dtype == torch.float32 and not outputs.depth.requires_grad
    assert outputs.depth.device == backend.device
    assert torch.equal(pixels, copies[0]) and torch.equal(k, copies[1])


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda p, k: (p[:, :, :98], k), r"pixels: expected \(B, 3, 112, 112\) for small, got \(2, 3, 98, 112\)"),
        (lambda p, k: (p[0], k), "pixels: expected"),
        (lambda p, k: (p[:0], k[:0]), "pixels: expected"),
        (lambda p, k: (p, k[:1]), r"k: expected \(2, 3, 3\), one matrix per image, got \(1, 3, 3\)"),
    ],
)
def test_wrong_inputs(opener: Opener, change: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        opener().infer(*change(*small_inputs(2)), SOME)


def test_open_a_file(tmp_path: Path) -> None:
    save_weights(small_network(), tmp_path / "small.safetensors")
    backend = open_backend(str(tmp_path / "small.safetensors"), "cpu", "torch", nms_kernel=1, max_humans=5)
    assert (backend.config.weights, backend.config.nms_kernel, backend.config.max_humans) == ("small", 1, 5)
    assert backend.device == torch.device("cpu")
    with pytest.raises(WeightsError, match="no such weights file"):
        open_backend(str(tmp_path / "other.safetensors"))


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_half_precision_keeps_the_people(precision: str) -> None:
    pixels, k = small_inputs(3)
    expected = TorchBackend(small_network()).infer(pixels, k, SOME)
    backend = TorchBackend(small_network(), precision=precision)
    outputs = backend.infer(pixels, k, SOME)
    assert all(not value.is_floating_point() or value.dtype == torch.float32 for value in outputs)
    agreement = compare([(expected, outputs)])
    scale = {"float16": 1, "bfloat16": 8}[precision]  # 8 bits of mantissa instead of 11
    assert agreement.people > 3 and agreement.largest["scores"] > 0
    assert agreement.beyond({name: scale * limit for name, limit in TOLERANCES["float16"].items()}) == []


def test_unknown_precisions() -> None:
    with pytest.raises(ValueError, match=f"precision: expected {', '.join(PRECISIONS)}; got 'int8'"):
        TorchBackend(small_network(), precision="int8")


@pytest.mark.parametrize("weights", ["", "untrained"])
def test_open_the_embedded_network_and_the_stand_in(weights: str) -> None:
    config = open_backend(weights, "cpu", max_humans=6).config
    assert config.untrained == (weights == "untrained") and config.max_humans == 6


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"backend": "tensorflow"}, "backend: expected auto or torch, onnxruntime, tensorrt; got 'tensorflow'"),
        ({"precision": "int8"}, "precision: expected auto or float32, float16, bfloat16; got 'int8'"),
        ({"backend": "onnxruntime", "weights": "a.pt"}, "runs .onnx files: write one with `multihmr export`"),
        ({"backend": "torch", "weights": "a.onnx"}, "a.onnx: backend torch runs weights, not exports"),
        ({"backend": "tensorrt", "weights": "a.onnx", "device": "cpu"}, "tensorrt needs an NVIDIA GPU"),
        ({"precision": "float16", "weights": "a.onnx"}, "leave precision at auto"),
        ({"device": "tpu"}, "device: expected auto, cpu, cuda or cuda:<index>; got 'tpu'"),
        ({"device": "cuda:first"}, "device: expected"),
        ({"device": "cuda:99"}, "device: 'cuda:99' asked for, but"),
        ({"threads": -1}, "threads: expected 0 or more"),
        ({"nms_kernel": 6, "device": "cpu"}, "nms_kernel: expected an odd number"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, str], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        open_backend(**settings)  # type: ignore[arg-type]


def test_threads_are_set_only_when_asked_for() -> None:
    before = torch.get_num_threads()
    try:
        open_backend("", "cpu", threads=3)
        assert torch.get_num_threads() == 3
        open_backend("", "cpu")
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("available", [True, False])
def test_auto_takes_the_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch, available: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: int(available))
    assert choose_device("auto").type == ("cuda" if available else "cpu")
    if available:
        assert choose_device("cuda:0") == torch.device("cuda:0")
        return
    with pytest.raises(ValueError, match="Use device auto or cpu"):
        choose_device("cuda")


@pytest.mark.parametrize(
    ("error", "explained"),
    [
        (torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB."), MemoryError),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"), MemoryError),
        (RuntimeError("shapes do not match"), RuntimeError),
    ],
)
def test_full_devices_are_explained(error: RuntimeError, explained: type[Exception]) -> None:
    model = small_network()

    def fail(*_: object) -> None:
        raise error

    model.register_forward_pre_hook(fail)
    text = "no room for 2 images of 112 px.*Use smaller weights" if explained is MemoryError else "shapes do not match"
    with pytest.raises(explained, match=text):
        TorchBackend(model).infer(*small_inputs(2), SOME)
