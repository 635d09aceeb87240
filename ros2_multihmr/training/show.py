"""A run on the terminal: how far it is, how fast, and how its loss goes."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from ros2_multihmr.training import checkpoints
from ros2_multihmr.training.recipe_sections import LengthSettings

_SHOWN = (
    *("loss", "precision", "recall", "start_pve_mm", "pve_mm", "start_hands_mm", "hands_mm", "mpjpe_mm"),
    *("depth_percent", "root_deg", "camera", "contrastive", "images_per_s"),
)


class TrainingDisplay:
    """A bar with the time that is left, and a line of numbers now and then."""

    def __init__(self, console: Console, length: LengthSettings) -> None:
        """Makes the display; it appears when it is entered.

        Args:
            console: Where; a quiet one shows nothing.
            length: When the run is over.
        """
        self._console, self._length = console, length
        columns = (TextColumn("step {task.fields[step]}"), BarColumn(), TextColumn("{task.percentage:.1f} %"))
        left = TextColumn("[cyan]{task.fields[left]} left")
        self._bar = Progress(*columns, TimeElapsedColumn(), left, console=console, disable=console.quiet)
        self._task = self._bar.add_task("", total=1.0, step=0, left="?")

    def __enter__(self) -> TrainingDisplay:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, progress: checkpoints.Progress, values: Mapping[str, float]) -> None:
        """Shows where the run is and one line of its metrics."""
        done = self._length.part_done(progress.step, progress.elapsed_s)
        left_s = progress.elapsed_s * (1.0 - done) / done if done else 0.0
        self._bar.update(self._task, completed=done, step=progress.step, left=_duration(left_s) if done else "?")
        words = [f"{name} {value:.4g}" for name, value in values.items() if name.split()[-1] in _SHOWN]
        self._console.print(f"step {progress.step}: {', '.join(words)}", highlight=False)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"
