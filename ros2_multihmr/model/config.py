"""Configuration of a Multi-HMR network: everything that its weights do not say by themselves."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from ros2_multihmr.model.quirks import QUIRKS, Quirks
from ros2_multihmr.uncertainty import Sigmas

PATCH = 14
HEAD_WIDTH = 32
ACTIVATIONS = ("none", "sigmoid")
STEMS = ("patch", "conv")
PADDINGS = ("square", "cut")
# What pixels are normalised by, from 0 to 1, red, green, blue.
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class MultiHMRConfig:
    """Sizes and kind of one network.

    Attributes:
        kind: "multihmr" for our own networks (true camera rays, z = f / exp(eta)); "official_smplx" and
            "official_anny" for the two released families, quirks included.
        weights: Name of the weights, shown in messages and logs.
        body: Name of the body whose parameters come out, see `body.create_body`.
        untrained: True if the weights were drawn at random and never trained.
        image_size: Side S of the square input [px], a multiple of 14.
        width: Backbone width C.
        depth: Number of backbone blocks.
        heads: Backbone attention heads.
        num_rotations: R, rotations per person.
        num_shape: S, shape parameters.
        num_expression: E, expression parameters.
        num_bands: Frequencies of the ray embedding.
        max_resolution: The ray embedding's highest frequency is half of it.
        hph_depth: Layers of the Human Perception Head.
        hph_heads: Its attention heads, each 32 wide.
        hph_width: Width of its tokens.
        hph_mlp_ratio: Width of its MLPs' hidden layers, in widths of the tokens.
        max_humans: Slots M; more people than that in one image: the best scores stay.
        nms_kernel: Side of the window in which only the best score survives [tokens]; 1 turns suppression off.
        shape_activation: "none" for unbounded shape parameters, "sigmoid" for those in [0, 1].
        expression_activation: The same for expression parameters.
        stem: What makes tokens of pixels: "patch", as DINOv2 does, or "conv", two convolutions before.
        position_sigma_px: Measured standard deviation of a person's place across the ray [px of the input]; 0: nobody
            measured it, see `multihmr evaluate calibrate-covariance`.
        depth_sigma: The same of the distance, as a fraction of it.
        padding: How the weights are meant to see images that are no squares: "square", with all tokens of the padding,
            or "cut", without them. Both work with any weights.
    """

    kind: str
    weights: str
    body: str
    untrained: bool
    image_size: int
    width: int
    depth: int
    heads: int
    num_rotations: int
    num_shape: int
    num_expression: int
    num_bands: int = 16
    max_resolution: float = 64.0
    hph_depth: int = 2
    hph_heads: int = 8
    hph_width: int = 1024
    hph_mlp_ratio: int = 1
    max_humans: int = 20
    nms_kernel: int = 3
    shape_activation: str = "none"
    expression_activation: str = "none"
    stem: str = "patch"
    position_sigma_px: float = 0.0
    depth_sigma: float = 0.0
    padding: str = "square"

    def __post_init__(self) -> None:
        """Checks every value.

        Raises:
            ValueError: A value no network can have; says which, what was expected and what came.
        """
        _check_types(self)
        _require(self.kind in QUIRKS, "kind", f"one of {', '.join(QUIRKS)}", self.kind)
        for name in ("shape_activation", "expression_activation"):
            _require(getattr(self, name) in ACTIVATIONS, name, f"one of {', '.join(ACTIVATIONS)}", getattr(self, name))
        _require(self.stem in STEMS, "stem", f"one of {', '.join(STEMS)}", self.stem)
        _require(self.padding in PADDINGS, "padding", f"one of {', '.join(PADDINGS)}", self.padding)
        for name in _POSITIVE:
            _require(getattr(self, name) >= 1, name, "at least 1", getattr(self, name))
        for name in ("num_shape", "num_expression", "position_sigma_px", "depth_sigma"):
            _require(getattr(self, name) >= 0, name, "at least 0", getattr(self, name))
        _require(self.image_size % PATCH == 0, "image_size", f"a multiple of {PATCH}", self.image_size)
        _require(self.width % self.heads == 0, "heads", f"a divisor of the width {self.width}", self.heads)
        _require(self.max_humans <= self.num_tokens, "max_humans", f"at most {self.num_tokens} tokens", self.max_humans)
        for name in ("max_resolution", "position_sigma_px", "depth_sigma"):
            _require(math.isfinite(getattr(self, name)), name, "a finite number", getattr(self, name))
        # An even window has no middle: 2 and 4 are read as reaching up and left, larger ones have no such reading.
        odd_or_small = self.nms_kernel % 2 == 1 or self.nms_kernel in (2, 4)
        _require(odd_or_small, "nms_kernel", "an odd number, 2 or 4", self.nms_kernel)

    @property
    def quirks(self) -> Quirks:
        """What this network's family does differently."""
        return QUIRKS[self.kind]

    @property
    def sigmas(self) -> Sigmas:
        """How wrong people's places are, as measured; zeros where nobody did."""
        return Sigmas(self.position_sigma_px, self.depth_sigma)

    @property
    def grid(self) -> int:
        """Tokens per side, g."""
        return self.image_size // PATCH

    @property
    def num_tokens(self) -> int:
        """Tokens of one image, N = g * g."""
        return self.grid**2

    @property
    def feature_width(self) -> int:
        """Width D of a token with its ray embedding."""
        return self.width + 3 + 6 * self.num_bands

    @property
    def num_camera(self) -> int:
        """Outputs of the depth read-out; the first is used."""
        return 3 if self.quirks.three_camera_outputs else 1

    @staticmethod
    def from_dict(values: dict[str, Any]) -> MultiHMRConfig:
        """Builds a configuration from a file's values.

        Raises:
            ValueError: Unknown or missing names, or values that no network can have.
        """
        fields = dataclasses.fields(MultiHMRConfig)
        unknown = sorted(set(values) - {field.name for field in fields})
        required = {field.name for field in fields if field.default is dataclasses.MISSING}
        missing = sorted(required - set(values))
        if unknown or missing:
            raise ValueError(f"network configuration: unknown {unknown}, missing {missing}")
        return MultiHMRConfig(**values)


_POSITIVE = (
    *("image_size", "width", "depth", "heads", "num_rotations", "num_bands", "max_resolution"),
    *("hph_depth", "hph_heads", "hph_width", "hph_mlp_ratio", "max_humans", "nms_kernel"),
)
_TYPES = {"str": str, "bool": bool, "int": int, "float": float}


def _require(condition: bool, name: str, expected: str, came: object) -> None:
    if not condition:
        raise ValueError(f"network configuration: {name}: expected {expected}, got {came!r}")


def _check_types(config: MultiHMRConfig) -> None:
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        accepted = (float, int) if field.type == "float" else (_TYPES[str(field.type)],)
        plain = not isinstance(value, bool) or field.type == "bool"
        _require(isinstance(value, accepted) and plain, field.name, str(field.type), value)
