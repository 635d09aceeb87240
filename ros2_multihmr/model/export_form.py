"""What an exported network has been fixed to, which weights leave open."""

from __future__ import annotations

from typing import NamedTuple

from ros2_multihmr.model.token_window import TokenWindow


class ExportForm(NamedTuple):
    """The form of an exported network.

    Attributes:
        precision: What its backbone computes in: "float32", "float16" or "int8".
        batch: How many images it takes at once; None: any number.
        window: The tokens that it computes.
        max_humans: Slots for people in one image.
    """

    precision: str
    batch: int | None
    window: TokenWindow
    max_humans: int

    def text(self) -> str:
        """Returns the form in a few words."""
        quantised = ", quantised" if self.precision == "int8" else ""
        shape = f"{self.batch or 'any'} x 3 x {' x '.join(map(str, self.window.size_px))}"
        return (
            f"exported in {self.precision}{quantised}; input {shape} px, for images {self.window.images}; "
            f"{self.max_humans} slots for people"
        )
