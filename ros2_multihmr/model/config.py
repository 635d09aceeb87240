"""Configuration of a Multi-HMR network: everything that its weights do not say by themselves."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class MultiHMRConfig:
    """Sizes and kind of one network.

    Attributes:
        kind: "multihmr" for our own networks (true camera rays, z = f / exp(eta)); "official_smplx" for the released
            SMPL-X family, quirks included.
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
        max_humans: Slots M; more people than that in one image: the best scores stay.
        nms_kernel: Side of the window in which only the best score survives [tokens]; 1 turns suppression off.
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
    max_humans: int = 20
    nms_kernel: int = 3
