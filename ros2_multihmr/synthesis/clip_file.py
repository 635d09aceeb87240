"""Clip files: a clip's images and truth in one tar file, as `shards` has them; and the clip that is installed.

A sample's key ends with its stamp in nanoseconds. What is true of every pixel is left out: it would be most of the
file.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from ros2_multihmr.assets import asset
from ros2_multihmr.samples.sample import Sample
from ros2_multihmr.samples.shards import ShardReader, write_shard

SHIPPED = "clips/crossing.tar"
QUALITY = 80


def write_clip(path: Path, samples: Iterable[Sample]) -> int:
    """Writes the samples of a clip, without what is true of every pixel; returns their number.

    Raises:
        ValueError: Two samples have the same key.
    """
    return write_shard(path, (replace(sample, dense=None) for sample in samples), quality=QUALITY)


def read_clip(path: Path) -> list[Sample]:
    """Reads a clip's images and truth, in the order in which they were taken.

    Raises:
        ValueError: The file is damaged, or holds no clip.
    """
    return sorted(ShardReader([path]), key=stamp_ns)


def shipped_clip() -> list[Sample]:
    """Reads the clip that comes with the package: two people cross behind one another, one stands.

    Raises:
        FileNotFoundError: The installation lacks it.
    """
    return read_clip(asset(SHIPPED))


def stamp_ns(sample: Sample) -> int:
    """Returns when a clip's image was taken, from the clip's begin on [ns].

    Raises:
        ValueError: The sample is of no clip.
    """
    tail = sample.key.rpartition("-")[2]
    if not tail.isdecimal():
        raise ValueError(f"{sample.key}: expected a key that ends with a stamp in nanoseconds; is this of a clip?")
    return int(tail)
