"""Stand-in for launch.substitutions: texts that are worked out while the launch file is evaluated."""

from __future__ import annotations

from collections.abc import Sequence

from . import LaunchContext


class Substitution:
    """A text known only when asked for."""

    def perform(self, context: LaunchContext) -> str:
        """Return the text."""
        raise NotImplementedError


class LaunchConfiguration(Substitution):
    """The value of a launch argument."""

    def __init__(self, variable_name: str) -> None:
        self.variable_name = variable_name

    def perform(self, context: LaunchContext) -> str:
        """Return the value. Raises LookupError if there is no such argument."""
        try:
            return context.launch_configurations[self.variable_name]
        except KeyError:
            raise LookupError(f"launch configuration {self.variable_name!r} does not exist") from None


def perform(context: LaunchContext, value: str | Substitution | Sequence[str | Substitution]) -> str:
    """Return the text of a value: a text, a substitution, or a list of both to be put one after the other."""
    if isinstance(value, Substitution):
        return value.perform(context)
    return value if isinstance(value, str) else "".join(perform(context, part) for part in value)
