"""Stand-in for ROS's launch: what a launch file consists of."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .actions import Action


class LaunchContext:
    """What is known while a launch file is evaluated.

    Attributes:
        launch_configurations: Values of the arguments.
        environment: Environment of the processes that come next; a copy, unlike the real one's.
        folder: Takes the parameter files written for the processes.
    """

    def __init__(self, arguments: Mapping[str, str] | None = None, folder: Path | None = None) -> None:
        self.launch_configurations = dict(arguments or {})
        self.environment = dict(os.environ)
        self.folder = folder or Path()


class LaunchDescription:
    """The actions of a launch file, in order."""

    def __init__(self, initial_entities: Iterable[Action] = ()) -> None:
        self.entities = list(initial_entities)

    def add_action(self, action: Action) -> None:
        """Add an action at the end."""
        self.entities.append(action)
