"""Recipe: every number that decides what a training run does, as settings with a YAML file."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ros2_multihmr.model.config import PADDINGS
from ros2_multihmr.settings import Settings, setting
from ros2_multihmr.training.augment import AugmentConfig
from ros2_multihmr.training.losses import LossWeights
from ros2_multihmr.training.targets import TargetConfig

RECIPES = Path(__file__).parent / "recipes"
RECIPE_SUFFIX = ".yaml"
PRECISIONS = ("float32", "bfloat16", "float16")


@dataclass(frozen=True)
class NetworkSettings(Settings):
    """The network's sizes; see `MultiHMRConfig`."""

    body: str = setting("anny", "Body whose parameters come out; smplx needs the user's own file")
    image_size: int = setting(224, "Side of the square input [px], a multiple of 14", low=14)
    width: int = setting(192, "Backbone width", low=1)
    depth: int = setting(6, "Backbone blocks", low=1)
    heads: int = setting(3, "Backbone attention heads", low=1)
    stem: str = setting("conv", "What makes tokens of pixels", choices=("conv", "patch"))
    padding: str = setting(
        "square", "Images that are no squares: square, with the padding's tokens; cut, without them", choices=PADDINGS
    )
    hph_depth: int = setting(2, "Layers of the Human Perception Head", low=1)
    hph_heads: int = setting(4, "Its attention heads, each 32 wide", low=1)
    hph_width: int = setting(256, "Width of its tokens", low=1)
    weights: str = setting(
        "", "Start of everything: empty for random, a weights file of these sizes, or embedded for the package's own"
    )
    backbone: str = setting(
        "", "Start of the backbone: empty for random, a DINOv2 file, or dinov2 for the one in torch.hub's folder"
    )


@dataclass(frozen=True)
class DataSettings(Settings):
    """How samples become batches."""

    batch_size: int = setting(16, "Images per step, of all processes together", low=1)
    max_people: int = setting(10, "Most people per image that are learned from", low=1)
    workers: int = setting(1, "Processes that read and augment, per training process; 0 for none", low=0, high=256)
    augment: bool = setting(True, "Change the images at random: flip, crop, scale, colour")
    validation_images: int = setting(256, "Held-out images of a validation", low=1)


@dataclass(frozen=True)
class OptimiserSettings(Settings):
    """What is done with gradients."""

    kind: str = setting("adamw", "Update rule", choices=("adamw", "adam", "muon"))
    momentum: float = setting(0.95, "Memory of the gradient's mean, for matrices (muon)", low=0.0, high=0.9999)
    learning_rate: float = setting(5e-4, "Largest learning rate", low=0.0)
    final_fraction: float = setting(0.01, "Learning rate at the end, in parts of the largest", low=0.0, high=1.0)
    backbone_fraction: float = setting(1.0, "Learning rate of the backbone, in parts of the rest's", low=0.0)
    weight_decay: float = setting(0.05, "Weight decay of matrices (adamw)", low=0.0)
    beta1: float = setting(0.9, "Memory of the gradient's mean", low=0.0, high=0.9999)
    beta2: float = setting(0.98, "Memory of the gradient's square", low=0.0, high=0.99999)
    warm_up_steps: int = setting(500, "Steps in which the learning rate climbs from zero", low=0)
    clip_norm: float = setting(100.0, "Longest gradient; 0 for any", low=0.0)
    ema: float = setting(
        0.999, "Memory of the averaged weights, those that are kept; 0 for none", low=0.0, high=0.99999
    )
    precision: str = setting("float32", "Numbers of the backbone's and head's products", choices=PRECISIONS)
    most_skips: int = setting(20, "Give up after so many steps in a row without finite numbers", low=1)


@dataclass(frozen=True)
class LengthSettings(Settings):
    """How long a run takes, and what it leaves on the way."""

    steps: int = setting(0, "Steps; 0 for as many as the minutes allow", low=0)
    max_minutes: float = setting(0.0, "Minutes of training, interruptions not counted; 0 for any", low=0.0)
    validate_every: int = setting(500, "Steps from one validation to the next", low=1)
    checkpoint_every: int = setting(500, "Steps from one checkpoint to the next", low=1)
    keep: int = setting(2, "Checkpoints kept beside the best", low=1)
    log_every: int = setting(20, "Steps from one line of metrics to the next", low=1)
    half: bool = setting(False, "Write the weights that come out with 16 bits")
    pictures: int = setting(4, "Validation images drawn with the people found at every validation", low=0, high=64)

    def __post_init__(self) -> None:
        """Checks every value.

        Raises:
            ValueError: A value is not allowed, or the run would never end.
        """
        super().__post_init__()
        if not self.steps and not self.max_minutes:
            raise ValueError("steps: the run would never end; set length.steps or length.max_minutes")

    def part_done(self, steps: int, elapsed_s: float) -> float:
        """Part of a run that is over, 0 to 1: by its steps or its minutes, whichever is further."""
        by_steps = steps / self.steps if self.steps else 0.0
        by_minutes = elapsed_s / 60.0 / self.max_minutes if self.max_minutes else 0.0
        return min(1.0, max(by_steps, by_minutes))


@dataclass(frozen=True)
class Recipe:
    """One training run.

    Attributes:
        name: Name of the weights that come out.
        seed: What everything random is drawn from.
        network, data, augment, targets, losses, optimiser, length: The settings.
    """

    name: str
    seed: int
    network: NetworkSettings
    data: DataSettings
    augment: AugmentConfig
    targets: TargetConfig
    losses: LossWeights
    optimiser: OptimiserSettings
    length: LengthSettings


SECTIONS: dict[str, type[Settings]] = {
    "network": NetworkSettings,
    "data": DataSettings,
    "augment": AugmentConfig,
    "targets": TargetConfig,
    "losses": LossWeights,
    "optimiser": OptimiserSettings,
    "length": LengthSettings,
}
_TOP = ("name", "seed", *SECTIONS)


def load_recipe(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """Reads a recipe.

    Args:
        name: Name of a recipe that comes with the package, or path of a YAML file.
        overrides: Values to replace, each `section.key=value` with the value as YAML has it.

    Raises:
        ValueError: No such recipe, unknown keys, or values that are not allowed; says which ones are.
    """
    path = _find(name)
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not a YAML file ({' '.join(str(error).split())})") from error
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from error
    try:
        return recipe_from_dict(_overridden({"name": path.stem} | _mapping(values, "recipe"), overrides))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def recipe_names() -> list[str]:
    """Names of the recipes that come with the package."""
    return sorted(path.stem for path in RECIPES.glob(f"*{RECIPE_SUFFIX}"))


def recipe_from_dict(values: Mapping[str, Any]) -> Recipe:
    """Builds a recipe of a YAML file's values.

    Raises:
        ValueError: Unknown keys (names the nearest known one), or values that are not allowed.
    """
    for key in values:
        _known(key, _TOP, "recipe")
    name, seed = values.get("name", ""), values.get("seed", 0)
    if not isinstance(name, str) or not name:
        raise ValueError(f"name: expected a word, got {name!r}")
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise ValueError(f"seed: expected a whole number from 0, got {seed!r}")
    sections = {key: _section(kind, key, values.get(key)) for key, kind in SECTIONS.items()}
    return Recipe(name=name, seed=seed, **sections)  # type: ignore[arg-type]


def recipe_to_dict(recipe: Recipe) -> dict[str, Any]:
    """Returns what `recipe_from_dict` makes the same recipe of."""
    return dataclasses.asdict(recipe)


def save_recipe(recipe: Recipe, path: Path) -> None:
    """Writes a YAML file that `load_recipe` reads."""
    path.write_text(yaml.safe_dump(recipe_to_dict(recipe), sort_keys=False), encoding="utf-8")


def _find(name: str) -> Path:
    if name.endswith((RECIPE_SUFFIX, ".yml")):
        path = Path(name).expanduser()
        if not path.is_file():
            raise ValueError(f"{path}: no such recipe file")
        return path
    if name not in recipe_names():
        raise ValueError(f"recipe {name!r}: expected a {RECIPE_SUFFIX} file or one of {', '.join(recipe_names())}")
    return RECIPES / f"{name}{RECIPE_SUFFIX}"


def _mapping(values: Any, name: str) -> dict[str, Any]:
    if values is None:
        return {}
    if not isinstance(values, Mapping) or not all(isinstance(key, str) for key in values):
        raise ValueError(f"{name}: expected names with values, got {values!r}")
    return dict(values)


def _section(kind: type[Settings], name: str, values: Any) -> Settings:
    given = _mapping(values, name)
    known = [field.name for field in dataclasses.fields(kind)]
    for key in given:
        _known(key, known, name)
    try:
        return kind(**given)
    except ValueError as error:
        raise ValueError(f"{name}.{error}") from error


def _known(key: str, known: Sequence[str], where: str) -> None:
    if key not in known:
        near = difflib.get_close_matches(key, known, 1, 0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(known)}"
        raise ValueError(f"{where}: unknown key {key!r}; {hint}")


def _overridden(values: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    for text in overrides:
        key, equals, value = text.partition("=")
        section, dot, name = key.partition(".")
        if not equals or (dot and not name):
            raise ValueError(f"{text!r}: expected section.key=value, for example length.steps=1000")
        try:
            parsed = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise ValueError(f"{text!r}: {value!r} is no value") from error
        _known(section, _TOP, "recipe")
        if dot:
            parsed = {**_mapping(values.get(section), section), name: _number(parsed)}
        values = {**values, section: parsed}
    return values


def _number(value: Any) -> Any:
    """YAML 1.1 reads 1e-4, which has no dot, as a word."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value
