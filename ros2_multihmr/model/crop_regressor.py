"""The regressor: one body and the crops' cameras, from where they start, in a few steps of corrections."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from ros2_multihmr.model.crop_cameras import CropBoxes, derived_cameras, local_cameras
from ros2_multihmr.model.multi_crop_config import MultiCropConfig

_NEAR_EDGE = 1e-4  # how near to 0 and 1 numbers behind a sigmoid may start


class BodyState(NamedTuple):
    """P people as the regressor has them in its hands: numbers to which corrections are added.

    Attributes:
        pose: (P, R * 6) first two columns of each rotation, one after the other.
        shape: (P, S) before the activation.
        expression: (P, E) before the activation.
        cameras: (P, N, 3) local cameras, see `crop_cameras`; their scales are corrected by factors.
    """

    pose: Tensor
    shape: Tensor
    expression: Tensor
    cameras: Tensor


class CropRegressor(nn.Module):
    """Iterative regression, with the body shared by all crops of a person.

    In every step each crop sees its own fused features and box, all boxes, the body and its camera. What the crops say
    of the body is averaged; each corrects its own camera, or all of them the first one's, from which the others follow.
    """

    init_pose: Tensor
    init_shape: Tensor
    init_expression: Tensor
    init_camera: Tensor

    def __init__(self, config: MultiCropConfig, width: int) -> None:
        super().__init__()
        self.config = config
        sizes = {"pose": 6 * config.num_rotations, "shape": config.num_shape, "expression": config.num_expression}
        for name, size in sizes.items():
            self.register_buffer(f"init_{name}", torch.zeros(1, size))
        self.register_buffer("init_camera", torch.tensor([[1.0, 0.0, 0.0]]))
        inputs = width + 3 + 3 * config.num_crops + sum(sizes.values()) + 3
        self.layers = nn.Sequential(
            nn.Linear(inputs, config.hidden), nn.ReLU(), nn.Linear(config.hidden, config.hidden), nn.ReLU()
        )
        self.to_pose = nn.Linear(config.hidden, sizes["pose"])
        self.to_shape = nn.Linear(config.hidden, sizes["shape"])
        self.to_expression = nn.Linear(config.hidden, sizes["expression"])
        self.to_camera = nn.Linear(config.hidden, 3)

    def forward(self, fused: Tensor, infos: Tensor, boxes: CropBoxes, start: BodyState | None = None) -> BodyState:
        """Regresses P people.

        Args:
            fused: (P, N, D) features of their crops, each fused with the others.
            infos: (P, N, 3) of `crop_cameras.box_infos`.
            boxes: P x N crops.
            start: What is corrected; None: the same for everybody.
        """
        state = self.start(boxes) if start is None else start
        everywhere = infos.flatten(1)[:, None].expand(-1, infos.shape[1], -1)
        seen = torch.cat([fused, infos, everywhere], dim=-1)
        for _ in range(self.config.iterations):
            state = self.step(seen, boxes, state)
        return state

    def start(self, boxes: CropBoxes) -> BodyState:
        """Everybody before anything is seen: the initial values, in cameras that agree."""
        people = boxes.center.shape[0]
        cameras = derived_cameras(self.init_camera.expand(people, -1), boxes)
        pose, shape, expression = (
            init.expand(people, -1) for init in (self.init_pose, self.init_shape, self.init_expression)
        )
        return BodyState(pose, shape, expression, cameras)

    def step(self, seen: Tensor, boxes: CropBoxes, state: BodyState) -> BodyState:
        """Corrects once; `seen` is (P, N, ...), what does not change."""
        scale, offset = state.cameras[..., :1], state.cameras[..., 1:]
        body = torch.cat([state.pose, state.shape, state.expression], dim=-1)
        of_crops = body[:, None].expand(-1, seen.shape[1], -1)
        hidden = self.layers(torch.cat([seen, of_crops, scale.log(), offset], dim=-1))
        shared = hidden.mean(1)
        return BodyState(
            state.pose + self.to_pose(shared),
            state.shape + self.to_shape(shared),
            state.expression + self.to_expression(shared),
            self._cameras(hidden, shared, boxes, state.cameras),
        )

    def _cameras(self, hidden: Tensor, shared: Tensor, boxes: CropBoxes, cameras: Tensor) -> Tensor:
        if self.config.cameras == "derived":
            return derived_cameras(_corrected(cameras[:, 0], self.to_camera(shared)), boxes)
        return _corrected(cameras, self.to_camera(hidden))


def _corrected(cameras: Tensor, by: Tensor) -> Tensor:
    """Cameras (..., 3) with scales multiplied by exponentials, so that they stay positive, and offsets moved."""
    return torch.cat([cameras[..., :1] * by[..., :1].exp(), cameras[..., 1:] + by[..., 1:]], dim=-1)


def state_of(
    config: MultiCropConfig,
    rotmats: Tensor,
    shape: Tensor,
    expression: Tensor,
    translation: Tensor,
    boxes: CropBoxes,
    k: Tensor,
) -> BodyState:
    """Turns people who were estimated already into what the regressor starts from.

    Args:
        config: The network's.
        rotmats: (P, R, 3, 3).
        shape: (P, S), as `MultiCrop` returns them.
        expression: (P, E), the same.
        translation: (P, 3) the root joint in the optical frame [m].
        boxes: P x N crops.
        k: (P, 3, 3) intrinsics of the images [px].

    Raises:
        ValueError: Somebody is not in front of the camera.
    """
    if not (translation[:, 2] > 0).all():
        raise ValueError(
            "multi-crop start: expected people in front of the camera (z > 0 m), got depths "
            f"{translation[:, 2].tolist()}; leave those behind it out"
        )
    return BodyState(
        rotmats[..., :2].transpose(-1, -2).flatten(1),
        _before(shape, config.shape_activation),
        _before(expression, config.expression_activation),
        local_cameras(translation[:, None], boxes, k),
    )


def _before(numbers: Tensor, activation: str) -> Tensor:
    return numbers.logit(eps=_NEAR_EDGE) if activation == "sigmoid" else numbers
