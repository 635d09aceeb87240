"""What `multihmr benchmark` is asked for."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ros2_multihmr.estimator_config import EstimatorConfig
from ros2_multihmr.settings import setting, setting_info

_MOST_PEOPLE = setting_info(EstimatorConfig.__dataclass_fields__["max_humans"]).high or math.inf


@dataclass(frozen=True)
class Options(EstimatorConfig):
    """Measures the estimator's stages on one picture, again and again; settings to compare take turns."""

    image: str = setting("", "Picture to use; empty: a sample photograph")
    width: int = setting(1280, "Image width [px]", low=1, high=10000)
    height: int = setting(720, "Image height [px]", low=1, high=10000)
    repeats: int = setting(50, "Measured runs, after a few to warm up", low=1, high=100000)
    variants: tuple[str, ...] = setting(
        (), "Settings to compare with those given, each as NAME=VALUE,NAME=VALUE: precision=bfloat16,padding=cut"
    )
    people: tuple[str, ...] = setting(
        (), "Numbers of people, each measured with so many of the best candidates; empty: who is in the picture"
    )
    batch: int = setting(1, "Images in one run, as of so many cameras", low=1, high=100)
    vertices: bool = setting(False, "Compute the full meshes, too")
    limits: bool = setting(True, "Count the network's arithmetic, and measure what this machine can do at most")
    memory: bool = setting(True, "With the limits: start a process for each of the settings to take its memory")
    peer: str = setting(
        "", "Folder with the official code, to measure its network with the same weights, an official file"
    )
    peer_backbone: str = setting(
        "", "Folder with the code of its backbone, facebookresearch/dinov2; empty: PyTorch Hub's copy"
    )
    out: str = setting("", "Folder for estimator.json and estimator.md; empty: only show")

    def __post_init__(self) -> None:
        """Checks every value.

        Raises:
            ValueError: A value is not allowed; says which ones are.
        """
        super().__post_init__()
        if wrong := [word for word in self.people if not (word.isdecimal() and 1 <= int(word) <= _MOST_PEOPLE)]:
            raise ValueError(f"--people: expected numbers from 1 to {_MOST_PEOPLE:g}, got {', '.join(wrong)}")
        if self.peer and self.batch != 1:
            raise ValueError("peer: the official code is measured with one image a run: leave batch at 1")

    @property
    def counts(self) -> tuple[int, ...]:
        """Numbers of people to measure with; empty: who is in the picture."""
        return tuple(int(word) for word in self.people)
