"""`multihmr benchmark padding`: what it saves to leave out the tokens of the padding, and what it changes."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from ros2_multihmr.assets import asset
from ros2_multihmr.backends.agreement import Agreement, compare
from ros2_multihmr.backends.torch_backend import TorchBackend
from ros2_multihmr.benchmark import StageTime, stage_times
from ros2_multihmr.camera import Camera
from ros2_multihmr.estimator import Estimator, create_estimator
from ros2_multihmr.estimator_config import EstimatorConfig
from ros2_multihmr.folders import make_folder
from ros2_multihmr.hardware import hardware
from ros2_multihmr.model.config import PADDINGS, MultiHMRConfig
from ros2_multihmr.model.token_window import TokenWindow
from ros2_multihmr.model.vit import MLP_RATIO
from ros2_multihmr.preprocess import preprocess
from ros2_multihmr.report import markdown_table
from ros2_multihmr.settings import setting
from ros2_multihmr.sources import read_image
from ros2_multihmr.stopwatch import Stopwatch

HEADINGS = ("stage", "square, median [ms]", "95 % [ms]", "cut, median [ms]", "95 % [ms]", "cut / square")
STAGES = ("preprocess", "network")  # the others know nothing of the padding
_WARM_UP = 5
_FOV_DEG = 60.0


@dataclass(frozen=True)
class Options(EstimatorConfig):
    """Measures one picture with its padding and without, turn by turn, with the same network."""

    image: str = setting("", "Picture to use; empty: a sample photograph")
    width: int = setting(1280, "Image width [px]", low=1, high=10000)
    height: int = setting(720, "Image height [px]", low=1, high=10000)
    repeats: int = setting(50, "Measured pairs of runs, after a few to warm up", low=1, high=100000)
    out: str = setting("", "Folder for padding.json and padding.md; empty: only show")


@dataclass(frozen=True)
class Saving:
    """What leaving the padding out saves and changes.

    Attributes:
        tokens: Of the image, with padding and without.
        arithmetic: Multiplications of the backbone's blocks without it, as a share of those with it.
        times: `STAGES` and their total for each of `PADDINGS`.
        agreement: How far the network's outputs are apart; who is lost was found by one of both alone.
    """

    tokens: tuple[int, int]
    arithmetic: float
    times: dict[str, list[StageTime]]
    agreement: Agreement


def main(options: Options) -> int:
    """Runs the verb.

    Raises:
        ValueError: The weights are an export, which computes one kind of padding.
    """
    console = Console()
    with console.status("loading the network"):
        estimator = create_estimator(dataclasses.replace(options, padding="auto"))
    if not isinstance(estimator.backend, TorchBackend):
        raise ValueError(f"{options.weights}: an export has one kind of padding: give the weights that it was made of")
    image = read_image(options.image or asset("samples/basketball.jpg"))
    image = np.asarray(cv2.resize(image, (options.width, options.height), interpolation=cv2.INTER_AREA), np.uint8)
    saving = measure(estimator, image, options.repeats, console)
    network = estimator.backend.config
    title = (
        f"Padding: {network.weights} ({network.image_size} px) on {estimator.backend.device}, "
        f"{options.width}x{options.height} images, {options.repeats} runs of each kind"
    )
    rows, notes = _rows(saving), _notes(saving)
    _show(console, title, rows, notes)
    if options.out:
        _write(Path(options.out), title, saving, rows, notes, options, network)
        console.print(f"written: {escape(options.out)}/padding.json and padding.md")
    return 0


def measure(estimator: Estimator, image: NDArray[np.uint8], repeats: int, console: Console) -> Saving:
    """Measures an image with its padding and without, turn by turn: whatever slows the machine down slows both."""
    camera = Camera.from_fov(image.shape[1], image.shape[0], _FOV_DEG)
    kinds = {
        padding: Estimator(estimator.backend, estimator.body, dataclasses.replace(estimator.config, padding=padding))
        for padding in PADDINGS
    }
    runs: dict[str, list[dict[str, float]]] = {padding: [] for padding in PADDINGS}
    for _ in track(range(_WARM_UP + repeats), "measuring", console=console, transient=True):
        for padding, one in kinds.items():
            watch = Stopwatch()
            one.estimate(image, camera, stopwatch=watch)
            runs[padding].append({stage: watch.seconds[stage] for stage in STAGES})
    network = estimator.backend.config
    window = TokenWindow.of_image(camera.width, camera.height, network.grid, network.max_humans)
    tokens = (network.num_tokens, window.num_tokens)
    return Saving(
        tokens,
        multiplications(network, tokens[1]) / multiplications(network, tokens[0]),
        {padding: stage_times(runs[padding][_WARM_UP:]) for padding in PADDINGS},
        difference(estimator, image, camera, window),
    )


def multiplications(network: MultiHMRConfig, tokens: int) -> int:
    """Counts the multiplications of the backbone's blocks for one image: matrices, and attention between the tokens."""
    count, width = tokens + 1, network.width
    matrices = (4 + 2 * MLP_RATIO) * count * width**2
    return network.depth * (matrices + 2 * count**2 * width)


@torch.inference_mode()
def difference(estimator: Estimator, image: NDArray[np.uint8], camera: Camera, window: TokenWindow) -> Agreement:
    """Compares what the network finds in an image with its padding and without."""
    backend, raw = estimator.backend, []
    for kind in (TokenWindow.whole(window.grid), window):
        pixels, k, _ = preprocess([image], [camera], backend.config.image_size, kind)
        raw.append(backend.infer(pixels, k, estimator.config.detection_threshold))
    return compare([(raw[0], raw[1])])


def _rows(saving: Saving) -> list[tuple[str, ...]]:
    pairs = zip(saving.times["square"], saving.times["cut"], strict=True)
    return [
        (
            square.stage,
            *(f"{value:.2f}" for one in (square, cut) for value in (one.median_ms, one.p95_ms)),
            f"{cut.median_ms / square.median_ms:.2f}",
        )
        for square, cut in pairs
    ]


def _notes(saving: Saving) -> list[str]:
    return [
        f"{saving.tokens[1]} of {saving.tokens[0]} tokens are left, and {saving.arithmetic:.0%} of the multiplications "
        "in the backbone's blocks.",
        f"What it changes on this picture: {saving.agreement.text()}.",
    ]


def _show(console: Console, title: str, rows: Sequence[Sequence[str]], notes: Sequence[str]) -> None:
    table = Table(*(escape(heading) for heading in HEADINGS), title=escape(title))
    for row in rows:
        table.add_row(*row)
    console.print(table)
    for note in notes:
        console.print(escape(note))


def _write(
    folder: Path,
    title: str,
    saving: Saving,
    rows: Sequence[Sequence[str]],
    notes: Sequence[str],
    options: Options,
    network: MultiHMRConfig,
) -> None:
    make_folder(folder, "--out")
    machine = hardware(options.device)
    settings = {**asdict(options), "network": asdict(network)}
    result = {"title": title, "hardware": machine, "settings": settings, **asdict(saving)}
    (folder / "padding.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    page = markdown_table(title, HEADINGS, rows, machine) + "\n" + "\n\n".join(notes) + "\n"
    (folder / "padding.md").write_text(page, encoding="utf-8")
