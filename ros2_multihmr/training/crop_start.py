"""Where training of a multi-crop network starts: small random weights and a person who stands, or our own backbone."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import torch
from torch import nn

from ros2_multihmr.body.body_model import BodyInfo
from ros2_multihmr.model.crop_encoders import TimmEncoder, VitEncoder
from ros2_multihmr.model.embedded import open_multi_crop, open_network
from ros2_multihmr.model.multi_crop import MultiCrop
from ros2_multihmr.model.multi_crop_checkpoint import is_multi_crop, load_multi_crop
from ros2_multihmr.model.multi_crop_config import CropSettings, MultiCropConfig
from ros2_multihmr.model.multihmr import MultiHMR
from ros2_multihmr.model.stand_in import standing_pose
from ros2_multihmr.model.vit import resample_positions
from ros2_multihmr.model.weights_error import WeightsError
from ros2_multihmr.training.crop_recipe import CropNetworkSettings
from ros2_multihmr.training.initialise import FIRST_EXPRESSION, STD, check_fit, read_state, start_weights

FIRST_CORRECTIONS = 0.01  # of what the regressor's outputs would be: everybody stands in the middle of the first crop
_ENCODER = ("encoder", "width", "depth", "heads", "stem", "pooling", "crop_height", "crop_width")
_CLASSIFIERS = ("fc.", "classifier.")  # of timm's files, which no second look has


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
    for part in (model.encoder, model.fusion, head):
        _as_loud_as_their_inputs(part)
    for layer in (head.to_pose, head.to_shape, head.to_expression, head.to_camera):
        layer.weight.mul_(FIRST_CORRECTIONS)
    head.init_pose.copy_(standing_pose(info).flatten())
    if config.expression_activation == "sigmoid":
        head.init_expression.fill_(FIRST_EXPRESSION)
    return model


def _as_loud_as_their_inputs(part: nn.Module) -> None:
    """Scales layers outside of backbones: without norms between them, small ones would drown what the crops show."""
    for name, layer in part.named_modules():
        if isinstance(layer, nn.Linear) and not name.startswith(("backbone.", "blocks.")):
            layer.weight.mul_(1.0 / (STD * math.sqrt(layer.in_features)))


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


@torch.no_grad()
def take_encoder(model: MultiCrop, source: MultiCrop, path: str) -> None:
    """Starts the encoder as another second look's; how many crops there are and what is made of them may differ.

    Args:
        model: The network.
        source: The other one.
        path: Its file, for errors.

    Raises:
        WeightsError: The other network's encoder is another one; says what differs.
    """
    wanted, came = model.config, source.config
    if others := [name for name in _ENCODER if getattr(wanted, name) != getattr(came, name)]:
        told = ", ".join(f"{name} {getattr(wanted, name)} but {getattr(came, name)}" for name in others)
        raise WeightsError(f"{path}: its encoder is another one: expected {told}; set network.* to it")
    model.encoder.load_state_dict(source.encoder.state_dict())


def crop_training_config(settings: CropNetworkSettings, info: BodyInfo, name: str) -> MultiCropConfig:
    """Configuration of a network to train.

    Args:
        settings: What is chosen of it.
        info: The body.
        name: Name of the weights.

    Raises:
        ValueError: Values that no network can have.
    """
    chosen = {field.name: getattr(settings, field.name) for field in dataclasses.fields(CropSettings)}
    return MultiCropConfig.for_body(settings.body, info, weights=name, **chosen)


def load_crop_start(model: MultiCrop, path: str) -> None:
    """Starts everything from weights of the same sizes.

    Raises:
        WeightsError: The file is missing, damaged, or of another network; says what differs.
    """
    source = open_multi_crop("" if path == "embedded" else path)
    own, other = (dataclasses.asdict(one) | {"weights": ""} for one in (model.config, source.config))
    if differences := [f"{name} {other[name]!r}" for name in own if own[name] != other[name] and name != "scheme"]:
        raise WeightsError(f"{path}: of another network: {', '.join(differences)}; set network.* to it")
    model.load_state_dict(source.state_dict())


def load_crop_backbone(model: MultiCrop, source: str) -> None:
    """Starts the encoder from another second look's, from a single-shot network, or, if it is timm's, from its weights.

    Args:
        model: The network.
        source: "embedded", or the path of a file.

    Raises:
        WeightsError: The file is missing, damaged, or does not fit.
    """
    encoder = model.encoder
    if is_multi_crop(source):
        take_encoder(model, load_multi_crop(source), source)
        return
    if isinstance(encoder, VitEncoder):
        network = open_network("" if source == "embedded" else source)
        if not isinstance(network, MultiHMR):
            raise WeightsError(f"{source}: expected weights of the kind multihmr, got {network.config.kind}")
        borrow_backbone(model, network)
        return
    if not isinstance(encoder, TimmEncoder):
        raise WeightsError(
            f"{source}: the encoder {model.config.encoder} has no backbone; leave network.backbone empty"
        )
    path = Path(source).expanduser()
    if not path.is_file():
        raise WeightsError(f"{path}: no such weights file; give the path of timm's weights of {model.config.encoder}")
    state = {name: tensor for name, tensor in read_state(path).items() if not name.startswith(_CLASSIFIERS)}
    check_fit(state, encoder.backbone.state_dict(), path)
    encoder.backbone.load_state_dict(state)
