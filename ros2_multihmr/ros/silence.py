"""Whether images stay away, and what to do about it."""

from __future__ import annotations

_AT_LEAST_S = 5.0
_PERIODS = 3.0
_INFO_ALONE_S = 1.0


class Silence:
    """Tells a source that is slow from one that is silent.

    Args:
        now_s: Time from which images are waited for [s], of any clock that never stands still.
    """

    def __init__(self, now_s: float) -> None:
        self._since_s, self._period_s = now_s, 0.0
        self._any_image = False
        self._info_s = now_s

    def image(self, now_s: float) -> None:
        """Notes that an image came."""
        if self._any_image:
            self._period_s = now_s - self._since_s
        self._any_image, self._since_s = True, now_s

    def info(self, now_s: float) -> None:
        """Notes that a CameraInfo came."""
        self._info_s = now_s

    def problem(self, now_s: float, topic: str, publishers: int) -> str:
        """Returns what to do about images that stay away; empty if they come, be it slowly.

        Args:
            now_s: Time [s], of the same clock.
            topic: Where the images should come from.
            publishers: How many publish there.
        """
        patience_s = max(_AT_LEAST_S, _PERIODS * self._period_s)
        if publishers and now_s - self._since_s <= patience_s:
            return ""
        text = f"no images on {topic}, which has {publishers} publishers"
        # The CameraInfo of the last image may have come after it, and says nothing.
        if publishers and now_s - self._info_s <= patience_s and self._info_s - self._since_s > _INFO_ALONE_S:
            return (
                f"{text}, though CameraInfos come: the images are probably too big for the transport. Give camera "
                "driver and node the same Fast DDS profile, config/fastdds_large_images.xml; beyond 30 MB an image, "
                "raise its segment_size or use image_transport: compressed; see Big images and DDS in README.md"
            )
        return text
