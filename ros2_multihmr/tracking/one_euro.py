"""One-Euro filters over many people and joints at once: causal, with a cutoff that rises with the rate of change.

The cutoff follows Casiez, Roussel and Vogel (CHI 2012): f = minimum + beta |rate|, the rate low-passed at 1 Hz. As
published, the filter lags by 1 / (2 pi f) behind a steady motion: more than a frame at every cutoff that calms somebody
who walks. So what travels or turns is filtered about its trend (`follow_point`, `follow_rotation`): two equal poles at
the cutoff, which lag behind changes of the velocity only, and the rate is that at which it leaves its trend.

Limbs do not go on for long as they move: they swing about a posture, and whoever moves one ends it within tenths of a
second. So `follow_limb` expects of a limb what a critically damped spring does, which draws it back to where it was on
average of late: at the same lag, that leaves much less of the jitter than a trend does.

Time steps may differ and may be zero: then nothing changes.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ros2_multihmr.tracking.quaternions import conjugate, exponential, length, logarithm, multiply

Array = NDArray[np.floating]
_RATE_HZ = 1.0
_SPRING = 2 * math.pi * 1.1  # how stiffly a limb is drawn to its posture [rad/s]
_POSTURE_S = 0.65  # time over which a posture is averaged


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


class Limb(NamedTuple):
    """State of rotations that are filtered about a posture.

    Attributes:
        value: (..., 4) unit quaternions x, y, z, w.
        speed: (..., 3) their change per second, about their own axes [rad/s].
        rate: (..., 3) low-passed speed at which the measurements leave what is expected [rad/s].
        away: (..., 3) how far they are from the posture, about their own axes [rad].
    """

    value: Array
    speed: Array
    rate: Array
    away: Array


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
    rate = _rate(x - y, rate, dt_s)
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
    rate = _rate(off, before.rate, dt_s)
    value, speed = expected, before.speed
    for part, cutoff_hz in ((_along, along_hz), (_across, across_hz)):
        cutoff = np.where(cutoff_hz > 0.0, cutoff_hz + beta * length(part(rate, ray)), np.inf)
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
    rate = _rate(off, before.rate, dt_s)
    gain, speed_gain = _gains(cutoff_hz + beta * length(rate), dt_s)
    return Trend(multiply(expected, exponential(gain * off)), before.speed + speed_gain * off, rate)


def follow_limb(x: Array, before: Limb, dt_s: float, cutoff_hz: float, beta: float) -> Limb:
    """One step for rotations of limbs against what they hang on, about a posture.

    Args:
        x: (..., 4) measured unit quaternions.
        before: State before.
        dt_s: Time since then [s].
        cutoff_hz: Cutoff for what swings as expected [Hz], more than 0.
        beta: How much it rises for what does not [Hz per rad/s].
    """
    if dt_s == 0.0:
        return before
    (stays, moves), (pulls, lasts) = springing(dt_s)
    away, speed = stays * before.away + moves * before.speed, pulls * before.away + lasts * before.speed
    expected = multiply(before.value, exponential(away - before.away))
    off = logarithm(multiply(conjugate(expected), x))
    rate = _rate(off, before.rate, dt_s)
    gain = _gain(cutoff_hz + beta * length(rate), dt_s)
    step = gain * off
    forgets = math.exp(-dt_s / _POSTURE_S)
    speed += (1.0 - gain * gain) / dt_s * step  # what jumps, and is taken in at once, hardly goes on
    return Limb(multiply(expected, exponential(step)), speed, rate, forgets * (away + step))


def springing(dt_s: float) -> tuple[tuple[float, float], tuple[float, float]]:
    """Returns the matrix by which a time changes (way from the posture, speed): a critically damped spring's motion."""
    w, t, dies = _SPRING, dt_s, math.exp(-_SPRING * dt_s)
    return (dies * (1.0 + w * t), dies * t), (-dies * w * w * t, dies * (1.0 - w * t))


def _gain(cutoff_hz: Array, dt_s: float) -> Array:
    """Share of a measurement that a single pole takes in."""
    share: Array = 1.0 - np.exp(-2 * math.pi * dt_s * cutoff_hz)
    return share


def _gains(cutoff_hz: Array, dt_s: float) -> tuple[Array, Array]:
    """Of value and speed for two equal poles at the cutoff (fading memory); infinite: raw."""
    if dt_s == 0.0:
        return np.zeros_like(cutoff_hz), np.zeros_like(cutoff_hz)
    stays = np.exp(-2 * np.pi * dt_s * cutoff_hz)
    return 1.0 - stays**2, (1.0 - stays) ** 2 / dt_s


def _rate(off: Array, before: Array, dt_s: float) -> Array:
    if dt_s == 0.0:
        return before
    rate: Array = before + (1.0 - math.exp(-2 * math.pi * dt_s * _RATE_HZ)) * (off / dt_s - before)
    return rate


def _along(vectors: Array, ray: Array) -> Array:
    along: Array = np.einsum("...i,...i->...", vectors, ray)[..., None] * ray
    return along


def _across(vectors: Array, ray: Array) -> Array:
    return vectors - _along(vectors, ray)
