"""Geometry: which point of which surface each part of each pixel sees.

Triangles are found at twice the image's resolution; a pixel whose four parts see one thing is shaded once, others once
per thing (multisampling). Every value is a function of the input alone, on one thread.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ros2_multihmr.camera import Camera
from ros2_multihmr.rasterizer import planes, rasterize
from ros2_multihmr.synthesis.triangles import Triangles, cut_near, faces_viewer, touches

Array = NDArray[np.float32]
Floats = NDArray[np.float64]

SAMPLES = 2  # along each side of a pixel
_OFFSETS = (np.arange(SAMPLES) - (SAMPLES - 1) / 2.0) / SAMPLES  # of the parts' middles from the pixel's [px]


class Points(NamedTuple):
    """What is shaded: N points, a pixel has one or more.

    Attributes:
        pixel: (N,) index of the pixel, row by row.
        weight: (N,) share of the pixel, 0 to 1.
        rays: (3, N) directions in the world frame, as long as z = 1 in the optical frame makes them.
        hit: (N,) True where there is a surface; the arrays below have one row per hit.
        depth: (M,) distance along the optical axis [m].
        normal: (3, M) unit normals in the world frame.
        texture: (3, M) where in the material's pattern [m].
        material: (M,) index into all the surfaces' materials.
        person: (M,) index of the person, -1 for things.
    """

    pixel: NDArray[np.intp]
    weight: Array
    rays: Array
    hit: NDArray[np.bool_]
    depth: Array
    normal: Array
    texture: Array
    material: NDArray[np.int32]
    person: NDArray[np.int32]


class View(NamedTuple):
    """Geometry of one picture.

    Attributes:
        points: What is shaded.
        instance: (H, W) uint8 index of the person + 1, 0 for things and nothing.
        part: (H, W) uint8 body part + 1, 0 for things and nothing.
        depth: (H, W) float32 distance along the optical axis at the pixel's centre [m], 0 where nothing is.
        seen: (P,) number of samples, `SAMPLES` squared per pixel, that show each person.
        whole: (P,) number of samples that would show each person alone in an image without borders.
    """

    points: Points
    instance: NDArray[np.uint8]
    part: NDArray[np.uint8]
    depth: Array
    seen: NDArray[np.int64]
    whole: NDArray[np.int64]


def view_of(triangles: Triangles, camera: Camera, T_camera_world: Floats, people: int) -> View:
    """Finds what a camera without distortion sees.

    Args:
        triangles: In the world frame.
        camera: Intrinsics and image size.
        T_camera_world: (4, 4) from the world frame to the camera's optical frame.
        people: Number of people in the scene.
    """
    front = cut_near(triangles.moved(T_camera_world))
    corners, nearness = project(front.points, camera)
    facing = faces_viewer(corners)
    whole = _silhouettes(corners, nearness, np.where(facing, front.person, -1), people)
    visible = facing & touches(corners, camera.width, camera.height)
    front, corners, nearness = front.take(visible), corners[visible], nearness[visible]
    fine = SAMPLES * corners + (SAMPLES - 1) / 2.0
    found = rasterize(fine, nearness, SAMPLES * camera.width, SAMPLES * camera.height).triangle
    samples = _by_pixel(found, camera)
    planes_of_triangles = _Planes.of(corners, nearness, camera)
    instance, part, depth = _dense(samples, front, planes_of_triangles, camera)
    points = _points(samples, front, planes_of_triangles, camera, T_camera_world)
    seen = np.bincount(front.person[samples[samples >= 0]] + 1, minlength=people + 1)[1:]
    return View(points, instance, part, depth, seen, whole)


class _Planes(NamedTuple):
    """How the corners' shares, divided by z, change over the image: at its middle, per pixel in x and in y; (F, 3)."""

    middle: Array
    per_x: Array
    per_y: Array

    @staticmethod
    def of(corners: Floats, nearness: Floats, camera: Camera) -> _Planes:
        shares = nearness[:, :, None] * np.eye(3)
        per_x, per_y = planes(corners, shares)
        step = (camera.width / 2.0, camera.height / 2.0) - corners[:, 0]
        middle = shares[:, 0] + per_x * step[:, :1] + per_y * step[:, 1:]
        return _Planes(middle.astype(np.float32), per_x.astype(np.float32), per_y.astype(np.float32))

    def depth_at(self, triangle: NDArray[np.integer], x: Array, y: Array, camera: Camera) -> Array:
        """Depth (N,) at pixels of triangles."""
        middle, per_x, per_y = (np.einsum("fc->f", plane)[triangle] for plane in self)
        x, y = x - np.float32(camera.width / 2.0), y - np.float32(camera.height / 2.0)
        return np.asarray(1.0 / np.maximum(middle + per_x * x + per_y * y, np.float32(1e-6)))

    def at(self, triangle: NDArray[np.integer], x: Array, y: Array, camera: Camera) -> tuple[Array, Array]:
        """Depth (N,) and the corners' shares (N, 3) at pixels of triangles."""
        x, y = x - np.float32(camera.width / 2.0), y - np.float32(camera.height / 2.0)
        over_z = self.per_x[triangle]
        over_z *= x[:, None]
        over_z += self.per_y[triangle] * y[:, None]
        over_z += self.middle[triangle]
        np.maximum(over_z, 0.0, out=over_z)  # a hair outside of a sliver
        depth = 1.0 / np.maximum(over_z[:, 0] + over_z[:, 1] + over_z[:, 2], np.float32(1e-6))
        over_z *= depth[:, None]
        return depth, over_z


def project(points: Floats, camera: Camera) -> tuple[Floats, Floats]:
    """Returns corners (F, 3, 2) in the image [px] and their nearness (F, 3) of points (F, 3, 3) in front."""
    nearness = 1.0 / points[..., 2]
    return points[..., :2] * nearness[..., None] * (camera.fx, camera.fy) + (camera.cx, camera.cy), nearness


def _by_pixel(found: NDArray[np.int32], camera: Camera) -> NDArray[np.int32]:
    """(4, H W) triangles that the four parts of each pixel see."""
    parts = found.reshape(camera.height, SAMPLES, camera.width, SAMPLES).transpose(1, 3, 0, 2)
    return np.ascontiguousarray(parts).reshape(SAMPLES**2, -1)


def _dense(
    samples: NDArray[np.int32], front: Triangles, flat: _Planes, camera: Camera
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], Array]:
    """Instance, part and depth of each pixel: of the surface that most of its parts see."""
    triangle = _most_seen(samples, np.append(front.surface, -1))
    pixels = np.flatnonzero(triangle >= 0)
    seen = triangle[pixels]
    y, x = np.divmod(pixels, camera.width)
    depth = np.zeros(len(triangle), np.float32)
    # A pixel's middle may miss the triangle that its parts see: nothing on that is nearer than its nearest corner.
    first, second, third = front.points[..., 2].astype(np.float32).T
    near, far = (join(join(first, second), third)[seen] for join in (np.minimum, np.maximum))
    middle = flat.depth_at(seen, x.astype(np.float32), y.astype(np.float32), camera)
    depth[pixels] = np.minimum(np.maximum(middle, near), far)
    instance, part = np.zeros(len(triangle), np.uint8), np.zeros(len(triangle), np.uint8)
    instance[pixels] = (front.person[seen] + 1).astype(np.uint8)
    part[pixels] = front.part[seen]
    shape = camera.height, camera.width
    return instance.reshape(shape), part.reshape(shape), depth.reshape(shape)


def _most_seen(samples: NDArray[np.int32], surface: NDArray[np.int32]) -> NDArray[np.int32]:
    """(H W,) triangle that stands for each pixel: of the surface that most of its parts see, the first of these."""
    result = samples[0].copy()
    mixed = _mixed(samples)
    parts = samples[:, mixed]
    owner = surface[parts]
    votes = (owner[:, None] == owner[None]).sum(axis=0, dtype=np.int8)
    result[mixed] = parts[votes.argmax(axis=0), np.arange(len(mixed))]
    return result


def _mixed(key: NDArray[np.int32]) -> NDArray[np.intp]:
    """Pixels whose four parts (4, H W) differ."""
    return np.flatnonzero((key[0] != key[1]) | (key[0] != key[2]) | (key[0] != key[3]))


def _points(
    samples: NDArray[np.int32], front: Triangles, flat: _Planes, camera: Camera, T_camera_world: Floats
) -> Points:
    sample, pixel, weight = _groups(samples, np.append(front.material + 1, 0)[samples])
    triangle = samples[sample, pixel]
    row, column = np.divmod(pixel, camera.width)
    x = (column + _OFFSETS[sample % SAMPLES]).astype(np.float32)
    y = (row + _OFFSETS[sample // SAMPLES]).astype(np.float32)
    hit = triangle >= 0
    if hit.all():
        hit, seen, here = np.ones(len(triangle), np.bool_), triangle, (x, y)
    else:
        seen, here = triangle[hit], (x[hit], y[hit])
    depth, values = _interpolated(front, flat, seen, *here, camera)
    rotation = T_camera_world[:3, :3].astype(np.float32)
    x, y = (x - np.float32(camera.cx)) / np.float32(camera.fx), (y - np.float32(camera.cy)) / np.float32(camera.fy)
    rays = np.stack([across * x + down * y + forward for across, down, forward in rotation.T])
    values[:3] /= np.maximum(np.sqrt(np.einsum("cp,cp->p", values[:3], values[:3])), np.float32(1e-6))
    return Points(
        pixel, weight, rays, hit, depth, values[:3], values[3:], front.material[seen], front.person[seen]
    )  # fmt: skip


def _interpolated(
    front: Triangles, flat: _Planes, seen: NDArray[np.int32], x: Array, y: Array, camera: Camera
) -> tuple[Array, Array]:
    """Depth (M,) and values (6, M) of triangles at pixels."""
    depth, shares = flat.at(seen, x, y, camera)
    first, second, third = shares.T
    rows = front.values.reshape(-1, 18)[seen]
    values = rows[:, :6] * first[:, None]
    values += rows[:, 6:12] * second[:, None]
    values += rows[:, 12:] * third[:, None]
    return depth, np.ascontiguousarray(values.T)


def _groups(samples: NDArray[np.int32], key: NDArray[np.int32]) -> tuple[NDArray[np.intp], NDArray[np.intp], Array]:
    """Joins a pixel's parts that have one key: sample and pixel of each group, and its share of the pixel."""
    mixed = _mixed(key)
    alone = np.ones(key.shape[1], np.bool_)
    alone[mixed] = False
    pure = np.flatnonzero(alone)
    keys = key[:, mixed]
    same = keys[:, None] == keys[None]  # (4, 4, mixed)
    leads = np.argmax(same, axis=0) == np.arange(len(key))[:, None]  # the first with this key
    sample, at = np.nonzero(leads)
    share = same.sum(axis=0, dtype=np.int8)[sample, at] / np.float32(len(key))
    return (
        np.concatenate([np.zeros(len(pure), np.intp), sample]),
        np.concatenate([pure, mixed[at]]),
        np.concatenate([np.ones(len(pure), np.float32), share.astype(np.float32)]),
    )


_MOST_SAMPLES = 1 << 20


def _silhouettes(corners: Floats, nearness: Floats, person: NDArray[np.int32], people: int) -> NDArray[np.int64]:
    """Size of each person's silhouette in samples, alone and without borders; far outside, in coarser samples."""
    whole = np.zeros(people, np.int64)
    for index in range(people):
        own = np.flatnonzero(person == index)
        if not len(own):
            continue
        fine = SAMPLES * corners[own] + (SAMPLES - 1) / 2.0
        first = np.floor(fine.min(axis=(0, 1)))
        width, height = (np.ceil(fine.max(axis=(0, 1))) - first + 1).astype(np.int64)
        coarser = max(1, int(np.ceil(np.sqrt(width * height / _MOST_SAMPLES))))
        canvas = (int(width // coarser) + 1, int(height // coarser) + 1)
        shown = rasterize((fine - first) / coarser, nearness[own], *canvas).triangle >= 0
        whole[index] = np.count_nonzero(shown) * coarser**2
    return whole
