"""Samples of a body in front of noise, for tests: exact labels, made-up pixels."""

from __future__ import annotations

import numpy as np
import torch

from ros2_multihmr.body import BodyModel
from ros2_multihmr.camera import Camera
from ros2_multihmr.render import render
from ros2_multihmr.rotations import rotvec_to_rotmat
from ros2_multihmr.samples.sample import Dense, Labels, Sample

WIDTH, HEIGHT = 96, 72
FRONT = np.array([[-1.0, 0, 0], [0, 0, -1], [0, -1, 0]])  # Anny's axes into the camera's, the face towards it


def made_up_labels(
    body: BodyModel, rng: np.random.Generator, people: int, camera: Camera, name: str = "anny"
) -> Labels:
    """People 2 to 4 m away with random poses, shapes and faces."""
    info = body.info
    rotmats = rotvec_to_rotmat(rng.normal(0, 0.25, (people, len(info.posed_joints), 3)))
    if people:
        rotmats[:, 0] = rotmats[:, 0] @ FRONT
    shape = rng.uniform(0.2, 0.8, (people, len(info.shape_names)))
    expression = rng.uniform(0, 1, (people, len(info.expression_names)))
    px = rng.uniform(0.2, 0.8, (people, 2)) * (camera.width, camera.height / 2)
    center = camera.unproject(px, rng.uniform(2, 4, people))
    floats = [array.astype(np.float32) for array in (rotmats, shape, expression, center)]
    keypoints = body(*map(torch.from_numpy, floats)).keypoints.numpy()
    visible = camera.contains(camera.project(keypoints)).astype(np.float32)
    return Labels(name, *floats, keypoints, visible, np.ones(people, np.float32), np.arange(people, dtype=np.int32))


def made_up_sample(body: BodyModel, seed: int, people: int = 2, *, dense: bool = True) -> Sample:
    """People of `made_up_labels` drawn over noise, with their dense truth; nearer people hide others."""
    rng = np.random.default_rng(seed)
    camera = Camera.from_fov(WIDTH, HEIGHT, 70.0)
    labels = made_up_labels(body, rng, people, camera)
    arrays = (labels.rotmats, labels.shape, labels.expression, labels.center)
    drawn = render(body(*map(torch.from_numpy, arrays)).vertices_lod.numpy(), body.info.faces_lod, camera)
    noise = rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    image = np.where(drawn.instance[..., None] >= 0, drawn.rgb, noise)
    instance = (drawn.instance + 1).astype(np.uint8)
    part = np.where(instance > 0, 2 + instance % 3, 0).astype(np.uint8)
    depth = np.where(instance > 0, drawn.depth, 6.0).astype(np.float16)
    return Sample(f"made-up-{seed:08d}", image, camera, labels, Dense(instance, part, depth) if dense else None)
