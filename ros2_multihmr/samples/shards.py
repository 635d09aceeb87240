"""Shards: samples in tar files, which `webdataset` can read as well.

A sample is a group of members whose names begin with its key and a dot, see `codec`. A shard under its final name is
whole: it is written under another name first.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ros2_multihmr.files.whole_file import whole_file
from ros2_multihmr.samples.codec import IMAGE_FORMATS, decode, encode
from ros2_multihmr.samples.manifest import Manifest
from ros2_multihmr.samples.sample import Sample

_BLOCK = tarfile.BLOCKSIZE


class _Member(NamedTuple):
    suffix: str
    offset: int
    size: int


class _Entry(NamedTuple):
    """Where a sample's members lie."""

    key: str
    path: Path
    members: tuple[_Member, ...]


class ShardReader:
    """Samples of tar files, by index or one after another. Holds no open file: processes may share or copy it."""

    def __init__(self, paths: Iterable[Path]) -> None:
        """Finds where each sample lies, from the files' headers.

        Args:
            paths: Tar files.

        Raises:
            ValueError: A file is damaged, or no tar file.
        """
        self._entries = [entry for path in paths for entry in _scan(Path(path))]

    @staticmethod
    def of_folder(folder: Path) -> ShardReader:
        """Opens the shards that the manifest of `folder` names.

        Raises:
            ValueError: There is no manifest, a shard is missing or damaged, or holds another number of samples.
        """
        manifest = Manifest.read(folder)
        missing = [name for name, _ in manifest.unfinished(folder)]
        if missing:
            raise ValueError(
                f"{folder}: {len(missing)} of {len(manifest.shards())} shards are missing, {missing[0]} for one; run "
                "the command that makes them again, it goes on where it stopped"
            )
        reader = ShardReader(folder / name for name, _ in manifest.shards())
        if len(reader) != manifest.count:
            raise ValueError(f"{folder}: expected {manifest.count} samples, got {len(reader)}; make them again")
        return reader

    @property
    def keys(self) -> list[str]:
        """The samples' names."""
        return [entry.key for entry in self._entries]

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, index: int) -> Sample:
        """Reads one sample.

        Raises:
            IndexError: There is no such sample.
            ValueError: The sample is damaged; says which file and which member.
        """
        entry = self._entries[index]
        with entry.path.open("rb") as file:
            members = {}
            for suffix, offset, size in entry.members:
                file.seek(offset)
                members[suffix] = file.read(size)
        return decode(entry.key, members, str(entry.path))

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))

    def shuffled(self, seed: int, buffer: int) -> Iterator[Sample]:
        """Reads every sample once, files front to back, out of order by what a buffer of so many samples allows."""
        rng, waiting = np.random.default_rng(seed), []
        for sample in self:
            waiting.append(sample)
            if len(waiting) > buffer:
                place = int(rng.integers(len(waiting)))
                waiting[place], waiting[-1] = waiting[-1], waiting[place]
                yield waiting.pop()
        yield from (waiting[place] for place in rng.permutation(len(waiting)))


def write_shard(path: Path, samples: Iterable[Sample], *, image_format: str = "jpg", quality: int = 92) -> int:
    """Writes samples into a tar file; holds one at a time.

    Args:
        path: The file; there, it is whole.
        samples: The samples, their keys different.
        image_format: "jpg" or "png".
        quality: Of JPEG, 1 to 100.

    Returns:
        How many there were.

    Raises:
        ValueError: Two samples have the same key, a key has a dot or a slash, or the image format is unknown.
        OSError: The file cannot be written; names it.
    """
    if image_format not in IMAGE_FORMATS:
        raise ValueError(f"image_format: expected one of {', '.join(IMAGE_FORMATS)}, got {image_format!r}")
    keys: set[str] = set()
    with whole_file(path) as part, tarfile.open(part, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for sample in samples:
            _check_key(sample.key, keys)
            for suffix, content in encode(sample, image_format, quality):
                info = tarfile.TarInfo(f"{sample.key}.{suffix}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
            tar.members = []  # type: ignore[attr-defined]  # tarfile remembers every member
    return len(keys)


def _check_key(key: str, keys: set[str]) -> None:
    if not key or set(key) & set("./\\"):
        raise ValueError(f"sample key: expected a name without dots or slashes, got {key!r}")
    if key in keys:
        raise ValueError(f"sample key: {key!r} comes twice in a shard; keys must be different")
    keys.add(key)


def _scan(path: Path) -> list[_Entry]:
    groups: dict[str, list[_Member]] = {}
    try:
        with path.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as tar:
            end = 0
            for info in tar:
                key, _, suffix = info.name.partition(".")
                groups.setdefault(key, []).append(_Member(suffix, info.offset_data, info.size))
                end = info.offset_data + -(-info.size // _BLOCK) * _BLOCK
            file.seek(end)
            if file.read(_BLOCK) != bytes(_BLOCK):  # tarfile takes what is no header for the end
                raise tarfile.ReadError(f"no header at byte {end}")
    except (tarfile.TarError, EOFError) as error:
        raise ValueError(f"{path}: the tar file is damaged ({error}); make or copy it again") from error
    return [_Entry(key, path, tuple(members)) for key, members in groups.items()]
