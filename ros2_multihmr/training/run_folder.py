"""The folder of a run: what was asked for, what it ran on, how it went, and what came out."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ros2_multihmr import __version__
from ros2_multihmr.folders import make_folder
from ros2_multihmr.hardware import hardware
from ros2_multihmr.training.checkpoints import FOLDER
from ros2_multihmr.training.recipe import Recipe, load_recipe, save_recipe

RECIPE, ABOUT, METRICS, WEIGHTS = "recipe.yaml", "run.json", "metrics.jsonl", "weights.safetensors"
PICTURES, TENSORBOARD = "pictures", "tensorboard"


class RunFolder:
    """Writes one run's files; only the first process of a run has one."""

    def __init__(self, path: Path, tensorboard: bool) -> None:
        """Takes a folder that `begin` made or found.

        Args:
            path: The folder.
            tensorboard: True to write for TensorBoard, too.

        Raises:
            ValueError: TensorBoard is asked for, but not installed.
        """
        self.path, self._board = path, None
        if tensorboard:
            self._board = _tensorboard(path / TENSORBOARD)

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.path / FOLDER

    @property
    def weights(self) -> Path:
        """The file of weights that comes out."""
        return self.path / WEIGHTS

    def begin(self, recipe: Recipe, about: Mapping[str, Any], device: str) -> None:
        """Writes the recipe, the versions and the machine, and what else `about` says."""
        make_folder(self.path, "--out")
        save_recipe(recipe, self.path / RECIPE)
        facts = {**about, "version": __version__, "commit": _commit(), "machine": hardware(device)}
        (self.path / ABOUT).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")

    def rewind(self, step: int) -> None:
        """Forgets the metrics after a step, which will be written again."""
        path = self.path / METRICS
        if path.exists():
            lines = path.read_text(encoding="utf-8").splitlines()
            kept = [line for line in lines if (values := _parsed(line)) and values["step"] <= step]
            path.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")

    def write_metrics(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        """Adds one line: the kind (train, validation), the step, and numbers by name."""
        with (self.path / METRICS).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"kind": kind, "step": step, **values}) + "\n")
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(f"{kind}/{name}", value, step)

    def write_pictures(self, step: int, pictures: Sequence[NDArray[np.uint8]]) -> None:
        """Writes (H, W, 3) RGB pictures of one moment."""
        folder = self.path / PICTURES
        folder.mkdir(exist_ok=True)
        for index, picture in enumerate(pictures):
            Image.fromarray(picture).save(folder / f"step-{step:09d}-{index}.jpg", quality=90)
            if self._board is not None:
                self._board.add_image(f"validation/{index}", picture, step, dataformats="HWC")

    def close(self) -> None:
        """Ends what is open."""
        if self._board is not None:
            self._board.close()


def recipe_of(folder: Path, overrides: Sequence[str] = ()) -> Recipe | None:
    """Returns the recipe of the run in a folder, with values replaced, None if there is no run."""
    path = folder / RECIPE
    return load_recipe(str(path), overrides) if path.is_file() else None


def _parsed(line: str) -> dict[str, Any]:
    try:
        values: dict[str, Any] = json.loads(line)
    except json.JSONDecodeError:  # the line that was being written when the run was killed
        return {}
    return values


def _tensorboard(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter  # here: it is optional, and slow to load
    except ImportError as error:
        raise ValueError(
            "TensorBoard is not installed: pip install 'multihmr[train]', or leave --tensorboard away "
            f"({METRICS} has all numbers, too)"
        ) from error
    return SummaryWriter(str(folder))  # type: ignore[no-untyped-call]


def _commit() -> str:
    """The commit that the package runs from, empty where it is installed without its history."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
