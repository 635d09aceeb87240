"""Predictions: what a network found in the images of a data set, in files that a broken run goes on with."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ros2_multihmr.files.whole_file import whole_file
from ros2_multihmr.humans import Humans

Array = NDArray[np.float32]

_ABOUT, _PARTS = "run.json", "part-*.npz"
_PER_FILE = 64  # images; what an interrupt loses at most


@dataclass(frozen=True)
class Prediction:
    """N people found in one image, by falling score; float32, metres, radians, optical frame.

    All else follows from these with the body model: joints, meshes, places in the image.

    Attributes:
        key: Name of the image.
        scores: (N,) detection scores.
        rotvecs: (N, R, 3) axis-angle rotations of `BodyInfo.posed_joints`.
        shape: (N, S) shape parameters.
        expression: (N, E) expression parameters.
        center: (N, 3) where `BodyInfo.center_joint` is.
        seconds: Time that finding them took; NaN where nobody measured.
    """

    key: str
    scores: Array
    rotvecs: Array
    shape: Array
    expression: Array
    center: Array
    seconds: float

    def __len__(self) -> int:
        return len(self.scores)

    @staticmethod
    def of(key: str, humans: Humans, seconds: float) -> Prediction:
        """What of `humans` tells all else."""
        center = humans.joints[:, humans.body.center_joint]
        return Prediction(key, humans.scores, humans.rotvecs, humans.shape, humans.expression, center, seconds)


_ARRAYS = tuple(field.name for field in fields(Prediction) if field.name not in ("key", "seconds"))


class PredictionFolder:
    """Predictions of one run in a folder: `run.json` says of what, and NPZ files of some images each hold them.

    Attributes:
        folder: Where they are.
        keys: Images whose predictions are there or waiting to be written.
    """

    def __init__(self, folder: Path, about: Mapping[str, object]) -> None:
        """Opens a folder for more predictions, or a new one.

        Args:
            folder: Made if it is not there.
            about: What decides the predictions (weights, settings, data set); JSON values.

        Raises:
            ValueError: The folder holds another run's predictions.
        """
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._check_about(json.loads(json.dumps(about)))
        self._waiting: list[Prediction] = []
        self.keys = {prediction.key for prediction in self.read()}

    def add(self, prediction: Prediction) -> None:
        """Takes one image's people; they are on the disk after some more of them, or after `flush`.

        Raises:
            ValueError: The image's people are there already.
        """
        if prediction.key in self.keys:
            raise ValueError(f"{self.folder}: the people of {prediction.key} are there already")
        self.keys.add(prediction.key)
        self._waiting.append(prediction)
        if len(self._waiting) >= _PER_FILE:
            self.flush()

    def flush(self) -> None:
        """Writes what is waiting."""
        if not self._waiting:
            return
        path = self.folder / f"part-{len(self._files()):05d}.npz"
        arrays: dict[str, Any] = _joined(self._waiting)
        with whole_file(path) as part, part.open("wb") as file:
            np.savez_compressed(file, **arrays)
        self._waiting = []

    def read(self) -> list[Prediction]:
        """Returns the predictions on the disk, in the order in which they came."""
        return [prediction for path in self._files() for prediction in _read(path)]

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob(_PARTS))

    def _check_about(self, about: dict[str, object]) -> None:
        path = self.folder / _ABOUT
        if not path.exists():
            if self._files():
                raise ValueError(
                    f"{self.folder}: predictions of an unknown run, {_ABOUT} is missing; give another --out"
                )
            path.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
            return
        there = json.loads(path.read_text(encoding="utf-8"))
        differ = sorted(name for name in {*there, *about} if there.get(name) != about.get(name))
        if differ:
            told = "; ".join(f"{name}: {there.get(name)!r} there, {about.get(name)!r} now" for name in differ)
            raise ValueError(
                f"{self.folder} holds predictions of another run ({told}); give another --out, or delete it"
            )


def _joined(predictions: Sequence[Prediction]) -> dict[str, NDArray[np.generic]]:
    people = {name: np.concatenate([getattr(one, name) for one in predictions]) for name in _ARRAYS}
    return {
        "keys": np.array([one.key for one in predictions]),
        "counts": np.array([len(one) for one in predictions]),
        "seconds": np.array([one.seconds for one in predictions]),
        **people,
    }


def _read(path: Path) -> list[Prediction]:
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    ends = np.cumsum(arrays["counts"])[:-1]
    people = {name: np.split(arrays[name], ends) for name in _ARRAYS}
    return [
        Prediction(key=str(key), seconds=float(time), **{name: parts[place] for name, parts in people.items()})
        for place, (key, time) in enumerate(zip(arrays["keys"], arrays["seconds"]))
    ]
