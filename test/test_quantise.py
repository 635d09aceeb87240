"""Exports in 8 bits: nearly the same people, smaller, and refused where they cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from small_export import onnx
from small_network import small_inputs, small_network

from ros2_multihmr.backends import quantise
from ros2_multihmr.backends.agreement import TOLERANCES, compare
from ros2_multihmr.backends.backend import describe_file, open_backend
from ros2_multihmr.backends.export import PRECISIONS, export_onnx
from ros2_multihmr.backends.torch_backend import TorchBackend
from ros2_multihmr.cli import main
from ros2_multihmr.model.embedded import open_network
from ros2_multihmr.model.token_window import TokenWindow


def test_the_embedded_weights_in_8_bits_without_padding(tmp_path: Path) -> None:
    report = export_onnx("", tmp_path / "eight.onnx", precision="int8", cut_for=(1280, 720))
    assert report.precision == "int8" and report.agreement.people > 4
    assert report.agreement.beyond(TOLERANCES["int8"]) == [] != report.agreement.beyond(TOLERANCES["float32"])
    matrices = {tensor.name: tensor.data_type for tensor in onnx.load(str(report.path)).graph.initializer}
    network = open_network("")
    eight = [name for name, kind in matrices.items() if kind == onnx.TensorProto.INT8 and "quantized" in name]
    assert len(eight) == 4 * network.config.depth
    window = TokenWindow.of_image(1280, 720, network.config.grid, 20)
    assert open_backend(str(report.path), "cpu", threads=1).window == window
    told = describe_file(report.path).text()
    height, width = window.size_px
    assert (
        f"int8, quantised; input 1 x 3 x {height} x {width} px, for images at least 8/5 times as wide as high" in told
    )
    assert "20 slots for people" in told
    assert report.agreement.lost == 0.0 and report.agreement.largest["rotmats"] < 0.1
    assert report.agreement.largest["depth"] < 0.05 and report.agreement.largest["loc_px"] < 2.0


def test_scales_fold_into_weights() -> None:
    network, (pixels, _) = small_network(), small_inputs(1)
    with torch.inference_mode():
        before = network.backbone(pixels)
        quantise.fold_scales(network.backbone)
        torch.testing.assert_close(network.backbone(pixels), before, atol=1e-5, rtol=1e-5)


def test_several_images_go_through_one_by_one(small_weights: Path, tmp_path: Path) -> None:
    report = export_onnx(small_weights, tmp_path / "eight.onnx", precision="int8")
    pixels, k = small_inputs(3)
    exact = TorchBackend(small_network(max_humans=20)).infer(pixels, k, 0.5)
    came = open_backend(str(report.path), "cpu", threads=1).infer(pixels, k, 0.5)
    assert compare([(exact, came)]).beyond(TOLERANCES["int8"]) == []
    with pytest.raises(ValueError, match="int8: takes one image at a time.*leave dynamic_batch out"):
        export_onnx(small_weights, tmp_path / "many.onnx", precision="int8", dynamic_batch=True)


def test_precisions_that_are_none(small_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="precision: expected float32, float16, int8; got 'int4'"):
        export_onnx(small_weights, tmp_path / "four.onnx", precision="int4")
    with pytest.raises(SystemExit, match="2"):
        main(["export", str(small_weights), "--precision", "int4"])
    error = " ".join(capsys.readouterr().err.split())
    assert all(name in error for name in PRECISIONS)


def test_an_export_laid_out_differently_is_told() -> None:
    nothing = onnx.helper.make_model(onnx.helper.make_graph([], "empty", [], []))
    with pytest.raises(ValueError, match="has 0 blocks of a known layout, not 1: .*float32"):
        quantise.use_runtime_kernels(nothing, 1, 2)


def test_what_8_bits_spoil_is_not_written(small_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    strict = dict.fromkeys(TOLERANCES["int8"], 0.0)
    monkeypatch.setitem(TOLERANCES, "int8", strict)
    with pytest.raises(ArithmeticError, match=r"not written: .*int8 wants a processor with VNNI or AMX"):
        export_onnx(small_weights, tmp_path / "eight.onnx", precision="int8")
    assert list(tmp_path.iterdir()) == []
