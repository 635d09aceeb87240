"""The folder of a run: what was asked for, what it ran on, how it went, and what came out."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ros2_multihmr import __version__
from ros2_multihmr.files.folders import make_folder
from ros2_multihmr.files.whole_file import whole_file
from ros2_multihmr.hardware import hardware
from ros2_multihmr.training.checkpoints import FOLDER
from ros2_multihmr.training.recipe import Recipe, load_recipe, save_recipe

RECIPE, ABOUT, METRICS, WEIGHTS = "recipe.yaml", "run.json", "metrics.jsonl", "weights.safetensors"
PICTURES, TENSORBOARD = "pictures", "tensorboard"


class RunFolder:
    """Writes one run's files; only the first process of a run has one."""

    def __init__(self, path: Path, tensorboard: bool) -> None:
        """Names a folder, which `begin` makes; writes nothing yet.

        Args:
            path: The folder.
            tensorboard: True to write for TensorBoard, too.

        Raises:
            ValueError: TensorBoard is asked for, but not installed.
        """
        self.path, self._board = path, None
        self._open_board = _tensorboard() if tensorboard else None

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.path / FOLDER

    @property
    def weights(self) -> Path:
        """The file of weights that comes out."""
        return self.path / WEIGHTS

    def begin(self, recipe: Recipe, about: Mapping[str, Any], device: str) -> None:
        """Writes the versions and the machine, what else `about` says, and the recipe.

        Raises:
            ValueError: The folder cannot be made.
            OSError: A file cannot be written.
        """
        make_folder(self.path, "--out")
        facts = {**about, "version": __version__, "commit": _commit(), "machine": hardware(device)}
        with whole_file(self.path / ABOUT) as part:
            part.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
        with whole_file(self.path / RECIPE) as part:  # the last one: where it is, there is a run
            save_recipe(recipe, part)

    def rewind(self, step: int) -> None:
        """Forgets the metrics after a step, which will be written again."""
        path = self.path / METRICS
        if path.exists():
            lines = path.read_text(encoding="utf-8").splitlines()
            kept = [line for line in lines if (values := _parsed(line)) and values["step"] <= step]
            with whole_file(path) as part:
                part.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")

    def write_metrics(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        """Adds one line: the kind (train, validation), the step, and numbers by name."""
        path = self.path / METRICS
        with _naming(path), path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"kind": kind, "step": step, **values}) + "\n")
        if (board := self._tensorboard()) is not None:
            for name, value in values.items():
                board.add_scalar(f"{kind}/{name}", value, step)

    def write_pictures(self, step: int, pictures: Sequence[NDArray[np.uint8]]) -> None:
        """Writes (H, W, 3) RGB pictures of one moment."""
        folder = self.path / PICTURES
        folder.mkdir(exist_ok=True)
        for index, picture in enumerate(pictures):
            path = folder / f"step-{step:09d}-{index}.jpg"
            with _naming(path):
                Image.fromarray(picture).save(path, quality=90)
            if (board := self._tensorboard()) is not None:
                board.add_image(f"validation/{index}", picture, step, dataformats="HWC")

    def close(self) -> None:
        """Ends what is open."""
        if self._board is not None:
            self._board.close()

    def _tensorboard(self) -> Any:
        """TensorBoard's writer, opened when there is something to write; None where none is asked for."""
        if self._board is None and self._open_board is not None:
            self._board = self._open_board(str(self.path / TENSORBOARD))
        return self._board


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


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Adds the file's name to an error of writing it that has none."""
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def _tensorboard() -> Any:
    """TensorBoard's kind of writer."""
    try:
        from torch.utils.tensorboard import SummaryWriter  # here: it is optional, and slow to load
    except ImportError as error:
        raise ValueError(
            "TensorBoard is not installed: pip install 'multihmr[train]', or leave --tensorboard away "
            f"({METRICS} has all numbers, too)"
        ) from error
    return SummaryWriter


def _commit() -> str:
    """The commit that the package runs from, empty where it is installed without its history."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
