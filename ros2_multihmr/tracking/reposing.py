"""Reposing: people who move or change their pose get everything that follows from it.

A rigid motion costs no body model: points turn and move along. Rotations, shape or expression that change cost one
pass of the body, as after the network.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ros2_multihmr.body.body_model import BodyModel, BodyOutput
from ros2_multihmr.camera import Camera
from ros2_multihmr.humans import Humans
from ros2_multihmr.people import pixel_bounds
from ros2_multihmr.rotations import rotmat_to_rotvec, rotvec_to_rotmat

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Parameters:
    """What a body makes N people of; float32, metres, radians, the image's optical frame.

    Attributes:
        rotvecs: (N, R, 3) rotations of `BodyInfo.posed_joints`.
        shape: (N, S).
        expression: (N, E).
        origin: (N, 3) halfway between the hips.
    """

    rotvecs: Array
    shape: Array
    expression: Array
    origin: Array

    @staticmethod
    def of(humans: Humans) -> Parameters:
        """Takes people's parameters."""
        return Parameters(humans.rotvecs, humans.shape, humans.expression, humans.origin)


def moved(
    humans: Humans, rotation: NDArray[np.floating] | None, origin: NDArray[np.floating], camera: Camera
) -> Humans:
    """Returns people turned about their hips and put elsewhere.

    Args:
        humans: N people.
        rotation: (N, 3, 3) what turns them, in the axes of the optical frame; None for nothing.
        origin: (N, 3) where halfway between their hips goes [m].
        camera: Camera of the image they are in now.

    Returns:
        The same people there; covariances turn along. Boxes in the image are NaN where nothing of a person lies in
        front of the camera.
    """
    there = humans if rotation is None else _turned(humans, np.asarray(rotation, np.float64))
    by = np.asarray(origin, np.float32) - there.origin
    names = ("joints", "keypoints_3d", "vertices_lod", "vertices")
    points = {name: getattr(there, name) + by[:, None] for name in names}
    there = replace(there, origin=there.origin + by, translation=there.translation + by, **points)
    return _in_image(there, camera)


def _turned(humans: Humans, rotation: NDArray[np.float64]) -> Humans:
    """People after (N, 3, 3) rotations about their hips; what regards the image is left as it was."""
    back = rotation.transpose(0, 2, 1)
    rotvecs, covariance = humans.rotvecs.copy(), humans.covariance.copy()
    rotvecs[:, 0] = rotmat_to_rotvec(rotation @ rotvec_to_rotmat(humans.rotvecs[:, 0]))
    covariance[:, :3, :3] = rotation @ covariance[:, :3, :3] @ back
    points = {
        name: ((getattr(humans, name) - humans.origin[:, None]) @ back + humans.origin[:, None]).astype(np.float32)
        for name in ("joints", "keypoints_3d", "vertices_lod", "vertices")
    }
    # Where the root rests, which a body's own translation counts from, stays what it is.
    resting = humans.joints[:, 0] - humans.translation
    return replace(
        humans,
        rotvecs=rotvecs,
        rotation=(rotation @ humans.rotation).astype(np.float32),
        covariance=covariance,
        translation=points["joints"][:, 0] - resting,
        **points,
    )


@torch.inference_mode()
def reposed(
    humans: Humans, parameters: Parameters, body: BodyModel, camera: Camera, *, device: torch.device | str = "cpu"
) -> Humans:
    """Returns people with other parameters, and everything that follows from them.

    Where only origins differ, people are moved without the body; where nothing does, `humans` itself is returned.

    Args:
        humans: N people.
        parameters: Their new parameters.
        body: Their body.
        camera: Camera of the image.
        device: Where the body is.
    """
    same = {
        name: np.array_equal(getattr(parameters, name), getattr(humans, name))
        for name in ("rotvecs", "shape", "expression", "origin")
    }
    if all(same.values()):
        return humans
    if same["rotvecs"] and same["shape"] and same["expression"]:
        return moved(humans, None, parameters.origin, camera)
    return _posed_again(humans, parameters, body, camera, torch.device(device))


def _posed_again(
    humans: Humans, parameters: Parameters, body: BodyModel, camera: Camera, device: torch.device
) -> Humans:
    rotmats = rotvec_to_rotmat(parameters.rotvecs).astype(np.float32)
    inputs = (rotmats, parameters.shape, parameters.expression, np.zeros_like(parameters.origin))
    on_device = (torch.from_numpy(np.ascontiguousarray(values)).to(device) for values in inputs)
    posed = BodyOutput(*(part.cpu() for part in body(*on_device, vertices=humans.has_vertices)))
    middle = posed.joints[:, list(body.info.hip_joints)].mean(1)
    place = torch.from_numpy(parameters.origin) - middle
    points: dict[str, Any] = {
        "translation": (posed.translation + place).numpy(),
        "joints": (posed.joints + place[:, None]).numpy(),
        "keypoints_3d": (posed.keypoints + place[:, None]).numpy(),
        "vertices_lod": (posed.vertices_lod + place[:, None]).numpy(),
        "vertices": (posed.vertices + place[:, None]).numpy(),
    }
    there = replace(
        humans,
        rotvecs=parameters.rotvecs,
        shape=parameters.shape,
        expression=parameters.expression,
        origin=parameters.origin,
        rotation=(rotmats[:, 0] @ body.info.body_axes).astype(np.float32),
        **points,
    )
    return _in_image(there, camera)


def _in_image(humans: Humans, camera: Camera) -> Humans:
    """Pixels and boxes that belong to the 3D points."""
    keypoints, outline = camera.project(humans.keypoints_3d), camera.project(humans.vertices_lod)
    bbox = pixel_bounds(outline)
    return replace(
        humans,
        keypoints_2d=keypoints.astype(np.float32),
        keypoint_scores=np.where(camera.contains(keypoints), humans.scores[:, None], np.float32(0.0)),
        bbox=np.where(np.isfinite(bbox), bbox, np.nan).astype(np.float32),
        box_min=humans.vertices_lod.min(axis=1),
        box_max=humans.vertices_lod.max(axis=1),
    )
