"""Motion: where people are, how they move, and how sure that is. A constant-velocity Kalman filter over all of them.

The acceleration is white noise of spectral density q, so that prediction over t adds q t^3 / 3 to a position's variance
and q t to a velocity's, the same in one step as in many: dropped and irregular frames change nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ros2_multihmr.uncertainty import UNKNOWN

Array = NDArray[np.float64]
_FIRST_SPEED_SIGMA = 1.0  # of somebody just seen [m/s]


class Path(NamedTuple):
    """Where people are going to be, if they go on.

    Attributes:
        times_s: (S,) from now [s].
        positions: (N, S, 3) [m].
        covariances: (N, S, 3, 3) of the positions [m^2].
    """

    times_s: Array
    positions: Array
    covariances: Array


@dataclass(frozen=True)
class Motion:
    """Position and velocity of N people, float64, in one frame.

    Attributes:
        position: (N, 3) halfway between the hips [m].
        velocity: (N, 3) [m/s]. Relative to the fixed frame if the tracker knows how the camera moves, otherwise to the
            camera; along the axes of the frame that the arrays are in.
        covariance: (N, 6, 6) of position and velocity.
        valid: (N,) True where the velocity is estimated, not merely assumed.
        agility: Spectral density of people's acceleration [m^2/s^3].
    """

    position: Array
    velocity: Array
    covariance: Array
    valid: NDArray[np.bool_]
    agility: float

    def __len__(self) -> int:
        return len(self.position)

    @staticmethod
    def begin(position: Array, covariance: Array, agility: float) -> Motion:
        """Starts with (N, 3) positions and their (N, 3, 3) covariances, at a speed that is not known."""
        full = np.zeros((len(position), 6, 6))
        full[:, :3, :3] = covariance
        full[:, 3:, 3:] = _FIRST_SPEED_SIGMA**2 * np.eye(3)
        return Motion(position, np.zeros_like(position), full, np.zeros(len(position), bool), agility)

    def predicted(self, dt_s: float) -> Motion:
        """Returns the motion after `dt_s` seconds, nobody seen meanwhile."""
        step = np.eye(6)
        step[:3, 3:] = dt_s * np.eye(3)
        noise = np.kron([[dt_s**3 / 3, dt_s**2 / 2], [dt_s**2 / 2, dt_s]], np.eye(3)) * self.agility
        return replace(
            self, position=self.position + dt_s * self.velocity, covariance=step @ self.covariance @ step.T + noise
        )

    def updated(self, position: Array, covariance: Array) -> Motion:
        """Returns the motion after everybody was seen at (N, 3) positions with (N, 3, 3) covariances."""
        gain = self.covariance[:, :, :3] @ np.linalg.inv(self.covariance[:, :3, :3] + covariance)
        change = (gain @ (position - self.position)[..., None])[..., 0]
        posterior = self.covariance - gain @ self.covariance[:, :3, :]
        return replace(
            self,
            position=self.position + change[:, :3],
            velocity=self.velocity + change[:, 3:],
            covariance=(posterior + posterior.transpose(0, 2, 1)) / 2,  # rounding must not make it lopsided
        )

    def in_frame(self, transform: Array) -> Motion:
        """Returns the motion in another frame: (4, 4) T_other_this."""
        rotation, translation = transform[:3, :3], transform[:3, 3]
        both = np.kron(np.eye(2), rotation)
        return replace(
            self,
            position=self.position @ rotation.T + translation,
            velocity=self.velocity @ rotation.T,
            covariance=both @ self.covariance @ both.T,
        )

    def path(self, horizon_s: float, steps: int) -> Path:
        """Predicts where everybody is going to be.

        Args:
            horizon_s: How far ahead the last step is [s].
            steps: Number of steps, evenly spaced; the first is not now but one step ahead.

        Raises:
            ValueError: The horizon or the number of steps is not positive.
        """
        if not horizon_s > 0.0 or steps < 1:
            raise ValueError(f"path: expected a horizon over 0 s and at least 1 step, got {horizon_s!r} s, {steps!r}")
        times = horizon_s * np.arange(1, steps + 1) / steps
        t = times[:, None, None]
        place, mixed, speed = (
            self.covariance[:, None, rows, columns]
            for rows, columns in ((_PLACE, _PLACE), (_PLACE, _SPEED), (_SPEED, _SPEED))
        )
        covariances = place + t * (mixed + mixed.swapaxes(-1, -2)) + t**2 * speed + self.agility * t**3 / 3 * np.eye(3)
        return Path(times, self.position[:, None] + times[:, None] * self.velocity[:, None], covariances)

    def twist_covariance(self) -> Array:
        """Returns (N, 6, 6) covariances of linear and angular velocity; what is not estimated has 1e6."""
        full = np.tile(UNKNOWN * np.eye(6), (len(self), 1, 1))
        full[self.valid, :3, :3] = self.covariance[self.valid, 3:, 3:]
        return full

    def select(self, keep: NDArray[np.bool_] | NDArray[np.intp]) -> Motion:
        """Returns the people that `keep` names, a mask or indices."""
        return Motion(self.position[keep], self.velocity[keep], self.covariance[keep], self.valid[keep], self.agility)

    def join(self, other: Motion) -> Motion:
        """Returns these people and then the others."""
        names = ("position", "velocity", "covariance", "valid")
        return replace(self, **{name: np.concatenate([getattr(self, name), getattr(other, name)]) for name in names})


_PLACE, _SPEED = slice(0, 3), slice(3, 6)
