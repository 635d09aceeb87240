"""Motion filter: people who go on steadily now and turn then. Two constant-velocity Kalman filters each, mixed.

One takes a person to keep the velocity, the other to change it readily; how likely each is follows from what is seen
(interacting multiple models: Blom and Bar-Shalom, IEEE TAC 33(8), 1988). So a steady walker's velocity is sure and one
who turns is followed, and each velocity's covariance says which it is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ros2_multihmr.tracking.motion_state import Motion
from ros2_multihmr.tracking.symmetric import entries, full, inverse_and_determinant, squares

Array = NDArray[np.float64]
_STEADY = 0.04  # agility of who goes on steadily, part of that of who turns
_STAYS_S = np.array([2.0, 0.7])  # mean times for which somebody goes on steadily, and turns [s]
_FIRST = np.array([0.5, 0.5])


@dataclass(frozen=True)
class MotionFilter:
    """N people by two models each, steady and turning; float64, in one frame.

    Attributes:
        state: (N, 2, 6) position [m] and velocity [m/s].
        covariance: (N, 2, 6, 6).
        weight: (N, 2) how likely each model is; sums to 1.
        valid: (N,) True where the velocity is estimated, not merely assumed.
        agility: Spectral density of the acceleration of who turns [m^2/s^3].
    """

    state: Array
    covariance: Array
    weight: Array
    valid: NDArray[np.bool_]
    agility: float

    def __len__(self) -> int:
        return len(self.state)

    @staticmethod
    def begin(position: Array, covariance: Array, agility: float) -> MotionFilter:
        """Starts with (N, 3) positions and their (N, 3, 3) covariances, at a speed that is not known."""
        start = Motion.begin(position, covariance, agility)
        state = np.concatenate([start.position, start.velocity], axis=1)
        return MotionFilter(
            np.repeat(state[:, None], 2, axis=1),
            np.repeat(start.covariance[:, None], 2, axis=1),
            np.tile(_FIRST, (len(state), 1)),
            start.valid,
            agility,
        )

    @property
    def motion(self) -> Motion:
        """Position and velocity of both models together."""
        mean = (self.weight[..., None] * self.state).sum(axis=1)
        apart = self.state[:, 1] - self.state[:, 0]
        w = self.weight[:, :, None, None]
        spread = (w[:, 0] * w[:, 1]) * apart[:, :, None] * apart[:, None, :]
        covariance = (w * self.covariance).sum(axis=1) + spread
        return Motion(mean[:, :3], mean[:, 3:], covariance, self.valid, self.agility)

    def predicted(self, dt_s: float) -> MotionFilter:
        """Returns the motion after `dt_s` seconds, nobody seen meanwhile."""
        if dt_s == 0.0 or not len(self):
            return self
        mixed = self._mixed(_changes(dt_s))
        state, covariance = mixed.state.copy(), mixed.covariance.copy()
        state[..., :3] += dt_s * state[..., 3:]
        place, both, speed = covariance[..., :3, :3], covariance[..., :3, 3:], covariance[..., 3:, 3:]
        place += dt_s * (both + both.swapaxes(-1, -2)) + dt_s**2 * speed
        both += dt_s * speed
        noise = (self.agility * np.array([_STEADY, 1.0]))[:, None, None] * np.eye(3)
        place += noise * dt_s**3 / 3
        both += noise * dt_s**2 / 2
        speed += noise * dt_s
        covariance[..., 3:, :3] = both.swapaxes(-1, -2)
        return replace(mixed, state=state, covariance=covariance)

    def updated(self, position: Array, covariance: Array) -> MotionFilter:
        """Returns the motion after everybody was seen at (N, 3) positions with (N, 3, 3) covariances."""
        upper, determinant = inverse_and_determinant(entries(self.covariance[..., :3, :3] + covariance[:, None]))
        gain = self.covariance[..., :3] @ full(upper)
        off = position[:, None] - self.state[..., :3]
        posterior = self.covariance - gain @ self.covariance[..., :3, :]
        likelihood = -0.5 * (squares(upper, *np.moveaxis(off, -1, 0)) + np.log(determinant))
        weight = self.weight * np.exp(likelihood - likelihood.max(axis=1, keepdims=True, initial=-np.inf))
        return replace(
            self,
            state=self.state + (gain @ off[..., None])[..., 0],
            covariance=(posterior + posterior.swapaxes(-1, -2)) / 2,  # rounding must not make it lopsided
            weight=weight / weight.sum(axis=1, keepdims=True),
        )

    def select(self, keep: NDArray[np.intp] | slice) -> MotionFilter:
        """Returns the people that `keep` names, indices or a slice."""
        return MotionFilter(self.state[keep], self.covariance[keep], self.weight[keep], self.valid[keep], self.agility)

    def join(self, *others: MotionFilter) -> MotionFilter:
        """Returns these people and then the others."""
        names = ("state", "covariance", "weight", "valid")
        return replace(self, **{n: np.concatenate([getattr(f, n) for f in (self, *others)]) for n in names})

    def _mixed(self, changes: Array) -> MotionFilter:
        """Each model goes on from where both were, as far as it may have been the other before."""
        weight = self.weight @ changes
        share = self.weight[:, :, None] * changes / weight[:, None, :]  # (N, from, to)
        state = share.swapaxes(1, 2) @ self.state
        apart = self.state[:, 1] - self.state[:, 0]
        spread = share.prod(axis=1)[..., None, None] * (apart[:, :, None] * apart[:, None])[:, None]
        flat = self.covariance.reshape(len(self), 2, -1)
        covariance = (share.swapaxes(1, 2) @ flat).reshape(self.covariance.shape) + spread
        return replace(self, state=state, covariance=covariance, weight=weight)


def _changes(dt_s: float) -> Array:
    """(2, 2) probabilities to go from one model to the other within a time."""
    rates = 1.0 / _STAYS_S
    rest = rates[::-1] / rates.sum()  # of each model in the long run
    fades = np.exp(-dt_s * rates.sum())
    return np.asarray(fades * np.eye(2) + (1.0 - fades) * rest)
