"""Detector noise: how much places change from image to image, learned from the people who are followed.

A covariance says how wrong a place may be; most of that stays with a person. How much does not is the detector's own,
and differs with network, camera and size of the image. So it is what makes the surprises as large as the tracker
expects: their normalised squares are 1 on average (covariance matching: Mehra, IEEE TAC 15(2), 1970).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
_PRIOR, _MEMORY = 100.0, 1000.0  # sightings that the start is worth, and that the present is
_MOST = 9.0  # a mistaken person must not count as noise
_ALONG, _ACROSS = (0.02, 1.0), (0.2, 3.0)


@dataclass(frozen=True)
class DetectorNoise:
    """Parts of the standard deviations that change from image to image.

    Attributes:
        along: Of a distance.
        across: Of a place across the ray.
        sightings: From how many this was learned.
    """

    along: float
    across: float = 1.0
    sightings: float = 0.0

    def learned(self, off: Array, expected: Array, ray: Array) -> DetectorNoise:
        """Returns the noise after more sightings.

        Args:
            off: (N, 3) how far people were seen from where they were expected [m].
            expected: (N, 3, 3) covariances expected of that.
            ray: (N, 3) unit rays from the camera.
        """
        if not len(off):
            return self
        along, along_expected = (off * ray).sum(1) ** 2, np.einsum("ni,nij,nj->n", ray, expected, ray)
        across, across_expected = (off**2).sum(1) - along, np.trace(expected, axis1=1, axis2=2) - along_expected
        step = 0.5 / (_PRIOR + min(self.sightings, _MEMORY))
        return replace(
            self,
            along=_scaled(self.along, along / along_expected, step, _ALONG),
            across=_scaled(self.across, across / across_expected, step, _ACROSS),
            sightings=self.sightings + len(off),
        )


def _scaled(value: float, surprise: Array, step: float, limits: tuple[float, float]) -> float:
    more = np.exp(step * (np.minimum(surprise, _MOST) - 1.0).sum())
    return float(np.clip(value * more, *limits))
