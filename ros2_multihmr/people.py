"""People between network and message: filled slots, their places in the camera, their looks in its image."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ros2_multihmr.body.body_model import BodyInfo, BodyOutput
from ros2_multihmr.camera import Camera
from ros2_multihmr.humans import Humans
from ros2_multihmr.model.raw_outputs import RawOutputs
from ros2_multihmr.preprocess import NetworkView
from ros2_multihmr.rotations import rotmat_to_rotvec
from ros2_multihmr.uncertainty import Sigmas, pose_covariance

_logger = logging.getLogger("ros2_multihmr")
_ARRAYS, _TENSORS = ("image", "scores", "loc_px", "depth"), ("rotmats", "shape", "expression")


class People(NamedTuple):
    """The people that a network found in B images: sorted by image, then by falling score.

    Attributes:
        image: (N,) index of the image.
        scores: (N,) detection scores.
        loc_px: (N, 2) the body's center joint in the network's input [px].
        depth: (N,) its distance along the optical axis [m].
        rotmats: (N, R, 3, 3) rotations of `BodyInfo.posed_joints`, on the host as what follows.
        shape: (N, S) shape parameters.
        expression: (N, E) expression parameters.
    """

    image: NDArray[np.int64]
    scores: NDArray[np.float32]
    loc_px: NDArray[np.float32]
    depth: NDArray[np.float32]
    rotmats: Tensor
    shape: Tensor
    expression: Tensor

    def select(self, keep: NDArray[np.intp]) -> People:
        """Returns the people with the indices `keep`."""
        arrays = {name: getattr(self, name)[keep] for name in _ARRAYS}
        tensors = {name: getattr(self, name)[torch.from_numpy(keep)] for name in _TENSORS}
        return People(**arrays, **tensors)


def people_of(raw: RawOutputs, images: Sequence[int] | None = None) -> People:
    """Takes the people out of their slots.

    Args:
        raw: What was found in B images, on the host.
        images: Their B indices, rising; None: 0 to B - 1.

    Raises:
        FloatingPointError: A score or a filled slot holds a number that is not finite.
    """
    _require_finite("scores", raw.scores_map)  # NaN passes no threshold: it would look like nobody
    image, slot = raw.mask.nonzero(as_tuple=True)
    fields = {name: getattr(raw, name)[image, slot] for name in People._fields if name != "image"}
    for name, values in fields.items():
        _require_finite(name, values)
    arrays = {name: fields.pop(name).numpy() for name in ("scores", "loc_px", "depth")}
    index = image.numpy()
    people = People(image=index if images is None else np.asarray(images, np.int64)[index], **arrays, **fields)
    return people.select(np.lexsort((-people.scores, people.image)))


def join_people(parts: Sequence[People]) -> People:
    """Joins what was found in several groups of images, at least one."""
    if len(parts) == 1:
        return parts[0]
    fields: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _ARRAYS}
    fields |= {name: torch.cat([getattr(part, name) for part in parts]) for name in _TENSORS}
    people = People(**fields)
    return people.select(np.lexsort((-people.scores, people.image)))


def _require_finite(name: str, values: Tensor) -> None:
    if not torch.isfinite(values).all():
        raise FloatingPointError(
            f"the network returned {name} that are not finite: the weights are damaged, or half precision overflowed; "
            "try the weights in float32, or download them again"
        )


def place_people(
    people: People, views: Sequence[NetworkView], cameras: Sequence[Camera]
) -> tuple[People, NDArray[np.float32]]:
    """Finds where the center joints are: on the ray through their pixel of the original image, lens included.

    Returns:
        The people who have such a place, and (N, 3) places in the optical frame [m]. People at or behind the camera,
        and those in a corner that no ray of a distorted camera reaches, are left out.
    """
    centers = np.zeros((len(people.image), 3))
    for index, (view, camera) in enumerate(zip(views, cameras, strict=True)):
        here = people.image == index
        centers[here] = camera.unproject(view.to_image(people.loc_px[here]), people.depth[here])
    keep = np.flatnonzero(np.isfinite(centers).all(axis=1) & (centers[:, 2] > 0.0))
    if len(keep) < len(centers):
        _logger.warning("left out %d people, placed where the camera cannot see", len(centers) - len(keep))
    return people.select(keep), centers[keep].astype(np.float32)


def describe_people(people: People, posed: BodyOutput, body: BodyInfo, camera: Camera, sigmas: Sigmas) -> Humans:
    """Joins what is known of the people of one image.

    A keypoint's score is its person's where the keypoint lies in front of the camera and inside the image, 0 elsewhere:
    the network does not judge keypoints one by one.

    Args:
        people: N people of this image.
        posed: Their geometry, on the CPU.
        body: Names and conventions of the body.
        camera: Camera of the image.
        sigmas: How wrong their places are, in pixels of this image; see `pose_covariance`.
    """
    rotmats = people.rotmats.numpy()
    joints, keypoints, mesh = posed.joints.numpy(), posed.keypoints.numpy(), posed.vertices_lod.numpy()
    origin = joints[:, list(body.hip_joints)].mean(axis=1)
    keypoints_2d, outline = camera.project(keypoints), camera.project(mesh)
    seen = np.flatnonzero((~np.isnan(outline[..., 0])).any(axis=1))
    humans = Humans(
        body=body,
        scores=people.scores,
        rotvecs=rotmat_to_rotvec(rotmats).astype(np.float32),
        shape=people.shape.numpy(),
        expression=people.expression.numpy(),
        translation=posed.translation.numpy(),
        origin=origin,
        rotation=(rotmats[:, 0] @ body.body_axes).astype(np.float32),
        covariance=pose_covariance(origin, camera.fx, *sigmas).astype(np.float32),
        joints=joints,
        keypoints_3d=keypoints,
        keypoints_2d=keypoints_2d.astype(np.float32),
        keypoint_scores=np.where(camera.contains(keypoints_2d), people.scores[:, None], np.float32(0.0)),
        bbox=pixel_bounds(outline).astype(np.float32),
        box_min=mesh.min(axis=1),
        box_max=mesh.max(axis=1),
        vertices_lod=mesh,
        vertices=posed.vertices.numpy(),
    )
    return humans if len(seen) == len(humans) else humans.select(seen)


def pixel_bounds(px: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns (N, 4) xmin, ymin, xmax, ymax of (N, V, 2) pixels; NaN pixels do not count."""
    hidden = np.isnan(px)
    low = np.where(hidden, np.inf, px).min(axis=1, initial=np.inf)
    high = np.where(hidden, -np.inf, px).max(axis=1, initial=-np.inf)
    return np.concatenate([low, high], axis=1)
