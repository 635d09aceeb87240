"""Writes a network as an ONNX file that needs neither PyTorch nor this package's weights to run.

The file is put in its place only after ONNX Runtime has found the same people with it as PyTorch has, on photographs
and on noise. Suppression and the number of slots are part of the graph; the threshold is an input.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import json
import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ros2_multihmr.assets import asset
from ros2_multihmr.backends.agreement import TOLERANCES, Agreement, compare
from ros2_multihmr.backends.onnxruntime_backend import INPUTS, ONNX_SUFFIX, PRECISION_KEY, OnnxRuntimeBackend
from ros2_multihmr.backends.quantise import fold_scales, quantise, use_runtime_kernels
from ros2_multihmr.backends.torch_backend import PRECISIONS as TORCH_PRECISIONS
from ros2_multihmr.files.whole_file import whole_file
from ros2_multihmr.model.checkpoint import CONFIG_KEY, LICENCE_KEY
from ros2_multihmr.model.config import IMAGENET_MEAN, IMAGENET_STD, MultiHMRConfig
from ros2_multihmr.model.convert import licence_of
from ros2_multihmr.model.embedded import open_network
from ros2_multihmr.model.network import Network
from ros2_multihmr.model.raw_outputs import RawOutputs
from ros2_multihmr.model.read_outs import nominal_focal
from ros2_multihmr.model.token_window import TokenWindow

OPSET = 18
PHOTOGRAPHS = ("samples/basketball.jpg", "samples/row_of_people.jpg")
PEOPLE = 6  # at most, per image, that the check looks for
MAX_BYTES = 2**31 - 2**20  # of a file without a second one beside it
MAX_BATCH = 64
PRECISIONS = tuple(TOLERANCES)  # "float16" and "int8": of the backbone
_NEEDS = ("onnx", "onnxscript", "onnxruntime")


@dataclass(frozen=True)
class ExportReport:
    """What was written.

    Attributes:
        path: The file.
        file_bytes: Its size.
        precision: One of `PRECISIONS`.
        dynamic_batch: True if it takes any number of images at once.
        agreement: How far ONNX Runtime and PyTorch were apart in the check.
    """

    path: Path
    file_bytes: int
    precision: str
    dynamic_batch: bool
    agreement: Agreement


def export_onnx(
    weights: str | Path,
    out: str | Path,
    *,
    dynamic_batch: bool = False,
    precision: str = "float32",
    max_humans: int = 20,
    nms_kernel: int = 3,
    cut_for: tuple[int, int] | None = None,
) -> ExportReport:
    """Writes a network as an ONNX file, checked.

    Args:
        weights: A weights file; "" for the network that comes with the package; "untrained" for the stand-in.
        out: File to write, ending in .onnx.
        dynamic_batch: True for any number of images at once; False for one, which TensorRT likes better.
        precision: "float16" computes the backbone in 16 bits; "int8" multiplies the matrices of its blocks in 8, for
            processors, through ONNX Runtime alone. What decides who is a person stays in 32.
        max_humans: Slots for people in one image.
        nms_kernel: Side of the window in which only the best score survives [tokens].
        cut_for: Width and height of the images [px], to leave out the tokens of their padding. The graph's shapes are
            fixed, which runtimes make the most of: the file takes images of about this shape alone. None: the whole
            square, for images of any shape.

    Raises:
        WeightsError: The weights are missing, damaged, or not what was expected.
        ValueError: Another ending or precision, a package is missing, or the file would be too big; says what to do.
        ArithmeticError: The file's outputs differ from PyTorch's; nothing is written.
    """
    out = Path(out).expanduser()
    if out.suffix != ONNX_SUFFIX:
        raise ValueError(f"{out}: expected a name ending in {ONNX_SUFFIX}")
    if precision not in PRECISIONS:
        raise ValueError(f"precision: expected {', '.join(PRECISIONS)}; got {precision!r}")
    if precision == "int8" and dynamic_batch:
        raise ValueError("precision int8: takes one image at a time, several one by one: leave dynamic_batch out")
    if missing := [name for name in _NEEDS if importlib.util.find_spec(name) is None]:
        raise ValueError(f"export needs {', '.join(missing)}: pip install {' '.join(missing)}")
    settings = {"max_humans": max_humans, "nms_kernel": nms_kernel}
    model = open_network(weights, **settings)
    if model.stored_body:
        raise ValueError(
            f"{weights}: carries a SMPL-X body of its own, which an {ONNX_SUFFIX} file has no place for: run the "
            "weights themselves, or what `multihmr convert` makes of them"
        )
    grid = model.config.grid
    window = TokenWindow.of_image(*cut_for, grid, max_humans) if cut_for else TokenWindow.whole(grid)
    checks = [_check_of(model, window.of_square(pixels), k) for pixels, k in check_inputs_of(model.config)]
    if precision == "int8":
        fold_scales(model.backbone)
    else:
        model.backbone.set_precision(TORCH_PRECISIONS[precision])
    with whole_file(out) as part:
        _write(model, window, part, dynamic_batch, precision)
        backend = OnnxRuntimeBackend(part)
        agreement = compare((expected, backend.infer(*inputs)) for inputs, expected in checks)
        _require_agreement(agreement, precision, out)
    return ExportReport(out, out.stat().st_size, precision, dynamic_batch, agreement)


def check_inputs_of(config: MultiHMRConfig) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields images (1, 3, S, S) with intrinsics (1, 3, 3): photographs and noise, straight and askew cameras."""
    size, generator = config.image_size, np.random.default_rng(0)
    focal = nominal_focal(size)
    centred = torch.tensor([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]])[None]
    askew = torch.tensor([[0.8 * focal, 0, 0.45 * size], [0, 0.9 * focal, 0.6 * size], [0, 0, 1]])[None]
    mean, std = np.array(IMAGENET_MEAN), np.array(IMAGENET_STD)
    for name, k in zip(PHOTOGRAPHS, (centred, askew)):
        with Image.open(asset(name)) as photograph:
            pixels = np.asarray(photograph.convert("RGB").resize((size, size)), np.float64) / 255
        yield torch.from_numpy((pixels - mean) / std).permute(2, 0, 1)[None].float(), k
    yield torch.from_numpy(generator.standard_normal((1, 3, size, size), np.float32)), askew


def _check_of(model: Network, pixels: Tensor, k: Tensor) -> tuple[tuple[Tensor, Tensor, float], RawOutputs]:
    """Inputs, with a threshold that no score is near, and what PyTorch returns for them."""
    with torch.inference_mode():
        window = TokenWindow.of_pixels(pixels, model.config.grid)
        scores = model.detect(model.backbone(pixels), window).flatten().sort(descending=True).values
        best = scores[: min(PEOPLE, model.config.max_humans) + 1]
        gap = int((best[:-1] - best[1:]).argmax())
        threshold = float((best[gap] + best[gap + 1]) / 2)
        outputs: RawOutputs = model(pixels, k, torch.tensor(threshold))
    return (pixels, k, threshold), outputs


def _write(model: Network, window: TokenWindow, path: Path, dynamic_batch: bool, precision: str) -> None:
    import onnx

    batch = 2 if dynamic_batch else 1
    pixels, k = torch.zeros(batch, 3, *window.size_px), torch.eye(3).repeat(batch, 1, 1)
    images = {0: torch.export.Dim("batch", min=1, max=MAX_BATCH)}
    with _quiet(), torch.inference_mode():
        program: Any = torch.onnx.export(
            model,
            (pixels, k, torch.tensor(0.5)),
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            input_names=list(INPUTS),
            output_names=list(RawOutputs._fields),
            dynamic_shapes=(images, images, None) if dynamic_batch else None,
        )
    proto = program.model_proto
    if proto.ByteSize() > MAX_BYTES:
        raise ValueError(f"{path}: the network needs more than 2 GiB, the most of an ONNX file; export it in float16")
    config = json.dumps(dataclasses.asdict(model.config))
    licence = licence_of(model.config)
    metadata = {CONFIG_KEY: config, PRECISION_KEY: precision} | ({LICENCE_KEY: licence} if licence else {})
    for key, value in metadata.items():
        proto.metadata_props.add(key=key, value=value)
    if precision != "int8":
        onnx.save(proto, str(path))
        return
    use_runtime_kernels(proto, model.config.depth, model.config.heads)
    quantise(proto, path, model.config.depth)


def _require_agreement(agreement: Agreement, precision: str, out: Path) -> None:
    if faults := agreement.beyond(TOLERANCES[precision]):
        raise ArithmeticError(
            f"{out}: not written: ONNX Runtime's outputs differ from PyTorch's ({'; '.join(faults)}). "
            "Other versions of torch, onnxscript or onnxruntime may do better; float16 overflows in some networks; "
            "int8 wants a processor with VNNI or AMX."
        )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter talks about packages that are not needed, and about its own deprecations."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
