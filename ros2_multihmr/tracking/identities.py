"""Ids: bounded, and given to somebody else only after a while."""

from __future__ import annotations


class IdPool:
    """Ids 1 to `largest`: the smallest that is free and has rested.

    Args:
        largest: Largest id.
    """

    def __init__(self, largest: int) -> None:
        self._largest = largest
        self._used: set[int] = set()
        self._rests: dict[int, float] = {}

    def expire(self, stamp_s: float, cooldown_s: float) -> None:
        """Ends the rest of ids that were given back so long ago."""
        for number in [number for number, since in self._rests.items() if stamp_s - since >= cooldown_s]:
            del self._rests[number]

    def rests(self, number: int) -> bool:
        """True for an id that was given back a short while ago."""
        return number in self._rests

    def take(self) -> int:
        """Takes the smallest free id; if there is none, the one that has rested longest; 0 if all are in use."""
        taken = len(self._used) + len(self._rests)
        if taken < self._largest:
            number = next(n for n in range(1, taken + 2) if n not in self._used and n not in self._rests)
        elif self._rests:
            number = min(self._rests, key=lambda number: self._rests[number])
            del self._rests[number]
        else:
            return 0
        self._used.add(number)
        return number

    def release(self, number: int, stamp_s: float) -> None:
        """Gives an id back; it rests from now on."""
        self._used.remove(number)
        self._rests[number] = stamp_s

    def resume(self, number: int) -> None:
        """Takes an id that rests: its person is back."""
        del self._rests[number]
        self._used.add(number)
