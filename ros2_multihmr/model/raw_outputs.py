"""What the network returns: fixed slots for people, and a mask that says which are filled."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class RawOutputs(NamedTuple):
    """Detections of B images in M slots each. Slots beyond the found people hold finite, meaningless numbers.

    Filled slots come first, in raster order (row, then column). Pixels are those of the network's square input with the
    corner of the first pixel at 0.

    Attributes:
        mask: (B, M) bool, True where a person was found.
        scores: (B, M) detection scores, 0 to 1.
        cells: (B, M, 2) int64 row and column in the square's grid of the token that found the person.
        loc_px: (B, M, 2) x, y of the body's center joint [px].
        depth: (B, M) distance of that joint along the optical axis [m].
        rotmats: (B, M, R, 3, 3) rotations of `BodyInfo.posed_joints`.
        shape: (B, M, S) shape parameters.
        expression: (B, M, E) expression parameters.
        found: (B,) int64 number of people over the threshold; more than M means that the weakest were left out.
        scores_map: (B, rows, columns) scores of all computed tokens after suppression, zero where suppressed; (g, g) of
            them unless the padding was cut off.
    """

    mask: Tensor
    scores: Tensor
    cells: Tensor
    loc_px: Tensor
    depth: Tensor
    rotmats: Tensor
    shape: Tensor
    expression: Tensor
    found: Tensor
    scores_map: Tensor
