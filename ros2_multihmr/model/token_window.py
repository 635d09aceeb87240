"""Which tokens of the network's square input are computed: all, or the middle ones that an image covers.

An image that is no square leaves rows or columns of tokens that hold nothing but padding. They can be left out: the
others keep their places in the square, so that position tables, rays and pixels stay what they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

from ros2_multihmr.model.config import PATCH


@dataclass(frozen=True)
class TokenWindow:
    """The tokens in the middle of the square's grid.

    As many rows are left out above as below, and as many columns on the left as on the right: the size alone says where
    the window is, so that the shape of its pixels tells a network all there is to know.

    Attributes:
        grid: Tokens per side g of the square.
        rows: Rows of the window.
        columns: Its columns.
    """

    grid: int
    rows: int
    columns: int

    def __post_init__(self) -> None:
        """Checks the size.

        Raises:
            ValueError: No window in the middle of the grid has it.
        """
        for name, count in (("rows", self.rows), ("columns", self.columns)):
            if not 1 <= count <= self.grid or (self.grid - count) % 2:
                raise ValueError(
                    f"token window: {name}: expected 1 to {self.grid}, {self.grid} less an even number; got {count}"
                )

    @staticmethod
    def whole(grid: int) -> TokenWindow:
        """Returns the window that is the square."""
        return TokenWindow(grid, grid, grid)

    @staticmethod
    def of_pixels(pixels: Tensor, grid: int) -> TokenWindow:
        """Returns the window whose pixels (B, 3, H, W) are.

        Raises:
            ValueError: There is none of this size.
        """
        height, width = pixels.shape[-2:]
        if height % PATCH or width % PATCH:
            raise ValueError(f"token window: expected multiples of {PATCH} pixels, got {height} x {width}")
        return TokenWindow(grid, height // PATCH, width // PATCH)

    @staticmethod
    def around(grid: int, margin: tuple[int, int], content: tuple[int, int], least: int = 1) -> TokenWindow:
        """Returns the smallest window that holds an image.

        Args:
            grid: Tokens per side of the square.
            margin: Columns to the left of the image and rows above it [px].
            content: Its width and height [px].
            least: Tokens that the window has at least, as far as the square goes: no fewer than slots for people.
        """
        columns, rows = (_count(grid, before, size) for before, size in zip(margin, content, strict=True))
        while rows * columns < least and min(rows, columns) < grid:
            rows, columns = (rows + 2, columns) if rows <= columns else (rows, columns + 2)
        return TokenWindow(grid, rows, columns)

    @staticmethod
    def of_image(width: int, height: int, grid: int, least: int = 1) -> TokenWindow:
        """Returns the smallest window that holds an image of this size [px]; `least` as for `around`."""
        content, margin = fitted(width, height, grid * PATCH)
        return TokenWindow.around(grid, margin, content, least)

    @property
    def top(self) -> int:
        """Rows above the window."""
        return (self.grid - self.rows) // 2

    @property
    def left(self) -> int:
        """Columns to the left of it."""
        return (self.grid - self.columns) // 2

    @property
    def num_tokens(self) -> int:
        """Its tokens."""
        return self.rows * self.columns

    @property
    def size_px(self) -> tuple[int, int]:
        """Height and width [px]."""
        return self.rows * PATCH, self.columns * PATCH

    @property
    def images(self) -> str:
        """Which images are all inside, in words: "of any shape", or "at least 16/9 times as wide as high"."""
        if self.num_tokens == self.grid**2:
            return "of any shape"
        narrow, way = (self.rows, "wide as high") if self.columns == self.grid else (self.columns, "high as wide")
        return f"at least {Fraction(self.grid, narrow)} times as {way}"

    def covers(self, other: TokenWindow) -> bool:
        """Says whether all tokens of another window of the same square are in this one."""
        return self.grid == other.grid and self.rows >= other.rows and self.columns >= other.columns

    def cells(self, tokens: Tensor) -> Tensor:
        """Turns indices (...) of the window's tokens into rows and columns of the square's grid (..., 2)."""
        return torch.stack([self.top + tokens // self.columns, self.left + tokens % self.columns], dim=-1)

    def of_square(self, pixels: Tensor) -> Tensor:
        """Picks the window's pixels (B, 3, H, W) of the square's (B, 3, S, S)."""
        height, width = self.size_px
        top, left = self.top * PATCH, self.left * PATCH
        return pixels[..., top : top + height, left : left + width]

    def of_rows(self, table: Tensor) -> Tensor:
        """Picks the window's rows of a table (g, ...)."""
        return table[self.top : self.top + self.rows]

    def of_columns(self, table: Tensor) -> Tensor:
        """Picks the window's columns of a table (g, ...)."""
        return table[self.left : self.left + self.columns]

    def of_grid(self, values: Tensor) -> Tensor:
        """Picks the window's values (B, rows, columns) of the square's (B, g, g)."""
        return values[..., self.top : self.top + self.rows, self.left : self.left + self.columns]

    def of_tokens(self, table: Tensor) -> Tensor:
        """Picks the window's tokens of a table (..., g * g, C): (..., rows * columns, C), row by row."""
        square = table.unflatten(-2, (self.grid, self.grid))
        rows, columns = slice(self.top, self.top + self.rows), slice(self.left, self.left + self.columns)
        return square[..., rows, columns, :].flatten(-3, -2)


def fitted(width: int, height: int, size: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Fits an image into the middle of a square of `size` pixels, by the official demo's rule.

    Sizes and margins are rounded half to even. An image so thin that it would vanish keeps one pixel.

    Returns:
        Its width and height there, and columns to its left and rows above it [px].
    """
    longer = max(width, height)
    content = (max(1, round(width / longer * size)), max(1, round(height / longer * size)))
    return content, (round((size - content[0]) * 0.5), round((size - content[1]) * 0.5))


def _count(grid: int, before: int, size: int) -> int:
    """Tokens in a row or column of the window: all less those without a pixel, the same number on either side."""
    behind = grid * PATCH - before - size
    return grid - 2 * (min(before, behind) // PATCH)
