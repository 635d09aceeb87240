"""Sensor: from the light that reaches it to the picture that a robot's camera driver publishes."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

_BLACK = np.float32(0.02)  # darker than this is as good as black to the meter
_SHOULDER = 1.2  # how early highlights give in
_TONES, _BRIGHTEST = 8192, 1.5  # entries of the tone curve, up to the root of this light


@dataclass(frozen=True)
class Sensor:
    """One exposure.

    Attributes:
        exposure: Brightness of the image's mean after exposure, 0 to 1.
        white_balance: Gains of red, green and blue.
        gamma: Exponent of the tone curve; displays expect 1 / 2.2.
        contrast: Share of an S-shaped curve on top, 0 to 1.
        saturation: Of the colours, 1 for as they are.
        vignette: Loss of light in the corners, 0 to 1.
        shot: Standard deviation of the noise that grows with light, at full white.
        read: Standard deviation of the noise of the dark.
        blur_px: Standard deviation of the defocus.
        motion_px: (2,) way that the image moves during the exposure.
        sharpen: Strength of the unsharp mask.
        jpeg_quality: 1 to 100; 0 for no compression.
        seed: What noise is drawn from.
    """

    exposure: float = 0.4
    white_balance: tuple[float, float, float] = (1.0, 1.0, 1.0)
    gamma: float = 1 / 2.2
    contrast: float = 0.3
    saturation: float = 1.0
    vignette: float = 0.1
    shot: float = 0.01
    read: float = 0.003
    blur_px: float = 0.0
    motion_px: tuple[float, float] = (0.0, 0.0)
    sharpen: float = 0.0
    jpeg_quality: int = 0
    seed: int = 0


def sample_sensor(rng: np.random.Generator) -> Sensor:
    """Draws an exposure; most are good ones, some are dark, pale, blurred or noisy."""
    poor = rng.random() < 0.25
    warm, green = rng.normal(0.0, 0.07), rng.normal(0.0, 0.025)
    move, towards = rng.exponential(1.2) * (rng.random() < 0.25), rng.uniform(0.0, np.pi)
    return Sensor(
        exposure=float(np.clip(rng.normal(0.42, 0.07 + 0.06 * poor), 0.18, 0.7)),
        white_balance=(float(1.0 + warm), float(1.0 + green), float(1.0 - warm)),
        gamma=float(rng.uniform(0.40, 0.52)),
        contrast=float(rng.uniform(0.0, 0.6)),
        saturation=float(rng.uniform(0.0, 0.3) if rng.random() < 0.03 else rng.uniform(0.7, 1.25)),
        vignette=float(rng.uniform(0.0, 0.35)),
        shot=float(rng.uniform(0.002, 0.012) * (1 + 2.5 * poor)),
        read=float(rng.uniform(0.0005, 0.003) * (1 + 2.5 * poor)),
        blur_px=float(rng.uniform(0.2, 0.5) + poor * rng.exponential(0.4)),
        motion_px=(float(move * np.cos(towards)), float(move * np.sin(towards))),
        sharpen=float(max(rng.uniform(-0.5, 0.7), 0.0)),
        jpeg_quality=int(rng.integers(60, 97)),
        seed=int(rng.integers(0, 1 << 31)),
    )


def develop(light: Array, sensor: Sensor) -> NDArray[np.uint8]:
    """Returns the (H, W, 3) uint8 RGB picture that a sensor makes of linear light (H, W, 3)."""
    light = _smear(light, sensor)
    height, width = light.shape[:2]
    y, x = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]  # type: ignore[misc]
    fall = (1.0 - 0.5 * sensor.vignette * (x * x + y * y)).astype(np.float32)
    # Exposed for the geometric mean of the lower part: a window, a lamp or the sky does not black out the rest.
    metered = light[height // 4 :, :, 1]
    key = float(np.exp(np.mean(np.log(metered + _BLACK)))) - float(_BLACK)
    gain = sensor.exposure ** (1.0 / sensor.gamma) / max(key, 1e-3)
    light = light * (gain * np.array(sensor.white_balance, np.float32)) * fall[..., None]
    noise = np.random.default_rng(sensor.seed).standard_normal(light.shape, np.float32)
    spread = np.sqrt(np.float32(sensor.shot**2) * light + np.float32(sensor.read**2))
    tone = _tone(np.maximum(light + noise * spread, np.float32(0.0)), sensor)
    if sensor.sharpen:
        soft = np.asarray(cv2.GaussianBlur(tone, (0, 0), 1.0), np.float32)
        tone += np.float32(sensor.sharpen) * (tone - soft)
    picture = (255.0 * np.clip(tone, 0.0, 1.0) + 0.5).astype(np.uint8)
    return _compress(picture, sensor.jpeg_quality) if sensor.jpeg_quality else picture


def _smear(light: Array, sensor: Sensor) -> Array:
    if sensor.blur_px > 0.0:
        light = cv2.GaussianBlur(light, (0, 0), sensor.blur_px).astype(np.float32, copy=False)
    reach = float(np.hypot(*sensor.motion_px))
    if reach < 0.5:
        return light
    side = 2 * int(np.ceil(reach / 2)) + 1
    kernel = np.zeros((side, side), np.float32)
    for part in np.linspace(-0.5, 0.5, 4 * side):
        column, row = (round(side // 2 + part * step) for step in sensor.motion_px)
        kernel[row, column] += 1.0
    return cv2.filter2D(light, -1, kernel / kernel.sum()).astype(np.float32, copy=False)


def _tone(light: Array, sensor: Sensor) -> Array:
    """Tone curve with a soft shoulder, contrast and saturation; (H, W, 3) in [0, 1] about."""
    # Looked up by the light's root, by which the curve's steps are even: finer than the picture's own.
    root = np.arange(_TONES) * (_BRIGHTEST / (_TONES - 1))
    curve = np.minimum((1.0 - np.exp(-_SHOULDER * root**2)) / (1.0 - np.exp(-_SHOULDER)), 1.0) ** sensor.gamma
    curve += sensor.contrast * (curve * curve * (3.0 - 2.0 * curve) - curve)
    place = np.sqrt(light) * np.float32((_TONES - 1) / _BRIGHTEST) + np.float32(0.5)
    tone = curve.astype(np.float32)[np.minimum(place, np.float32(_TONES - 1)).astype(np.int32)]
    mix = sensor.saturation * np.eye(3) + (1.0 - sensor.saturation) / 3.0  # with the mean of the channels
    return np.asarray(tone @ mix.astype(np.float32), np.float32)


def _compress(picture: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    _, data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
    return np.ascontiguousarray(decoded[..., ::-1])
