"""Renderer: meshes and a camera to colour, depth and instances; lens distortion included, no GPU, no OpenGL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ros2_multihmr.camera import Camera
from ros2_multihmr.rasterizer import planes, rasterize

Array = NDArray[np.float64]

NEAR_M = 0.01
"""Triangles that come nearer to the camera's plane than this are left out whole [m]."""

# Edges are drawn straight. Under a lens that bends one by more than this, its triangle is cut. Where an uncut triangle
# meets the pieces of a cut one, the slack covers the crack.
_BEND_PX = 0.02
_LENS_SLACK_PX = 0.025
_MOST_CUTS = 10

_TO_LIGHT = np.array([-0.45, -0.65, -0.61])  # from the upper left, behind the camera


class Rendering(NamedTuple):
    """What the camera sees of the meshes.

    Attributes:
        rgb: (H, W, 3) uint8 shaded colours, black where there is no mesh.
        depth: (H, W) float32 distance along the optical axis [m], infinite where there is no mesh.
        instance: (H, W) int32 index of the mesh, -1 where there is none.
    """

    rgb: NDArray[np.uint8]
    depth: NDArray[np.float32]
    instance: NDArray[np.int32]


class _Triangles(NamedTuple):
    """Triangles to draw: (F, 3, 3) points [m] and unit normals at the corners, (F,) mesh, (F, 3, 2) corners [px]."""

    points: Array
    normals: Array
    mesh: NDArray[np.intp]
    corners: Array

    def take(self, keep: NDArray[np.bool_]) -> _Triangles:
        return _Triangles(self.points[keep], self.normals[keep], self.mesh[keep], self.corners[keep])

    def with_more(self, other: _Triangles) -> _Triangles:
        return _Triangles(
            np.concatenate([self.points, other.points]),
            np.concatenate([self.normals, other.normals]),
            np.concatenate([self.mesh, other.mesh]),
            np.concatenate([self.corners, other.corners]),
        )


def render(
    meshes: Sequence[ArrayLike] | NDArray[np.floating],
    faces: ArrayLike,
    camera: Camera,
    *,
    colors: ArrayLike | None = None,
) -> Rendering:
    """Renders meshes of one topology. The same input gives the same picture on every machine.

    Args:
        meshes: N arrays (V, 3) of vertices in the camera's optical frame [m].
        faces: (F, 3) triangles, indices of vertices, shared by all meshes.
        camera: Camera of the picture.
        colors: (N, 3) red, green and blue, 0 to 1; light grey if not given.

    Raises:
        ValueError: An array has the wrong shape.
    """
    vertices, faces = _checked(meshes, faces)
    colors = np.full((len(vertices), 3), 0.8) if colors is None else np.asarray(colors, np.float64).reshape(-1, 3)
    if len(colors) != len(vertices):
        raise ValueError(f"render: expected one colour for each of {len(vertices)} meshes, got {len(colors)}")
    triangles = _visible_triangles(vertices, faces, camera)
    coverage = rasterize(
        triangles.corners,
        1.0 / triangles.points[..., 2],
        camera.width,
        camera.height,
        slack=_LENS_SLACK_PX if camera.has_distortion else 0.0,
    )
    pixels = np.flatnonzero(coverage.triangle >= 0)
    seen, nearness = coverage.triangle.ravel()[pixels], coverage.nearness.ravel()[pixels]
    normals = _interpolate(triangles, seen, *np.divmod(pixels, camera.width), nearness)
    mesh = triangles.mesh[seen]
    rgb = _picture(camera, pixels, _shade(normals, colors.astype(np.float32)[mesh]), 0)
    depth = _picture(camera, pixels, 1.0 / nearness, np.inf)
    return Rendering(rgb, depth, _picture(camera, pixels, mesh.astype(np.int32), -1))


def vertex_normals(vertices: Array, faces: NDArray[np.intp]) -> Array:
    """Returns (N, V, 3) unit normals of meshes (N, V, 3): the mean of the faces around, weighted by their area."""
    corners = vertices[:, faces]
    normals = np.cross(corners[:, :, 1] - corners[:, :, 0], corners[:, :, 2] - corners[:, :, 0])
    count, size = vertices.shape[:2]
    target = (faces.T[None] + size * np.arange(count)[:, None, None]).ravel()
    shares = np.repeat(normals[:, None], 3, axis=1).reshape(-1, 3).T
    sums = [np.bincount(target, share, count * size) for share in shares]
    summed = np.stack(sums, axis=-1, dtype=np.float64, casting="unsafe").reshape(vertices.shape)
    length = np.linalg.norm(summed, axis=-1, keepdims=True)
    unit: Array = np.divide(summed, length, out=np.zeros_like(summed), where=length > 0.0)
    return unit


def _picture(camera: Camera, pixels: NDArray[np.intp], values: NDArray[Any], background: float) -> NDArray[Any]:
    picture = np.full((camera.height * camera.width, *values.shape[1:]), background, values.dtype)
    picture[pixels] = values
    return picture.reshape(camera.height, camera.width, *values.shape[1:])


def _checked(meshes: Sequence[ArrayLike] | NDArray[np.floating], faces: ArrayLike) -> tuple[Array, NDArray[np.intp]]:
    arrays = [np.asarray(mesh, np.float64) for mesh in meshes]
    shapes = {array.shape for array in arrays}
    if len(shapes) > 1 or any(len(shape) != 2 or shape[1] != 3 for shape in shapes):
        raise ValueError(f"render: expected meshes of one shape (V, 3), got {sorted(shapes)}")
    faces = np.asarray(faces)
    if faces.ndim != 2 or faces.shape[1] != 3 or faces.dtype.kind not in "iu":
        raise ValueError(f"render: expected faces as whole numbers (F, 3), got {faces.dtype} {faces.shape}")
    faces = faces.astype(np.intp)
    return (np.stack(arrays) if arrays else np.zeros((0, faces.max(initial=-1) + 1, 3))), faces


def _visible_triangles(vertices: Array, faces: NDArray[np.intp], camera: Camera) -> _Triangles:
    triangles = _Triangles(
        points=vertices[:, faces].reshape(-1, 3, 3),
        normals=vertex_normals(vertices, faces)[:, faces].reshape(-1, 3, 3),
        mesh=np.repeat(np.arange(len(vertices)), len(faces)),
        corners=camera.project(vertices)[:, faces].reshape(-1, 3, 2),
    )
    triangles = triangles.take(triangles.points[..., 2].min(axis=1) > NEAR_M)
    if not camera.has_distortion:
        return triangles.take(_touches(triangles.corners, camera, 0.0))
    straight = triangles.take(np.zeros(len(triangles.mesh), np.bool_))
    for _ in range(_MOST_CUTS):
        bend = _bend(triangles, camera)
        visible = _touches(triangles.corners, camera, bend)
        straight = straight.with_more(triangles.take(visible & (bend <= _BEND_PX)))
        triangles = _cut(triangles.take(visible & (bend > _BEND_PX)), camera)
    return straight.with_more(triangles)


def _touches(corners: Array, camera: Camera, reach: Array | float) -> NDArray[np.bool_]:
    """True for triangles (F, 3, 2) whose box, made larger by a reach [px], lies in the image; False for NaN."""
    touches = np.ones(len(corners), np.bool_)
    for (first, second, third), size in zip(corners.transpose(2, 1, 0), (camera.width, camera.height), strict=True):
        touches &= np.maximum(np.maximum(first, second), third) + reach >= 0.0
        touches &= np.minimum(np.minimum(first, second), third) - reach <= size
    return touches


def _bend(triangles: _Triangles, camera: Camera) -> Array:
    """(F,) largest distance of an edge's middle, as the lens shows it, from the straight edge [px]."""
    after = np.roll(triangles.corners, -1, axis=1)
    middle = camera.project((triangles.points + np.roll(triangles.points, -1, axis=1)) / 2.0)
    along, off = after - triangles.corners, middle - triangles.corners
    area = np.abs(along[..., 0] * off[..., 1] - along[..., 1] * off[..., 0])
    length = np.hypot(along[..., 0], along[..., 1])
    bend: Array = np.divide(area, length, out=np.zeros_like(area), where=length > 0.0).max(axis=1, initial=0.0)
    return bend


def _cut(triangles: _Triangles, camera: Camera) -> _Triangles:
    """Cuts each triangle into four at the middles of its edges."""

    def four(corners: Array) -> Array:
        a, b, c = corners.transpose(1, 0, 2)
        ab, bc, ca = (a + b) / 2.0, (b + c) / 2.0, (c + a) / 2.0
        pieces = np.stack([a, ab, ca, ab, b, bc, ca, bc, c, ab, bc, ca], axis=1)
        return pieces.reshape(-1, 3, corners.shape[-1])

    points = four(triangles.points)
    return _Triangles(points, four(triangles.normals), np.repeat(triangles.mesh, 4), camera.project(points))


def _interpolate(
    triangles: _Triangles,
    seen: NDArray[np.int32],
    rows: NDArray[np.intp],
    columns: NDArray[np.intp],
    nearness: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Normals (P, 3) at the pixels; what is divided by z changes linearly over the image."""
    over_z = triangles.normals / triangles.points[..., 2:]
    slopes = (slope.astype(np.float32)[seen] for slope in planes(triangles.corners, over_z))
    start = triangles.corners[:, 0].astype(np.float32)[seen]
    steps = columns.astype(np.float32) - start[:, 0], rows.astype(np.float32) - start[:, 1]
    normals = over_z[:, 0].astype(np.float32)[seen]
    for slope, step in zip(slopes, steps, strict=True):
        normals += slope * step[:, None]
    return normals / nearness[:, None]


def _shade(normals: NDArray[np.float32], colors: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Soft light from one side, darker towards the outline, so that shape shows without shadows."""
    light = normals @ _TO_LIGHT.astype(np.float32)
    facing = np.abs(normals[:, 2]).clip(0.0, 1.0)
    brightness = 0.2 + 0.55 * (0.5 + 0.5 * light).clip(0.0, 1.0) ** 1.5 + 0.35 * facing**1.5
    shine = 0.16 * light.clip(0.0, 1.0) ** 12
    return (255.0 * (colors * brightness[:, None] + shine[:, None]).clip(0.0, 1.0)).astype(np.uint8)
