"""`multihmr convert`: weights, official ones too, to a file that opens without pickle."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.markup import escape

from ros2_multihmr.files.folders import file_beside
from ros2_multihmr.report import open_console
from ros2_multihmr.settings import Settings, setting


@dataclass(frozen=True)
class Options(Settings):
    """Converts a weights file to safetensors, with its configuration inside."""

    weights: str = setting("", "Weights file: an official checkpoint (.pt) or one of this package")
    out: str = setting("", "File to write, ending in .safetensors; empty: beside the weights, with that ending")
    half: bool = setting(False, "Store 16-bit numbers: half the size, about three digits")
    padding: str = setting(
        "keep",
        "What padding auto means for these weights: square: padded with black; cut: without the padding's tokens",
        choices=("keep", "square", "cut"),
    )


def main(options: Options) -> int:
    """Runs the verb."""
    from ros2_multihmr.model.convert import convert_weights

    source, console = Path(options.weights).expanduser(), open_console()
    out = file_beside(source, options.out, ".safetensors")
    with console.status(f"Converting {escape(str(source))}"):
        summary = convert_weights(source, out, half=options.half, padding=options.padding)
    console.print(f"[green]{escape(str(out))}[/]: {escape(summary.text())}", highlight=False)
    return 0
