"""Pace: a limit for the rate of something that follows image stamps."""

from __future__ import annotations

_JITTER_S = 1e-3  # stamps of a 30 Hz camera are not exactly a thirtieth of a second apart


class Pace:
    """Keeps the rate of something that follows image stamps below a limit."""

    def __init__(self) -> None:
        self._due_s: float | None = None

    def is_due(self, stamp_s: float, rate_hz: float) -> bool:
        """True if the image with this stamp should be used; a rate of 0 uses all."""
        return rate_hz == 0.0 or self._due_s is None or stamp_s >= self._due_s - _JITTER_S

    def done(self, stamp_s: float, rate_hz: float) -> None:
        """Notes that the image with this stamp was used."""
        if rate_hz == 0.0:
            return
        # Counted from when it was due, not from when it came, so that the mean rate is the one asked for.
        due_s = stamp_s if self._due_s is None else self._due_s
        self._due_s = max(due_s + 1.0 / rate_hz, stamp_s)
