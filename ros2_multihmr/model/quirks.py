"""What families of networks do differently, by name and with the reason.

The released checkpoints learned around a few accidents of the code that trained them. Loading them means repeating
these; networks of our own have none.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Quirks:
    """Deviations of one family from what the paper describes.

    Not listed, as they need no code of their own: equal neighbours all survive suppression, people come in raster
    order, and the stored mean pose of the official files is written row by row but read column by column, so that its
    hands have no rotation before the regressed residual gives them one.

    Attributes:
        rows_as_ray_x: The token's row takes the place of x in the camera ray and its column that of y. The training
            code stacked the image grid as (row, column) and multiplied it with K^-1 as if it were (x, y).
        focal_on_log_depth: The focal length multiplies the logarithm of the depth, z = exp(y f / f_n), where the paper
            scales the depth itself. Only fx counts.
        depth_clamp: Depths end at 0 and 50 m. The option to turn this off was stored as a one-element tuple, which is
            always true.
        clamped_scores: Scores lie in [1e-4, 1 - 1e-4], for the loss; saturated neighbours tie and both survive.
        three_camera_outputs: The read-out of the depth has three outputs and the token holds three start values,
            inherited from weak-perspective heads; the last two are unused.
        turned_root: A turn of the body module's own comes on top of everyone's root rotation; identity in the released
            files, see `official_body`.
        interleaved_6d: A rotation's six numbers are the rows of its first two columns (x1 y1 x2 y2 x3 y3), where the
            others hold one column after the other.
    """

    rows_as_ray_x: bool = False
    focal_on_log_depth: bool = False
    depth_clamp: bool = False
    clamped_scores: bool = False
    three_camera_outputs: bool = False
    turned_root: bool = False
    interleaved_6d: bool = False


QUIRKS = {
    "multihmr": Quirks(),
    "official_smplx": Quirks(
        rows_as_ray_x=True,
        focal_on_log_depth=True,
        depth_clamp=True,
        clamped_scores=True,
        three_camera_outputs=True,
        turned_root=True,
    ),
    # The rest of what sets this family apart is a network of its own: `anny_multihmr`.
    "official_anny": Quirks(interleaved_6d=True),
}
