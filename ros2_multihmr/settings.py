"""Settings: frozen dataclasses whose fields carry what ROS parameters and the command line need.

A setting's default lives once, in the dataclass beside the code that reads it. ROS parameters, the YAML file's keys
and the command line's flags are made by walking the dataclass.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class SettingInfo:
    """What is known of one setting beside its name, type and default.

    Attributes:
        description: One sentence, with the unit.
        low: Smallest allowed value, None for no limit.
        high: Largest allowed value, None for no limit.
        choices: Allowed values, or words of a tuple; empty for any.
        runtime: True if it may change while the node is active.
    """

    description: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    runtime: bool = False


def setting(default: Any, description: str, **info: Any) -> Any:
    """Declares a dataclass field with its default and its `SettingInfo`."""
    return dataclasses.field(default=default, metadata={"setting": SettingInfo(description, **info)})


def setting_info(field: dataclasses.Field[Any]) -> SettingInfo:
    """Returns the `SettingInfo` of a field declared with `setting`."""
    info: SettingInfo = field.metadata["setting"]
    return info


def check_value(field: dataclasses.Field[Any], value: Any) -> None:
    """Raises ValueError if `value` is not allowed for a field declared with `setting`; a tuple holds words.

    Raises:
        ValueError: Wrong type, outside the range, or not one of the choices; says which values are allowed.
    """
    info, kind = setting_info(field), type(field.default)
    if kind is tuple:
        _check_words(field.name, info.choices, value)
        return
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not (isinstance(value, kind) or (kind is float and number)):
        raise ValueError(f"{field.name}: expected {kind.__name__}, got {value!r}")
    if info.choices and value not in info.choices:
        raise ValueError(f"{field.name}: expected one of {', '.join(info.choices)}; got {value!r}")
    if number and value != value:
        raise ValueError(f"{field.name}: expected a number, got NaN")
    if info.low is not None and value < info.low:
        raise ValueError(f"{field.name}: must be at least {info.low}, got {value!r}")
    if info.high is not None and value > info.high:
        raise ValueError(f"{field.name}: must be at most {info.high}, got {value!r}")


def _check_words(name: str, choices: tuple[str, ...], value: Any) -> None:
    if not isinstance(value, tuple) or not all(isinstance(word, str) for word in value):
        raise ValueError(f"{name}: expected a list of words, got {value!r}")
    wrong = [word for word in value if choices and word not in choices]
    if wrong:
        raise ValueError(f"{name}: expected words of {', '.join(choices)}; got {', '.join(wrong)}")


def checked(config: Any) -> Any:
    """Returns `config`, a dataclass of settings, after checking every value (see `check_value`)."""
    for field in dataclasses.fields(config):
        check_value(field, getattr(config, field.name))
    return config


@dataclass(frozen=True)
class Settings:
    """What every dataclass of settings inherits: none is made with a value that is not allowed."""

    def __post_init__(self) -> None:
        """Checks every value.

        Raises:
            ValueError: A value is not allowed; says which ones are.
        """
        checked(self)
