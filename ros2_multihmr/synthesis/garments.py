"""Where garments lie on the body, and the body pushed outwards under them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ros2_multihmr.synthesis.figure import Figure, Mask, Spots
from ros2_multihmr.synthesis.wardrobe import Garment, Outfit

Array = NDArray[np.float64]
Ends = tuple[float, ...]
_HAIR_SLOPE = 0.9  # the hairline falls from the forehead to the neck


def _trousers(at: Spots, ends: Ends) -> Mask:
    """Ends: the waist's height, the legs' length."""
    waist, length = ends
    trunk = at.is_part("hips", "torso") & (at.trunk < waist)
    return trunk | ((at.leg >= 0) & (at.leg < length) & (at.trunk < waist))


def _shirt(at: Spots, ends: Ends) -> Mask:
    """Ends: the hem's height, the sleeves' length, the neckline's distance from the neck's root [m]."""
    hem, sleeve, neckline = ends[:3]
    trunk = at.is_part("hips", "torso", "thigh") & (at.trunk > hem)
    sleeves = (at.arm >= 0) & (at.arm < sleeve)
    return (trunk | sleeves | (at.is_part("head") & (at.trunk < 0.99))) & (at.neck_m > neckline)


def _jacket(at: Spots, ends: Ends) -> Mask:
    """Ends: as a shirt's, then half of the opening's width [m]."""
    open_m = ends[3]
    front = (np.abs(at.point[:, 0]) < open_m) & (at.point[:, 1] < 0.02)
    return _shirt(at, ends) & ~front


def _shoes(at: Spots, ends: Ends) -> Mask:
    """Ends: where the shaft begins."""
    return (at.leg > ends[0]) | at.is_part("foot")


def _socks(at: Spots, ends: Ends) -> Mask:
    """Ends: where they begin."""
    return at.leg > ends[0]


def _gloves(at: Spots, ends: Ends) -> Mask:
    return at.is_part("hand")


def _scalp(at: Spots, line_m: float) -> Mask:
    x, y, z = at.point.T
    return at.is_part("head") & (z > line_m - _HAIR_SLOPE * y - 0.25 * (y < 0.0) * np.abs(x)) & (z > -0.1) & ~at.eye


def _hair(at: Spots, ends: Ends) -> Mask:
    """Ends: the hairline's height above the ears [m]."""
    return _scalp(at, ends[0])


def _long_hair(at: Spots, ends: Ends) -> Mask:
    """Ends: how far it goes below the ears [m], behind them."""
    behind = (at.point[:, 1] > 0.015) & (np.abs(at.point[:, 0]) < 0.13)
    return behind & (at.point[:, 2] > ends[0]) & at.is_part("head", "torso") & (at.arm < 0)


def _hat(at: Spots, ends: Ends) -> Mask:
    """Ends: as hair's."""
    return _scalp(at, ends[0]) & (at.point[:, 2] > 0.03)


def _beard(at: Spots, ends: Ends) -> Mask:
    """Ends: how far above the mouth it goes on the cheeks [m]."""
    _, y, z = at.point.T
    low = (z < -0.05 + ends[0] - 0.2 * (y + 0.09)) & (z > -0.125) & (y < -0.01) & (at.neck_m > 0.06)
    return at.is_part("head") & low & (at.mouth_m > 0.016)


def _lips(at: Spots, ends: Ends) -> Mask:
    """Ends: how far from the mouth's middle [m]."""
    return at.is_part("head") & (at.mouth_m < ends[0])


def _brows(at: Spots, ends: Ends) -> Mask:
    """Ends: how far from their middle lines [m]."""
    return at.is_part("head") & (at.brow_m < ends[0]) & ~at.eye


def _eyes(at: Spots, ends: Ends) -> Mask:
    return at.eye


KINDS: dict[str, Callable[[Spots, Ends], Mask]] = {
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
    "brows": _brows,
    "eyes": _eyes,
}


def region(garment: Garment, at: Spots) -> Mask:
    """Returns (N,) True where a garment lies."""
    return KINDS[garment.kind](at, garment.ends)


def materials_of_faces(outfit: Outfit, figure: Figure) -> NDArray[np.intp]:
    """Returns (F,) index into the outfit's materials."""
    material = np.zeros(len(figure.faces), np.intp)
    for garment in outfit.garments:
        material[region(garment, figure.middles)] = garment.material
    return material


def thickness(outfit: Outfit, figure: Figure) -> Array:
    """Returns (V,) how far clothes and hair stand off the skin [m]."""
    thick = np.zeros(len(figure.texture))
    for garment in outfit.garments:
        worn = region(garment, figure.vertices)
        thick[worn] = np.maximum(thick[worn], garment.thickness_m)
    return thick


def normals(vertices: Array, faces: NDArray[np.intp]) -> Array:
    """Returns (V, 3) unit normals of a mesh: the mean of the faces around, weighted by their area."""
    a, b, c = vertices[faces.T]
    across = np.cross(b - a, c - a)
    target = faces.T.ravel()
    sums = [np.bincount(target, np.tile(across[:, k], 3), len(vertices)) for k in range(3)]
    summed = np.stack(sums, 1)
    unit: Array = summed / np.maximum(np.linalg.norm(summed, axis=1, keepdims=True), 1e-12)
    return unit
