"""The error of weights files."""

from __future__ import annotations


class WeightsError(ValueError):
    """A weights file is missing, damaged, or not what was expected. The text says what to do."""
