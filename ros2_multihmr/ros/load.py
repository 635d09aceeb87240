"""What gives way when the machine cannot keep up with `target_rate`: the display first, then images, evenly.

Nothing else can give way without other results: a network's position table is of one size, so the picture cannot
become smaller, and without its padding (`padding`) people are others where the weights were trained with it.
"""

from __future__ import annotations

import math
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

STEPS = (1.0, 1.0, 0.75, 0.5, 0.375, 0.25, 0.1875, 0.125)
"""Part of the target rate that is allowed, by level. From the second on, the display is slow."""
TOO_MUCH, EASY = 0.9, 0.7
"""Part of the time in which the worker is busy: above the one something gives way, below the other it comes back."""
DISPLAY_S = 1.0
_JUDGE_S, _JUDGE_IMAGES, _LONGEST_S = 1.0, 3, 5.0
_CALM_S, _CALMEST_S = 5.0, 80.0
_EARLY = 0.5  # an image may come half a period too early and is used all the same: what cameras send jitters
_LAST = len(STEPS) - 1


@dataclass(frozen=True)
class Load:
    """How the machine copes.

    Attributes:
        target_hz: What is asked for [Hz]; 0: nothing.
        level: How much gives way, an index of `STEPS`.
        busy: Part of the time that the worker is busy, or would have to be for the target: more than 1 is not possible.
            0: not known.
    """

    target_hz: float = 0.0
    level: int = 0
    busy: float = 0.0

    @property
    def allowed_hz(self) -> float:
        """Images used per second, at most [Hz]; 0: all."""
        return self.target_hz * STEPS[self.level]

    @property
    def facts(self) -> dict[str, str]:
        """Names and values for diagnostics."""
        return {
            "images allowed [Hz]": f"{self.allowed_hz:.3g}" if self.target_hz else "all",
            "worker busy": f"{self.busy:.0%}" if self.busy else "",
        }

    @property
    def problem(self) -> str:
        """What gives way and what to do about it, a sentence; empty if nothing does."""
        if not self.level:
            return ""
        target = f"target_rate {self.target_hz:g} Hz"
        what = (
            f"this machine cannot keep up with {target}: markers and overlay come once a second, "
            f"{self.allowed_hz:.3g} images per second are allowed at most"
            if STEPS[self.level] < 1.0
            else f"markers and overlay come once a second, which leaves time for {target}; they come back by "
            "themselves when there is time for them, too"
        )
        return f"{what}; lower target_rate, or see docs/performance.md for what makes the network faster"


class LoadRule:
    """Decides which images are used, and which the display gets, from how long they kept the worker busy.

    Times are those at which images come, on the clock handed in: load is a matter of the machine's time, so stamps that
    jump, repeat or run fast have no part in it. Safe to use from several threads.

    Args:
        clock: Returns seconds; when it goes back, time is taken to have stood still.
    """

    # These begin anew with every target.
    _level: int
    _busy: float
    _credit: float
    _credited_s: float
    _displayed_s: float

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._read_s, self._lost_s = clock(), 0.0
        self._start(0.0)

    @property
    def state(self) -> Load:
        """How the machine copes now."""
        with self._lock:
            return Load(self._target_hz, self._level, self._busy)

    def admits(self, target_hz: float) -> bool:
        """Notes that an image has come; says whether it is to be used.

        Args:
            target_hz: How many are wanted per second [Hz]; 0: all, whatever the load. Another one starts anew.
        """
        with self._lock:
            if target_hz != self._target_hz:
                self._start(target_hz)
            self._came += 1
            now_s = self._now_s()
            # An image costs one, so that the mean rate is kept; what is in store is bounded: no burst follows a pause.
            gained = (now_s - self._credited_s) * target_hz * STEPS[self._level]
            self._credit = min(1.0 + _EARLY, self._credit + gained)
            self._credited_s = now_s
            admitted = target_hz == 0.0 or self._credit >= _EARLY
            self._credit -= admitted
            return admitted

    def display_due(self) -> bool:
        """Says whether the display gets the image in work; to be asked once an image."""
        with self._lock:
            due = not self._level or self._now_s() >= self._displayed_s + DISPLAY_S
            if due:
                self._displayed_s = self._now_s()
            return due

    @contextmanager
    def work(self) -> Iterator[None]:
        """Takes the time of the work on one image, and judges; without a target, how busy the worker is, no more."""
        with self._lock:
            began_s = self._now_s()
        yield
        with self._lock:
            self._judge(self._now_s(), began_s)

    def _start(self, target_hz: float) -> None:
        self._target_hz, self._level, self._busy = target_hz, 0, 0.0
        self._credit, self._credited_s = 1.0, self._now_s()
        self._warm, self._displayed_s = False, -math.inf
        self._easy_s, self._calm_s, self._raised_s = 0.0, _CALM_S, -math.inf
        self._watch()

    def _watch(self) -> None:
        self._came, self._worked_s, self._since_s = 0, list[float](), self._now_s()

    def _now_s(self) -> float:
        read_s = self._clock()
        self._lost_s += max(0.0, self._read_s - read_s)
        self._read_s = read_s
        return read_s + self._lost_s

    def _judge(self, now_s: float, began_s: float) -> None:
        if not self._warm:  # the first image pays for what is done once
            self._warm = True
            return self._watch()
        self._worked_s.append(now_s - began_s)
        watched_s = now_s - self._since_s
        if watched_s < (_JUDGE_S if len(self._worked_s) >= _JUDGE_IMAGES else _LONGEST_S):
            return None
        if self._target_hz:
            self._give_way(watched_s, now_s)
        else:
            self._busy = math.fsum(self._worked_s) / watched_s
        return self._watch()

    def _give_way(self, watched_s: float, now_s: float) -> None:
        busy = self._busy_by_level(watched_s)
        self._busy = busy[self._level]
        if self._busy > TOO_MUCH:
            self._lower(busy, now_s)
        else:
            self._easy_s = self._easy_s + watched_s if self._level and busy[self._level - 1] < EASY else 0.0
            if self._easy_s >= self._calm_s:
                self._raise(busy, now_s)

    def _busy_by_level(self, watched_s: float) -> list[float]:
        """What part of the time the worker would be busy at each level, with images as expensive as these."""
        each_s, came_hz = statistics.median(self._worked_s), self._came / watched_s
        return [each_s * min(came_hz, self._target_hz * step) for step in STEPS]

    def _lower(self, busy: list[float], now_s: float) -> None:
        """Lets more give way: the display alone at first, whose part of the work nobody knows, then enough images."""
        self._easy_s = 0.0
        if self._level == _LAST:
            return
        deeper = range(self._level + 1, _LAST)
        self._level = next((level for level in deeper if not self._level or busy[level] <= TOO_MUCH), _LAST)
        # Whoever tried too early waits twice as long the next time.
        relapsed = now_s - self._raised_s < self._calm_s
        self._calm_s, self._raised_s = min(2.0 * self._calm_s, _CALMEST_S) if relapsed else _CALM_S, -math.inf

    def _raise(self, busy: list[float], now_s: float) -> None:
        """Takes back as much as fits, the display as the last, by itself."""
        self._level = next((level for level in range(1, self._level) if busy[level] < EASY), self._level - 1)
        self._easy_s, self._raised_s = 0.0, now_s
