"""Exports: checked before they are there, opened by path, and clear when they are not what they should be."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_export import onnx
from small_network import SMALL, small_inputs, small_network
from torch import Tensor

from ros2_multihmr.backends import export, onnxruntime_backend
from ros2_multihmr.backends.agreement import TOLERANCES, compare
from ros2_multihmr.backends.backend import describe_file, open_backend
from ros2_multihmr.backends.export import ExportReport, check_inputs_of, export_onnx
from ros2_multihmr.backends.onnxruntime_backend import CPU, CUDA, PRECISION_KEY, TENSORRT, OnnxRuntimeBackend
from ros2_multihmr.backends.torch_backend import TorchBackend
from ros2_multihmr.estimator import create_estimator
from ros2_multihmr.estimator_config import EstimatorConfig
from ros2_multihmr.model.checkpoint import CONFIG_KEY
from ros2_multihmr.model.export_form import ExportForm
from ros2_multihmr.model.token_window import TokenWindow
from ros2_multihmr.model.weights_error import WeightsError
from ros2_multihmr.synthesis.clip_file import shipped_clip
from ros2_multihmr.verbs import info


@pytest.fixture(scope="module")
def exported(small_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> ExportReport:
    """One image at a time, 12 slots."""
    return export_onnx(small_weights, tmp_path_factory.mktemp("export") / "small.onnx", max_humans=12)


def rewritten(source: Path, target: Path, metadata: dict[str, str]) -> Path:
    model = onnx.load(str(source))
    del model.metadata_props[:]
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=value)
    onnx.save(model, str(target))
    return target


def test_report(exported: ExportReport) -> None:
    assert exported.file_bytes == exported.path.stat().st_size > 1e5
    assert (exported.precision, exported.dynamic_batch, exported.agreement.lost) == ("float32", False, 0.0)
    assert exported.agreement.people >= 4 and exported.agreement.beyond(TOLERANCES["float32"]) == []


def test_the_configuration_is_in_the_file(exported: ExportReport) -> None:
    metadata = {entry.key: entry.value for entry in onnx.load(str(exported.path)).metadata_props}
    assert json.loads(metadata[CONFIG_KEY]) == dataclasses.asdict(dataclasses.replace(SMALL, max_humans=12))
    assert metadata[PRECISION_KEY] == "float32"


def test_the_path_chooses_the_backend(exported: ExportReport) -> None:
    backend = open_backend(str(exported.path), "cpu", max_humans=12, threads=1)
    assert isinstance(backend, OnnxRuntimeBackend)
    assert backend.config == dataclasses.replace(SMALL, max_humans=12) and backend.device == torch.device("cpu")
    with pytest.raises(ValueError, match="exported with max_humans 12, got 20: set it to that, or export again"):
        open_backend(str(exported.path), "cpu")


def test_files_are_described(exported: ExportReport, small_weights: Path) -> None:
    of_export, of_weights = describe_file(exported.path), describe_file(small_weights)
    assert (of_export.parameters, of_weights.parameters > 1e4) == (0, True)
    assert of_export.file_bytes == exported.file_bytes and of_weights.file_bytes == small_weights.stat().st_size
    assert of_export.form == ExportForm("float32", 1, TokenWindow.whole(SMALL.grid), 12) and of_weights.form is None
    same = {"parameters": 0, "file_bytes": 0, "form": None}
    assert dataclasses.replace(of_export, **same) == dataclasses.replace(of_weights, **same)


def test_the_form_of_an_export_in_words() -> None:
    told = ExportForm("int8", None, TokenWindow(8, 6, 8), 3).text()
    assert told == (
        "exported in int8, quantised; input any x 3 x 84 x 112 px, for images at least 4/3 times as wide as high; "
        "3 slots for people"
    )


def test_info_tells_an_export_whatever_its_settings_are(exported: ExportReport) -> None:
    findings = {finding.subject: finding.found for finding in info.collect(info.Options(weights=str(exported.path)))}
    assert "exported in float32; input 1 x 3 x 112 x 112 px, for images of any shape; 12 slots" in findings["file"]
    assert "ViT-32/14, 2 blocks; 112 px" in findings["file"] and findings["body"].startswith("anny/")


def test_files_for_one_image_take_several_one_by_one(exported: ExportReport) -> None:
    pixels, k = small_inputs(3)
    outputs = OnnxRuntimeBackend(exported.path).infer(pixels, k, 0.5)
    expected = TorchBackend(small_network(max_humans=12)).infer(pixels, k, 0.5)
    for ours, theirs in zip(outputs, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_sixteen_bits(small_weights: Path, tmp_path: Path, exported: ExportReport) -> None:
    report = export_onnx(small_weights, tmp_path / "half.onnx", precision="float16", max_humans=12)
    assert report.precision == "float16" and report.file_bytes < exported.file_bytes
    assert report.agreement.beyond(TOLERANCES["float32"]) != [] == report.agreement.beyond(TOLERANCES["float16"])


def test_what_disagrees_is_not_written(small_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong(OnnxRuntimeBackend):
        def infer(self, pixels: Tensor, k: Tensor, threshold: float) -> Any:
            raw = super().infer(pixels, k, threshold)
            return raw._replace(depth=raw.depth * torch.nan)

    monkeypatch.setattr(export, "OnnxRuntimeBackend", Wrong)
    with pytest.raises(ArithmeticError, match=r"wrong.onnx: not written: .*\(depth nan, allowed 0.001\)"):
        export_onnx(small_weights, tmp_path / "wrong.onnx")
    assert list(tmp_path.iterdir()) == []


def test_people_who_are_lost_count() -> None:
    pixels, k = small_inputs(2)
    raw = TorchBackend(small_network()).infer(pixels, k, 0.5)
    fewer = raw._replace(mask=raw.mask & (torch.arange(10) > 0))
    agreement = compare([(raw, fewer), (fewer, raw)])
    assert agreement.lost == pytest.approx(2 / int(raw.mask.sum())) and agreement.largest["rotmats"] == 0
    assert agreement.beyond(TOLERANCES["float32"]) == [f"lost {agreement.lost:.2g}, allowed 0"]


def test_the_check_sees_photographs_and_noise() -> None:
    inputs = list(check_inputs_of(SMALL))
    assert all(pixels.shape == (1, 3, 112, 112) and k.shape == (1, 3, 3) for pixels, k in inputs)
    roughness = [float((pixels[..., 1:] - pixels[..., :-1]).abs().mean()) for pixels, _ in inputs]
    assert max(roughness[:2]) < 0.5 < min(roughness[2:]), "neighbouring pixels of photographs are alike"
    assert len({float(k[0, 0, 0] / k[0, 1, 1]) for _, k in inputs}) == 2


def test_other_endings_and_missing_packages(
    small_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match=r"expected a name ending in \.onnx"):
        export_onnx(small_weights, tmp_path / "model.bin")
    monkeypatch.setattr(export, "_NEEDS", ("onnx", "a_package_that_is_not_there"))
    with pytest.raises(ValueError, match="export needs a_package_that_is_not_there: pip install"):
        export_onnx(small_weights, tmp_path / "model.onnx")


def test_missing_and_damaged_exports(exported: ExportReport, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no such weights file"):
        OnnxRuntimeBackend(tmp_path / "nothing.onnx")
    cut = tmp_path / "cut.onnx"
    for keep in (0, 1000, -1000):
        cut.write_bytes(exported.path.read_bytes()[:keep])
        with pytest.raises(WeightsError, match=r"cut\.onnx: .*write it again with `multihmr export`"):
            OnnxRuntimeBackend(cut)


@pytest.mark.parametrize(
    ("metadata", "text"),
    [
        ({}, "not an export of this package"),
        ({CONFIG_KEY: "{}"}, "missing .*The file belongs to another version"),
        ({CONFIG_KEY: "nonsense"}, "The file belongs to another version"),
    ],
)
def test_exports_of_others(exported: ExportReport, tmp_path: Path, metadata: dict[str, str], text: str) -> None:
    with pytest.raises(WeightsError, match=text):
        OnnxRuntimeBackend(rewritten(exported.path, tmp_path / "other.onnx", metadata))


@pytest.mark.filterwarnings("ignore:Specified provider")
@pytest.mark.parametrize(("provider", "device", "backend"), [(CUDA, "cuda", "auto"), (TENSORRT, "auto", "tensorrt")])
def test_providers_that_are_not_there(
    exported: ExportReport, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, provider: str, device: str, backend: str
) -> None:
    runtime = onnxruntime_backend.import_runtime()
    settings: dict[str, Any] = {"max_humans": 12, "engine_cache": str(tmp_path)}
    if provider not in runtime.get_available_providers():
        with pytest.raises(ValueError, match=f"no {provider}, only .*Install onnxruntime-gpu in place of onnxruntime"):
            open_backend(str(exported.path), device, backend, **settings)
    # A provider whose libraries are missing: ONNX Runtime would go on with the CPU and only log it.
    monkeypatch.setattr(runtime, "get_available_providers", lambda: [provider])
    with pytest.raises(ValueError, match=f"could not load {provider}.*Meanwhile use device cpu and backend auto"):
        open_backend(str(exported.path), device, backend, **settings)


class FakeGpu:
    """ONNX Runtime as a machine with a GPU has it: it tells what it was asked for, and computes on the CPU."""

    def __init__(self, real: Any) -> None:
        self._real, self.asked = real, []
        self.SessionOptions = real.SessionOptions

    def get_available_providers(self) -> list[str]:
        return [TENSORRT, CUDA, CPU]

    def InferenceSession(self, path: str, options: Any, *, providers: list[tuple[str, dict[str, Any]]]) -> Any:
        self.asked.append(providers)
        session = self._real.InferenceSession(path, options, providers=[CPU])
        session.get_providers = lambda: [name for name, _ in providers]
        return session


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> FakeGpu:
    fake = FakeGpu(onnxruntime_backend.import_runtime())
    monkeypatch.setattr(onnxruntime_backend, "import_runtime", lambda: fake)
    return fake


@pytest.mark.parametrize(
    ("device", "backend", "precision", "asked"),
    [
        ("cpu", "auto", "auto", [(CPU, {})]),
        ("cuda", "onnxruntime", "auto", [(CUDA, {"device_id": 0, "use_tf32": 0}), (CPU, {})]),
        ("cuda:1", "auto", "auto", [(CUDA, {"device_id": 1, "use_tf32": 0}), (CPU, {})]),
        ("auto", "tensorrt", "auto", (0, False)),
        ("cuda:1", "tensorrt", "float16", (1, True)),
    ],
)
def test_parameters_choose_the_provider(
    gpu: FakeGpu, exported: ExportReport, tmp_path: Path, device: str, backend: str, precision: str, asked: Any
) -> None:
    cache = tmp_path / "engines" / "here"
    settings: dict[str, Any] = {"precision": precision, "max_humans": 12, "engine_cache": str(cache)}
    opened = open_backend(str(exported.path), device, backend, **settings)
    if backend == "tensorrt":
        index, half = asked
        engines = {"trt_engine_cache_enable": True, "trt_engine_cache_path": str(cache)}
        tensorrt = (TENSORRT, {"device_id": index, "trt_fp16_enable": half, **engines})
        asked = [tensorrt, (CUDA, {"device_id": index, "use_tf32": 0}), (CPU, {})]
    assert gpu.asked == [asked] and cache.is_dir() == (backend == "tensorrt")
    expected = TorchBackend(small_network(max_humans=12)).infer(*small_inputs(1), 0.5)
    torch.testing.assert_close(opened.infer(*small_inputs(1), 0.5).depth.cpu(), expected.depth, atol=1e-4, rtol=1e-4)
    opened.unload()
    opened.load()
    assert gpu.asked == [asked, asked]


def test_an_engine_cache_that_cannot_be(gpu: FakeGpu, exported: ExportReport) -> None:
    with pytest.raises(ValueError, match=r"engine_cache .*small\.onnx: the folder cannot be made .*give another one"):
        open_backend(str(exported.path), "cuda", "tensorrt", max_humans=12, engine_cache=str(exported.path))
    assert gpu.asked == []


@pytest.mark.parametrize("device", ["tpu", "cuda:first"])
def test_devices_of_exports_that_cannot_be(exported: ExportReport, device: str) -> None:
    with pytest.raises(ValueError, match=f"device: expected auto, cpu, cuda or cuda:<index>; got '{device}'"):
        open_backend(str(exported.path), device, max_humans=12)


def test_without_onnx_runtime(exported: ExportReport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ValueError, match="pip install onnxruntime, or onnxruntime-gpu"):
        OnnxRuntimeBackend(exported.path)


def test_the_estimator_finds_the_same_people_with_an_export(tmp_path: Path) -> None:
    path = export_onnx("", tmp_path / "embedded.onnx").path
    sample = shipped_clip()[10]
    theirs, ours = (
        create_estimator(EstimatorConfig(weights=weights, device="cpu", padding="square")).estimate(
            sample.image, sample.camera
        )
        for weights in (str(path), "")
    )
    assert len(ours) > 1
    np.testing.assert_allclose(theirs.vertices_lod, ours.vertices_lod, atol=1e-4)
    np.testing.assert_allclose(theirs.keypoints_2d, ours.keypoints_2d, atol=0.05)
