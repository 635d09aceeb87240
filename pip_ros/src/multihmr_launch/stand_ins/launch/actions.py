"""Stand-in for launch.actions: what a launch file can do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from . import LaunchContext
from .conditions import IfCondition
from .substitutions import perform


class Action:
    """Something to be done, if its condition holds."""

    def __init__(self, *, condition: IfCondition | None = None) -> None:
        self.condition = condition

    def visit(self, context: LaunchContext) -> Sequence[Action]:
        """Do it if the condition holds; return the actions that follow from it."""
        if self.condition is not None and not self.condition.evaluate(context):
            return ()
        return self.execute(context) or ()

    def execute(self, context: LaunchContext) -> Sequence[Action] | None:
        """Do it, whatever the condition says; return the actions that follow from it."""
        return None


class DeclareLaunchArgument(Action):
    """Declares an argument of the launch file."""

    def __init__(
        self,
        name: str,
        *,
        default_value: Any = None,
        description: str = "",
        choices: Sequence[str] | None = None,
        **action: Any,
    ) -> None:
        super().__init__(**action)
        self.name, self.default_value, self.description, self.choices = name, default_value, description, choices

    def execute(self, context: LaunchContext) -> None:
        """Set the argument to its default if nobody gave it.

        Raises:
            RuntimeError: no value and no default, or a value that is no choice.
        """
        known = context.launch_configurations
        if self.name not in known:
            if self.default_value is None:
                raise RuntimeError(f"Required launch argument {self.name!r} was not provided.")
            known[self.name] = perform(context, self.default_value)
        if self.choices is not None and known[self.name] not in self.choices:
            raise RuntimeError(
                f"Argument {self.name!r} provided value {known[self.name]!r} is not valid. "
                f"Valid options are: {', '.join(map(repr, self.choices))}"
            )


class SetEnvironmentVariable(Action):
    """Sets a variable for the processes that come after it."""

    def __init__(self, name: Any, value: Any, **action: Any) -> None:
        super().__init__(**action)
        self.name, self.value = name, value

    def execute(self, context: LaunchContext) -> None:
        """Set it."""
        context.environment[perform(context, self.name)] = perform(context, self.value)


class OpaqueFunction(Action):
    """Calls a function that returns further actions."""

    def __init__(
        self,
        *,
        function: Callable[..., Any],
        args: Iterable[Any] = (),
        kwargs: dict[str, Any] | None = None,
        **action: Any,
    ) -> None:
        super().__init__(**action)
        self.function, self.args, self.kwargs = function, list(args), dict(kwargs or {})

    def execute(self, context: LaunchContext) -> Sequence[Action] | None:
        """Call it."""
        result: Sequence[Action] | None = self.function(context, *self.args, **self.kwargs)
        return result


class Shutdown(Action):
    """Ends everything; here only as `on_exit` of a node."""

    def __init__(self, *, reason: str = "reason not given", **action: Any) -> None:
        super().__init__(**action)
        self.reason = reason
