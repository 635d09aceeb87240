"""`multihmr evaluate --data clips`: people in motion, found, followed and smoothed, beside what that has to beat."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, track

from ros2_multihmr.body import create_body
from ros2_multihmr.estimator import create_estimator
from ros2_multihmr.estimator_config import EstimatorConfig
from ros2_multihmr.evaluation.benchmark import CLIPS, Benchmark
from ros2_multihmr.evaluation.clip_page import ClipPage
from ros2_multihmr.evaluation.clip_runs import judge
from ros2_multihmr.evaluation.page import write_report
from ros2_multihmr.evaluation.pictures import humans_of
from ros2_multihmr.evaluation.predictions import PredictionFolder
from ros2_multihmr.evaluation.rendered_clips import BODY, ClipSet, RenderedClip, fill, missing, open_clips, samples_of
from ros2_multihmr.evaluation.tracking import Frame, identities
from ros2_multihmr.files.folders import make_folder
from ros2_multihmr.hardware import hardware, usable_cores
from ros2_multihmr.humans import Humans
from ros2_multihmr.model.config import MultiHMRConfig
from ros2_multihmr.preprocess import network_view
from ros2_multihmr.samples.sample import Sample
from ros2_multihmr.uncertainty import ASSUMED, Sigmas, choose_sigmas
from ros2_multihmr.verbs.finding import predict, run_facts

BENCHMARK = ClipSet(CLIPS, first_seed=0, seeds=3)
_SOMEBODY = Frame(np.zeros(1, np.int64), np.zeros((1, 3)), np.zeros(1, np.int64), np.zeros((1, 3)))


def evaluate_clips(
    config: EstimatorConfig,
    cache: Path,
    workers: int,
    limit: int,
    reports: Sequence[tuple[Path, str]],
    console: Console,
    clips: ClipSet = BENCHMARK,
    every: int = 1,
) -> int:
    """Judges a network's detections, and truth with noise, as trackers make people of them.

    Args:
        config: The network, and its settings.
        cache: Folder for the clips.
        workers: Processes that make them; 0: one per core.
        limit: Only the first so many clips; 0 for all.
        reports: Folders and names of the page and the JSON file; the first gets the predictions, too.
        console: Where to tell.
        clips: Which clips.
        every: Of their images only one in so many, as of a slower camera.

    Raises:
        ModuleNotFoundError: TrackEval is not installed; says how.
        ValueError: The network is for another body than the clips' people have.
    """
    identities([_SOMEBODY])  # says before any work that TrackEval is missing
    with console.status("loading the network"):
        estimator = create_estimator(config)
    network = estimator.backend.config
    if network.body != BODY:
        raise ValueError(f"--data clips: people have the body {BODY}, the weights are for {network.body}; take others")
    rendered = render(clips, cache, workers, limit, console, every)
    benchmark = _benchmark(clips, rendered, every)
    run = run_facts(estimator, benchmark)
    folder = PredictionFolder(reports[0][0] / "predictions", run)
    predict(benchmark, estimator, folder, console)
    guesses, body = {one.key: one for one in folder.read()}, create_body(BODY)
    given = Sigmas(config.position_sigma_px, config.depth_sigma)

    def find(sample: Sample) -> Humans:
        scale = network_view(sample.camera, network.image_size).scale[0]
        return humans_of(guesses[sample.key], body, sample.camera, choose_sigmas(given, network.sigmas, scale))

    shown = track(rendered, "following people", console=console, transient=True)
    results = [judge(clip, find, body) for clip in shown]
    title = f"{network.weights} ({network.image_size} px) on clips at {clips.config.rate_hz / every:g} Hz"
    notes = _notes(network, given)
    page = ClipPage(title, _told(clips, rendered, every), notes, run, results, hardware(str(estimator.backend.device)))
    _write(page, reports)
    console.print(escape(page.markdown()), soft_wrap=True)
    return 0


def render(
    clips: ClipSet, cache: Path, workers: int, limit: int, console: Console, every: int = 1
) -> list[RenderedClip]:
    """Opens clips, and makes what the cache lacks of them; `every`: see `open_clips`."""
    make_folder(cache, "--cache")
    count = len(missing(clips, cache, limit))
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("making the clips", total=count, visible=count > 0)
        for _ in fill(clips, cache, workers or usable_cores(), limit):
            progress.advance(task)
    return open_clips(clips, cache, limit, every)


def _benchmark(clips: ClipSet, rendered: Sequence[RenderedClip], every: int) -> Benchmark:
    whole = len(clips.chosen())
    part = "" if len(rendered) == whole else f", the first {len(rendered)} clips"
    part += "" if every == 1 else f", one image in {every}"
    images = sum(map(len, rendered))
    return Benchmark(clips.name + part, clips.sha256, images, images, BODY, lambda: samples_of(rendered))


def _told(clips: ClipSet, rendered: Sequence[RenderedClip], every: int) -> str:
    config, seeds = clips.config, sorted({clip.key.seed for clip in rendered})
    of_seeds = f"seeds {seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else f"seed {seeds[0]}"
    slower = "" if every == 1 else f", of whose images one in {every} is shown"
    return (
        f"Rendered clips: {len(rendered)}, of {config.duration_s:g} s at {config.rate_hz:g} Hz{slower}, "
        f"{sum(map(len, rendered))} images; each kind with {of_seeds}; SHA-256 {clips.sha256[:12]}"
    )


def _notes(network: MultiHMRConfig, given: Sigmas) -> list[str]:
    notes = ["**The weights are untrained: these figures say how good chance is.**"] if network.untrained else []
    if any(given):
        notes.append(f"The covariance is as given: {sigmas_text(given, 'of the image')}.")
    elif not all(network.sigmas):
        assumed = sigmas_text(ASSUMED, "of the network's input")
        notes.append(f"Nobody measured these weights' covariance: it is the assumed one, {assumed}.")
    return notes


def sigmas_text(sigmas: Sigmas, pixels: str) -> str:
    """Returns those standard deviations that are not 0 as words; `pixels` says of what they are."""
    across = [f"{sigmas.position_px:g} px {pixels} across the ray"] if sigmas.position_px else []
    along = [f"{100.0 * sigmas.depth:g} % of the distance"] if sigmas.depth else []
    return " and ".join([*across, *along])


def _write(page: ClipPage, reports: Sequence[tuple[Path, str]]) -> None:
    for folder, stem in reports:
        make_folder(folder, "--report")
        write_report(folder / stem, page.to_json(), page.markdown())
