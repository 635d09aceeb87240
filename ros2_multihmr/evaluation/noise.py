"""Noise: what a network would make of people whose truth is known: errors, misses, and people who are not there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from ros2_multihmr.body.body_model import BodyModel
from ros2_multihmr.camera import Camera
from ros2_multihmr.humans import Humans
from ros2_multihmr.people import pixel_bounds
from ros2_multihmr.rotations import rotmat_to_rotvec, rotvec_to_rotmat
from ros2_multihmr.settings import Settings, setting
from ros2_multihmr.synthesis.actors import sample_shape
from ros2_multihmr.uncertainty import pose_covariance

Array = NDArray[np.float64]


class Poses(NamedTuple):
    """What a body makes people of; any leading dimensions.

    Attributes:
        rotmats: (..., R, 3, 3) float32.
        shape: (..., S) float32.
        expression: (..., E) float32.
        root: (..., 3) halfway between the hips [m].
    """

    rotmats: NDArray[np.float32]
    shape: NDArray[np.float32]
    expression: NDArray[np.float32]
    root: Array


@dataclass(frozen=True)
class Noise(Settings):
    """How wrong a network is. `jitter` is new in every frame; `drift` stays with a person and fades in seconds."""

    along: float = setting(0.02, "Jitter of the distance, part of it", low=0.0)
    across_px: float = setting(3.0, "Jitter across the ray [px]", low=0.0)
    drift: float = setting(0.01, "Drift of the distance, part of it", low=0.0)
    drift_s: float = setting(1.0, "Time in which a drift fades [s]", low=1e-3)
    rotation_deg: float = setting(4.0, "Jitter of every joint's rotation about each axis [deg]", low=0.0)
    shape: float = setting(0.05, "Jitter of the shape parameters", low=0.0)
    expression: float = setting(0.1, "Jitter of the expression", low=0.0)
    misses: float = setting(0.1, "Part of the visible people who are not found", low=0.0, high=1.0)
    inventions: float = setting(0.1, "People found in a frame who are not there, on average", low=0.0)
    score: float = setting(0.75, "Mean score of a true detection; its spread is 0.12", low=0.0, high=1.0)

    def scaled(self, factor: float) -> Noise:
        """Returns noise whose errors are so many times as large; misses and inventions stay."""
        errors = ("along", "across_px", "drift", "rotation_deg", "shape", "expression")
        return replace(self, **{name: factor * getattr(self, name) for name in errors})


def disturb(rng: np.random.Generator, people: Poses, stamps_s: Array, noise: Noise, camera: Camera) -> Poses:
    """Adds errors to the parameters of F x P people in the camera.

    Args:
        rng: What the errors are drawn from.
        people: The truth, (F, P, ...).
        stamps_s: (F,) [s].
        noise: How wrong.
        camera: Camera of all frames.
    """
    frames, count = people.root.shape[:2]
    distance = np.linalg.norm(people.root, axis=-1, keepdims=True)
    ray = people.root / distance
    drift = _drifts(rng, stamps_s, count, noise.drift_s)[..., None]
    along = noise.along * rng.normal(size=(frames, count, 1)) + noise.drift * drift
    across = rng.normal(size=people.root.shape) * distance * noise.across_px / camera.fx
    across -= (across * ray).sum(-1, keepdims=True) * ray
    turns = rotvec_to_rotmat(np.radians(noise.rotation_deg) * rng.normal(size=people.rotmats.shape[:-1]))
    return Poses(
        rotmats=(people.rotmats @ turns).astype(np.float32),
        shape=(people.shape + noise.shape * rng.normal(size=people.shape.shape)).astype(np.float32),
        expression=(people.expression + noise.expression * rng.normal(size=people.expression.shape)).astype(np.float32),
        root=people.root + along * distance * ray + across,
    )


@torch.inference_mode()
def detections(
    rng: np.random.Generator,
    people: Poses,
    visible: NDArray[np.bool_],
    noise: Noise,
    body: BodyModel,
    camera: Camera,
    *,
    position_sigma_px: float = 5.0,
    depth_sigma: float = 0.1,
) -> tuple[list[Humans], list[NDArray[np.intp]]]:
    """Makes what an estimator would return of F frames with P people.

    Args:
        rng: What misses, inventions and scores are drawn from.
        people: Poses as the network sees them, (F, P, ...), in the camera.
        visible: (F, P) who is there to be found.
        noise: How many are missed and invented.
        body: The people's body.
        camera: Camera of all frames.
        position_sigma_px: See `uncertainty.pose_covariance`.
        depth_sigma: See `uncertainty.pose_covariance`.

    Returns:
        Per frame, the people by falling score, and which of the P they are; -1 for nobody.
    """
    frames, count = visible.shape
    found = visible & (rng.random(visible.shape) >= noise.misses)
    frame, who = np.nonzero(found)
    invented = np.repeat(np.arange(frames), rng.poisson(noise.inventions, frames))
    model = rng.integers(count, size=len(invented))  # an invention stands as somebody does, elsewhere
    picked = np.concatenate([frame, invented]), np.concatenate([who, model])
    chosen = Poses(*(part[picked] for part in people))
    chosen.root[len(frame) :] = _anywhere(rng, len(invented), camera)
    for row in chosen.shape[len(frame) :]:
        row[:] = sample_shape(rng)
    scores = np.concatenate([rng.normal(noise.score, 0.12, len(frame)), rng.uniform(0.3, 0.6, len(invented))])
    scores = np.clip(scores, 0.3, 1.0).astype(np.float32)
    everybody = humans_of(chosen, scores, body, camera, position_sigma_px, depth_sigma)
    names = np.concatenate([who, np.full(len(invented), -1)])
    order = np.argsort(-scores, kind="stable")
    of_frame = [order[picked[0][order] == f] for f in range(frames)]
    return [everybody.select(these) for these in of_frame], [names[these] for these in of_frame]


@torch.inference_mode()
def humans_of(
    people: Poses,
    scores: NDArray[np.float32],
    body: BodyModel,
    camera: Camera,
    position_sigma_px: float = 5.0,
    depth_sigma: float = 0.1,
) -> Humans:
    """Makes `Humans` of N people's parameters in the camera."""
    zero = torch.zeros(len(scores), 3)
    rotmats, shape, expression = (torch.from_numpy(np.ascontiguousarray(a)) for a in people[:3])
    posed = body(rotmats, shape, expression, zero)
    middle = posed.joints[:, list(body.info.hip_joints)].mean(1)
    place = (torch.from_numpy(people.root.astype(np.float32)) - middle)[:, None]
    joints, keypoints, mesh = ((p + place).numpy() for p in (posed.joints, posed.keypoints, posed.vertices_lod))
    px = camera.project(keypoints)
    return Humans(
        body=body.info,
        scores=scores,
        rotvecs=rotmat_to_rotvec(people.rotmats).astype(np.float32),
        shape=people.shape,
        expression=people.expression,
        translation=(posed.translation + place[:, 0]).numpy(),
        origin=people.root.astype(np.float32),
        rotation=(people.rotmats[:, 0] @ body.info.body_axes).astype(np.float32),
        covariance=pose_covariance(people.root, camera.fx, position_sigma_px, depth_sigma).astype(np.float32),
        joints=joints,
        keypoints_3d=keypoints,
        keypoints_2d=px.astype(np.float32),
        keypoint_scores=np.where(camera.contains(px), scores[:, None], np.float32(0.0)),
        bbox=pixel_bounds(camera.project(mesh)).astype(np.float32),
        box_min=mesh.min(axis=1),
        box_max=mesh.max(axis=1),
        vertices_lod=mesh,
        vertices=mesh[:, :0],
    )


def _drifts(rng: np.random.Generator, stamps_s: Array, count: int, fades_s: float) -> Array:
    """(F, P) unit-variance first-order processes."""
    values = np.empty((len(stamps_s), count))
    values[0] = rng.normal(size=count)
    for f, stays in enumerate(np.exp(-np.diff(stamps_s) / fades_s), 1):
        values[f] = stays * values[f - 1] + np.sqrt(1 - stays**2) * rng.normal(size=count)
    return values


def _anywhere(rng: np.random.Generator, count: int, camera: Camera) -> Array:
    px = rng.uniform((0, 0), (camera.width, camera.height), (count, 2))
    return camera.unproject(px, rng.uniform(2.0, 8.0, count))
