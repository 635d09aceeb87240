"""Truth of rendered clips in the form in which trackers are judged, and who a network's detections are."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from ros2_multihmr.body.body_model import BodyModel
from ros2_multihmr.camera import Camera
from ros2_multihmr.evaluation.geometry import BODY_POINTS, places
from ros2_multihmr.evaluation.matching import match
from ros2_multihmr.evaluation.noise import Poses
from ros2_multihmr.evaluation.predictors import MIN_VISIBILITY
from ros2_multihmr.evaluation.rendered_clips import RenderedClip
from ros2_multihmr.evaluation.walks import Walk
from ros2_multihmr.humans import Humans
from ros2_multihmr.people import pixel_bounds
from ros2_multihmr.samples.sample import Labels
from ros2_multihmr.tracking.fixed_frame import inverse

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
_HEAD = 0  # of `geometry.BODY`


def walk_of(clip: RenderedClip, body: BodyModel) -> Walk:
    """Returns the truth of a clip.

    Who is in the image at all is read off the meshes; who is to be found, off what the picture shows: a quarter of the
    silhouette (`MIN_VISIBILITY`), and the head within the image.
    """
    samples = [(sample.labels, sample.camera) for sample in clip.samples()]
    labels, camera = [one for one, _ in samples], samples[0][1]
    posed = [_posed(one, body) for one in labels]
    joints, mesh = (np.stack(parts) for parts in zip(*posed))  # (F, P, ..., 3) in the camera
    roots = joints[:, :, list(body.info.hip_joints)].mean(axis=2)
    T_world_camera = np.stack([inverse(pose) for pose in clip.T_camera_world])
    rotmats, shape, expression = (np.stack([getattr(one, name) for one in labels]) for name in _PARAMETERS)
    present, visible = _visibility(mesh, labels, camera, body)
    world_roots = _in_world(roots[:, :, None], T_world_camera)[:, :, 0]
    return Walk(
        name=clip.key.kind,
        body=body.info,
        camera=camera,
        stamps_s=clip.stamps_s,
        T_world_camera=T_world_camera,
        people=Poses(rotmats, shape, expression, roots),
        joints=_in_world(joints, T_world_camera),
        roots=world_roots,
        velocities=np.gradient(world_roots, clip.stamps_s, axis=0),
        present=present,
        visible=visible,
        moving_camera=not np.allclose(T_world_camera, T_world_camera[0]),
    )


def who_of(humans: Humans, labels: Labels, camera: Camera) -> NDArray[np.intp]:
    """Returns (N,) which of the labels' people are found, by the rule of `matching`; -1 for nobody who counts."""
    here = places(humans.body)
    px = humans.keypoints_2d[:, here][:, BODY_POINTS].astype(np.float64)
    true_px = camera.project(labels.keypoints.astype(np.float64))[:, here][:, BODY_POINTS]
    pairs = match(px, true_px, labels.visibility >= MIN_VISIBILITY)
    who = np.full(len(humans), -1, np.intp)
    who[pairs.guess] = pairs.truth
    return who


_PARAMETERS = ("rotmats", "shape", "expression")


@torch.inference_mode()
def _posed(labels: Labels, body: BodyModel) -> tuple[Array, Array]:
    tensors = (torch.from_numpy(getattr(labels, name)) for name in (*_PARAMETERS, "center"))
    posed = body(*tensors)
    return posed.joints.double().numpy(), posed.vertices_lod.double().numpy()


def _in_world(points: Array, T_world_camera: Array) -> Array:
    """(F, P, K, 3) points of the cameras, in the world."""
    turned: Array = points @ T_world_camera[:, None, :3, :3].swapaxes(-1, -2)
    return turned + T_world_camera[:, None, None, :3, 3]


def _visibility(mesh: Array, labels: list[Labels], camera: Camera, body: BodyModel) -> tuple[Mask, Mask]:
    """(F, P) in the image and known of; (F, P) to be found."""
    frames, count = mesh.shape[:2]
    outline = camera.project(mesh.reshape(frames * count, -1, 3))
    box = pixel_bounds(outline).reshape(frames, count, 4)
    inside = ((box[..., 2:] > -0.5) & (box[..., :2] < (camera.width - 0.5, camera.height - 0.5))).all(axis=-1)
    head = places(body.info)[_HEAD]
    heads = camera.contains(camera.project(np.stack([one.keypoints[:, head] for one in labels]).astype(np.float64)))
    visible = np.asarray(inside & heads & (np.stack([one.visibility for one in labels]) >= MIN_VISIBILITY))
    return _known(np.asarray(inside), visible), visible


def _known(inside: Mask, visible: Mask) -> Mask:
    """(F, P) True from where somebody is to be found until the person has left the image, as walks have it."""
    known = visible.copy()
    for frame in range(1, len(known)):
        known[frame] |= inside[frame] & known[frame - 1]
    return known
