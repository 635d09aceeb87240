"""Lens distortion and its exact inverse, on the plane z = 1. The models are those of sensor_msgs/CameraInfo."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.polynomial import Polynomial
from numpy.typing import NDArray

Array = NDArray[np.float64]

COEFFICIENTS: dict[str, tuple[int, ...]] = {
    "": (),
    "plumb_bob": (4, 5),
    "rational_polynomial": (8,),
    "equidistant": (4,),
}
"""Distortion models and how many coefficients each may have."""

_NEWTON_STEPS = 40
_DELTA = 1e-7
_TOLERANCE = 1e-12  # of normalised coordinates: 1e-9 px at a focal length of 1000 px


class Distortion:
    """One lens: `distort` as OpenCV defines it, and `undistort`, its inverse to machine precision.

    OpenCV's own inverse stops after five fixed-point steps: in the corners .03 px off for a usual lens, 50 px for a
    strong one.
    """

    def __init__(self, model: str, d: tuple[float, ...]) -> None:
        self._top: tuple[float, ...]
        self._bottom: tuple[float, ...]
        self._equidistant = model == "equidistant"
        if self._equidistant:
            self._top, self._bottom = d, ()
            self._p1 = self._p2 = 0.0
        else:
            k1, k2, self._p1, self._p2, k3, k4, k5, k6 = d + (0.0,) * (8 - len(d))
            self._top, self._bottom = (k1, k2, k3), (k4, k5, k6)

    def distort(self, normalised: Array) -> Array:
        """Bends rays (..., 2) = (x / z, y / z); NaN beyond the radius where the model folds back."""
        with np.errstate(all="ignore"):
            seen = np.hypot(normalised[..., 0], normalised[..., 1]) < self._fold_radius
            return np.where(seen[..., None], self._formula(normalised), np.nan)

    def undistort(self, bent: Array) -> Array:
        """Inverse of `distort` by Newton's method; NaN where no ray arrives."""
        flat = bent.reshape(-1, 2)
        solved = np.full_like(flat, np.nan)
        todo = np.flatnonzero(np.isfinite(flat).all(axis=1))
        guess = self._inside(flat[todo], np.zeros_like(flat[todo]))
        for _ in range(_NEWTON_STEPS):
            value = self._formula(guess)
            error = flat[todo] - value
            done = (np.abs(error) < _TOLERANCE * (1.0 + np.abs(flat[todo]))).all(axis=1)
            solved[todo[done]] = guess[done]
            todo, guess, value, error = todo[~done], guess[~done], value[~done], error[~done]
            if len(todo) == 0:
                break
            guess = self._inside(guess + self._newton_step(guess, value, error), guess)
        return solved.reshape(bent.shape)

    def _newton_step(self, guess: Array, value: Array, error: Array) -> Array:
        ax, ay = ((self._formula(guess + (_DELTA, 0.0)) - value) / _DELTA).T
        bx, by = ((self._formula(guess + (0.0, _DELTA)) - value) / _DELTA).T
        ex, ey = error.T
        with np.errstate(all="ignore"):
            step: Array = np.stack([ex * by - ey * bx, ax * ey - ay * ex], axis=1) / (ax * by - ay * bx)[:, None]
        return step

    def _inside(self, wanted: Array, before: Array) -> Array:
        """Returns `wanted`, or a point halfway to the fold where it lies beyond."""
        radius = np.linalg.norm(wanted, axis=1, keepdims=True)
        with np.errstate(all="ignore"):
            halfway = wanted / radius * (np.linalg.norm(before, axis=1, keepdims=True) + self._fold_radius) / 2.0
        return np.where(radius < self._fold_radius, wanted, halfway)

    def _formula(self, normalised: Array) -> Array:
        x, y = normalised[..., 0], normalised[..., 1]
        r2 = x * x + y * y
        if self._equidistant:
            radius = np.sqrt(r2)
            angle = np.arctan(radius)
            ratio = angle * _series(self._top, angle * angle) / np.where(radius > 0.0, radius, 1.0)
            bent: Array = normalised * np.where(radius > 0.0, ratio, 1.0)[..., None]
            return bent
        ratio = _series(self._top, r2) / _series(self._bottom, r2)
        bent_x = x * ratio + 2.0 * self._p1 * x * y + self._p2 * (r2 + 2.0 * x * x)
        bent_y = y * ratio + 2.0 * self._p2 * x * y + self._p1 * (r2 + 2.0 * y * y)
        return np.stack([bent_x, bent_y], axis=-1)

    @cached_property
    def _fold_radius(self) -> float:
        """Radius |(x / z, y / z)| where the bent radius stops growing: rays beyond it would land in the image again."""
        top, bottom = _odd(self._top), _even(self._bottom)
        if self._equidistant:
            angle = _first_zero(top.deriv())
            return float(np.tan(angle)) if angle < np.pi / 2.0 else np.inf
        return min(_first_zero(top.deriv() * bottom - top * bottom.deriv()), _first_zero(bottom))


def _series(k: tuple[float, ...], x: Array) -> Array:
    """1 + k1 x + k2 x^2 + ..."""
    total = np.zeros_like(x)
    for coefficient in k[::-1]:
        total = (total + coefficient) * x
    return total + 1.0


def _even(k: tuple[float, ...]) -> Polynomial:
    """1 + k1 r^2 + k2 r^4 + ..."""
    coefficients = np.zeros(2 * len(k) + 1)
    coefficients[::2] = 1.0, *k
    return Polynomial(coefficients)


def _odd(k: tuple[float, ...]) -> Polynomial:
    """r (1 + k1 r^2 + k2 r^4 + ...)"""
    return _even(k) * Polynomial([0.0, 1.0])


def _first_zero(polynomial: Polynomial) -> float:
    roots = polynomial.trim().roots()
    real = roots.real[(np.abs(roots.imag) < 1e-9 * (1.0 + np.abs(roots.real))) & (roots.real > 0.0)]
    return float(real.min(initial=np.inf))
