"""`multihmr evaluate refiner`: what a second look gains, by its kind, on images whose truth is known."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import process_time

import numpy as np
import torch
from rich.console import Console
from rich.progress import track

from ros2_multihmr import report
from ros2_multihmr.assets import asset
from ros2_multihmr.body import create_body
from ros2_multihmr.estimator import Estimator, create_estimator
from ros2_multihmr.evaluation.benchmark import CLIPS, Benchmark
from ros2_multihmr.evaluation.crop_distances import (
    Distances,
    distance_picture,
    distance_section,
    distances_of,
    gated,
)
from ros2_multihmr.evaluation.crop_errors import compare_people
from ros2_multihmr.evaluation.crop_judge import FIRST, Run, to_values
from ros2_multihmr.evaluation.crop_tables import sections
from ros2_multihmr.evaluation.predictions import Prediction, PredictionFolder
from ros2_multihmr.files.folders import check_folder, make_folder
from ros2_multihmr.hardware import hardware
from ros2_multihmr.humans import Humans
from ros2_multihmr.model.embedded import EMBEDDED_REFINER, open_multi_crop
from ros2_multihmr.refining.refiner import Refiner
from ros2_multihmr.refining.refiner_config import RefinerConfig
from ros2_multihmr.report import open_console
from ros2_multihmr.samples.sample import Sample
from ros2_multihmr.settings import setting
from ros2_multihmr.verbs.evaluate import Options as EvaluateOptions
from ros2_multihmr.verbs.evaluate import open_benchmark
from ros2_multihmr.verbs.finding import run_facts

NAME, PICTURE = "second_looks", "second_looks_features.png"
_SEED_ENDING = re.compile(r"[-_.]?s(eed)?[-_]?\d+$")
_DEFAULTS = RefinerConfig()


@dataclass(frozen=True)
class Options(EvaluateOptions):
    """Compares people as first found with what second looks make of them: errors, number of crops, parts left out."""

    networks: tuple[str, ...] = setting(
        (),
        "Weights of second looks, FILE or LABEL=FILE; those of one label are seeds of one kind of network, the first "
        "label is what others are compared with; without a label: the file's name less its seed (crops5_seed2 is "
        "crops5), or its folder's if the file is called weights; none: the package's own",
    )
    out: str = setting("out/evaluate_refiner", "Folder for predictions and tables; a broken run goes on there")
    min_px: float = setting(_DEFAULTS.refine_min_px, "See the node's refine_min_px", low=1.0, high=10000.0)
    min_inside: float = setting(_DEFAULTS.refine_min_inside, "See the node's refine_min_inside", low=0.0, high=1.0)
    distance_people: int = setting(100, "People whose crops' features are compared; 0: none", low=0, high=2000)


@dataclass(frozen=True)
class _Network:
    label: str
    name: str
    sha256: str
    refiner: Refiner


def main(options: Options) -> int:
    """Runs the verb.

    Raises:
        ValueError: Networks that cannot be compared, or data that is none.
    """
    console, out = open_console(), Path(options.out)
    check_folder(out, "--out")
    if options.data == CLIPS or options.pictures:
        raise ValueError("evaluate refiner: it knows no --data clips and no --pictures; leave them out")
    with console.status("loading the networks"):
        estimator = create_estimator(options)
        networks = _open(options, estimator)
    benchmark = open_benchmark(options, console)
    if benchmark.body != estimator.backend.config.body:
        raise ValueError(f"--data: people have the body {benchmark.body}, the weights are for another; take others")
    make_folder(out, "--out")
    folders = _folders(options, networks, estimator, benchmark)
    _look(benchmark, estimator, networks, folders, console)
    guesses = {name: {one.key: one for one in folder.read()} for name, folder in folders.items()}
    shown = track(benchmark.samples(), "comparing", len(benchmark), console=console, transient=True)
    compared = compare_people(shown, FIRST, guesses, create_body(benchmark.body))
    runs = [
        Run(n.label, n.name, n.refiner.network.config, _ms_per_person(list(guesses[n.name].values()), guesses[FIRST]))
        for n in networks
    ]
    found = distances(benchmark, estimator, networks, options.distance_people, console)
    title = f"Second looks after {estimator.backend.config.weights} on {benchmark.name}"
    notes = [f"{benchmark.title}. {len(compared.image)} people who count were found. {_MEANING}"]
    tables = [*sections(compared, runs, title, notes), *([distance_section(found)] if found else [])]
    values = {
        "run": _facts(options, networks, run_facts(estimator, benchmark)),
        "rows": to_values(compared, runs),
        "distances": [{"name": one.name, "closer": one.closer} for one in found],
        "configurations": {run.name: asdict(run.config) for run in runs},
    }
    machine = hardware(str(estimator.backend.device))
    report.tell(console, options.out, NAME, tables, machine, **values)
    if options.report:
        report.write(Path(options.report), NAME, tables, machine, **values)
    if found:
        for folder in (options.out, options.report) if options.report else (options.out,):
            distance_picture(found).save(Path(folder) / PICTURE)
    return 0


_MEANING = (
    "Means over people and seeds ± standard deviation of the seeds; refined: the part whom the second look changed, "
    "the others are too small or too near the border. Face: the vertices that expressions move, their middles moved "
    "onto each other; what the others mean: docs/evaluation.md. Times are the processor's own, all threads, without "
    "the first pass."
)


def _open(options: Options, estimator: Estimator) -> list[_Network]:
    config = RefinerConfig(refine=True, refine_min_px=options.min_px, refine_min_inside=options.min_inside)
    networks: list[_Network] = []
    for given in options.networks or ("",):
        label, file = label_of(given)
        network = open_multi_crop(file)
        digest = hashlib.sha256(Path(file or asset(EMBEDDED_REFINER)).expanduser().read_bytes()).hexdigest()
        if any(one.sha256 == digest for one in networks):
            raise ValueError(f"--networks: {given} is the same file as one before it; give each once")
        number = sum(one.label == label for one in networks)
        networks.append(_Network(label, f"{label} {number}", digest, Refiner(network, estimator, config)))
    return networks


def label_of(given: str) -> tuple[str, str]:
    """Splits FILE or LABEL=FILE into label and file; "" is the package's own.

    Raises:
        ValueError: The label or its file is empty.
    """
    label, equals, file = given.partition("=")
    if equals:
        if not label.strip() or not file:
            raise ValueError(
                f"--networks: expected FILE or LABEL=FILE, got {given!r}; give both sides of the =, or neither"
            )
        return label, file
    if not given:
        return "embedded", ""
    path = Path(given)
    stem = path.parent.name if path.stem == "weights" and path.parent.name else path.stem
    return _SEED_ENDING.sub("", stem) or stem, given


def _folders(
    options: Options, networks: Sequence[_Network], estimator: Estimator, benchmark: Benchmark
) -> dict[str, PredictionFolder]:
    facts, root = run_facts(estimator, benchmark), Path(options.out) / "predictions"
    folders = {FIRST: PredictionFolder(root / "first", facts)}
    for one in networks:
        own = {"refiner_sha256": one.sha256, "min_px": options.min_px, "min_inside": options.min_inside}
        folders[one.name] = PredictionFolder(root / one.sha256[:16], {**facts, **own})
    return folders


def _look(
    benchmark: Benchmark,
    estimator: Estimator,
    networks: Sequence[_Network],
    folders: dict[str, PredictionFolder],
    console: Console,
) -> None:
    """Finds and refines the people of the images whose predictions the folders lack."""
    try:
        for sample in track(benchmark.samples(), "looking twice", len(benchmark), console=console, transient=True):
            if all(sample.key in folder.keys for folder in folders.values()):
                continue
            humans = estimator.estimate(sample.image, sample.camera)
            if sample.key not in folders[FIRST].keys:
                folders[FIRST].add(Prediction.of(sample.key, humans, float("nan")))
            for one in networks:
                if sample.key not in folders[one.name].keys:
                    start = process_time()
                    refined = _refined(one, sample, humans)
                    folders[one.name].add(Prediction.of(sample.key, refined, process_time() - start))
    finally:
        for folder in folders.values():
            folder.flush()


def _refined(one: _Network, sample: Sample, humans: Humans) -> Humans:
    try:
        return one.refiner.refine(sample.image, sample.camera, humans).humans
    except FloatingPointError as error:
        raise ValueError(f"{one.name}, image {sample.key}: {error}") from error


def _ms_per_person(predictions: Sequence[Prediction], first: dict[str, Prediction]) -> float:
    """Processor time of a refined person; images in which nobody was are left out."""
    counts = [int((one.rotvecs != first[one.key].rotvecs).any(axis=(1, 2)).sum()) for one in predictions]
    seconds = sum(one.seconds for one, count in zip(predictions, counts) if count)
    return 1e3 * seconds / sum(counts) if sum(counts) else float("nan")


@torch.inference_mode()
def distances(
    benchmark: Benchmark, estimator: Estimator, networks: Sequence[_Network], people: int, console: Console
) -> list[Distances]:
    """Compares crops' features of so many people, of each network with several crops."""
    several = [one for one in networks if one.refiner.network.config.num_crops > 1]
    features: dict[str, list[torch.Tensor]] = {one.name: [] for one in several}
    seen = 0
    if several and people:
        for sample in track(benchmark.samples(), "distances", len(benchmark), console=console, transient=True):
            seen += _add_features(sample, estimator, several, features)
            if seen >= people:
                break
    return [distances_of(name, torch.cat(parts)[:people]) for name, parts in features.items() if parts]


def _add_features(
    sample: Sample, estimator: Estimator, networks: Sequence[_Network], features: dict[str, list[torch.Tensor]]
) -> int:
    humans = estimator.estimate(sample.image, sample.camera)
    number = 0
    for one in networks:
        network, raw = one.refiner.network, one.refiner.features(sample.image, sample.camera, humans)
        features[one.name].append(gated(raw) if network.contrastive is None else network.contrastive(raw))
        number = len(raw)
    return number


def _facts(options: Options, networks: Sequence[_Network], facts: dict[str, object]) -> dict[str, object]:
    rules = {"min_px": options.min_px, "min_inside": options.min_inside, "threads": torch.get_num_threads()}
    return {**facts, **rules, "networks": {one.name: one.sha256 for one in networks}, "numpy": np.__version__}
