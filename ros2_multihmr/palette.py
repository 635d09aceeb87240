"""Colours of people: one per id, the same in pictures and in RViz."""

from __future__ import annotations

import colorsys

_GOLDEN_RATIO = 0.618033988749895


def color_of(identity: int) -> tuple[float, float, float]:
    """Returns the colour of a person's id as red, green, blue, 0 to 1.

    Hues advance by the golden ratio, so ids that follow each other look different and none repeats soon.
    """
    hue = (0.962 + identity * _GOLDEN_RATIO) % 1.0
    saturation = (0.6, 0.75, 0.5)[identity % 3]
    return colorsys.hsv_to_rgb(hue, saturation, 0.95)
