"""`multihmr synthesize clip`: a clip of synthetic people into a file; as it stands, the one that is installed."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from rich.console import Console

from ros2_multihmr.body import create_body
from ros2_multihmr.settings import setting
from ros2_multihmr.synthesis.clip_file import write_clip
from ros2_multihmr.synthesis.clips import ClipConfig, clip


@dataclass(frozen=True)
class Options(ClipConfig):
    """Makes a clip of synthetic people who walk and stand, with exact truth."""

    out: str = setting("out/crossing.tar", "The file, a tar file of images and truth; its folder must be there")
    seed: int = setting(21, "What the clip is drawn from", low=0)


def main(options: Options) -> int:
    """Makes the clip; returns the exit code.

    Raises:
        ValueError: The file cannot be written there.
    """
    path = Path(options.out)
    if not path.absolute().parent.is_dir():
        raise ValueError(f"--out {path}: there is no folder {path.absolute().parent}; make it first")
    config = ClipConfig(**{field.name: getattr(options, field.name) for field in fields(ClipConfig)})
    count = write_clip(path, (frame.sample for frame in clip(options.seed, config, create_body("anny"))))
    Console().print(f"{path}: {count} images, {path.stat().st_size / 1e6:.1f} MB", highlight=False, soft_wrap=True)
    return 0
