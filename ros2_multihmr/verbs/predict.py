"""`multihmr predict`: people in pictures and videos into files, without ROS."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from rich.console import Console
from rich.progress import track

from ros2_multihmr.calibration import Calibration, read_calibration
from ros2_multihmr.camera import Camera
from ros2_multihmr.estimator import Estimator, create_estimator
from ros2_multihmr.estimator_config import EstimatorConfig
from ros2_multihmr.files.folders import check_folder, make_folder
from ros2_multihmr.files.whole_file import named
from ros2_multihmr.humans import Humans
from ros2_multihmr.labels import UNTRAINED_NOTE
from ros2_multihmr.mesh_io import MESH_FORMATS
from ros2_multihmr.overlay import overlay
from ros2_multihmr.refining.outcomes import Outcome
from ros2_multihmr.refining.refiner import Refiner, create_refiner
from ros2_multihmr.refining.refiner_config import RefinerConfig
from ros2_multihmr.report import open_console
from ros2_multihmr.results import DATA_FORMATS, Result, write_data, write_meshes
from ros2_multihmr.settings import setting
from ros2_multihmr.sources import Frame, Source, SourceError, open_source
from ros2_multihmr.what_runs import what_runs


@dataclass(frozen=True)
class Options(EstimatorConfig, RefinerConfig):
    """Finds people in pictures and videos, and writes overlays, numbers and meshes. Needs no ROS."""

    images: tuple[str, ...] = setting((), "Pictures, folders of pictures, or video files")
    out: str = setting("out/predict", "Folder for the results; made if it is not there")
    calibration: str = setting("", "YAML file of ROS's camera_calibration for all images; empty: the field of view")
    overlay: bool = setting(True, "Write a PNG with the meshes drawn over the image")
    data: str = setting("json", "Write the numbers as", choices=(*DATA_FORMATS, "none"))
    mesh: str = setting("none", "Write one mesh per person as", choices=(*MESH_FORMATS, "none"))
    mesh_lod: str = setting("full", "Which mesh: reduced has about 2,000 triangles", choices=("full", "reduced"))

    def __post_init__(self) -> None:
        """Checks every value.

        Raises:
            ValueError: A value is not allowed; says which ones are.
        """
        super().__post_init__()
        if not self.images:
            raise ValueError("no images: give pictures, folders of pictures, or video files")
        if self.refiner_weights and not self.refine:
            raise ValueError(f"--refiner-weights {self.refiner_weights}: nobody looks again; add --refine")


@dataclass
class Summary:
    """What was done.

    Attributes:
        images, people, files, skipped: Numbers.
        refined: People whom the second look changed.
        failed_looks: Images whose second look failed.
        estimate_s: Time in estimator and refiner [s].
    """

    images: int = 0
    people: int = 0
    files: int = 0
    skipped: int = 0
    refined: int = 0
    failed_looks: int = 0
    estimate_s: float = 0.0


def main(options: Options) -> int:
    """Runs the verb; returns 0, or 1 if images could not be read, or their people not be looked at again."""
    console = open_console()
    check_folder(Path(options.out), "--out")
    sources = [_openable(open_source(name)) for name in options.images]
    calibration = read_calibration(options.calibration) if options.calibration else None
    with console.status("loading the network"):
        estimator = create_estimator(options)
        refiner = create_refiner(options, estimator)
    summary = predict(sources, estimator, options, calibration, console, refiner)
    _tell(console, summary, estimator, options)
    if refiner is not None:
        _tell_of_refiner(console, summary, refiner)
    return 1 if summary.skipped or summary.failed_looks else 0


def predict(
    sources: Sequence[Source],
    estimator: Estimator,
    options: Options,
    calibration: Calibration | None,
    console: Console,
    refiner: Refiner | None = None,
) -> Summary:
    """Finds the people of every image and writes them to `options.out`.

    Args:
        sources: Where the images come from.
        estimator: Finds the people.
        options: What to write, and where.
        calibration: Camera of all images; None: the field of view of the options.
        console: Shows the progress.
        refiner: Looks at everybody again, if it is there.

    Raises:
        ValueError: An image does not fit the calibration, or a source gives no image.
        OSError: A file cannot be written.
    """
    out, summary = Path(options.out), Summary()
    total = sum(source.length or 0 for source in sources) or None
    for frame, name in track(_named(sources), "finding people", total, console=console, transient=True):
        camera = _camera(frame, calibration, options.fallback_fov_deg)
        start = time.perf_counter()
        full = options.overlay or (options.mesh_lod == "full" and options.mesh != "none")
        humans = estimator.estimate(frame.image, camera, vertices=full)
        if refiner is not None:
            humans = _look_again(refiner, frame, camera, humans, summary, console)
        summary.estimate_s += time.perf_counter() - start
        make_folder(out, "--out")  # not before the first image could be read
        summary.files += _write(out / name, frame, Result(name, camera, estimator.backend.config, humans), options)
        summary.images += 1
        summary.people += len(humans)
    summary.skipped = sum(source.skipped for source in sources)
    return summary


def _look_again(
    refiner: Refiner, frame: Frame, camera: Camera, humans: Humans, summary: Summary, console: Console
) -> Humans:
    """The people after a second look; as first found where it fails, as in the node."""
    try:
        refinement = refiner.refine(frame.image, camera, humans)
    except (FloatingPointError, RuntimeError, MemoryError) as error:
        summary.failed_looks += 1
        console.print(f"{frame.name}: the second look failed, its people are as first found: {error}", highlight=False)
        return humans
    summary.refined += refinement.count(Outcome.REFINED)
    return refinement.humans


def _openable(source: Source) -> Source:
    if source.live:
        raise SourceError("predict takes files; for a webcam use `multihmr run`")
    return source


def _named(sources: Sequence[Source]) -> Iterator[tuple[Frame, str]]:
    """Frames with names that do not collide: a/x.jpg and b/x.jpg become x and x_2."""
    used: dict[str, int] = {}
    for source in sources:
        for frame in source.frames():
            used[frame.name] = used.get(frame.name, 0) + 1
            yield frame, frame.name if used[frame.name] == 1 else f"{frame.name}_{used[frame.name]}"


def _camera(frame: Frame, calibration: Calibration | None, fov_deg: float) -> Camera:
    height, width = frame.image.shape[:2]
    if calibration is None:
        return Camera.from_fov(width, height, fov_deg)
    calibration.check_size(width, height, frame.name)
    return calibration.camera


def _write(stem: Path, frame: Frame, result: Result, options: Options) -> int:
    files: list[Path] = []
    if options.overlay:
        note = UNTRAINED_NOTE if result.network.untrained else ""
        files.append(stem.with_name(f"{stem.name}_overlay.png"))
        drawn = Image.fromarray(overlay(frame.image, result.humans, result.camera, note=note, full_mesh=True))
        with named(files[-1]):
            drawn.save(files[-1])
    if options.data != "none":
        files.append(stem.with_name(f"{stem.name}.{options.data}"))
        write_data(files[-1], result)
    if options.mesh != "none":
        files += write_meshes(stem, options.mesh, result.humans, full=options.mesh_lod == "full")
    return len(files)


def _tell(console: Console, summary: Summary, estimator: Estimator, options: Options) -> None:
    mean_ms = 1e3 * summary.estimate_s / max(summary.images, 1)
    console.print(
        f"{summary.people} people in {summary.images} images, {mean_ms:.0f} ms per image on "
        f"{estimator.backend.device} ({what_runs(estimator)}); {summary.files} files in {options.out}"
    )
    if summary.skipped:
        console.print(f"{summary.skipped} images skipped: they could not be read, see above")
    if not options.calibration:
        console.print(
            f"No calibration given: distances rest on a guessed field of view of {options.fallback_fov_deg:g} degrees."
        )
    if estimator.backend.config.untrained:
        console.print(
            "The weights are untrained: these people are random and good for trying the program only. "
            "Give trained weights with --weights."
        )


def _tell_of_refiner(console: Console, summary: Summary, refiner: Refiner) -> None:
    name, others = refiner.network.config.weights, summary.people - summary.refined
    console.print(
        f"The second look ({name}) changed {summary.refined} of {summary.people} people"
        + (f"; {others} are as first found: too small, too near the border, or it failed" if others else "")
    )
