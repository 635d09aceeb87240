"""The second look in the node: where it fails, people are published as first found, and that is told and counted."""

from __future__ import annotations

import traceback
from collections import Counter

import numpy as np
from numpy.typing import NDArray
from rclpy.impl.rcutils_logger import RcutilsLogger

from ros2_multihmr.camera import Camera
from ros2_multihmr.humans import Humans
from ros2_multihmr.refining.outcomes import Outcome
from ros2_multihmr.refining.refiner import Refiner
from ros2_multihmr.refining.refiner_config import RefinerConfig
from ros2_multihmr.stopwatch import Stopwatch

_LOG_EVERY_S = 5.0
_TOLD = {
    Outcome.REFINED: "people refined",
    Outcome.TOO_SMALL: "people too small to refine",
    Outcome.AT_THE_BORDER: "people too near the border to refine",
    Outcome.IMPOSSIBLE: "people refined to where the camera cannot see",
}


class SecondLook:
    """Refines the people of image after image; does nothing, at no cost, without a refiner.

    Attributes:
        failures: Images whose people are as first found because refining them failed.

    Args:
        refiner: Looks again; None if nobody does.
        logger: Log of the node.
    """

    def __init__(self, refiner: Refiner | None, logger: RcutilsLogger) -> None:
        self.failures = 0
        self._refiner, self._logger = refiner, logger
        self._outcomes: Counter[Outcome] = Counter()
        self._recent, self._last_error = 0, ""

    def __call__(
        self, image: NDArray[np.uint8], camera: Camera, humans: Humans, config: RefinerConfig, watch: Stopwatch
    ) -> Humans:
        """Returns the people of an image after a second look, or as they came; never raises."""
        if self._refiner is None:
            return humans
        try:
            self._refiner.config = config
            refinement = self._refiner.refine(image, camera, humans, stopwatch=watch)
        except Exception as error:  # whatever goes wrong here, the first pass's people are good
            self._report_failure(error)
            return humans
        self._outcomes.update({outcome: refinement.count(outcome) for outcome in Outcome})
        return refinement.humans

    def load(self) -> None:
        """Takes the device's memory.

        Raises:
            MemoryError: The device has no room.
        """
        if self._refiner is not None:
            self._refiner.load()

    def unload(self) -> None:
        """Gives the device's memory back until `load`."""
        if self._refiner is not None:
            self._refiner.unload()

    @property
    def facts(self) -> dict[str, str]:
        """What diagnostics show, by name; nothing without a refiner."""
        if self._refiner is None:
            return {}
        counts = {told: str(self._outcomes[outcome]) for outcome, told in _TOLD.items()}
        return {"refiner": self._refiner.network.config.weights, **counts, "refiner failures": str(self.failures)}

    def take_problem(self) -> str:
        """Says what failed since it was asked last; empty if nothing did."""
        number, self._recent = self._recent, 0
        if not number:
            return ""
        return f"the second look failed in {number} images, whose people are as first found: {self._last_error}"

    def _report_failure(self, error: Exception) -> None:
        self.failures, self._recent = self.failures + 1, self._recent + 1
        self._last_error = f"{type(error).__name__}: {error}"
        self._logger.error(
            f"the second look failed, people are as first found: {''.join(traceback.format_exception(error))}",
            throttle_duration_sec=_LOG_EVERY_S,
        )
