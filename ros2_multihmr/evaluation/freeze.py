"""`multihmr evaluate freeze`: makes the specification of a benchmark, once."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import track

from ros2_multihmr import __version__
from ros2_multihmr.assets import asset
from ros2_multihmr.evaluation.benchmark import specification_asset
from ros2_multihmr.evaluation.generate import generate
from ros2_multihmr.evaluation.predictors import Averages
from ros2_multihmr.evaluation.specification import Specification, freeze
from ros2_multihmr.hardware import usable_cores
from ros2_multihmr.report import open_console
from ros2_multihmr.settings import setting
from ros2_multihmr.synthesis.config import SPLITS, SceneConfig


@dataclass(frozen=True)
class Options(SceneConfig):
    """Writes down which synthetic images are a benchmark and what is true of them. Done once; figures rest on it."""

    split: str = setting("val", "Which colours, patterns and seeds the scenes may use", choices=SPLITS)
    name: str = setting("synthetic-val", "What the benchmark is called")
    first_seed: int = setting(0, "Seed of the first image; the others follow", low=0)
    count: int = setting(1024, "Images", low=1)
    averages: int = setting(2048, "Images of the train split, for the averages that predictors to beat use", low=1)
    out: str = setting("", "File to write; empty: where the package looks for it")
    replace: bool = setting(False, "Write over a frozen one")
    workers: int = setting(0, "Processes that make the images; 0: one per core", low=0, high=256)


def main(options: Options) -> int:
    """Runs the verb."""
    console = open_console()
    path = Path(options.out) if options.out else asset("__init__.py").parent / specification_asset(options.name)
    if path.exists() and not options.replace:
        raise ValueError(f"{path} is frozen; figures rest on it. Give --replace to write over it all the same")
    specification = make(options, console)
    specification.write(path, replace=options.replace)
    console.print(f"{len(specification)} images frozen, SHA-256 {specification.sha256}: {path}", soft_wrap=True)
    for name, groups in specification.histograms.items():
        counts = ", ".join(f"{group}: {number}" for group, number in groups.items())
        console.print(escape(f"{name}, from ... on: {counts}"), soft_wrap=True)
    return 0


def make(options: Options, console: Console) -> Specification:
    """Makes the images, and the training images for the averages."""
    scene = {field.name: getattr(options, field.name) for field in fields(SceneConfig)}
    seeds = range(options.first_seed, options.first_seed + options.count)
    return freeze(
        options.name,
        scene,
        options.first_seed,
        track(_samples(options, scene, seeds), "images", len(seeds), console=console, transient=True),
        _averages(options, scene, console),
        averages_from=f"seeds 0 to {options.averages - 1} of the train split, other settings the same",
        package=__version__,
    )


def _averages(options: Options, scene: dict[str, Any], console: Console) -> Averages:
    samples = _samples(options, {**scene, "split": "train"}, range(options.averages))
    shown = track(samples, "training images", options.averages, console=console, transient=True)
    return Averages.of((sample.labels, sample.camera) for sample in shown)


def _samples(options: Options, scene: dict[str, Any], seeds: range) -> Any:
    return generate(seeds, scene, "anny", options.workers or usable_cores())
