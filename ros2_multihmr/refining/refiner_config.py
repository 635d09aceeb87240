"""Settings of the second look, apart from it: who only passes them on need not load the network's libraries."""

from __future__ import annotations

from dataclasses import dataclass

from ros2_multihmr.settings import Settings, setting


@dataclass(frozen=True)
class RefinerConfig(Settings):
    """Settings of the second look at each person."""

    refine: bool = setting(False, "A second network looks at several crops of each person, and corrects body and place")
    refiner_weights: str = setting(
        "", "File with that network's weights; empty: those that come with the package, for its own first network"
    )
    refine_min_px: float = setting(
        32.0, "People whose box has a shorter long side stay as first found [px]", low=1.0, high=10000.0, runtime=True
    )
    refine_min_inside: float = setting(
        0.6, "People of whose box a smaller part lies in the image do, too", low=0.0, high=1.0, runtime=True
    )
