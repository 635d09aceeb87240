"""Stand-in for launch.events.process."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ProcessExited:
    """A process has ended.

    Attributes:
        returncode: Its exit code; negative: the signal that ended it.
    """

    returncode: int
