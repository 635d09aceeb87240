"""Existence: is somebody who is not seen still there? Only hidden, or gone, or never there?

A person can be seen, is hidden, or is gone (a hidden Markov model, a Bernoulli filter with one state more: Ristic et
al., IEEE TSP 61(13), 2013). The detector finds those who can be seen as often as it found this very person; who is
hidden comes out again in about a second, so whoever stays away for longer is likely gone, or was a false detection.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
_HIDES_S, _HIDDEN_S, _LEAVES_S = 3.0, 1.5, 15.0  # mean times: in sight, hidden, until gone from amid the image
_FALSE = 0.005  # how readily a detection that is nobody's comes at this very place
_HITS, _TRIES = 8.0, 10.0  # what one expects of the detector before it has shown what it can do


@dataclass(frozen=True)
class Existence:
    """N people.

    Attributes:
        visible: (N,) probability that somebody can be seen.
        hidden: (N,) probability that somebody is there, but hidden.
        found: (N,) in how many images the person was found.
        tries: (N,) in how many the person could have been.
    """

    visible: Array
    hidden: Array
    found: Array
    tries: Array

    def __len__(self) -> int:
        return len(self.visible)

    @staticmethod
    def begin(scores: Array) -> Existence:
        """Starts with detections; a score is taken for a probability."""
        ones = np.ones(len(scores))
        return Existence(scores.astype(np.float64), 0.0 * ones, ones, ones)

    @property
    def there(self) -> Array:
        """(N,) probability that the person is there."""
        return self.visible + self.hidden

    @property
    def detection(self) -> Array:
        """(N,) probability that the detector finds the person when nothing hides the person."""
        return (self.found + _HITS) / (self.tries + _TRIES)

    def predicted(self, dt_s: float) -> Existence:
        """Returns what is to be expected after some time."""
        change = 1.0 - np.exp(-dt_s * (1.0 / _HIDES_S + 1.0 / _HIDDEN_S))
        rest = _HIDDEN_S / (_HIDES_S + _HIDDEN_S)  # part of the time for which people are hidden
        stays = np.exp(-dt_s / _LEAVES_S)
        hidden = self.hidden + change * (rest * self.there - self.hidden)
        return Existence(stays * (self.there - hidden), stays * hidden, self.found, self.tries)

    def seen(self, scores: Array) -> Existence:
        """Returns what is known after all were found, with (N,) scores."""
        right = self.visible * self.detection * scores
        wrong = (1.0 - self.there) * _FALSE * (1.0 - scores)
        visible = right / np.maximum(right + wrong, 1e-12)
        return Existence(visible, 0.0 * visible, self.found + 1.0, self.tries + 1.0)

    def missed(self) -> Existence:
        """Returns what is known after none was found."""
        left = self.visible * (1.0 - self.detection)
        total = np.maximum(left + self.hidden + (1.0 - self.there), 1e-12)
        visible = left / total
        return Existence(visible, self.hidden / total, self.found, self.tries + visible)

    def select(self, keep: NDArray[np.intp] | slice) -> Existence:
        """Returns the people that `keep` names, indices or a slice."""
        return Existence(self.visible[keep], self.hidden[keep], self.found[keep], self.tries[keep])

    def join(self, *others: Existence) -> Existence:
        """Returns these people and then the others."""
        parts = (np.concatenate([getattr(e, f.name) for e in (self, *others)]) for f in fields(self))
        return Existence(*parts)
