"""Multi-HMR (arXiv:2402.14654): everyone in one image in one pass, as one static graph."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ros2_multihmr.model.camera_embedding import embed_camera
from ros2_multihmr.model.config import MultiHMRConfig
from ros2_multihmr.model.detection import Slots, clamp_scores, fill_slots, suppress
from ros2_multihmr.model.human_perception_head import HumanPerceptionHead
from ros2_multihmr.model.raw_outputs import RawOutputs
from ros2_multihmr.model.read_outs import (
    MAX_DEPTH,
    TokenReadOut,
    depth_from_nearness,
    depth_from_scaled_log,
    filled,
    filled_rotations,
    location,
    rotation_from_6d,
)
from ros2_multihmr.model.token_window import TokenWindow
from ros2_multihmr.model.vit import VisionTransformer


class MultiHMR(nn.Module):
    """The network. Shapes never depend on what is seen: people fill a fixed number of slots.

    Attributes:
        config: Its configuration.
        stored_body: What its weights carry of the body, see `official_body.stored_body`; for the body alone.
    """

    root_turn: Tensor

    def __init__(self, config: MultiHMRConfig) -> None:
        super().__init__()
        self.config = config
        self.stored_body: dict[str, Tensor] = {}
        self.backbone = VisionTransformer(config.image_size, config.width, config.depth, config.heads, config.stem)
        self.to_score = TokenReadOut(config.width, 1)
        self.to_offset = TokenReadOut(config.width, 2)
        self.head = HumanPerceptionHead(config)
        if config.quirks.turned_root:
            self.register_buffer("root_turn", torch.eye(3))

    def forward(self, pixels: Tensor, k: Tensor, threshold: Tensor) -> RawOutputs:
        """Finds and regresses the people of B images.

        Args:
            pixels: (B, 3, S, S) normalised images, or the pixels of a `TokenWindow` of such.
            k: (B, 3, 3) the square's intrinsics [px], corner of its first pixel at 0, last row (0, 0, 1).
            threshold: () score from which a token is a person.
        """
        window = TokenWindow.of_pixels(pixels, self.config.grid)
        tokens = self.backbone(pixels)
        scores_map = self.detect(tokens, window)
        slots = fill_slots(scores_map, threshold, self.config.max_humans)
        features = torch.cat([tokens, embed_camera(k, self.config, window)], dim=-1)
        return self.regress(tokens, features, k, scores_map, slots)

    def detect(self, tokens: Tensor, window: TokenWindow | None = None) -> Tensor:
        """Scores (B, N, C) tokens and suppresses all but the best of each neighbourhood: (B, rows, columns)."""
        return suppress(self.score(tokens, window), self.config.nms_kernel)

    def score(self, tokens: Tensor, window: TokenWindow | None = None) -> Tensor:
        """Scores (B, N, C) tokens of a window, or of the whole square: (B, rows, columns) from 0 to 1."""
        window = window or TokenWindow.whole(self.config.grid)
        scores = torch.sigmoid(self.to_score(tokens)).unflatten(1, (window.rows, window.columns))[..., 0]
        return clamp_scores(scores) if self.config.quirks.clamped_scores else scores

    def regress(self, tokens: Tensor, features: Tensor, k: Tensor, scores_map: Tensor, slots: Slots) -> RawOutputs:
        """Regresses the people in the slots; empty slots hold zeros and identity rotations."""
        config, mask = self.config, slots.mask
        window = TokenWindow(config.grid, *scores_map.shape[1:])
        people = self.head(features, slots, window)
        cells = window.cells(slots.tokens)
        at_slots = tokens.gather(1, slots.tokens[..., None].expand(-1, -1, config.width))
        rotmats = rotation_from_6d(people.pose.unflatten(-1, (config.num_rotations, 6)))
        if config.quirks.turned_root:
            rotmats = torch.cat([rotmats[:, :, :1] @ self.root_turn, rotmats[:, :, 1:]], 2)
        return RawOutputs(
            mask=mask,
            scores=filled(slots.scores, mask),
            cells=filled(cells, mask),
            loc_px=filled(location(cells, self.to_offset(at_slots)), mask),
            depth=filled(self.depth(people.camera[..., 0], k), mask),
            rotmats=filled_rotations(rotmats, mask),
            shape=filled(_activate(people.shape, config.shape_activation), mask),
            expression=filled(_activate(people.expression, config.expression_activation), mask),
            found=slots.found,
            scores_map=scores_map,
        )

    def depth(self, number: Tensor, k: Tensor) -> Tensor:
        """Turns the head's (B, M) numbers into depths [m] by the family's law."""
        if not self.config.quirks.focal_on_log_depth:
            return depth_from_nearness(number, k, self.config.image_size)
        depth = depth_from_scaled_log(number, k, self.config.image_size)
        return depth.clamp(0.0, MAX_DEPTH) if self.config.quirks.depth_clamp else depth


def _activate(numbers: Tensor, activation: str) -> Tensor:
    return torch.sigmoid(numbers) if activation == "sigmoid" else numbers
