"""Cameras of crops: one person, several crops of one image, and what each says of where the person is.

A crop's local camera is weak perspective: scale s and offset (tx, ty). It puts the body's root at c + b s / 2 (tx, ty)
in the image, where c is the crop's middle and b its long side, and shows a metre there as b s / 2 pixels across. All
crops see one body through one full camera, so their local cameras are tied to it and to each other in closed form
(arXiv:2402.02074; here for any principal point, fx and fy, and for rectangular crops).

Pixels are `Camera`'s: the centre of the first one is (0, 0). Throughout, P people have N crops each.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

# What CLIFF (arXiv:2208.00571) scales its boxes by, so that usual ones are a few units large.
PLACE_SCALE, SIZE_MEAN, SIZE_DEVIATION = 2.8, 0.24, 0.06


class CropBoxes(NamedTuple):
    """Rectangles of an image, inside it or not.

    Attributes:
        center: (P, N, 2) x, y of their middles [px].
        size: (P, N, 2) their widths and heights [px].
    """

    center: Tensor
    size: Tensor

    @property
    def side(self) -> Tensor:
        """(P, N) long side b [px]."""
        return self.size.amax(-1)


def full_translations(cameras: Tensor, boxes: CropBoxes, k: Tensor) -> Tensor:
    """Turns local cameras into the root's place in the full camera.

    tz = 2 fx / (b s), Tx = tx + 2 (cx - px) / (b s), Ty = (fx / fy) (ty + 2 (cy - py) / (b s)).

    Args:
        cameras: (P, N, 3) s [half long sides per metre], tx, ty [m].
        boxes: P x N crops.
        k: (P, 3, 3) intrinsics of the images [px], without skew.

    Returns:
        (P, N, 3) in the optical frame [m]; the same N times if the cameras agree.
    """
    fx, fy, middle = _pinhole(k)
    scale = boxes.side * cameras[..., 0]
    x, y = (cameras[..., 1:] + 2 * (boxes.center - middle) / scale[..., None]).unbind(-1)
    return torch.stack([x, fx / fy * y, 2 * fx / scale], dim=-1)


def local_cameras(translations: Tensor, boxes: CropBoxes, k: Tensor) -> Tensor:
    """Turns the root's place into local cameras: the inverse of `full_translations`.

    Args:
        translations: (P, N or 1, 3) in the optical frame, z > 0 [m].
        boxes: P x N crops.
        k: (P, 3, 3) intrinsics of the images [px], without skew.

    Returns:
        (P, N, 3) s [half long sides per metre], tx, ty [m].
    """
    fx, fy, middle = _pinhole(k)
    x, y, z = translations.unbind(-1)
    scale = (2 * fx / z).expand_as(boxes.side)
    place = torch.stack([x, fy / fx * y], dim=-1)
    offset = place - 2 * (boxes.center - middle) / scale[..., None]
    return torch.cat([(scale / boxes.side)[..., None], offset], dim=-1)


def derived_cameras(first: Tensor, boxes: CropBoxes) -> Tensor:
    """Derives all cameras from the first crop's, consistent by construction; intrinsics cancel.

    b_i s_i = b_0 s_0 and t_i = t_0 + 2 (c_0 - c_i) / (b_0 s_0).

    Args:
        first: (P, 3) s, tx, ty of the first crop.
        boxes: P x N crops.

    Returns:
        (P, N, 3) s [half long sides per metre], tx, ty [m].
    """
    scale = boxes.side[:, :1] * first[:, None, 0]
    shift = 2 * (boxes.center[:, :1] - boxes.center) / scale[..., None]
    return torch.cat([(scale / boxes.side)[..., None], first[:, None, 1:] + shift], dim=-1)


def common_translation(cameras: Tensor, boxes: CropBoxes, k: Tensor) -> Tensor:
    """Joins cameras that may differ: geometric mean of their scales, mean of where they put the root in the image.

    Args:
        cameras: (P, N, 3) s > 0 [half long sides per metre], tx, ty [m].
        boxes: P x N crops.
        k: (P, 3, 3) intrinsics of the images [px], without skew.

    Returns:
        (P, 3) the root in the optical frame [m]; exact if the cameras agree.
    """
    fx, fy, middle = _pinhole(k)
    scale = (boxes.side * cameras[..., 0]).log().mean(1, keepdim=True).exp()
    root_px = (boxes.center + root_offset_px(cameras, boxes)).mean(1, keepdim=True)
    x, y = (2 * (root_px - middle) / scale[..., None]).unbind(-1)
    return torch.stack([x, fx / fy * y, 2 * fx / scale], dim=-1)[:, 0]


def root_offset_px(cameras: Tensor, boxes: CropBoxes) -> Tensor:
    """Where cameras (P, N, 3) put the root against their crops' middles: (P, N, 2) [px of the image]."""
    return (boxes.side * cameras[..., 0] / 2)[..., None] * cameras[..., 1:]


def box_infos(boxes: CropBoxes, k: Tensor) -> Tensor:
    """Describes crops to the network: where they lie in the field of view, and how large (as CLIFF does).

    The true intrinsics take the place of CLIFF's guesses: the principal point for the middle of the image, fx and fy
    for its diagonal.

    Args:
        boxes: P x N crops.
        k: (P, 3, 3) intrinsics of the images [px].

    Returns:
        (P, N, 3) 2.8 (cx - px) / fx, 2.8 (cy - py) / fy, (b / fx - .24) / .06.
    """
    fx, fy, middle = _pinhole(k)
    place = PLACE_SCALE * (boxes.center - middle) / torch.stack([fx, fy], dim=-1)
    size = (boxes.side / fx - SIZE_MEAN) / SIZE_DEVIATION
    return torch.cat([place, size[..., None]], dim=-1)


def crop_intrinsics(boxes: CropBoxes, k: Tensor, size: tuple[int, int]) -> Tensor:
    """Computes the pinhole cameras of crops: `Camera.crop`, then `Camera.resized`, also between pixels.

    Args:
        boxes: P x N crops.
        k: (P, 3, 3) intrinsics of the images [px].
        size: Height and width that every crop is brought to [px].

    Returns:
        (P, N, 3, 3) [px of the crops], the centre of their first pixel at 0 as in the image.
    """
    scale = torch.tensor([size[1], size[0]], dtype=boxes.size.dtype, device=boxes.size.device) / boxes.size
    corner = boxes.center - boxes.size / 2
    out = torch.zeros(*boxes.side.shape, 3, 3, dtype=scale.dtype, device=scale.device)
    out[..., 0, 0] = scale[..., 0] * k[:, None, 0, 0]
    out[..., 1, 1] = scale[..., 1] * k[:, None, 1, 1]
    out[..., :2, 2] = (k[:, None, :2, 2] - corner) * scale - 0.5
    out[..., 2, 2] = 1
    return out


def in_crops(px: Tensor, boxes: CropBoxes) -> Tensor:
    """Measures points against crops, in half long sides from their middles: the long side spans -1 to 1.

    Args:
        px: (P, N or 1, K, 2) points of the image [px].
        boxes: P x N crops.

    Returns:
        (P, N, K, 2).
    """
    return 2 * (px - boxes.center[:, :, None]) / boxes.side[..., None, None]


def _pinhole(k: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Focal lengths (P, 1) each and principal points (P, 1, 2)."""
    return k[:, None, 0, 0], k[:, None, 1, 1], k[:, None, :2, 2]
