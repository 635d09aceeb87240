"""`multihmr export`: weights as an ONNX file for ONNX Runtime or TensorRT, checked before it is left."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from rich.markup import escape

from ros2_multihmr.files.folders import file_beside
from ros2_multihmr.report import open_console
from ros2_multihmr.settings import Settings, setting


@dataclass(frozen=True)
class Options(Settings):
    """Exports weights as one static graph; it is kept only if ONNX Runtime finds the same people with it as PyTorch."""

    weights: str = setting("", "Weights file: an official checkpoint (.pt) or one of this package (.safetensors)")
    out: str = setting("", "File to write, ending in .onnx; empty: beside the weights, with that ending")
    dynamic_batch: bool = setting(False, "Take any number of images at once; otherwise one")
    precision: str = setting(
        "float32",
        "Of the backbone; int8 is for ONNX Runtime on processors with VNNI or AMX",
        choices=("float32", "float16", "int8"),
    )
    max_humans: int = setting(20, "Most people in one image; fixed in the file", low=1, high=200)
    nms_kernel: int = setting(3, "Side of the window that keeps only its best detection [tokens]", low=1, high=15)
    cut_for: str = setting(
        "", "Size of the camera's images, as 1280x720, to leave out the tokens of their padding; empty: any images"
    )


def main(options: Options) -> int:
    """Runs the verb; returns 1 if ONNX Runtime and PyTorch disagree, and leaves no file then."""
    from ros2_multihmr.backends.export import export_onnx

    source, console = Path(options.weights).expanduser(), open_console()
    out = file_beside(source, options.out, ".onnx")
    try:
        with console.status(f"Exporting {escape(str(source))}, then comparing with PyTorch"):
            report = export_onnx(
                source,
                out,
                dynamic_batch=options.dynamic_batch,
                precision=options.precision,
                max_humans=options.max_humans,
                nms_kernel=options.nms_kernel,
                cut_for=_size(options.cut_for) if options.cut_for else None,
            )
    except ArithmeticError as error:
        console.print(f"[red]not exported[/]: {escape(str(error))}", highlight=False)
        return 1
    console.print(
        f"[green]{escape(str(report.path))}[/]: {report.precision}, {report.file_bytes / 1e6:.1f} MB, "
        f"the same people as PyTorch ({escape(report.agreement.text())})",
        highlight=False,
    )
    return 0


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([1-9][0-9]*)x([1-9][0-9]*)", text)
    if match is None:
        raise ValueError(f"--cut-for: expected width x height in pixels, as 1280x720; got {text!r}")
    return int(match[1]), int(match[2])
