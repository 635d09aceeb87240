"""Manifest: what a folder of shards is to hold, so that an interrupted job goes on and nobody mixes two."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ros2_multihmr.files.whole_file import whole_file

MANIFEST = "manifest.json"
_VERSION = 1


@dataclass(frozen=True)
class Manifest:
    """What a folder of shards holds.

    Attributes:
        name: What the shards are called: name-000000.tar.
        count: Samples in all shards.
        per_shard: Samples in each; fewer in the last.
        source: Where they come from: seeds, settings; anything that JSON knows.
        package: Version of the package that wrote them.
        version: Version of this format.
    """

    name: str
    count: int
    per_shard: int
    source: dict[str, Any]
    package: str
    version: int = _VERSION

    def shards(self) -> list[tuple[str, range]]:
        """Returns each shard's file name and which samples it holds."""
        starts = range(0, self.count, self.per_shard)
        return [
            (f"{self.name}-{i:06d}.tar", range(start, min(start + self.per_shard, self.count)))
            for i, start in enumerate(starts)
        ]

    def unfinished(self, folder: Path) -> list[tuple[str, range]]:
        """Returns those shards that `folder` lacks."""
        return [shard for shard in self.shards() if not (folder / shard[0]).is_file()]

    def begin(self, folder: Path) -> None:
        """Writes the manifest into `folder`, or checks that the one that is there says the same.

        More samples than before may be wanted; then a last shard that is not full is removed, to be made again.

        Raises:
            ValueError: Other samples are there.
        """
        path = folder / MANIFEST
        if not path.exists():
            self._write(path)
            return
        here, wanted = Manifest.read(folder), json.loads(json.dumps(asdict(self)))
        if here.count < self.count and not _differences(asdict(replace(here, count=self.count)), wanted):
            name, samples = here.shards()[-1]
            if len(samples) < self.per_shard:
                (folder / name).unlink(missing_ok=True)
            self._write(path)
            return
        differences = _differences(asdict(here), wanted)
        if differences:
            raise ValueError(
                f"{path}: other samples are there: {'; '.join(differences)}; give the same settings to go on, or "
                "another folder"
            )

    def _write(self, path: Path) -> None:
        with whole_file(path) as part:
            part.write_text(json.dumps(asdict(self), indent=2) + "\n")

    @staticmethod
    def read(folder: Path) -> Manifest:
        """Reads the manifest of `folder`.

        Raises:
            ValueError: There is none, or it is damaged, or of another version of the format.
        """
        path = folder / MANIFEST
        try:
            manifest = Manifest(**json.loads(path.read_text()))
        except FileNotFoundError as error:
            raise ValueError(f"{folder} has no {MANIFEST}: {_meant(folder)}") from error
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path} is damaged ({error}); make the samples again") from error
        if manifest.version != _VERSION:
            raise ValueError(f"{path}: expected version {_VERSION} of the format, got {manifest.version}")
        return manifest


def _meant(folder: Path) -> str:
    """Says where the samples are, if they are one level lower or higher than `folder`."""
    inside = sorted(path.parent.name for path in folder.glob(f"*/{MANIFEST}"))
    if inside:
        folders = f"folder{'s' * (len(inside) > 1)} {' and '.join(inside)}"
        return f"it has the {folders} with samples; give {' or '.join(str(folder / name) for name in inside)}"
    if (folder.parent / MANIFEST).is_file():
        return f"the samples are in {folder.parent}, which is one level higher"
    return "expected a folder with samples that `multihmr synthesize` wrote, OUT/train or OUT/val"


def _differences(here: dict[str, Any], wanted: dict[str, Any], prefix: str = "") -> list[str]:
    out = []
    for key in sorted({*here, *wanted}):
        old, new = here.get(key), wanted.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            out += _differences(old, new, f"{prefix}{key}.")
        elif old != new:
            out.append(f"{prefix}{key} is {old!r} there, {new!r} now")
    return out
