"""The official Multi-HMR for the Anny body: a network of its own, for the released files.

What sets it apart from the paper's, by name: the camera never enters the features (`k` only scales depths); the
network guesses a field of view of its own from the CLS token (`field_of_view`), which callers with a camera do not
need; people's offsets are read from the head, not from the image's tokens; the score is not clamped. How its files
spell the rest is in `official_anny`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ros2_multihmr.model.config import MultiHMRConfig
from ros2_multihmr.model.detection import Slots, fill_slots, suppress
from ros2_multihmr.model.human_perception_head import decode, decoder_layers
from ros2_multihmr.model.raw_outputs import RawOutputs
from ros2_multihmr.model.read_outs import (
    TokenReadOut,
    depth_from_inverse,
    filled,
    filled_rotations,
    location,
    rotation_from_6d,
)
from ros2_multihmr.model.token_window import TokenWindow
from ros2_multihmr.model.vit import VisionTransformer


class AnnyMultiHMR(nn.Module):
    """The network, as one static graph like `MultiHMR`."""

    token_position: Tensor
    init_pose: Tensor
    fov_max: Tensor

    def __init__(self, config: MultiHMRConfig) -> None:
        super().__init__()
        self.config = config
        self.stored_body: dict[str, Tensor] = {}  # its files carry none
        width = config.hph_width
        self.backbone = VisionTransformer(config.image_size, config.width, config.depth, config.heads)
        self.to_score = TokenReadOut(config.width, 1)
        self.to_fov = TokenReadOut(config.width, 1)
        self.to_token = nn.Linear(config.width, width)
        self.layers = decoder_layers(config, width)
        self.to_offset = TokenReadOut(width, 2)
        self.to_depth = TokenReadOut(width, 1)
        self.to_pose = TokenReadOut(width, 6 * config.num_rotations)
        self.to_shape = TokenReadOut(width, config.num_shape)
        self.register_buffer("token_position", torch.zeros(config.num_tokens, width))
        self.register_buffer("init_pose", torch.zeros(1, 6 * config.num_rotations))
        self.register_buffer("fov_max", torch.zeros(1))

    def forward(self, pixels: Tensor, k: Tensor, threshold: Tensor) -> RawOutputs:
        """Finds and regresses the people of B images, see `MultiHMR.forward`."""
        window = TokenWindow.of_pixels(pixels, self.config.grid)
        tokens = self.backbone(pixels)
        scores_map = self.detect(tokens, window)
        slots = fill_slots(scores_map, threshold, self.config.max_humans)
        return self.regress(self.decode(tokens, slots, window), k, scores_map, slots)

    def detect(self, tokens: Tensor, window: TokenWindow | None = None) -> Tensor:
        """Scores (B, N, C) tokens and suppresses all but the best of each neighbourhood: (B, rows, columns)."""
        return suppress(self.score(tokens, window), self.config.nms_kernel)

    def score(self, tokens: Tensor, window: TokenWindow | None = None) -> Tensor:
        """Scores (B, N, C) tokens of a window, or of the whole square: (B, rows, columns) from 0 to 1."""
        window = window or TokenWindow.whole(self.config.grid)
        return torch.sigmoid(self.to_score(tokens)).unflatten(1, (window.rows, window.columns))[..., 0]

    def decode(self, tokens: Tensor, slots: Slots, window: TokenWindow | None = None) -> Tensor:
        """Runs the head: (B, M, width) of (B, N, C) tokens of a window, or of the whole square."""
        window = window or TokenWindow.whole(self.config.grid)
        context = self.to_token(tokens) + window.of_tokens(self.token_position)
        people = context.gather(1, slots.tokens[..., None].expand(-1, -1, context.shape[-1]))
        return decode(self.layers, people, context, slots.mask)

    def regress(self, people: Tensor, k: Tensor, scores_map: Tensor, slots: Slots) -> RawOutputs:
        """Reads out (B, M, width) people; empty slots hold zeros and identity rotations."""
        config, mask = self.config, slots.mask
        cells = TokenWindow(config.grid, *scores_map.shape[1:]).cells(slots.tokens)
        pose = (self.to_pose(people) + self.init_pose).unflatten(-1, (config.num_rotations, 6))
        shape = torch.sigmoid(self.to_shape(people))
        return RawOutputs(
            mask=mask,
            scores=filled(slots.scores, mask),
            cells=filled(cells, mask),
            loc_px=filled(location(cells, self.to_offset(people)), mask),
            depth=filled(depth_from_inverse(self.to_depth(people)[..., 0], k), mask),
            rotmats=filled_rotations(rotation_from_6d(pose, interleaved=config.quirks.interleaved_6d), mask),
            shape=filled(shape, mask),
            expression=shape[..., :0],
            found=slots.found,
            scores_map=scores_map,
        )

    def field_of_view(self, pixels: Tensor) -> Tensor:
        """Guesses the field of view of (B, 3, S, S) images over their side: (B, 1) [rad]."""
        cls = self.backbone.norm(self.backbone.run_blocks(pixels)[:, 0])
        return self.fov_max * torch.sigmoid(self.to_fov(cls))


def camera_of_view(fov: Tensor, image_size: int) -> Tensor:
    """Makes the intrinsics of a centred camera: (B, 3, 3) [px] of (B, 1) fields of view [rad]."""
    focal = (image_size / 2) / torch.tan(fov[:, 0] / 2)
    k = torch.eye(3, dtype=fov.dtype, device=fov.device).repeat(len(fov), 1, 1)
    k[:, 0, 0] = k[:, 1, 1] = focal
    k[:, :2, 2] = image_size / 2
    return k
