"""Rendered clips: people with known identities and motion in pictures, made from seeds and kept in a folder.

A clip is a tar file of samples, whose labels are about everybody of the clip, seen or not, and a file with the camera's
poses beside it. The folder's name holds a hash of all that decides the clips, the generator's own source included.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, lru_cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ros2_multihmr.assets import asset
from ros2_multihmr.body import create_body
from ros2_multihmr.body.body_model import BodyModel
from ros2_multihmr.files.whole_file import whole_file
from ros2_multihmr.samples.sample import Sample
from ros2_multihmr.samples.shards import ShardReader, write_shard
from ros2_multihmr.synthesis import plays
from ros2_multihmr.synthesis.clips import ClipConfig

BODY = "anny"


class Key(NamedTuple):
    """Which clip: one of `plays.KINDS`, and a seed."""

    kind: str
    seed: int

    @property
    def stem(self) -> str:
        """Name of the clip's files."""
        return f"{self.kind.replace(' ', '_')}-{self.seed:06d}"


@dataclass(frozen=True)
class ClipSet:
    """Which clips: every kind of play with each of some seeds.

    Attributes:
        name: What they are called.
        first_seed: The first seed.
        seeds: How many.
        config: Length, rate and size.
    """

    name: str
    first_seed: int
    seeds: int
    config: ClipConfig = field(default_factory=lambda: ClipConfig(duration_s=7.0, rate_hz=30.0))

    def chosen(self, limit: int = 0) -> list[Key]:
        """Returns which clips there are, all kinds of a seed before the next; only the first so many, 0 for all."""
        seeds = range(self.first_seed, self.first_seed + self.seeds)
        return [Key(kind, seed) for seed in seeds for kind in plays.KINDS][: limit or None]

    @cached_property
    def sha256(self) -> str:
        """Hash of all that decides the clips."""
        about = {"first_seed": self.first_seed, "seeds": self.seeds, "config": asdict(self.config)}
        digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
        digest.update(_generator())
        return digest.hexdigest()

    def folder(self, cache: Path) -> Path:
        """Returns where the clips are."""
        return cache / f"{self.name}-{self.sha256[:12]}"


@dataclass(frozen=True)
class RenderedClip:
    """A clip in files; read when asked for.

    Attributes:
        key: Which.
        stamps_s: (F,) when its images were taken [s].
        T_camera_world: (F, 4, 4) from the world (z up, floor at 0) to the camera's optical frame.
        path: Its tar file.
        every: Of the file's images, one in so many belongs to it.
    """

    key: Key
    stamps_s: NDArray[np.float64]
    T_camera_world: NDArray[np.float64]
    path: Path
    every: int = 1

    def __len__(self) -> int:
        return len(self.stamps_s)

    def samples(self) -> Iterator[Sample]:
        """Reads the images in the order in which they were taken; all people of the clip are in all labels."""
        reader = ShardReader([self.path])
        return (reader[index] for index in range(0, len(reader), self.every))


def missing(clips: ClipSet, cache: Path, limit: int = 0) -> list[Key]:
    """Returns the clips that the cache lacks."""
    return [key for key in clips.chosen(limit) if not _tar(clips.folder(cache), key).is_file()]


def fill(clips: ClipSet, cache: Path, workers: int, limit: int = 0) -> Iterator[int]:
    """Makes the clips that the cache lacks; goes on where it was interrupted.

    Args:
        clips: Which.
        cache: Folder; a folder in it gets the clips.
        workers: Processes that make them; 1: this one alone.
        limit: Only the first so many clips; 0 for all.

    Yields:
        After each clip, its number of images.
    """
    keys, folder = missing(clips, cache, limit), clips.folder(cache)
    folder.mkdir(parents=True, exist_ok=True)
    make = partial(_make, folder=folder, config=clips.config)
    if workers <= 1 or len(keys) <= 1:
        yield from map(make, keys)
        return
    with ProcessPoolExecutor(min(workers, len(keys)), get_context("spawn")) as pool:
        yield from pool.map(make, keys)


def open_clips(clips: ClipSet, cache: Path, limit: int = 0, every: int = 1) -> list[RenderedClip]:
    """Opens the clips that `fill` has made; of their images one in `every`, as of a slower camera.

    Raises:
        FileNotFoundError: One is missing.
    """
    return [_open(clips.folder(cache), key, every) for key in clips.chosen(limit)]


def samples_of(clips: Sequence[RenderedClip]) -> Iterator[Sample]:
    """Reads the images of some clips, one clip after another."""
    return (sample for clip in clips for sample in clip.samples())


def _open(folder: Path, key: Key, every: int) -> RenderedClip:
    with np.load(_poses(folder, key), allow_pickle=False) as file:
        stamps, poses = file["stamps_s"][::every], file["T_camera_world"][::every]
        return RenderedClip(key, stamps, poses, _tar(folder, key), every)


def _tar(folder: Path, key: Key) -> Path:
    return folder / f"{key.stem}.tar"


def _poses(folder: Path, key: Key) -> Path:
    return folder / f"{key.stem}.npz"


def _make(key: Key, folder: Path, config: ClipConfig) -> int:
    stamps, poses = list[float](), list[NDArray[np.float64]]()

    def samples() -> Iterator[Sample]:
        for frame in plays.perform(key.kind, key.seed, config, _body()):
            stamps.append(frame.stamp_s)
            poses.append(frame.T_camera_world)
            yield replace(frame.sample, labels=frame.everybody, dense=None)
        # Before the tar file is there under its own name: where that is, everything is.
        with whole_file(_poses(folder, key)) as part, part.open("wb") as file:
            np.savez(file, stamps_s=np.array(stamps), T_camera_world=np.stack(poses))

    return write_shard(_tar(folder, key), samples())


@lru_cache(maxsize=1)
def _body() -> BodyModel:
    return create_body(BODY)


@lru_cache(maxsize=1)
def _generator() -> bytes:
    """Hash of what makes the pictures: the sources of the synthesis, and the body."""
    digest = hashlib.sha256()
    for path in sorted(Path(plays.__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + path.read_bytes())
    digest.update(asset("bodies/anny.npz").read_bytes())
    return digest.digest()
