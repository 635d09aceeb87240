"""Recipe: every number that decides what a training run does, as settings with a YAML file."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ros2_multihmr.settings import Settings
from ros2_multihmr.training.augment import AugmentConfig
from ros2_multihmr.training.crop_losses import CropLossWeights
from ros2_multihmr.training.crop_recipe import CropNetworkSettings, EstimateSettings, check_crop_losses
from ros2_multihmr.training.losses import LossWeights
from ros2_multihmr.training.recipe_sections import DataSettings, LengthSettings, NetworkSettings, OptimiserSettings
from ros2_multihmr.training.targets import TargetConfig

RECIPES = Path(__file__).parent / "recipes"
RECIPE_SUFFIX = ".yaml"


@dataclass(frozen=True)
class Recipe:
    """One training run, of whatever network.

    Attributes:
        name: Name of the weights that come out.
        seed: What everything random is drawn from.
        data, augment, targets, optimiser, length: The settings.
    """

    name: str
    seed: int
    data: DataSettings
    augment: AugmentConfig
    targets: TargetConfig
    optimiser: OptimiserSettings
    length: LengthSettings

    @property
    def kind(self) -> str:
        """What is trained, one of `KINDS`."""
        return next(name for name, kind in KINDS.items() if isinstance(self, kind))

    @property
    def body(self) -> str:
        """The body's name, see `body.create_body`."""
        raise NotImplementedError


@dataclass(frozen=True)
class SingleShotRecipe(Recipe):
    """A training run of Multi-HMR.

    Attributes:
        network, losses: The settings.
    """

    network: NetworkSettings
    losses: LossWeights

    @property
    def body(self) -> str:
        """The body's name."""
        return self.network.body


@dataclass(frozen=True)
class MultiCropRecipe(Recipe):
    """A training run of the second look.

    Attributes:
        network, estimates, losses: The settings.
    """

    network: CropNetworkSettings
    estimates: EstimateSettings
    losses: CropLossWeights

    @property
    def body(self) -> str:
        """The body's name."""
        return self.network.body

    def __post_init__(self) -> None:
        """Checks what spans sections.

        Raises:
            ValueError: The network cannot have a loss that is wanted.
        """
        check_crop_losses(self.network, self.losses)


_SHARED: dict[str, type[Settings]] = {
    "data": DataSettings,
    "augment": AugmentConfig,
    "targets": TargetConfig,
    "optimiser": OptimiserSettings,
    "length": LengthSettings,
}
KINDS: dict[str, type[Recipe]] = {"single_shot": SingleShotRecipe, "multi_crop": MultiCropRecipe}
SECTIONS: dict[str, dict[str, type[Settings]]] = {
    "single_shot": {"network": NetworkSettings, "losses": LossWeights, **_SHARED},
    "multi_crop": {
        "network": CropNetworkSettings,
        "estimates": EstimateSettings,
        "losses": CropLossWeights,
        **_SHARED,
    },
}


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
    kind = _kind(values)
    for key in values:
        _known(key, _names(kind), "recipe")
    name, seed = values.get("name", ""), values.get("seed", 0)
    if not isinstance(name, str) or not name:
        raise ValueError(f"name: expected a word, got {name!r}")
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise ValueError(f"seed: expected a whole number from 0, got {seed!r}")
    sections = {key: _section(settings, key, values.get(key)) for key, settings in SECTIONS[kind].items()}
    return KINDS[kind](name=name, seed=seed, **sections)  # type: ignore[arg-type]


def recipe_to_dict(recipe: Recipe) -> dict[str, Any]:
    """Returns what `recipe_from_dict` makes the same recipe of."""
    values = dataclasses.asdict(recipe) | {"kind": recipe.kind}
    return {name: values[name] for name in _names(recipe.kind)}


def save_recipe(recipe: Recipe, path: Path) -> None:
    """Writes a YAML file that `load_recipe` reads."""
    path.write_text(yaml.safe_dump(recipe_to_dict(recipe), sort_keys=False), encoding="utf-8")


def _kind(values: Mapping[str, Any]) -> str:
    """What is trained: of recipes that do not say, Multi-HMR."""
    kind = values.get("kind", next(iter(KINDS)))
    if kind not in KINDS:
        raise ValueError(f"kind: expected one of {', '.join(KINDS)}; got {kind!r}")
    return str(kind)


def _names(kind: str) -> tuple[str, ...]:
    """A recipe's keys."""
    return ("kind", "name", "seed", *SECTIONS[kind])


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
        _known(section, _names(_kind(values)), "recipe")
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
