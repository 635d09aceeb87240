"""`multihmr benchmark padding`: what it saves to leave out the tokens of the padding, and what it changes."""

from __future__ import annotations

import dataclasses
from dataclasses import asdict, dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from ros2_multihmr.assets import asset
from ros2_multihmr.backends.agreement import Agreement, compare
from ros2_multihmr.backends.torch_backend import TorchBackend
from ros2_multihmr.camera import Camera
from ros2_multihmr.estimator import Estimator, create_estimator
from ros2_multihmr.estimator_config import EstimatorConfig
from ros2_multihmr.hardware import hardware
from ros2_multihmr.measuring.roofline import count_cost
from ros2_multihmr.model.config import PADDINGS
from ros2_multihmr.model.token_window import TokenWindow
from ros2_multihmr.preprocess import preprocess
from ros2_multihmr.report import Section, open_report, tell
from ros2_multihmr.settings import setting
from ros2_multihmr.sources import read_image
from ros2_multihmr.stopwatch import Stopwatch
from ros2_multihmr.verbs.benchmark import StageTime, stage_times

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
        arithmetic: Operations of the backbone without it, as a share of those with it; see `count_cost`.
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
    console = open_report(options.out)
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
    settings = {**asdict(options), "network": asdict(network)}
    section = Section(title, HEADINGS, _rows(saving), _notes(saving))
    tell(console, options.out, "padding", [section], hardware(options.device), settings=settings, **asdict(saving))
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
    sizes = (TokenWindow.whole(network.grid).size_px, window.size_px)
    operations = [count_cost(network, (1, 3, *size)).backbone_flops for size in sizes]
    return Saving(
        tokens,
        operations[1] / operations[0],
        {padding: stage_times(runs[padding][_WARM_UP:]) for padding in PADDINGS},
        difference(estimator, image, camera, window),
    )


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
        f"{saving.tokens[1]} of {saving.tokens[0]} tokens are left, and {saving.arithmetic:.0%} of the "
        "backbone's operations.",
        f"What it changes on this picture: {saving.agreement.text()}.",
    ]
