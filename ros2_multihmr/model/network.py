"""Which class runs a configuration."""

from __future__ import annotations

from ros2_multihmr.model.anny_multihmr import AnnyMultiHMR
from ros2_multihmr.model.config import MultiHMRConfig
from ros2_multihmr.model.multihmr import MultiHMR

Network = MultiHMR | AnnyMultiHMR


def build_network(config: MultiHMRConfig) -> Network:
    """Makes the network of a configuration; its weights are yet to be loaded."""
    return AnnyMultiHMR(config) if config.kind == "official_anny" else MultiHMR(config)
