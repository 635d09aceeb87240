"""Pace of what follows image stamps: a limit for its rate, and how long it lasts."""

from __future__ import annotations

_JITTER_S = 1e-3  # stamps of a 30 Hz camera are not exactly a thirtieth of a second apart
_SHORTEST_S, _LONGEST_S = 2.0, 30.0  # lifetimes on display


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


class Lifetime:
    """How long a marker stays on display that nobody renews, so that a node that dies leaves no people behind.

    Three times as long as two images lie apart: a few may be lost on the way, or take longer.
    """

    def __init__(self) -> None:
        self._stamp_s: float | None = None

    def renewed(self, stamp_s: float) -> float:
        """Returns the lifetime [s] of the markers of the image with this stamp."""
        apart_s = stamp_s - self._stamp_s if self._stamp_s is not None else _LONGEST_S
        self._stamp_s = stamp_s
        return min(max(3.0 * apart_s, _SHORTEST_S), _LONGEST_S)
