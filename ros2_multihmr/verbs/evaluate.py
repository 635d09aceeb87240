"""`multihmr evaluate`: how well a network finds people, on images whose truth is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, track
from rich.table import Table

from ros2_multihmr.body import create_body
from ros2_multihmr.body.body_model import BodyModel
from ros2_multihmr.estimator import Estimator, create_estimator
from ros2_multihmr.estimator_config import EstimatorConfig
from ros2_multihmr.evaluation.benchmark import (
    CLIPS,
    DEFAULT_CACHE,
    Benchmark,
    fill,
    missing_shards,
    open_folder,
    open_frozen,
    read_frozen,
    same_pixels,
)
from ros2_multihmr.evaluation.generate import generate
from ros2_multihmr.evaluation.page import KNOWN, NETWORK, Result, page, to_json, value_text, write_report
from ros2_multihmr.evaluation.pictures import pictures
from ros2_multihmr.evaluation.predictions import Prediction, PredictionFolder
from ros2_multihmr.evaluation.predictors import BoxSize, ConstantDepth, MeanPose, Predictor
from ros2_multihmr.evaluation.scoring import Scores, score
from ros2_multihmr.evaluation.specification import SPECIFICATIONS
from ros2_multihmr.files.folders import check_folder, make_folder
from ros2_multihmr.hardware import hardware, usable_cores
from ros2_multihmr.report import open_console
from ros2_multihmr.samples.manifest import MANIFEST
from ros2_multihmr.settings import setting
from ros2_multihmr.verbs.evaluate_clips import evaluate_clips
from ros2_multihmr.verbs.finding import predict, run_facts


@dataclass(frozen=True)
class Options(EstimatorConfig):
    """Compares the people that a network finds with those who are there."""

    data: str = setting(
        "synthetic-val",
        "synthetic-val: the frozen benchmark; clips: people in motion, tracked and smoothed; or a folder of shards; or "
        "a specification of your own",
    )
    out: str = setting("out/evaluate", "Folder for predictions and figures; a broken run goes on there")
    limit: int = setting(0, "Only the first so many images, or clips; 0: all", low=0)
    every: int = setting(1, "Of the images of clips only one in so many: a slower camera", low=1, high=30)
    cache: str = setting("", f"Folder for the images of the frozen benchmark and of the clips; empty: {DEFAULT_CACHE}")
    workers: int = setting(0, "Processes that make those images; 0: one per core", low=0, high=256)
    pictures: int = setting(0, "Pictures of so many of the worst, of the best and of any images", low=0, high=1000)
    report: str = setting("", "Folder for the page and the JSON file once more, under the data's name; empty: none")


def main(options: Options) -> int:
    """Runs the verb."""
    console, out = open_console(), Path(options.out)
    check_folder(out, "--out")
    if options.data == CLIPS:
        return _on_clips(options, out, console)
    if options.every > 1:
        raise ValueError(f"--every: only --data clips has images in a row, got {options.every}; leave it out")
    with console.status("loading the network"):
        estimator = create_estimator(options)
    benchmark = open_benchmark(options, console)
    make_folder(out, "--out")
    run = run_facts(estimator, benchmark)
    folder = PredictionFolder(out / "predictions", run)
    predict(benchmark, estimator, folder, console)
    guesses = {prediction.key: prediction for prediction in folder.read()}
    scores, bodies = _scores(benchmark, estimator, guesses, options, console)
    result = _result(scores, benchmark, estimator, run)
    _write(result, benchmark.name, [out, *([Path(options.report)] if options.report else [])])
    _draw(scores[0], benchmark, guesses, bodies, options)
    _show(console, result)
    console.print(f"written: {escape(str(out))}/figures.json and figures.md", soft_wrap=True)
    return 0


def _on_clips(options: Options, out: Path, console: Console) -> int:
    if options.pictures:
        raise ValueError("--pictures: there are none of clips; leave it out")
    name = CLIPS if options.every == 1 else f"{CLIPS}_every_{options.every}"
    reports = [(out, "figures"), *([(Path(options.report), name)] if options.report else [])]
    cache = Path(options.cache or DEFAULT_CACHE).expanduser()
    return evaluate_clips(options, cache, options.workers, options.limit, reports, console, every=options.every)


def open_benchmark(options: Options, console: Console) -> Benchmark:
    """Opens a folder, or makes what the cache lacks of the frozen images.

    Raises:
        ValueError: There is no such data, or images are not the frozen ones.
    """
    folder = Path(options.data)
    too_low = not folder.exists() and (folder.parent / MANIFEST).is_file()  # said by who opens it
    if folder.is_dir() or (too_low and options.data not in SPECIFICATIONS):
        return open_folder(folder, options.limit)
    specification = read_frozen(options.data)
    cache = Path(options.cache or DEFAULT_CACHE).expanduser()
    make_folder(cache, "--cache")
    workers = options.workers or usable_cores()
    with Progress(console=console, transient=True) as progress:
        total = sum(len(images) for _, images in missing_shards(specification, cache, options.limit))
        task = progress.add_task("making the images", total=total, visible=total > 0)
        make = lambda seeds, scene, body: generate(seeds, scene, body, workers)  # noqa: E731
        for number in fill(specification, cache, make, options.limit):
            progress.advance(task, number)
    return open_frozen(specification, cache, options.limit)


def _scores(
    benchmark: Benchmark,
    estimator: Estimator,
    guesses: Mapping[str, Prediction],
    options: Options,
    console: Console,
) -> tuple[list[Scores], tuple[BodyModel, BodyModel]]:
    true_body = create_body(benchmark.body, options.body_models)
    name = estimator.backend.config.body
    body = true_body if name == benchmark.body else create_body(name, options.body_models)
    predictors: dict[str, Predictor] = {NETWORK: lambda sample: guesses[sample.key]}
    predictors |= _to_beat(benchmark, true_body)
    bodies = {name: body if name == NETWORK else true_body for name in predictors}
    shown = track(benchmark.samples(), "scoring", len(benchmark), console=console, transient=True)
    return score(shown, predictors, bodies, true_body), (true_body, body)


def _to_beat(benchmark: Benchmark, body: BodyModel) -> dict[str, Predictor]:
    """Predictors that know the averages of training images; the frozen benchmark alone comes with these."""
    if benchmark.specification is None:
        return {}
    averages = benchmark.specification.averages
    return dict(zip(KNOWN, (MeanPose(averages, body), ConstantDepth(averages), BoxSize(averages))))


def _result(scores: list[Scores], benchmark: Benchmark, estimator: Estimator, run: Mapping[str, object]) -> Result:
    network = estimator.backend.config
    notes = ["**The weights are untrained: these figures say how good chance is.**"] if network.untrained else []
    if benchmark.specification is not None:
        notes.append(f"{same_pixels(benchmark)} of {len(benchmark)} images have the very pixels that were frozen.")
    notes += nobody(scores[0], estimator.config.detection_threshold)
    title = f"{network.weights} ({network.image_size} px) on {benchmark.name}"
    return Result.of(scores, title, benchmark.title, notes, run, hardware(str(estimator.backend.device)))


def nobody(scores: Scores, threshold: float) -> list[str]:
    """Returns the note that nobody who counts was found, or none if somebody was, or if nobody counts."""
    people, false = len(scores.guess), int(scores.false.sum())
    if not people or scores.found.any():
        return []
    return [
        f"**Nobody was found**: none of the {people} people who count, with {false} false detections; there are no "
        f"errors to tell. Lower --detection-threshold ({threshold:g}), or train the weights further."
    ]


def _write(result: Result, name: str, folders: list[Path]) -> None:
    stems = ["figures", *[name.replace("-", "_")] * (len(folders) - 1)]
    for folder, stem in zip(folders, stems):
        make_folder(folder, "--report")
        write_report(folder / stem, to_json(result), page(result))


def _draw(
    scores: Scores,
    benchmark: Benchmark,
    guesses: dict[str, Prediction],
    bodies: tuple[BodyModel, BodyModel],
    options: Options,
) -> None:
    folder = Path(options.out) / "pictures"
    if options.pictures:
        make_folder(folder, "--out")
        for name, picture in pictures(scores, benchmark.samples(), guesses, bodies, options.pictures):
            Image.fromarray(picture).save(folder / f"{name}.png")


def _show(console: Console, result: Result) -> None:
    table = Table("", "unit", *result.figures, title=escape(result.title))
    for row in zip(*result.figures.values()):
        values = (value_text(name, figure) for name, figure in zip(result.figures, row))
        table.add_row(escape(row[0].name), row[0].unit, *values)
    console.print(table)
    for note in (result.data, *result.notes):
        console.print(escape(note).replace("**", ""))
