"""What is evaluated on: the frozen benchmark, made from its seeds and kept in a folder, or anybody's shards."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from ros2_multihmr.assets import asset
from ros2_multihmr.evaluation.specification import SPECIFICATIONS, Specification, Truth, read_specification
from ros2_multihmr.samples.manifest import MANIFEST, Manifest
from ros2_multihmr.samples.sample import Sample
from ros2_multihmr.samples.shards import ShardReader, write_shard

DEFAULT_CACHE = "~/.cache/multihmr"
CLIPS = "clips"  # what --data calls people in motion
_PER_SHARD = 32

Synthesize = Callable[[Sequence[int], Mapping[str, Any], str], Iterator[Sample]]
"""From seeds, the values of `SceneConfig` and a body's name to samples, in the order of the seeds."""


@dataclass(frozen=True)
class Benchmark:
    """Images with truth.

    Attributes:
        name: What it is called.
        sha256: Of the specification, or of the manifest that came with the shards.
        count: Number of images.
        whole: How many there would be without a limit.
        body: Of its people.
        samples: Reads them; frozen ones are compared with the specification.
        specification: Of a frozen one.
    """

    name: str
    sha256: str
    count: int
    whole: int
    body: str
    samples: Callable[[], Iterator[Sample]]
    specification: Specification | None = None

    def __len__(self) -> int:
        return self.count

    @property
    def title(self) -> str:
        """Name, part and hash, as words."""
        part = "" if self.count == self.whole else f", the first {self.count}"
        return f"{self.name} ({self.whole} images{part}; SHA-256 {self.sha256[:12]})"


def open_folder(folder: Path, limit: int = 0) -> Benchmark:
    """Opens shards.

    Args:
        folder: What `multihmr synthesize` wrote.
        limit: Only the first so many; 0 for all.

    Raises:
        ValueError: There are no shards, or no images in them.
    """
    reader = ShardReader.of_folder(folder)
    if not len(reader):
        raise ValueError(f"{folder}: there are no images in it")
    sha256 = hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
    count = min(limit or len(reader), len(reader))
    body = reader[0].labels.body
    return Benchmark(
        folder.name, sha256, count, len(reader), body, lambda: (_of_body(reader[index], body) for index in range(count))
    )


def open_frozen(specification: Specification, cache: Path, limit: int = 0) -> Benchmark:
    """Opens a frozen benchmark whose images `fill` has made."""
    count = min(limit or len(specification), len(specification))
    reader = ShardReader(path for path, _ in _shards(specification, cache, count))

    def samples() -> Iterator[Sample]:
        for index in range(count):
            sample = reader[index]
            specification.check(index, sample)
            yield sample

    return Benchmark(
        specification.name, specification.sha256, count, len(specification), specification.body, samples, specification
    )


def fill(specification: Specification, cache: Path, synthesize: Synthesize, limit: int = 0) -> Iterator[int]:
    """Makes those images of a frozen benchmark that the cache lacks; goes on where it was interrupted.

    Args:
        specification: Says which.
        cache: Folder; a folder in it gets the shards.
        synthesize: Makes them.
        limit: Only the first so many, rounded up to whole shards; 0 for all.

    Yields:
        How many images were made, after each shard.

    Raises:
        ValueError: An image is not the frozen one.
    """
    missing = missing_shards(specification, cache, limit)
    seeds = [specification.seeds[index] for _, indices in missing for index in indices]
    stream = synthesize(seeds, specification.scene, specification.body)
    for path, indices in missing:
        # PNG: a benchmark's pixels are not left to a codec.
        yield write_shard(path, _checked(specification, indices, islice(stream, len(indices))), image_format="png")


def missing_shards(specification: Specification, cache: Path, limit: int = 0) -> list[tuple[Path, range]]:
    """Returns the files that `fill` would write, and which images go into each."""
    shards = _shards(specification, cache, limit or len(specification))
    return [(path, indices) for path, indices in shards if not path.is_file()]


def same_pixels(benchmark: Benchmark) -> int:
    """Returns how many images of a frozen benchmark have the very pixels that were frozen."""
    specification = benchmark.specification
    truth = () if specification is None else specification.truth
    return sum(one.pixels == Truth.of(sample).pixels for one, sample in zip(truth, benchmark.samples()))


def read_frozen(name: str) -> Specification:
    """Reads the specification that comes with the package under a name, or a file.

    Args:
        name: One of `SPECIFICATIONS`, or the path of a JSON file.

    Raises:
        ValueError: There is none, or it was changed.
    """
    if name in SPECIFICATIONS:
        return read_specification(asset(specification_asset(name)))
    if Path(name).suffix == ".json" and Path(name).is_file():
        return read_specification(Path(name))
    raise ValueError(
        f"--data {name}: there is no such data; expected one of {', '.join((*SPECIFICATIONS, CLIPS))}, a folder of "
        "shards (what `multihmr synthesize` wrote: OUT/train or OUT/val), or a specification's JSON file"
    )


def specification_asset(name: str) -> str:
    """Returns where among the package's assets the specification of that name is."""
    return f"evaluation/{name.replace('-', '_')}.json"


def _shards(specification: Specification, cache: Path, count: int) -> list[tuple[Path, range]]:
    """The shards that hold the first `count` images, and which images each holds; makes their folder."""
    folder = cache / f"{specification.name}-{specification.sha256[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    source = {"specification": specification.sha256, "scene": dict(specification.scene)}
    manifest = Manifest(specification.name, len(specification), _PER_SHARD, source, specification.package)
    manifest.begin(folder)
    return [(folder / name, indices) for name, indices in manifest.shards() if indices.start < count]


def _checked(specification: Specification, indices: range, samples: Iterable[Sample]) -> Iterator[Sample]:
    for index, sample in zip(indices, samples, strict=True):
        specification.check(index, sample)
        yield sample


def _of_body(sample: Sample, body: str) -> Sample:
    if sample.labels.body != body:
        raise ValueError(
            f"{sample.key}: expected people of the body {body!r} as in the first image, got {sample.labels.body!r}"
        )
    return sample
