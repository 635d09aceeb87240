"""`multihmr benchmark refiner`: time of a second look, by number of crops, from pixels or the first look's features.

Times do not depend on what weights hold: kinds that nobody trained are measured with random ones.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from time import process_time

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from ros2_multihmr.assets import asset
from ros2_multihmr.body.body_model import BodyInfo, BodyModel
from ros2_multihmr.camera import Camera
from ros2_multihmr.estimator import Estimator, create_estimator
from ros2_multihmr.estimator_config import EstimatorConfig
from ros2_multihmr.evaluation.pictures import humans_of
from ros2_multihmr.evaluation.predictions import Prediction
from ros2_multihmr.hardware import hardware
from ros2_multihmr.humans import Humans
from ros2_multihmr.measuring.turns import Stages, take_turns
from ros2_multihmr.model.embedded import open_multi_crop
from ros2_multihmr.model.multi_crop_config import MAX_CROPS, MultiCropConfig
from ros2_multihmr.model.read_outs import rotation_from_6d
from ros2_multihmr.model.stand_in import standing_pose
from ros2_multihmr.model.weights_error import WeightsError
from ros2_multihmr.refining.outcomes import Outcome
from ros2_multihmr.refining.refiner import Refiner
from ros2_multihmr.refining.refiner_config import RefinerConfig
from ros2_multihmr.report import Section, open_report, tell
from ros2_multihmr.rotations import rotmat_to_rotvec
from ros2_multihmr.settings import setting
from ros2_multihmr.sources import read_image
from ros2_multihmr.stopwatch import Stopwatch
from ros2_multihmr.training.crop_start import crop_training_config, start_multi_crop
from ros2_multihmr.training.recipe import MultiCropRecipe, load_recipe

RECIPE = "multi_crop_embedded"
STAGES = ("crops", "second look", "merge")
HEADINGS = (
    "reads", "crops", "blocks", *(f"{stage} [ms]" for stage in STAGES), "total [ms]", "95 % [ms]",
    "per person and crop [ms]", "the processor's own, per person and crop [ms]",
)  # fmt: skip
_FOV_DEG, _EYE_M, _NEAREST_M, _FARTHEST_M = 60.0, 0.1, 4.0, 7.0
_EVERYBODY = RefinerConfig(refine=True, refine_min_px=1.0, refine_min_inside=0.0)
_CPU = "processor"


@dataclass(frozen=True)
class Options(EstimatorConfig):
    """Measures a second look at people who stand in one picture, all their crops in one batch, kinds turn by turn."""

    refiner_weights: str = setting(
        "", "Network to measure; empty: the package's own, or if there is none a random one of the recipe's sizes"
    )
    people: int = setting(10, "People in the picture", low=1, high=100)
    crops: tuple[str, ...] = setting(("1", "3", "9"), "Other numbers of crops to measure beside the network's own")
    roi_depth: int = setting(1, "Blocks of the network that reads features instead of pixels", low=1, high=100)
    width: int = setting(1280, "Image width [px]", low=1, high=10000)
    height: int = setting(720, "Image height [px]", low=1, high=10000)
    repeats: int = setting(30, "Measured runs of each kind, after a few to warm up", low=1, high=100000)
    out: str = setting("", "Folder for refiner.json and refiner.md; empty: only show")

    def __post_init__(self) -> None:
        """Checks every value.

        Raises:
            ValueError: A value is not allowed; says which ones are.
        """
        super().__post_init__()
        if wrong := [word for word in self.crops if not (word.isdigit() and 1 <= int(word) <= MAX_CROPS)]:
            raise ValueError(f"crops: expected numbers from 1 to {MAX_CROPS}, got {', '.join(wrong)}")


@dataclass(frozen=True)
class Row:
    """What one kind of second look took.

    Attributes:
        reads: What its encoder reads.
        crops: Per person.
        blocks: Of its encoder.
        stage_ms: Medians of `STAGES` [ms].
        total_ms, p95_ms: Of all of it [ms].
        each_ms: Median per person and crop [ms].
        processor_ms: The same of processor time, all threads [ms].
    """

    reads: str
    crops: int
    blocks: int
    stage_ms: dict[str, float]
    total_ms: float
    p95_ms: float
    each_ms: float
    processor_ms: float

    def cells(self) -> tuple[str, ...]:
        """The row's text under `HEADINGS`."""
        numbers = (*self.stage_ms.values(), self.total_ms, self.p95_ms)
        each = (f"{self.each_ms:.2f}", f"{self.processor_ms:.2f}")
        return self.reads, str(self.crops), str(self.blocks), *(f"{number:.1f}" for number in numbers), *each


def main(options: Options) -> int:
    """Runs the verb."""
    console = open_report(options.out)
    with console.status("loading the networks"):
        estimator = create_estimator(options)
        refiners, random = _refiners(options, estimator)
    image = read_image(asset("samples/basketball.jpg"))
    image = np.asarray(cv2.resize(image, (options.width, options.height), interpolation=cv2.INTER_AREA), np.uint8)
    rows, first_ms = measure(estimator, refiners, image, options, console)
    network = estimator.backend.config
    title = (
        f"Second look at {options.people} people in {options.width}x{options.height} images on "
        f"{estimator.backend.device}, {options.repeats} runs"
    )
    notes = [
        "All crops of all people are one batch of the encoder. Pixels: the encoder reads a picture of each crop. "
        f"Features: it reads what {network.weights} ({network.image_size} px) made of the whole image already.",
        f"The first pass, in the same turns: {first_ms:.1f} ms.",
        "Kinds with random weights: " + ("; ".join(random) or "none") + ".",
    ]
    section = Section(title, HEADINGS, [row.cells() for row in rows], notes)
    machine = hardware(str(estimator.backend.device))
    tell(
        console, options.out, "refiner", [section], machine,
        settings=asdict(options), first_pass_ms=first_ms, rows=[asdict(row) for row in rows], random=random,
    )  # fmt: skip
    return 0


def measure(
    estimator: Estimator,
    refiners: Mapping[str, Refiner],
    image: NDArray[np.uint8],
    options: Options,
    console: Console,
) -> tuple[list[Row], float]:
    """Measures kinds of second looks turn by turn, each right after a first one; returns rows, and the first's median.

    Raises:
        RuntimeError: Somebody was not looked at, so that the times would be of fewer people.
    """
    camera = Camera.from_fov(image.shape[1], image.shape[0], _FOV_DEG)
    humans = standing(estimator.body, options.people, camera)
    firsts: list[float] = []

    def run(refiner: Refiner) -> Callable[[], Stages]:
        def once() -> Stages:
            first, watch = Stopwatch(), Stopwatch()
            with first.stage("first"):
                estimator.estimate(image, camera)
            start = process_time()
            refinement = refiner.refine(image, camera, humans, stopwatch=watch)
            spent = process_time() - start
            if refinement.count(Outcome.REFINED) + refinement.count(Outcome.IMPOSSIBLE) != len(humans):
                raise RuntimeError("benchmark refiner: somebody was not looked at; take a larger image or fewer people")
            firsts.append(first.seconds["first"])
            return {**watch.seconds, _CPU: spent}

        return once

    times = take_turns(
        {name: run(refiner) for name, refiner in refiners.items()},
        options.repeats,
        watched=lambda turns: track(turns, "measuring", console=console, transient=True),
    )
    rows = [_row(refiners[name].network.config, runs, len(humans)) for name, runs in times.items()]
    return rows, 1e3 * float(np.median(firsts))


def standing(body: BodyModel, people: int, camera: Camera) -> Humans:
    """Returns people who stand beside and behind each other, all in the image; their arrays as an estimator's."""
    info = body.info
    pose = rotation_from_6d(standing_pose(info)).numpy()
    spread = np.linspace(-0.8, 0.8, people) if people > 1 else np.zeros(1)
    depth = np.linspace(_NEAREST_M, _FARTHEST_M, people)
    half_width = depth * camera.width / camera.fx / 2.0
    center = np.stack([spread * half_width, np.full(people, -_EYE_M), depth], axis=-1).astype(np.float32)
    rotvecs = np.broadcast_to(rotmat_to_rotvec(pose), (people, len(pose), 3)).astype(np.float32)
    shape = np.full((people, len(info.shape_names)), 0.5, np.float32)
    expression = np.zeros((people, len(info.expression_names)), np.float32)
    found = Prediction("", np.ones(people, np.float32), rotvecs, shape, expression, center, float("nan"))
    return humans_of(found, body, camera)


def _refiners(options: Options, estimator: Estimator) -> tuple[dict[str, Refiner], list[str]]:
    """What is measured, by name, and which of them have random weights."""
    info, random = estimator.body.info, list[str]()
    try:
        network = open_multi_crop(options.refiner_weights)
        own = network.config
    except WeightsError:
        if options.refiner_weights:
            raise
        own = _recipe_config(estimator.backend.config.body, info)
        network = start_multi_crop(own, info, 0)
        random.append(_name(own))
    refiners = {_name(own): Refiner(network, estimator, _EVERYBODY)}
    numbers = [int(word) for word in options.crops if int(word) != own.num_crops]
    kinds = [
        dataclasses.replace(own, num_crops=number, contrastive=number > 1 and own.contrastive) for number in numbers
    ]
    width = estimator.backend.config.width
    kinds += [
        dataclasses.replace(
            own, encoder="roi", depth=depth, width=width, heads=estimator.backend.config.heads,
            pooling="mean" if own.pooling == "cls" else own.pooling,
        )
        for depth in dict.fromkeys((options.roi_depth, own.depth))
    ]  # fmt: skip
    for config in kinds:
        if _name(config) not in refiners:
            refiners[_name(config)] = Refiner(start_multi_crop(config, info, 0), estimator, _EVERYBODY)
            random.append(_name(config))
    return refiners, random


def _recipe_config(body: str, info: BodyInfo) -> MultiCropConfig:
    recipe = load_recipe(RECIPE)
    if not isinstance(recipe, MultiCropRecipe):
        raise ValueError(f"recipe {RECIPE}: expected one of a second look")
    return crop_training_config(dataclasses.replace(recipe.network, body=body), info, "random")


def _name(config: MultiCropConfig) -> str:
    return f"{_reads(config)}, {config.num_crops} crops, {config.depth} blocks"


def _reads(config: MultiCropConfig) -> str:
    return "features" if config.encoder == "roi" else f"pixels ({config.encoder})"


def _row(config: MultiCropConfig, runs: list[Stages], people: int) -> Row:
    totals = [1e3 * sum(one[stage] for stage in STAGES) for one in runs]
    each = 1.0 / (people * config.num_crops)
    return Row(
        reads=_reads(config),
        crops=config.num_crops,
        blocks=config.depth,
        stage_ms={stage: 1e3 * float(np.median([one[stage] for one in runs])) for stage in STAGES},
        total_ms=float(np.median(totals)),
        p95_ms=float(np.percentile(totals, 95)),
        each_ms=each * float(np.median(totals)),
        processor_ms=1e3 * each * float(np.median([one[_CPU] for one in runs])),
    )
