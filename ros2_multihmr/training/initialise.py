"""Where training starts: small random weights and a person who stands, or a backbone that the user brings."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from ros2_multihmr.body.body_model import BodyInfo
from ros2_multihmr.model.config import PATCH, MultiHMRConfig
from ros2_multihmr.model.embedded import open_network
from ros2_multihmr.model.initialisation import draw
from ros2_multihmr.model.multihmr import MultiHMR
from ros2_multihmr.model.official_file import load_tensors
from ros2_multihmr.model.stand_in import standing_pose
from ros2_multihmr.model.vit import resample_positions
from ros2_multihmr.model.weights_error import WeightsError
from ros2_multihmr.training.recipe_sections import NetworkSettings

STD = 0.02
CUT = 2.0  # standard deviations
FIRST_SCORE = 0.01  # so that the many empty tokens do not drown the few with people at the start (RetinaNet's prior)
FIRST_DEPTH = 4.0  # m, in a 60 degree camera
FIRST_EXPRESSION = -3.0  # before the sigmoid
# DINOv2's names of the sizes, by width; the files that torch.hub keeps are called so.
DINOV2 = {384: "dinov2_vits14", 768: "dinov2_vitb14", 1024: "dinov2_vitl14", 1536: "dinov2_vitg14"}
DINOV2_URL = "https://dl.fbaipublicfiles.com/dinov2/{name}/{name}_pretrain.pth"
_DROPPED = ("mask_token",)
_FREE = ("weights", "untrained", "max_humans", "nms_kernel", "padding")  # what the weights are, whatever these say


def training_config(settings: NetworkSettings, info: BodyInfo, name: str, max_humans: int = 20) -> MultiHMRConfig:
    """Configuration of a network of our own kind for a body.

    Args:
        settings: Its sizes.
        info: The body.
        name: Name of the weights.
        max_humans: Slots.

    Raises:
        ValueError: Sizes that no network can have.
    """
    activation = "sigmoid" if info.name.startswith("anny") else "none"
    return MultiHMRConfig(
        kind="multihmr",
        weights=name,
        body=settings.body,
        untrained=False,
        image_size=settings.image_size,
        width=settings.width,
        depth=settings.depth,
        heads=settings.heads,
        stem=settings.stem,
        padding=settings.padding,
        num_rotations=len(info.posed_joints),
        num_shape=len(info.shape_names),
        num_expression=len(info.expression_names),
        hph_depth=settings.hph_depth,
        hph_heads=settings.hph_heads,
        hph_width=settings.hph_width,
        max_humans=min(max_humans, (settings.image_size // PATCH) ** 2),
        shape_activation=activation,
        expression_activation=activation,
    )


def start_model(config: MultiHMRConfig, info: BodyInfo, seed: int) -> MultiHMR:
    """Makes a network to train: it sees nobody, and whoever it is asked about stands and faces the camera.

    Args:
        config: Its configuration.
        info: The body.
        seed: What the weights are drawn from; the same on every machine.
    """
    model = MultiHMR(config)
    start_weights(model, seed)
    with torch.no_grad():
        _start_head(model, standing_pose(info))
        model.to_score.fc2.bias.fill_(math.log(FIRST_SCORE / (1.0 - FIRST_SCORE)))
        model.to_offset.fc2.weight.zero_()
    return model


@torch.no_grad()
def start_weights(module: nn.Module, seed: int) -> None:
    """Draws matrices and tables from a truncated normal distribution; biases are 0, norms and layer scales 1.

    Args:
        module: Any module; also what is trained beside the network.
        seed: What the numbers are drawn from, together with each tensor's name.
    """
    convolutions = {f"{name}.weight" for name, part in module.named_modules() if isinstance(part, nn.Conv2d)}
    for name, parameter in module.named_parameters():
        if name.endswith("bias"):
            parameter.zero_()
        elif name.endswith("gamma") or (parameter.dim() == 1 and name.endswith("weight")):
            parameter.fill_(1.0)
        else:
            fan_in = parameter[0].numel()
            std = 1.0 / math.sqrt(fan_in) if name in convolutions else STD
            parameter.copy_(std * draw(name, tuple(parameter.shape), seed).clamp(-CUT, CUT))


def _start_head(model: MultiHMR, pose: Tensor) -> None:
    head = model.head
    for layer in (head.to_pose, head.to_shape, head.to_camera, head.to_expression):
        layer.weight.zero_()
    head.init_pose.copy_(pose.flatten())
    head.init_camera.fill_(-math.log(FIRST_DEPTH))
    if model.config.expression_activation == "sigmoid":
        head.init_expression.fill_(FIRST_EXPRESSION)


def load_start(model: MultiHMR, source: str) -> None:
    """Starts from trained weights, to go on with other data or for longer.

    Args:
        model: The network.
        source: A weights file, or "embedded" for the one that comes with the package.

    Raises:
        WeightsError: The file is missing, damaged, or of a network with other sizes; says which differ.
    """
    start = open_network("" if source == "embedded" else source)
    has, wanted = dataclasses.asdict(start.config), dataclasses.asdict(model.config)
    other = [name for name in wanted if name not in _FREE and has[name] != wanted[name]]
    if other:
        told = "; ".join(f"{name} {has[name]}, the recipe's {wanted[name]}" for name in other)
        raise WeightsError(f"{source}: of another network: {told}; change the recipe's network")
    model.load_state_dict(start.state_dict())


def load_backbone(model: MultiHMR, source: str) -> None:
    """Starts the backbone from DINOv2's weights (arXiv:2304.07193); nothing is ever downloaded.

    Args:
        model: The network, of one of DINOv2's sizes, or any size that fits the file.
        source: A .pth or .safetensors file with DINOv2's names, or "dinov2" for the file that torch.hub keeps.

    Raises:
        WeightsError: The file is missing or does not fit; says what was expected and where to get it.
    """
    path = _hub_file(model.config) if source == "dinov2" else Path(source).expanduser()
    if not path.is_file():
        raise WeightsError(f"{path}: no such weights file; give the path of a .pth or .safetensors file of DINOv2")
    state = read_state(path)
    config, expected = model.config, model.backbone.state_dict()
    state = {name: tensor.float() for name, tensor in state.items() if name not in _DROPPED}
    if config.stem != "patch":
        raise WeightsError(f"{path}: DINOv2's backbone has the stem patch; set network.stem to it")
    if any(name.startswith("register_tokens") for name in state):
        raise WeightsError(f"{path}: a DINOv2 with registers; use the one without (dinov2_vit?14_pretrain.pth)")
    state = {_own_name(name): tensor for name, tensor in state.items()}
    if "pos_embed" in state:
        state["pos_embed"] = resample_positions(state["pos_embed"], config.grid)
    check_fit(state, expected, path)
    model.backbone.load_state_dict(state)


def _hub_file(config: MultiHMRConfig) -> Path:
    if config.width not in DINOV2:
        raise WeightsError(f"no DINOv2 is {config.width} wide; expected network.width {', '.join(map(str, DINOV2))}")
    name = DINOV2[config.width]
    path = Path(torch.hub.get_dir()) / "checkpoints" / f"{name}_pretrain.pth"
    if not path.is_file():
        raise WeightsError(
            f"{path}: not there, and nothing is downloaded unasked. Get {DINOV2_URL.format(name=name)} "
            "(Apache-2.0) and put it there, or give its path as network.backbone"
        )
    return path


def read_state(path: Path) -> Mapping[str, Tensor]:
    """Reads tensors by name from a .safetensors or torch file; nothing in it can run.

    Raises:
        WeightsError: The file is damaged.
    """
    if path.suffix != ".safetensors":
        return load_tensors(path)
    try:
        return load_file(path)
    except Exception as error:
        raise WeightsError(f"{path}: damaged or not a safetensors file ({error}). Get it again.") from error


def _own_name(name: str) -> str:
    """Large DINOv2 models number their blocks within chunks: blocks.0.3.norm1 is blocks.3.norm1."""
    words = name.split(".")
    return ".".join([words[0], *words[2:]]) if words[0] == "blocks" and words[2].isdigit() else name


def check_fit(state: Mapping[str, Tensor], expected: Mapping[str, Tensor], path: Path) -> None:
    """Checks that a file has a backbone's tensors.

    Raises:
        WeightsError: Missing, additional or misshapen tensors.
    """
    missing, extra = sorted(set(expected) - set(state)), sorted(set(state) - set(expected))
    if missing or extra:
        raise WeightsError(
            f"{path}: not this backbone: missing {missing[:3]}, unknown {extra[:3]}; check network.depth"
        )
    for name, wanted in expected.items():
        if state[name].shape != wanted.shape:
            raise WeightsError(
                f"{path}: {name}: expected shape {tuple(wanted.shape)}, got {tuple(state[name].shape)}; "
                "check network.width"
            )
