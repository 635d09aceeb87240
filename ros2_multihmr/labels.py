"""Words in pictures: labels of people, and notes in plain words."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

Picture = NDArray[np.uint8]

UNTRAINED_NOTE = "UNTRAINED WEIGHTS: do not use"

_FONT = cv2.FONT_HERSHEY_DUPLEX
_WHITE = (255, 255, 255)
_DARK = (25, 25, 25)
_STRIP = (150, 20, 20)


def text_scale(width: int, height: int) -> float:
    """Returns the scale at which text is readable in a picture of this size."""
    return max(0.35, min(width, height) / 1000.0)


def draw_label(picture: Picture, text: str, place: tuple[float, float], color: ArrayLike, scale: float) -> None:
    """Draws a label on a coloured plate (red, green, blue, 0 to 1), above a place [px] but inside the picture."""
    (width, height), _ = cv2.getTextSize(text, _FONT, scale, 1)
    pad = max(2, round(6 * scale))
    size = np.array([width + 2 * pad, height + 2 * pad])
    room = np.maximum(np.array([picture.shape[1], picture.shape[0]]) - size, 0)
    corner = np.clip(np.array([place[0] - size[0] / 2.0, place[1] - size[1] - pad]), 0, room).astype(int)
    plate = tuple(int(255 * value) for value in np.asarray(color, np.float64))
    cv2.rectangle(picture, corner.tolist(), (corner + size).tolist(), plate, cv2.FILLED, cv2.LINE_AA)
    cv2.putText(picture, text, (corner + (pad, pad + height)).tolist(), _FONT, scale, _DARK, 1, cv2.LINE_AA)


def draw_note(picture: Picture, text: str, scale: float) -> None:
    """Writes words over a strip at the lower edge, smaller where they would not fit."""
    width, pad = cv2.getTextSize(text, _FONT, scale, 1)[0][0], round(14 * scale)
    scale *= min(1.0, max(picture.shape[1] - 2 * pad, 1) / max(width, 1))
    height = cv2.getTextSize(text, _FONT, scale, 1)[0][1]
    top = max(picture.shape[0] - height - 2 * pad, 0)
    picture[top:] = picture[top:] * 0.25 + np.array(_STRIP) * 0.75
    cv2.putText(picture, text, (pad, picture.shape[0] - pad), _FONT, scale, _WHITE, 1, cv2.LINE_AA)
