"""The frozen benchmark: which images, by seed, and what their truth is, so that figures can be compared for years.

A specification is a JSON file with the SHA-256 of everything in it. The images themselves are made anew wherever they
are needed. Numbers that float arithmetic rounds differently from machine to machine would break a hash of the truth, so
each image's truth is written down as a few sums, which are compared with a tolerance that rounding never reaches and
any other scene always does. Pixels are hashed for information: drivers and libraries draw them a little differently.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ros2_multihmr.evaluation.histograms import Histograms
from ros2_multihmr.evaluation.predictors import Averages
from ros2_multihmr.files.whole_file import whole_file
from ros2_multihmr.samples.sample import Sample

SPECIFICATIONS = ("synthetic-val",)
VERSION = 1
# Sums of whole arrays: float32 noise moves them by 1e-4 at most. Visibility counts pixels, which may differ.
_TOLERANCE = {"people": 0.0, "visibility": 0.1}
_OTHERS = 0.005
_ARRAYS = ("rotmats", "shape", "expression", "center", "keypoints", "visibility")
_DIGITS = 3


@dataclass(frozen=True)
class Truth:
    """What the specification knows of one image.

    Attributes:
        sums: (7,) the number of people, and a weighted sum of each array of `Labels` in the order of `_ARRAYS`.
        pixels: First half of the SHA-256 of the image's bytes, 16 letters.
    """

    sums: tuple[float, ...]
    pixels: str

    @staticmethod
    def of(sample: Sample) -> Truth:
        """Sums up a sample."""
        sums = [float(len(sample.labels)), *(weighted_sum(getattr(sample.labels, name)) for name in _ARRAYS)]
        return Truth(tuple(sums), hashlib.sha256(sample.image.tobytes()).hexdigest()[:16])

    def differences(self, other: Truth) -> list[str]:
        """Says which sums of `other` differ by more than rounding."""
        names = ("people", *_ARRAYS)
        return [
            f"{name} {mine:g}, not {its:g}"
            for name, its, mine in zip(names, self.sums, other.sums)
            if abs(mine - its) > _TOLERANCE.get(name, _OTHERS)
        ]


@dataclass(frozen=True)
class Specification:
    """A set of synthetic images.

    Attributes:
        name: What the benchmark is called.
        body: Of the people.
        first_seed: The images' seeds are this one and those that follow.
        scene: Values of `SceneConfig`.
        truth: Of each image, in the order of the seeds.
        histograms: How many people or images are of which kind: name, then group, then number.
        averages: Of people in training images, for the predictors to beat.
        averages_from: Where those images come from, in words.
        package: Version of the package that froze it.
        version: Of this format.
    """

    name: str
    body: str
    first_seed: int
    scene: Mapping[str, Any]
    truth: tuple[Truth, ...]
    histograms: Mapping[str, Mapping[str, int]]
    averages: Averages
    averages_from: str
    package: str
    version: int = VERSION

    def __len__(self) -> int:
        return len(self.truth)

    @property
    def seeds(self) -> range:
        """One per image."""
        return range(self.first_seed, self.first_seed + len(self.truth))

    @property
    def sha256(self) -> str:
        """The hash of everything in it."""
        text = json.dumps(self._values(), sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def check(self, index: int, sample: Sample) -> None:
        """Checks that a sample is the one that was frozen.

        Raises:
            ValueError: Its truth is another one; says in what.
        """
        differences = self.truth[index].differences(Truth.of(sample))
        if differences:
            raise ValueError(
                f"{self.name}: the image of seed {self.seeds[index]} is not the frozen one ({'; '.join(differences)}): "
                "the generator has changed since, or computes differently here. Figures could not be compared: use "
                f"version {self.package} of the package, or freeze again with `multihmr evaluate freeze`"
            )

    def write(self, path: Path, *, replace: bool = False) -> None:
        """Writes the file.

        Raises:
            ValueError: There is one already, and `replace` was not asked for.
        """
        if path.exists() and not replace:
            raise ValueError(
                f"{path} is frozen: figures that were measured with it could not be compared any more. "
                "Give --replace to do it all the same"
            )
        text = _text({"sha256": self.sha256, **self._values()})
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as part:
            part.write_text(text, encoding="utf-8")

    def _values(self) -> dict[str, Any]:
        truth = [[*one.sums, one.pixels] for one in self.truth]
        return {**asdict(self), "truth": truth, "averages": self.averages.to_json()}


def read_specification(path: Path) -> Specification:
    """Reads a specification.

    Raises:
        FileNotFoundError: It is not there.
        ValueError: It was changed after it was frozen, or is of another version.
    """
    values = json.loads(path.read_text(encoding="utf-8"))
    sha256 = values.pop("sha256", "")
    if values.get("version") != VERSION:
        raise ValueError(f"{path}: expected version {VERSION} of the format, got {values.get('version')!r}")
    try:
        truth = tuple(Truth(tuple(map(float, sums)), str(pixels)) for *sums, pixels in values["truth"])
        specification = Specification(**{**values, "truth": truth, "averages": Averages.from_json(values["averages"])})
    except (TypeError, KeyError) as error:
        raise ValueError(f"{path} is damaged ({error}); install the package again") from error
    if specification.sha256 != sha256:
        raise ValueError(
            f"{path} was changed after it was frozen: its SHA-256 is {specification.sha256}, "
            f"it says {sha256 or 'none'}; install the package again, or freeze again with `multihmr evaluate freeze`"
        )
    return specification


def freeze(
    name: str,
    scene: Mapping[str, Any],
    first_seed: int,
    samples: Iterable[Sample],
    averages: Averages,
    *,
    averages_from: str,
    package: str,
) -> Specification:
    """Writes down what is true of images.

    Args:
        name: What the benchmark is called.
        scene: Values of `SceneConfig`.
        first_seed: Seed of the first sample; the others follow.
        samples: The images, of one body.
        averages: Of training images.
        averages_from: Where those come from, in words.
        package: Version of this package.

    Raises:
        ValueError: There are no samples, or of different bodies.
    """
    truth: list[Truth] = []
    histogram = Histograms()
    bodies = set()
    for sample in samples:
        truth.append(Truth.of(sample))
        histogram.add(sample)
        bodies.add(sample.labels.body)
    if len(bodies) != 1:
        raise ValueError(f"{name}: expected people of one body, got {', '.join(sorted(bodies)) or 'no images'}")
    return Specification(
        name, bodies.pop(), first_seed, dict(scene), tuple(truth), histogram.counts, averages, averages_from, package
    )


def weighted_sum(array: NDArray[np.floating]) -> float:
    """Returns the sum of all numbers, each times the cosine of its place: other numbers, or other places, change it."""
    flat = np.asarray(array, np.float64).ravel()
    return round(float(flat @ np.cos(1.0 + np.arange(len(flat)))), _DIGITS)


def _text(values: Mapping[str, Any]) -> str:
    """JSON with a line per value, and one per image: readable, and changes can be read."""
    lines = []
    for name, value in values.items():
        text = json.dumps(value, allow_nan=False)
        if name == "truth":
            text = "[\n" + ",\n".join("  " + json.dumps(one) for one in value) + "\n ]"
        lines.append(f" {json.dumps(name)}: {text}")
    return "{\n" + ",\n".join(lines) + "\n}\n"
