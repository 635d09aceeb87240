"""Configuration of a multi-crop network: its sizes, and every part of the paper's ablation that is a matter of it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from ros2_multihmr.body.body_model import BodyInfo
from ros2_multihmr.model.config import ACTIVATIONS, HEAD_WIDTH, PATCH, STEMS
from ros2_multihmr.settings import Settings, setting

ENCODERS = ("vit", "resnet50", "hrnet_w48", "roi")
POOLINGS = ("mean", "cls", "flat")
SCHEMES = ("fixed", "random", "shift", "scale")
FUSIONS = ("mean", "concat", "self_attention", "crop_aware")
CAMERAS = ("per_crop", "derived")
STARTS = ("mean", "first_pass")
MAX_CROPS = 9
CNN_STRIDE = 32


@dataclass(frozen=True)
class CropSettings(Settings):
    """What is chosen of a multi-crop network, whatever its body."""

    num_crops: int = setting(5, "Crops per person", low=1, high=MAX_CROPS)
    scheme: str = setting("fixed", "Where the crops lie: the paper's table, at random, or half of it", choices=SCHEMES)
    crop_height: int = setting(112, "Height of the pictures that the crops become [px]", low=1)
    crop_width: int = setting(112, "Width of the pictures that the crops become [px]", low=1)

    encoder: str = setting(
        "vit",
        "What reads a crop: vit; resnet50, hrnet_w48 (of the package timm); roi, the features that a single-shot "
        "network has of the whole image, no pixels",
        choices=ENCODERS,
    )
    width: int = setting(192, "Width of the vit; roi: of the single-shot network's", low=1)
    depth: int = setting(6, "Blocks of the vit", low=1)
    heads: int = setting(3, "Attention heads of the vit", low=1)
    stem: str = setting("conv", "What makes tokens of pixels in the vit", choices=STEMS)
    pooling: str = setting(
        "mean", "How tokens become one vector: mean, vit's CLS, or all side by side", choices=POOLINGS
    )

    fusion: str = setting("crop_aware", "How the crops' features are joined", choices=FUSIONS)
    relative_boxes: bool = setting(True, "The fusion knows where the crops lie against each other (all but mean)")
    fusion_width: int = setting(256, "Width of what the fusion weighs crops by", low=HEAD_WIDTH)
    num_bands: int = setting(32, "Frequencies of the relative boxes' encoding", low=1)
    max_resolution: float = setting(64.0, "The encoding's highest frequency is half of it", low=2.0)

    cameras: str = setting("per_crop", "A camera for every crop, or one and the others derived", choices=CAMERAS)
    iterations: int = setting(3, "Steps of the regressor", low=1, high=20)
    hidden: int = setting(1024, "Width of its layers", low=1)
    contrastive: bool = setting(True, "Has the head of the contrastive loss; of no use with one crop")
    start: str = setting(
        "mean",
        "What the regressor corrects: mean, a person who stands; first_pass, what a single-shot network found",
        choices=STARTS,
    )

    def __post_init__(self) -> None:
        """Checks every value.

        Raises:
            ValueError: A value that no network can have; says which, what was expected and what came.
        """
        super().__post_init__()
        _require(not (self.contrastive and self.num_crops == 1), "contrastive", "False with num_crops 1", True)
        _require(not (self.relative_boxes and self.fusion == "mean"), "relative_boxes", "False with fusion mean", True)
        multiple = f"a multiple of {HEAD_WIDTH}"
        _require(self.fusion_width % HEAD_WIDTH == 0, "fusion_width", multiple, self.fusion_width)
        _check_vit(self) if self.encoder in ("vit", "roi") else _check_cnn(self)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the pictures that the crops become [px]."""
        return self.crop_height, self.crop_width

    @property
    def bins(self) -> tuple[int, int]:
        """Rows and columns of a crop's tokens; roi: of what is read of the feature map."""
        return self.crop_height // PATCH, self.crop_width // PATCH

    @property
    def encoder_input(self) -> tuple[int, int, int]:
        """Channels, height and width of what the encoder reads of a crop."""
        return (self.width, *self.bins) if self.encoder == "roi" else (3, *self.size)


@dataclass(frozen=True)
class MultiCropConfig(CropSettings):
    """Sizes and kind of one multi-crop network (arXiv:2402.02074)."""

    weights: str = setting("", "Name of the weights, shown in messages and logs")
    body: str = setting("anny", "Body whose parameters come out, see body.create_body")
    num_rotations: int = setting(1, "Rotations per person, the root's first", low=1)
    num_shape: int = setting(0, "Shape parameters", low=0)
    num_expression: int = setting(0, "Expression parameters", low=0)
    shape_activation: str = setting("none", "sigmoid: shape parameters lie in [0, 1]", choices=ACTIVATIONS)
    expression_activation: str = setting("none", "The same for expression parameters", choices=ACTIVATIONS)

    @staticmethod
    def for_body(body: str, info: BodyInfo, **settings: Any) -> MultiCropConfig:
        """Builds the configuration of a network for a body.

        Args:
            body: The body's name, see `body.create_body`.
            info: The body.
            **settings: Everything that is not to have its default.

        Raises:
            ValueError: Values that no network can have.
        """
        activation = "sigmoid" if info.name.startswith("anny") else "none"
        return MultiCropConfig(
            body=body,
            num_rotations=len(info.posed_joints),
            num_shape=len(info.shape_names),
            num_expression=len(info.expression_names),
            shape_activation=activation,
            expression_activation=activation,
            **settings,
        )

    @staticmethod
    def from_dict(values: dict[str, Any]) -> MultiCropConfig:
        """Builds a configuration from a file's values.

        Raises:
            ValueError: Unknown names, no body's numbers, or values that no network can have.
        """
        names = {field.name for field in dataclasses.fields(MultiCropConfig)}
        unknown, missing = sorted(set(values) - names), sorted({"body", "num_rotations"} - set(values))
        if unknown or missing:
            raise ValueError(f"multi-crop configuration: unknown {unknown}, missing {missing}")
        return MultiCropConfig(**values)


def _check_vit(config: CropSettings) -> None:
    for name in ("crop_height", "crop_width"):
        _require(getattr(config, name) % PATCH == 0, name, f"a multiple of {PATCH} for vit", getattr(config, name))
    # The shorter side's tokens lie in the middle of a square, see `TokenWindow`.
    even = (config.crop_height - config.crop_width) % (2 * PATCH) == 0
    _require(even, "crop_width", f"crop_height {config.crop_height} less a multiple of {2 * PATCH}", config.crop_width)
    _require(config.width % config.heads == 0, "heads", f"a divisor of the width {config.width}", config.heads)
    _require(not (config.encoder == "roi" and config.pooling == "cls"), "pooling", "mean or flat with roi", "cls")


def _check_cnn(config: CropSettings) -> None:
    for name in ("crop_height", "crop_width"):
        value = getattr(config, name)
        _require(value % CNN_STRIDE == 0, name, f"a multiple of {CNN_STRIDE} for {config.encoder}", value)
    _require(config.pooling != "cls", "pooling", f"mean or flat, as {config.encoder} has no CLS token", "cls")


def _require(condition: bool, name: str, expected: str, came: object) -> None:
    if not condition:
        raise ValueError(f"multi-crop configuration: {name}: expected {expected}, got {came!r}")
