"""The backbone: a DINOv2 vision transformer with patches of 14 pixels (arXiv:2304.07193), without registers."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ros2_multihmr.model.config import IMAGENET_MEAN, IMAGENET_STD, PATCH
from ros2_multihmr.model.token_window import TokenWindow

MLP_RATIO = 4
STEM_WIDTH = 32
NORM_EPS = 1e-6
REACH = 4  # px of its surroundings that the convolutional stem sees, in whole strides of its first layer
BLACK = tuple(-mean / std for mean, std in zip(IMAGENET_MEAN, IMAGENET_STD, strict=True))


class PatchEmbedding(nn.Module):
    """Images to tokens. Parameters are those of a 14 x 14 convolution with stride 14."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, PATCH, PATCH)

    def forward(self, pixels: Tensor, window: TokenWindow | None = None) -> Tensor:
        """Embeds the pixels (B, 3, H, W) of a window, or of the whole square, as (B, N, C) tokens, row by row."""
        batch, channels, height, width = pixels.shape
        rows, columns = height // PATCH, width // PATCH
        patches = pixels.reshape(batch, channels, rows, PATCH, columns, PATCH).permute(0, 2, 4, 1, 3, 5)
        # As a matrix product, which keeps float32 on GPUs; a convolution would be rounded to TF32 there by default.
        return F.linear(patches.reshape(batch, rows * columns, -1), self.proj.weight.flatten(1), self.proj.bias)


class ConvStem(nn.Module):
    """Images to tokens through two small convolutions first, which learn from far fewer images (arXiv:2106.14881)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, STEM_WIDTH, 3, stride=2, padding=1)
        self.conv2 = nn.Conv2d(STEM_WIDTH, STEM_WIDTH, 3, padding=1)
        self.proj = nn.Conv2d(STEM_WIDTH, width, PATCH // 2, PATCH // 2)

    def forward(self, pixels: Tensor, window: TokenWindow | None = None) -> Tensor:
        """Embeds the pixels (B, 3, H, W) of a window, or of the whole square, as (B, N, C) tokens, row by row."""
        down, across = (REACH * (window.top > 0), REACH * (window.left > 0)) if window else (0, 0)
        if down or across:
            pixels = _with_padding(pixels, down, across)
        # Channels last is what convolutions with few channels want on a CPU: training takes two thirds of the time.
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        fine = F.gelu(self.conv2(F.gelu(self.conv1(pixels))))
        down, across = down // 2, across // 2
        fine = fine[:, :, down : fine.shape[2] - down, across : fine.shape[3] - across]
        return self.proj(fine).flatten(2).transpose(1, 2)


def _with_padding(pixels: Tensor, down: int, across: int) -> Tensor:
    """Gives (B, 3, H, W) back the black pixels around it that were cut off, as far as somebody looks at them."""
    around = (across, across, down, down)
    outside = 1 - F.pad(torch.ones_like(pixels[:1, :1]), around)
    # By way of 32 bits, as the pixels themselves come; made where they lie: CUDA graphs take nothing from the host.
    black = [torch.full((1, 1, 1), value, dtype=torch.float32, device=pixels.device) for value in BLACK]
    return F.pad(pixels, around) + torch.cat(black).to(pixels.dtype) * outside


_STEMS = {"patch": PatchEmbedding, "conv": ConvStem}


class Attention(nn.Module):
    """Self-attention of all tokens."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Maps (B, T, C) to (B, T, C)."""
        batch, count, width = tokens.shape
        qkv = self.qkv(tokens).reshape(batch, count, 3, self.heads, width // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        attended = self._attend(query, key, value)
        return self.proj(attended.transpose(1, 2).reshape(batch, count, width))

    def _attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        if self.training and query.device.type == "cpu":
            # The fused attention's way back takes twice as long on a CPU as this one's.
            scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
            return scores.softmax(-1) @ value
        return F.scaled_dot_product_attention(query, key, value)


class Mlp(nn.Module):
    """Two layers with the exact GELU between them."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Maps (..., C) to (..., C)."""
        return self.fc2(F.gelu(self.fc1(tokens)))


class LayerScale(nn.Module):
    """One learned factor per channel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, tokens: Tensor) -> Tensor:
        """Scales (..., C)."""
        return tokens * self.gamma


class Block(nn.Module):
    """One transformer block: attention and MLP, each normalised before, scaled after and added."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, NORM_EPS)
        self.attn = Attention(width, heads)
        self.ls1 = LayerScale(width)
        self.norm2 = nn.LayerNorm(width, NORM_EPS)
        self.mlp = Mlp(width, MLP_RATIO * width)
        self.ls2 = LayerScale(width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Maps (B, T, C) to (B, T, C)."""
        tokens = tokens + self.ls1(self.attn(self.norm1(tokens)))
        return tokens + self.ls2(self.mlp(self.norm2(tokens)))


class VisionTransformer(nn.Module):
    """DINOv2 for one input size, with DINOv2's parameter names.

    The position table belongs to the input's own token grid: `resample_positions` brings a table of another grid there
    when weights are loaded, once instead of at every image.
    """

    def __init__(self, image_size: int, width: int, depth: int, heads: int, stem: str = "patch") -> None:
        super().__init__()
        self.grid = image_size // PATCH
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + self.grid**2, width))
        self.patch_embed = _STEMS[stem](width)
        self.blocks = nn.ModuleList([Block(width, heads) for _ in range(depth)])
        self.norm = nn.LayerNorm(width, NORM_EPS)

    def forward(self, pixels: Tensor) -> Tensor:
        """Computes the features of normalised images: (B, N, C), row by row, normalised, without CLS.

        Args:
            pixels: (B, 3, S, S), or the pixels (B, 3, H, W) of a `TokenWindow`, whose tokens alone are computed then:
                as if nobody in the square saw the others.
        """
        return self.norm(self.run_blocks(pixels)[:, 1:])

    def run_blocks(self, pixels: Tensor) -> Tensor:
        """Computes (B, 1 + N, C), CLS first, not yet normalised, in the images' precision; see `forward`."""
        window = TokenWindow.of_pixels(pixels, self.grid)
        patches = self.patch_embed(pixels.to(self.cls_token.dtype), window)
        cls = self.cls_token.expand(patches.shape[0], -1, -1)
        tokens = torch.cat([cls, patches], dim=1) + self._positions(window)
        for block in self.blocks:
            tokens = block(tokens)
        return tokens.to(pixels.dtype)

    def _positions(self, window: TokenWindow) -> Tensor:
        if window == TokenWindow.whole(self.grid):
            return self.pos_embed
        return torch.cat([self.pos_embed[:, :1], window.of_tokens(self.pos_embed[:, 1:])], dim=1)

    def set_precision(self, dtype: torch.dtype) -> None:
        """Lets the patches and blocks compute in 16 bits; the last normalisation and all behind it keep 32.

        Detection compares scores with their neighbours' and with a threshold: that is where rounding loses people.
        """
        for part in (self.patch_embed, self.blocks):
            part.to(dtype)
        for table in (self.cls_token, self.pos_embed):
            table.data = table.data.to(dtype)


def resample_positions(table: Tensor, grid: int) -> Tensor:
    """Brings a DINOv2 position table to another token grid, with DINOv2's sampling.

    Quirk: DINOv2 asks for a scale of (g + .1) / 37 where g / 37 would be exact, so that rounding never loses a row; the
    positions between which it interpolates follow that scale. Its features expect tables made this way.

    Args:
        table: (1, 1 + n * n, C), CLS first.
        grid: Tokens per side g wanted.

    Returns:
        (1, 1 + g * g, C); the table itself if n equals g.
    """
    stored = round((table.shape[1] - 1) ** 0.5)
    if stored == grid:
        return table
    cls, positions = table[:, :1], table[:, 1:]
    image = positions.reshape(1, stored, stored, -1).permute(0, 3, 1, 2)
    scale = (grid + 0.1) / stored
    image = F.interpolate(image, scale_factor=(scale, scale), mode="bicubic")
    return torch.cat([cls, image.permute(0, 2, 3, 1).flatten(1, 2)], dim=1)
