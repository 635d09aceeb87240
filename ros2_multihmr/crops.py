"""Crops: where a person's crops lie, and their pictures by exact affine sampling, their cameras moved along.

Pixels are `Camera`'s: the centre of the first one is (0, 0). Crops may leave the image, which is black outside.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ros2_multihmr.model.config import IMAGENET_MEAN, IMAGENET_STD
from ros2_multihmr.model.crop_cameras import CropBoxes
from ros2_multihmr.model.multi_crop_config import MAX_CROPS, SCHEMES, MultiCropConfig

MARGIN = 1.2  # a person's box over the person's extent
SHIFT = 0.1  # of the box's long side
# The first is the plain crop. Shifts and scales of up to five crops are the paper's table.
SHIFTS = (
    *((0.0, 0.0), (SHIFT, 0.0), (-SHIFT, 0.0), (0.0, SHIFT), (0.0, -SHIFT)),
    *((SHIFT, SHIFT), (-SHIFT, -SHIFT), (SHIFT, -SHIFT), (-SHIFT, SHIFT)),
)
FEW_SCALES = (1.0, 1.5, 1.25, 0.8, 0.65)
# Nine crops have all of these scales; the paper does not say which six to eight have: those nearest to 1 come first.
MANY_SCALES = (1.0, 1.15, 0.85, 1.3, 0.7, 1.45, 0.55, 1.6, 0.4)
RANDOM_SCALES = (0.65, 1.5)
SMALLEST_PX, LARGEST_SIDES = 8.0, 4.0  # long side of people worth a second look [px], [long sides of the image]
NEAR_M = 1e-3  # what is nearer to the camera's plane, or behind it, has no place in the image


def crop_table(num_crops: int, scheme: str) -> Tensor:
    """Says how a fixed scheme's crops differ from the plain one.

    Args:
        num_crops: N, 1 to 9.
        scheme: "fixed": shifted and scaled; "shift", "scale": one of the two alone.

    Returns:
        (N, 3) shift in x and y [long sides of the plain crop] and scale, float64; the plain crop first.

    Raises:
        ValueError: No such number of crops, or scheme.
    """
    if not 1 <= num_crops <= MAX_CROPS:
        raise ValueError(f"crops: expected 1 to {MAX_CROPS} crops, got {num_crops}")
    if scheme not in SCHEMES or scheme == "random":
        fixed = ", ".join(name for name in SCHEMES if name != "random")
        raise ValueError(f"crops: expected a scheme with a table, one of {fixed}; got {scheme!r}")
    scales = FEW_SCALES if num_crops <= len(FEW_SCALES) else MANY_SCALES
    table = torch.tensor([(*SHIFTS[i], scales[i]) for i in range(num_crops)], dtype=torch.float64)
    same = {"fixed": slice(0), "shift": slice(2, 3), "scale": slice(2)}[scheme]
    table[:, same] = table[0, same]  # as the plain crop
    return table


def random_table(people: int, num_crops: int, generator: torch.Generator) -> Tensor:
    """Draws tables: the plain crop, then shifts of up to a tenth either way and scales from .65 to 1.5, by logarithm.

    Args:
        people: P.
        num_crops: N.
        generator: What is drawn from, on the CPU.

    Returns:
        (P, N, 3) float64, see `crop_table`.
    """
    drawn = torch.rand(people, num_crops, 3, generator=generator, dtype=torch.float64)
    low, high = (math.log(scale) for scale in RANDOM_SCALES)
    table = torch.cat([(2 * drawn[..., :2] - 1) * SHIFT, (low + (high - low) * drawn[..., 2:]).exp()], dim=-1)
    table[:, :1] = table.new_tensor([0.0, 0.0, 1.0])
    return table


def projected_bounds(points: Tensor, k: Tensor) -> Tensor:
    """Bounds people in the image, as far as they are in front of the camera.

    Args:
        points: (P, V, 3) their vertices in the optical frame [m].
        k: (P, 3, 3) intrinsics of the images [px].

    Returns:
        (P, 4) xmin, ymin, xmax, ymax [px]; of people behind the camera NaN.
    """
    front = points[..., 2:] > NEAR_M
    px = (points / torch.where(front, points[..., 2:], 1.0)) @ k.transpose(1, 2)
    low = px[..., :2].masked_fill(~front, torch.inf).amin(1)
    high = px[..., :2].masked_fill(~front, -torch.inf).amax(1)
    return torch.cat([low, high], dim=-1).masked_fill(~front.any(1), torch.nan)


def worth_looking(bounds: Tensor, size: tuple[int, int]) -> Tensor:
    """Says whose crops would show something of them: large enough, not much larger than the image, and inside it.

    Args:
        bounds: (P, 4) xmin, ymin, xmax, ymax of the people [px].
        size: Height and width of the image [px].

    Returns:
        (P,) bool.
    """
    low, high = bounds[:, :2], bounds[:, 2:]
    longer = (high - low).amax(-1)
    inside = ((high > 0) & (low < bounds.new_tensor([size[1], size[0]]) - 1)).all(-1)
    return (longer >= SMALLEST_PX) & (longer <= LARGEST_SIDES * max(size)) & inside


def plain_boxes(bounds: Tensor, size: tuple[int, int]) -> CropBoxes:
    """Puts the plain crop around people, wide enough for their extent and a margin.

    Args:
        bounds: (P, 4) xmin, ymin, xmax, ymax of the people [px].
        size: Height and width of the pictures that the crops become [px], which decide their shape.

    Returns:
        P x 1 crops.
    """
    low, high = bounds[:, None, :2], bounds[:, None, 2:]
    picture = bounds.new_tensor([size[1], size[0]])
    per_pixel = ((high - low) / picture).amax(-1, keepdim=True)
    return CropBoxes((low + high) / 2, MARGIN * per_pixel * picture)


def crop_boxes(plain: CropBoxes, table: Tensor) -> CropBoxes:
    """Shifts and scales the plain crops.

    Args:
        plain: P x 1 crops.
        table: (N, 3) or (P, N, 3) of `crop_table` or `random_table`.

    Returns:
        P x N crops, the plain one first.
    """
    table = table.to(plain.size).expand(len(plain.size), *table.shape[-2:])
    return CropBoxes(plain.center + plain.side[..., None] * table[..., :2], plain.size * table[..., 2:])


def person_crops(bounds: Tensor, config: MultiCropConfig, generator: torch.Generator | None = None) -> CropBoxes:
    """Puts the crops around people that a network wants.

    Args:
        bounds: (P, 4) xmin, ymin, xmax, ymax of the people [px].
        config: The network's.
        generator: What the scheme "random" draws from, on the CPU; the others need none.

    Returns:
        P x N crops, the plain one first.

    Raises:
        ValueError: The scheme is "random", and there is nothing to draw from.
    """
    if config.scheme != "random":
        table = crop_table(config.num_crops, config.scheme)
    elif generator is not None:
        table = random_table(len(bounds), config.num_crops, generator)
    else:
        raise ValueError("crops: the scheme random draws them: expected a generator, got None")
    return crop_boxes(plain_boxes(bounds, config.size), table)


def network_crops(images: Tensor, of_image: Tensor, boxes: CropBoxes, size: tuple[int, int]) -> Tensor:
    """Cuts the pictures of crops as the network wants them: `sample_crops`, normalised as ImageNet's are.

    Args:
        images: (B, 3, H, W) RGB, uint8, or floats from 0 to 1.
        of_image: (P,) int64 which image each person is in.
        boxes: P x N crops, on the images' device.
        size: Height h and width w of the pictures [px].

    Returns:
        (P, N, 3, h, w) floats. Their intrinsics are `crop_cameras.crop_intrinsics`.
    """
    pictures = sample_crops(images, of_image, boxes, size)
    mean, std = (pictures.new_tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
    return (pictures - mean) / std


def sample_crops(images: Tensor, of_image: Tensor, boxes: CropBoxes, size: tuple[int, int]) -> Tensor:
    """Samples all crops of all people at once, bilinearly at their pixels' exact places, black outside of the images.

    Crops that are shrunk to a half or less are read from the image halved once, to a quarter or less from it halved
    twice, and so on, so that nothing is skipped; a crop's picture depends on no other crop.

    Args:
        images: (B, C, H, W) uint8, or floats from 0 to 1.
        of_image: (P,) int64 which image each person is in.
        boxes: P x N crops, on the images' device; their numbers' precision is the sampling's.
        size: Height h and width w of the pictures [px].

    Returns:
        (P, N, C, h, w), from 0 to 1.

    Raises:
        ValueError: A crop without extent or with numbers that are not finite, or a person of no image.
    """
    _check(images, of_image, boxes)
    level, image = _levels(images, boxes, size), of_image.repeat_interleave(boxes.size.shape[1])
    center, extent = boxes.center.flatten(0, 1), boxes.size.flatten(0, 1)
    x, y = (_places(center[:, i], extent[:, i], size[1 - i], level) for i in (0, 1))
    pictures = extent.new_empty(len(level), images.shape[1], *size)
    for one in sorted(set(image.tolist())):
        # One image after the other: as floats, all of them would be more than a processor's caches hold.
        levels = _halved(_as_floats(images[one], boxes.size.dtype), int(level[image == one].max()))
        for times in sorted(set(level[image == one].tolist())):
            crops = ((image == one) & (level == times)).nonzero()[:, 0]
            pictures[crops] = _bilinear(levels[times], y[crops], x[crops])
    return pictures.unflatten(0, boxes.size.shape[:2])


def _levels(images: Tensor, boxes: CropBoxes, size: tuple[int, int]) -> Tensor:
    """How often each of Q crops wants the image halved: (Q,) int64; at most as often as there is something to halve."""
    shrunk = (boxes.size / boxes.size.new_tensor([size[1], size[0]])).amin(-1).flatten()
    most = min(images.shape[-2:]).bit_length() - 1
    return shrunk.log2().floor().clamp(0, most).long()


def _places(center: Tensor, extent: Tensor, count: int, level: Tensor) -> Tensor:
    """Where the pixels of Q crops lie along one axis of the halved image that they are read from: (Q, count)."""
    steps = (torch.arange(count, device=center.device, dtype=center.dtype) + 0.5) / count - 0.5
    in_image = center[:, None] + extent[:, None] * steps
    return (in_image + 0.5) / 2.0 ** level[:, None].to(center.dtype) - 0.5  # as `Camera.binned`


def _bilinear(picture: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Reads Q pictures (Q, C, h, w) from one (C, H, W), at its rows y (Q, h) and columns x (Q, w)."""
    height, width = picture.shape[-2:]
    # From -1 at the image's first edge to 1 at its last; further outside is as black.
    down, across = ((2 * place + 1).div(count).sub(1).clamp(-3, 3) for place, count in ((y, height), (x, width)))
    grid = torch.stack(torch.broadcast_tensors(across[:, None], down[:, :, None]), dim=-1)
    read = F.grid_sample(picture[None], grid.flatten(0, 1)[None], align_corners=False)
    return read[0].unflatten(1, y.shape).transpose(0, 1)


def _halved(image: Tensor, times: int) -> list[Tensor]:
    """An image (C, H, W), its half, quarter and so on."""
    levels = [image]
    for _ in range(times):
        height, width = levels[-1].shape[-2:]
        # Half pixels at the edge are half black, as is what lies outside.
        levels.append(F.avg_pool2d(F.pad(levels[-1], (0, width % 2, 0, height % 2)), 2))
    return levels


def _as_floats(image: Tensor, dtype: torch.dtype) -> Tensor:
    return image.to(dtype) / 255 if image.dtype == torch.uint8 else image.to(dtype)


def _check(images: Tensor, of_image: Tensor, boxes: CropBoxes) -> None:
    people, crops = boxes.size.shape[:2]
    if images.dim() != 4 or of_image.shape != (people,) or boxes.center.shape != (people, crops, 2):
        raise ValueError(
            "crops: expected images (B, C, H, W), one index for each of P people and boxes (P, N, 2), got "
            f"{tuple(images.shape)}, {tuple(of_image.shape)}, {tuple(boxes.center.shape)} and {tuple(boxes.size.shape)}"
        )
    sound = torch.isfinite(boxes.center) & torch.isfinite(boxes.size) & (boxes.size > 0)
    if not sound.all():
        raise ValueError(
            f"crops: {int((~sound).any(-1).sum())} of {people * crops} crops have no extent or numbers that are not "
            "finite; leave out people who project nowhere"
        )
    if not ((of_image >= 0) & (of_image < len(images))).all():
        raise ValueError(f"crops: expected indices of {len(images)} images, got {of_image.tolist()}")
