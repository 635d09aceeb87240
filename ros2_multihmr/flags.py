"""Command-line flags made from a dataclass of settings, as ROS parameters are."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar

import tyro

from ros2_multihmr.settings import setting_info

Config = TypeVar("Config")
REQUIRED, OPTIONAL = "(required)", "(optional)"


def parse_flags(
    kind: type[Config],
    args: Sequence[str],
    *,
    program: str,
    positional: Sequence[str] = (),
    optional: Sequence[str] = (),
    beside: str = "",
    elsewhere: Mapping[str, str] | None = None,
) -> Config:
    """Parses a command line into a dataclass of settings.

    Args:
        kind: Dataclass whose fields were declared with `setting`; its docstring becomes the help's first line.
        args: The words after the program's name.
        program: Its name, for the help.
        positional: Fields given without a flag, in this order; they must be given,
        optional: but for these, which come after the others.
        beside: What else there is, for the help.
        elsewhere: Settings that are no flags here, and how each is given.

    Raises:
        SystemExit: Help was asked for, or a flag is wrong; both are explained on the terminal.
        ValueError: A value is not allowed, or a setting is given as a flag that is given in another way.
    """
    _check_elsewhere(args, elsewhere or {})
    flags = tyro.cli(
        _flags(kind, positional, optional),
        args=list(args),
        prog=program,
        description="\n\n".join(filter(None, [(kind.__doc__ or "").partition("\n")[0], beside])),
    )
    return kind(**dataclasses.asdict(flags))


def _check_elsewhere(args: Sequence[str], elsewhere: Mapping[str, str]) -> None:
    for flag in (word.partition("=")[0] for word in args if word.startswith("--")):
        name = flag[2:].replace("-", "_")
        for setting in (name, name.removeprefix("no_")):
            if setting in elsewhere:
                raise ValueError(f"{flag} is no option; {elsewhere[setting]}")


def _flags(kind: type[Any], required: Sequence[str], optional: Sequence[str]) -> Any:
    """A dataclass with the same fields, in tyro's words."""
    fields = {field.name: field for field in dataclasses.fields(kind)}
    hints = dict.fromkeys(required, REQUIRED) | dict.fromkeys(optional, OPTIONAL)
    order = [*hints, *(name for name in fields if name not in hints)]
    return dataclasses.make_dataclass(
        kind.__name__,
        [(name, _flag_type(fields[name], hints.get(name)), *_default(fields[name], required)) for name in order],
        frozen=True,
    )


def _default(field: dataclasses.Field[Any], required: Sequence[str]) -> tuple[Any, ...]:
    return () if field.name in required else (dataclasses.field(default=field.default),)


def _flag_type(field: dataclasses.Field[Any], hint: str | None) -> Any:
    info = setting_info(field)
    kind: Any = type(field.default)
    several = kind is tuple
    if info.choices:
        kind = Literal[info.choices]
    elif several:
        kind = str
    if several:
        kind = tuple[kind, ...]
    limits = [
        f"{word} {value:g}" for word, value in (("at least", info.low), ("at most", info.high)) if value is not None
    ]
    text = f"{info.description}; {' and '.join(limits)}" if limits else info.description
    if hint:
        metavar = f"{field.name.upper()} ..." if type(field.default) is tuple else field.name.upper()
        metavar = metavar if hint == REQUIRED else f"[{metavar}]"
        return Annotated[kind, tyro.conf.Positional, tyro.conf.arg(help=text, metavar=metavar, help_behavior_hint=hint)]
    return Annotated[kind, tyro.conf.arg(help=text)]
