"""Where garments lie on the body: fields that are positive on what they cover, and zero along their borders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ros2_multihmr.synthesis.figure import Spots
from ros2_multihmr.synthesis.outfit import Garment

Array = NDArray[np.floating[Any]]
Ends = tuple[float, ...]
_OFF, _ON = -0.1, 0.1  # of the field where a garment never or always is


def covers(garment: Garment, at: Spots) -> Array:
    """Returns (N,) a field: positive where a garment lies, negative elsewhere, linear across its borders."""
    return KINDS[garment.kind](at, garment.ends)


def _trousers(at: Spots, ends: Ends) -> Array:
    """Ends: the waist's height, the legs' length."""
    waist, length = ends
    on = at.is_part("hips", "torso", "thigh", "shin", "foot")
    return _only(on, np.minimum(waist - at.trunk, length - at.leg))


def _shirt(at: Spots, ends: Ends) -> Array:
    """Ends: the hem's height, the sleeves' length, the neckline's distance from the neck's root [m]."""
    hem, sleeve, neckline = ends[:3]
    field = np.where(at.arm >= 0, sleeve - at.arm, at.trunk - hem)
    field = np.where(at.is_part("head"), 0.99 - at.trunk, field)
    return np.minimum(field, 4 * (at.neck_m - neckline))


def _jacket(at: Spots, ends: Ends) -> Array:
    """Ends: as a shirt's, then half of the opening's width [m]."""
    beside = np.maximum(np.abs(at.point[:, 0]) - ends[3], at.point[:, 1] - 0.02)
    return np.minimum(_shirt(at, ends), 4 * beside) if ends[3] > 0 else _shirt(at, ends)


def _shoes(at: Spots, ends: Ends) -> Array:
    """Ends: where the shaft begins."""
    return np.where(at.is_part("foot"), np.maximum(at.leg - ends[0], _ON), at.leg - ends[0])


def _socks(at: Spots, ends: Ends) -> Array:
    """Ends: where they begin."""
    return at.leg - ends[0]


def _gloves(at: Spots, ends: Ends) -> Array:
    """Ends: where they begin."""
    return np.where(at.is_part("hand"), np.maximum(at.arm - ends[0], _ON), at.arm - ends[0])


def _hair(at: Spots, ends: Ends) -> Array:
    """Ends: the hairline's height above the forehead's middle [m]."""
    x, y, z = at.point.T
    forehead = z - 0.07 - ends[0] + 0.2 * np.abs(x)
    behind_ears = np.minimum(y + 0.04, z + 0.005 + 1.1 * np.clip(y, 0.0, 0.08))
    ears = np.where((np.abs(y) < 0.035) & (np.abs(z) < 0.04), 0.079 - np.abs(x), _ON)
    return _only(at.is_part("head") & ~at.eye, np.minimum(np.maximum(forehead, behind_ears), ears))


def _long_hair(at: Spots, ends: Ends) -> Array:
    """Ends: how far it goes above the ears [m], usually below zero; behind them."""
    x, y, z = at.point.T
    behind = np.minimum(np.minimum(y - 0.015, 0.13 - np.abs(x)), z - ends[0])
    return _only(at.is_part("head", "torso"), behind)


def _hat(at: Spots, ends: Ends) -> Array:
    """Ends: the brim's height above the ears [m], how much it falls to the back."""
    _, y, z = at.point.T
    return _only(at.is_part("head"), z - ends[0] + ends[1] * y)


def _beard(at: Spots, ends: Ends) -> Array:
    """Ends: how far above the mouth it goes on the cheeks [m]."""
    _, y, z = at.point.T
    high = -0.05 + ends[0] - 0.2 * (y + 0.09)
    low = np.minimum(np.minimum(high - z, z + 0.125), np.minimum(-0.01 - y, at.neck_m - 0.06))
    return _only(at.is_part("head"), np.minimum(low, at.mouth_m - 0.016))


def _lips(at: Spots, ends: Ends) -> Array:
    """Ends: how far from the mouth's middle [m]."""
    return _only(at.is_part("head"), ends[0] - at.mouth_m)


def _eyes(at: Spots, ends: Ends) -> Array:
    return np.where(at.eye, _ON, _OFF)


def _only(on: NDArray[np.bool_], field: Array) -> Array:
    return np.where(on, field, np.minimum(field, _OFF))


KINDS: dict[str, Callable[[Spots, Ends], Array]] = {
    "trousers": _trousers,
    "shirt": _shirt,
    "jacket": _jacket,
    "shoes": _shoes,
    "socks": _socks,
    "gloves": _gloves,
    "hair": _hair,
    "long_hair": _long_hair,
    "hat": _hat,
    "beard": _beard,
    "lips": _lips,
    "eyes": _eyes,
}
