"""`multihmr synthesize`: images of synthetic people with exact truth, into a folder of shards."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from ros2_multihmr import __version__
from ros2_multihmr.body import create_body
from ros2_multihmr.files.folder_lock import only_writer
from ros2_multihmr.files.folders import check_folder, make_folder
from ros2_multihmr.files.whole_file import whole_file
from ros2_multihmr.report import open_console
from ros2_multihmr.samples.bulk import Done, Job, Make, produce
from ros2_multihmr.samples.codec import IMAGE_FORMATS
from ros2_multihmr.samples.contact_sheet import contact_sheet
from ros2_multihmr.samples.manifest import Manifest
from ros2_multihmr.samples.sample import Sample
from ros2_multihmr.samples.shards import ShardReader
from ros2_multihmr.settings import setting
from ros2_multihmr.synthesis.config import SceneConfig

PREVIEW, PREVIEW_SAMPLES = "preview.png", 24
BODY = "anny"


@dataclass(frozen=True)
class Options(SceneConfig):
    """Makes images of synthetic people in synthetic places, with exact truth; goes on where it was interrupted."""

    out: str = setting("out/samples", "Folder; its folder train or val gets the samples")
    count: int = setting(1000, "How many images", low=1)
    seed: int = setting(0, "Seed of the first image; the others have those that follow", low=0)
    workers: int = setting(0, "Processes that make them; 0: one per core", low=0, high=1024)
    per_shard: int = setting(250, "Images in a file", low=1)
    image_format: str = setting("jpg", "Format of the images", choices=IMAGE_FORMATS)
    quality: int = setting(92, "Quality of JPEG", low=1, high=100)
    preview: bool = setting(False, f"Write {PREVIEW}, the first images with their meshes and keypoints drawn in")

    @property
    def scene(self) -> SceneConfig:
        """The settings that decide what the images show."""
        return SceneConfig(**{field.name: getattr(self, field.name) for field in fields(SceneConfig)})


@dataclass
class Summary:
    """What was done now, and what is there in the end.

    Attributes:
        made, people: Images made now, and the people in them.
        there: Images in the folder.
        growth_bytes: Most that a process's peak of memory grew after its first images.
    """

    made: int = 0
    people: int = 0
    there: int = 0
    growth_bytes: int = 0


def main(options: Options) -> int:
    """Makes the images; returns the exit code."""
    console = open_console()
    folder = Path(options.out) / options.split
    check_folder(folder, "--out")
    prepare = functools.partial(prepare_scenes, options.scene, BODY, options.seed)
    summary = synthesize_folder(options, folder, prepare, console)
    files = sorted(folder.glob(f"{options.split}-*.tar"))
    size_mb = sum(file.stat().st_size for file in files) / 1e6
    console.print(
        f"{folder}: {summary.there} images in {len(files)} files, {size_mb:.1f} MB; {summary.made} made now, with "
        f"{summary.people} people. Memory grew by at most {summary.growth_bytes / 2**20:.1f} MiB in a process.",
        highlight=False,
        soft_wrap=True,
    )
    if options.preview:
        console.print(f"{write_preview(folder)}: the first images, and below them their people", highlight=False)
    return 0


def synthesize_folder(options: Options, folder: Path, prepare: Callable[[], Make], console: Console) -> Summary:
    """Makes those images that the folder lacks, and shows how far it is.

    Args:
        options: What and how many.
        folder: Where; made if it is not there.
        prepare: See `bulk.Job`.
        console: A quiet one shows nothing.

    Raises:
        ValueError: The folder has images of other settings, or cannot be made, or another process is filling it.
        OSError: A file cannot be written; names it.
    """
    make_folder(folder, "--out")
    with only_writer(folder, "--out", "another process is filling it"):
        return _fill(options, folder, prepare, console)


def _fill(options: Options, folder: Path, prepare: Callable[[], Make], console: Console) -> Summary:
    # The settings that are not the scene's: none of them may change when the job goes on, but the number of workers.
    source = {"seed": options.seed, "body": BODY, "scene": vars(options.scene)}
    source |= {"image_format": options.image_format, "quality": options.quality}
    manifest = Manifest(options.split, options.count, options.per_shard, source, __version__)
    manifest.begin(folder)
    missing = sum(len(indices) for _, indices in manifest.unfinished(folder))
    summary = Summary(there=options.count)
    columns = (BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
    with Progress(TextColumn("images"), *columns, console=console, disable=console.quiet) as bar:
        task = bar.add_task("", total=options.count, completed=options.count - missing)

        def tell(done: Done) -> None:
            summary.made += 1
            summary.people += done.people
            summary.growth_bytes = max(summary.growth_bytes, done.growth_bytes)
            bar.advance(task)

        job = Job(folder, manifest, prepare, options.image_format, options.quality)
        produce(job, options.workers or len(os.sched_getaffinity(0)), tell)
    return summary


def prepare_scenes(scene: SceneConfig, body_name: str, first_seed: int) -> Make:
    """Loads the body; returns what makes the sample of an index."""
    from ros2_multihmr.synthesis.synthetic import synthesize  # here: --help needs no ray caster

    body = create_body(body_name)

    def make(index: int) -> Sample:
        return synthesize(first_seed + index, scene, body)

    return make


def write_preview(folder: Path) -> Path:
    """Draws the folder's first samples with their labels; returns the picture's path."""
    reader = ShardReader.of_folder(folder)
    samples = [reader[index] for index in range(min(PREVIEW_SAMPLES, len(reader)))]
    path = folder / PREVIEW
    sheet = Image.fromarray(contact_sheet(samples, create_body(samples[0].labels.body)))
    with whole_file(path) as part:
        sheet.save(part, format="PNG")
    return path


class _Rate(ProgressColumn):
    """Images per second."""

    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:.1f}/s")
