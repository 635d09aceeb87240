"""Where training of a multi-crop network starts: small random weights and a person who stands, or our own backbone."""

from __future__ import annotations

import torch

from ros2_multihmr.body.body_model import BodyInfo
from ros2_multihmr.model.crop_encoders import VitEncoder
from ros2_multihmr.model.multi_crop import MultiCrop
from ros2_multihmr.model.multi_crop_config import MultiCropConfig
from ros2_multihmr.model.multihmr import MultiHMR
from ros2_multihmr.model.stand_in import standing_pose
from ros2_multihmr.model.vit import resample_positions
from ros2_multihmr.model.weights_error import WeightsError
from ros2_multihmr.training.initialise import FIRST_EXPRESSION, start_weights

FIRST_CORRECTIONS = 0.01  # of what the regressor's outputs would be: everybody stands in the middle of the first crop


@torch.no_grad()
def start_multi_crop(config: MultiCropConfig, info: BodyInfo, seed: int) -> MultiCrop:
    """Makes a network to train: whoever it sees stands in the middle of the plain crop and faces the camera.

    Args:
        config: Its configuration.
        info: The body.
        seed: What the weights are drawn from; the same on every machine.
    """
    model = MultiCrop(config)
    start_weights(model, seed)
    head = model.regressor
    for layer in (head.to_pose, head.to_shape, head.to_expression, head.to_camera):
        layer.weight.mul_(FIRST_CORRECTIONS)
    head.init_pose.copy_(standing_pose(info).flatten())
    if config.expression_activation == "sigmoid":
        head.init_expression.fill_(FIRST_EXPRESSION)
    return model


@torch.no_grad()
def borrow_backbone(model: MultiCrop, source: MultiHMR) -> None:
    """Starts the vit from a single-shot network's backbone, its position table resampled.

    Raises:
        WeightsError: The network has another encoder, or one of another size.
    """
    own = model.encoder
    sizes = ("width", "depth", "heads", "stem")
    other = [name for name in sizes if getattr(model.config, name) != getattr(source.config, name)]
    if not isinstance(own, VitEncoder) or other:
        told = "; ".join(f"{name} {getattr(source.config, name)}" for name in sizes)
        raise WeightsError(f"{source.config.weights}: expected a vit of the encoder's sizes, got {told}")
    state = dict(source.backbone.state_dict())
    state["pos_embed"] = resample_positions(state["pos_embed"], own.backbone.grid)
    own.backbone.load_state_dict(state)
