"""The Human Perception Head: one query per person looks at all tokens of its image (paper, section 3.3)."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ros2_multihmr.model.config import HEAD_WIDTH, MultiHMRConfig
from ros2_multihmr.model.detection import Slots
from ros2_multihmr.model.token_window import TokenWindow


class HeadOutputs(NamedTuple):
    """The head's numbers for M slots, before they become rotations and metres.

    Attributes:
        pose: (B, M, R * 6).
        shape: (B, M, S).
        camera: (B, M, 3 or 1), the first is the depth's.
        expression: (B, M, E).
    """

    pose: Tensor
    shape: Tensor
    camera: Tensor
    expression: Tensor


class HumanPerceptionHead(nn.Module):
    """Queries at the detected tokens, a few layers of attention, and linear read-outs added to initial values."""

    init_pose: Tensor
    init_shape: Tensor
    init_camera: Tensor
    init_expression: Tensor

    def __init__(self, config: MultiHMRConfig) -> None:
        super().__init__()
        grid, features, width = config.grid, config.feature_width, config.hph_width
        sizes = {
            "pose": 6 * config.num_rotations,
            "shape": config.num_shape,
            "camera": config.num_camera,
            "expression": config.num_expression,
        }
        self.query_row = nn.Parameter(torch.zeros(grid, features))
        self.query_column = nn.Parameter(torch.zeros(grid, features))
        self.value_row = nn.Parameter(torch.zeros(grid, features))
        self.value_column = nn.Parameter(torch.zeros(grid, features))
        for name, size in sizes.items():
            self.register_buffer(f"init_{name}", torch.zeros(1, size))
        # The initial expression is not part of the token.
        self.to_token = nn.Linear(features + sizes["pose"] + sizes["shape"] + sizes["camera"], width)
        self.token_position = nn.Parameter(torch.zeros(width))
        self.layers = decoder_layers(config, features)
        self.to_pose = nn.Linear(width, sizes["pose"])
        self.to_shape = nn.Linear(width, sizes["shape"])
        self.to_camera = nn.Linear(width, sizes["camera"])
        self.to_expression = nn.Linear(width, sizes["expression"])

    def forward(self, features: Tensor, slots: Slots, window: TokenWindow | None = None) -> HeadOutputs:
        """Regresses people.

        Args:
            features: (B, N, D) tokens with their ray embeddings.
            slots: Where people were found.
            window: Which tokens these are; None: the whole square's.
        """
        people = self.tokens(features, slots, window)
        people = self.decode(people, self.context(features, slots, window), slots.mask)
        return HeadOutputs(
            self.to_pose(people) + self.init_pose,
            self.to_shape(people) + self.init_shape,
            self.to_camera(people) + self.init_camera,
            self.to_expression(people) + self.init_expression,
        )

    def tokens(self, features: Tensor, slots: Slots, window: TokenWindow | None = None) -> Tensor:
        """Builds one query per slot: features, position, initial values. (B, M, inputs of to_token)."""
        cells = (window or self._whole()).cells(slots.tokens)
        query = features.gather(1, slots.tokens[..., None].expand(-1, -1, features.shape[-1]))
        row, column = self.query_row[cells[..., 0]], self.query_column[cells[..., 1]]
        start = torch.cat([self.init_pose, self.init_shape, self.init_camera], dim=-1)
        return torch.cat([query + row + column, start.expand(*query.shape[:2], -1)], dim=-1)

    def context(self, features: Tensor, slots: Slots, window: TokenWindow | None = None) -> Tensor:
        """Marks the image's detected tokens in its features by their positions. (B, N, D), one for all its people."""
        window = window or self._whole()
        positions = window.of_rows(self.value_row)[:, None] + window.of_columns(self.value_column)[None]
        detected = torch.zeros_like(features[..., 0]).scatter(1, slots.tokens, slots.mask.to(features.dtype))
        return features + detected[..., None] * positions.flatten(0, 1)

    def _whole(self) -> TokenWindow:
        return TokenWindow.whole(self.query_row.shape[0])

    def decode(self, tokens: Tensor, context: Tensor, mask: Tensor) -> Tensor:
        """Runs the layers. (B, M, width).

        Args:
            tokens: (B, M, ...) of `tokens`.
            context: (B, N, D) of `context`.
            mask: (B, M) True for slots with a person.
        """
        people = self.to_token(tokens) + self.token_position
        return decode(self.layers, people, context, mask)


def decoder_layers(config: MultiHMRConfig, context: int) -> nn.ModuleList:
    """Makes the layers of a head whose people look at tokens of width `context`."""
    width, heads, hidden = config.hph_width, config.hph_heads, config.hph_width * config.hph_mlp_ratio
    return nn.ModuleList([Layer(width, context, heads, hidden) for _ in range(config.hph_depth)])


def decode(layers: nn.ModuleList, people: Tensor, context: Tensor, mask: Tensor) -> Tensor:
    """Runs (B, M, width) people through the layers; `context` is (B, N, D), `mask` (B, M) is True for people."""
    # Everyone sees the people of the image; an empty slot sees itself, too, which keeps its numbers finite.
    visible = mask[:, None, :] | torch.eye(mask.shape[1], dtype=torch.bool, device=mask.device)
    for layer in layers:
        people = layer(people, context, visible)
    return people


class Layer(nn.Module):
    """Self-attention of the people, cross-attention to the image, MLP; each normalised before and added."""

    def __init__(self, width: int, context: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.self_attention = SelfAttention(width, heads)
        self.cross_attention = CrossAttention(width, context, heads)
        self.mlp = HeadMlp(width, hidden)

    def forward(self, people: Tensor, context: Tensor, visible: Tensor) -> Tensor:
        """Maps (B, M, width) to (B, M, width); `visible` is (B, M, M)."""
        people = people + self.self_attention(people, visible)
        people = people + self.cross_attention(people, context)
        return people + self.mlp(people)


class SelfAttention(nn.Module):
    """Attention among the people of an image."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.to_qkv = nn.Linear(width, 3 * heads * HEAD_WIDTH, bias=False)
        self.to_out = nn.Linear(heads * HEAD_WIDTH, width)

    def forward(self, people: Tensor, visible: Tensor) -> Tensor:
        """Maps (B, M, width) to (B, M, width); `visible` (B, M, M) says whom each row sees."""
        query, key, value = self.to_qkv(self.norm(people)).chunk(3, dim=-1)
        return self.to_out(attend(query, key, value, self.heads, visible[:, None]))


class CrossAttention(nn.Module):
    """Attention of the people to the tokens of their image, which are not normalised."""

    def __init__(self, width: int, context: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.to_q = nn.Linear(width, heads * HEAD_WIDTH, bias=False)
        self.to_kv = nn.Linear(context, 2 * heads * HEAD_WIDTH, bias=False)
        self.to_out = nn.Linear(heads * HEAD_WIDTH, width)

    def forward(self, people: Tensor, context: Tensor) -> Tensor:
        """Maps (B, M, width) people and (B, N, D) tokens to (B, M, width)."""
        key, value = self.to_kv(context).chunk(2, dim=-1)
        return self.to_out(attend(self.to_q(self.norm(people)), key, value, self.heads))


class HeadMlp(nn.Module):
    """Normalisation and two layers with the exact GELU between them."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, people: Tensor) -> Tensor:
        """Maps (B, M, width) to (B, M, width)."""
        return self.fc2(F.gelu(self.fc1(self.norm(people))))


def attend(query: Tensor, key: Tensor, value: Tensor, heads: int, visible: Tensor | None = None) -> Tensor:
    """Multi-head attention of (B, M, H * 32) queries to (B, T, H * 32) keys and values; returns (B, M, H * 32)."""
    query, key, value = (x.unflatten(-1, (heads, HEAD_WIDTH)).transpose(1, 2) for x in (query, key, value))
    attended = F.scaled_dot_product_attention(query, key, value, attn_mask=visible)
    return attended.transpose(1, 2).flatten(2)
