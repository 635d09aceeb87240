"""Stand-in for launch.conditions: whether an action takes place."""

from __future__ import annotations

from typing import Any

from . import LaunchContext
from .substitutions import perform

_WORDS = {"true": True, "1": True, "false": False, "0": False}


class IfCondition:
    """Holds if a text says true (or 1)."""

    def __init__(self, predicate_expression: Any) -> None:
        self.predicate_expression = predicate_expression

    def evaluate(self, context: LaunchContext) -> bool:
        """Return whether it holds. Raises ValueError for a text that says neither true nor false."""
        text = perform(context, self.predicate_expression)
        try:
            return _WORDS[text.strip().lower()]
        except KeyError:
            raise ValueError(f"invalid condition expression {text!r}: expected true, false, 1 or 0") from None
