"""What synthetic scenes are drawn from."""

from __future__ import annotations

from dataclasses import dataclass

from ros2_multihmr.settings import Settings, setting

SPLITS = ("train", "val")
KINDS = ("close_up", "room", "open", "clutter")


@dataclass(frozen=True)
class SceneConfig(Settings):
    """Settings of `synthesize`. The shares of the kinds need not add up to 1: they are weighed against each other."""

    split: str = setting("train", "Which colours, patterns and seeds the scenes may use", choices=SPLITS)
    longer_side: int = setting(288, "Longer side of the images [px]", low=64, high=2048)
    max_people: int = setting(6, "Most people in an image", low=1, high=20)
    empty: float = setting(0.03, "Share of images with nobody", low=0.0, high=1.0)
    close_up: float = setting(0.32, "Share of one or two people near the camera, hands in view", low=0.0)
    room: float = setting(0.43, "Share of furnished rooms", low=0.0)
    open: float = setting(0.13, "Share of open air: ground, sky, buildings, trees", low=0.0)
    clutter: float = setting(0.12, "Share of heaps of patterned things behind the people", low=0.0)
    max_distance_m: float = setting(12.0, "Farthest that people stand from the camera [m]", low=2.0, high=50.0)

    def __post_init__(self) -> None:
        """Checks every value.

        Raises:
            ValueError: A value that is not allowed, or no kind has a share.
        """
        super().__post_init__()
        if sum(self.shares) <= 0.0:
            raise ValueError(f"SceneConfig: one of {', '.join(KINDS)} needs a share above 0, got {self.shares}")

    @property
    def shares(self) -> tuple[float, ...]:
        """Shares of `KINDS`, not normalised."""
        return self.close_up, self.room, self.open, self.clutter
