"""One-Euro filters over many people and joints at once: causal, with a cutoff that rises with the rate of change.

The cutoff follows Casiez, Roussel and Vogel (CHI 2012): f = minimum + beta |rate|, the rate low-passed at 1 Hz. As
published, the filter lags by 1 / (2 pi f) behind a steady motion: more than a frame at every cutoff that calms somebody
who walks. So what moves is filtered about its trend (`follow_point`, `follow_rotation`): two equal poles at the cutoff,
which lag behind changes of the velocity only, and the rate is that at which it leaves its trend. Time steps may differ
and may be zero: then nothing changes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
_RATE_HZ = 1.0


class Trend(NamedTuple):
    """State of what is filtered about its trend.

    Attributes:
        value: (..., 3) points, or (..., 4) unit quaternions x, y, z, w.
        speed: (..., 3) their change per second; a rotation's about its own axes.
        rate: (..., 3) low-passed speed at which the measurements leave the trend.
    """

    value: Array
    speed: Array
    rate: Array


def lowpass(x: Array, y: Array, rate: Array, dt_s: float, cutoff_hz: float, beta: float) -> tuple[Array, Array]:
    """One step of the published filter, for what rests mostly.

    Args:
        x: (..., D) measurements.
        y: (..., D) the filtered values before.
        rate: (..., D) their low-passed change per second.
        dt_s: Time since then [s].
        cutoff_hz: Cutoff at rest [Hz].
        beta: How much the cutoff rises [Hz per unit/s], element by element.

    Returns:
        Filtered values and rates.
    """
    if dt_s == 0.0:
        return y, rate
    rate = rate + _gain(_RATE_HZ, dt_s) * ((x - y) / dt_s - rate)
    return y + _gain(cutoff_hz + beta * np.abs(rate), dt_s) * (x - y), rate


def follow_point(
    x: Array, ray: Array, before: Trend, dt_s: float, across_hz: float, along_hz: float, beta: float
) -> Trend:
    """One step for points; along the ray and across it, each with its own cutoff.

    Args:
        x: (N, 3) measured points.
        ray: (N, 3) unit rays from the camera.
        before: State before.
        dt_s: Time since then [s].
        across_hz: Cutoff across the ray for a steady motion [Hz]; 0: raw.
        along_hz: The same along the ray.
        beta: How much a cutoff rises for who leaves the trend [Hz per m/s].
    """
    expected = before.value + dt_s * before.speed
    off = x - expected
    rate = _rate(off, before, dt_s)
    value, speed = expected, before.speed
    for part, cutoff_hz in ((_along, along_hz), (_across, across_hz)):
        cutoff = np.where(cutoff_hz > 0.0, cutoff_hz + beta * _length(part(rate, ray)), np.inf)
        gain, speed_gain = _gains(cutoff, dt_s)
        value, speed = value + gain * part(off, ray), speed + speed_gain * part(off, ray)
    return Trend(value, speed, rate)


def follow_rotation(x: Array, before: Trend, dt_s: float, cutoff_hz: float, beta: float) -> Trend:
    """One step for rotations on SO(3).

    Args:
        x: (..., 4) measured unit quaternions.
        before: State before.
        dt_s: Time since then [s].
        cutoff_hz: Cutoff for a steady turn [Hz], more than 0.
        beta: How much it rises for what leaves the trend [Hz per rad/s].
    """
    expected = multiply(before.value, exponential(dt_s * before.speed))
    off = logarithm(multiply(conjugate(expected), x))
    rate = _rate(off, before, dt_s)
    gain, speed_gain = _gains(cutoff_hz + beta * _length(rate), dt_s)
    return Trend(multiply(expected, exponential(gain * off)), before.speed + speed_gain * off, rate)


def exponential(rotvecs: Array) -> Array:
    """Turns rotation vectors (..., 3) [rad] into unit quaternions (..., 4), x, y, z, w."""
    half = 0.5 * _length(rotvecs)
    quaternions = np.empty((*rotvecs.shape[:-1], 4), rotvecs.dtype)
    near_zero = half < 1e-6
    factor = np.where(near_zero, 0.5, 0.5 * np.sin(half) / np.where(near_zero, 1.0, half))
    quaternions[..., :3] = factor * rotvecs
    quaternions[..., 3:] = np.cos(half)
    return quaternions


def logarithm(quaternions: Array) -> Array:
    """Turns unit quaternions (..., 4) into the shorter rotation vectors (..., 3) [rad]."""
    vector, scalar = quaternions[..., :3], quaternions[..., 3:]
    sine = _length(vector)
    half = np.arctan2(sine, np.abs(scalar))
    factor = 2.0 * half / np.maximum(sine, 1e-12)
    rotvecs: Array = np.where(sine > 1e-9, np.copysign(factor, scalar), np.copysign(2.0, scalar)) * vector
    return rotvecs


def multiply(a: Array, b: Array) -> Array:
    """Returns the products (..., 4) of quaternions: first b's rotation, then a's."""
    ax, ay, az, aw = np.moveaxis(a, -1, 0)
    bx, by, bz, bw = np.moveaxis(b, -1, 0)
    product = np.empty(np.broadcast_shapes(a.shape, b.shape), np.result_type(a, b))
    product[..., 0] = aw * bx + ax * bw + ay * bz - az * by
    product[..., 1] = aw * by + ay * bw + az * bx - ax * bz
    product[..., 2] = aw * bz + az * bw + ax * by - ay * bx
    product[..., 3] = aw * bw - ax * bx - ay * by - az * bz
    return product


def conjugate(quaternions: Array) -> Array:
    """Returns the inverse rotations (..., 4)."""
    return quaternions * np.array([-1.0, -1.0, -1.0, 1.0], quaternions.dtype)


def _gain(cutoff_hz: Array | float, dt_s: float) -> Array:
    """Share of a measurement that a single pole takes in."""
    return np.asarray(1.0 - np.exp(-2 * np.pi * dt_s * np.asarray(cutoff_hz)))


def _gains(cutoff_hz: Array, dt_s: float) -> tuple[Array, Array]:
    """Of value and speed for two equal poles at the cutoff (fading memory); infinite: raw."""
    if dt_s == 0.0:
        return np.zeros_like(cutoff_hz), np.zeros_like(cutoff_hz)
    stays = np.exp(-2 * np.pi * dt_s * cutoff_hz)
    return 1.0 - stays**2, (1.0 - stays) ** 2 / dt_s


def _rate(off: Array, before: Trend, dt_s: float) -> Array:
    if dt_s == 0.0:
        return before.rate
    rate: Array = before.rate + _gain(_RATE_HZ, dt_s) * (off / dt_s - before.rate)
    return rate


def _along(vectors: Array, ray: Array) -> Array:
    along: Array = _dot(vectors, ray)[..., None] * ray
    return along


def _across(vectors: Array, ray: Array) -> Array:
    return vectors - _along(vectors, ray)


def _length(vectors: Array) -> Array:
    length: Array = np.sqrt(_dot(vectors, vectors))[..., None]
    return length


def _dot(a: Array, b: Array) -> Array:
    product: Array = np.einsum("...i,...i->...", a, b)
    return product
