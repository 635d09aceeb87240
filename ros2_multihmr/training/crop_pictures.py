"""Pictures of a second look: what was known before, and what is found, beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ros2_multihmr.body.body_model import BodyModel
from ros2_multihmr.camera import Camera
from ros2_multihmr.model.multi_crop import MultiCrop, pose_people
from ros2_multihmr.palette import color_of
from ros2_multihmr.render import render
from ros2_multihmr.training.crop_batches import CropBatch
from ros2_multihmr.training.crop_inputs import encoder_inputs
from ros2_multihmr.training.crop_objective import start_state

_OPACITY = 0.8


@torch.no_grad()
def second_looks(model: MultiCrop, body: BodyModel, batches: Sequence[Any], count: int) -> list[NDArray[np.uint8]]:
    """Draws validation images: people as they were known on the left, as the network finds them on the right.

    Args:
        model: The network, in evaluation mode.
        body: Its body.
        batches: Batches `CropBatch` on any device.
        count: How many pictures, at most.
    """
    pictures: list[NDArray[np.uint8]] = []
    device = next(model.parameters()).device
    for batch in (batch.to(device) for batch in batches):
        if len(pictures) >= count:
            break
        crops = encoder_inputs(model.config, batch)
        found = pose_people(body, model(crops, batch.boxes, batch.k, start_state(model.config, batch)))
        meshes = [vertices.cpu().numpy() for vertices in (batch.estimate.vertices, found.vertices_lod)]
        for image in batch.of_image.unique().tolist()[: count - len(pictures)]:
            pictures.append(np.hstack([_drawn(batch, image, mesh, body) for mesh in meshes]))
    return pictures


def _drawn(batch: CropBatch, image: int, meshes: NDArray[np.float32], body: BodyModel) -> NDArray[np.uint8]:
    pixels = batch.images[image].permute(1, 2, 0).cpu().numpy()
    people = (batch.of_image == image).nonzero()[:, 0].cpu().numpy()
    k = batch.k[int(people[0])].cpu().numpy().astype(np.float64)
    camera = Camera(k=k, width=pixels.shape[1], height=pixels.shape[0])
    colors = np.array([color_of(identity) for identity in range(1, 1 + len(people))])
    drawn = render(meshes[people], body.info.faces_lod, camera, colors=colors)
    mixed = _OPACITY * drawn.rgb + (1 - _OPACITY) * pixels
    return np.where(drawn.instance[..., None] >= 0, mixed, pixels).astype(np.uint8)
