"""Sources: images from a picture, a folder of pictures, a video file or a webcam."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

_log = logging.getLogger(__name__)

IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
PICTURES_RATE_HZ = 1.0
_FALLBACK_RATE_HZ = 30.0  # for videos and webcams that do not say theirs


class SourceError(ValueError):
    """A source that gives no images; says what was expected, what came and what to do."""


@dataclass(frozen=True)
class Frame:
    """One image of a source.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        name: Where it comes from, usable as the stem of a file name: `photo`, `clip_000012`.
    """

    image: NDArray[np.uint8]
    name: str


class Source(ABC):
    """Images one after the other, as often as asked.

    Attributes:
        rate_hz: The source's own rate.
        length: Number of images in one pass, None where it is not known.
        live: True if the images come by themselves and have no end: waiting for the next one is the pace.
        skipped: Images that could not be read since the source was opened; each was logged.
    """

    def __init__(self, rate_hz: float, length: int | None, *, live: bool = False) -> None:
        self.rate_hz, self.length, self.live = rate_hz, length, live
        self.skipped = 0

    @abstractmethod
    def frames(self) -> Iterator[Frame]:
        """Yields the images of one pass from the beginning.

        Raises:
            SourceError: Not a single image could be read.
        """

    def _skip(self, reason: str) -> None:
        self.skipped += 1
        _log.warning("skipped %s", reason)


class Pictures(Source):
    """Picture files in a fixed order; what cannot be read is logged, counted and skipped."""

    def __init__(self, paths: Sequence[Path]) -> None:
        super().__init__(PICTURES_RATE_HZ, len(paths))
        self.paths = tuple(paths)

    def frames(self) -> Iterator[Frame]:
        """Yields every picture that can be read; one that stands alone must be readable."""
        read = 0
        for path in self.paths:
            try:
                frame = Frame(read_image(path), path.stem)
            except SourceError as error:
                if len(self.paths) == 1:
                    raise
                self._skip(str(error))
                continue
            read += 1
            yield frame
        if not read:
            raise SourceError(f"none of {len(self.paths)} pictures could be read, {self.paths[0]} first among them")


class Video(Source):
    """A video file, from its first to its last image."""

    def __init__(self, path: Path) -> None:
        self.path = path
        capture = self._open()
        length = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        super().__init__(_known_rate(capture), length if length > 0 else None)
        capture.release()

    def frames(self) -> Iterator[Frame]:
        """Yields every image of the video."""
        capture, index = self._open(), 0
        try:
            while True:
                found, bgr = capture.read()
                if not found:
                    break
                yield Frame(_rgb(bgr), f"{self.path.stem}_{index:06d}")
                index += 1
        finally:
            capture.release()
        if not index:
            raise SourceError(f"{self.path}: the video holds no image that can be decoded")

    def _open(self) -> cv2.VideoCapture:
        capture = cv2.VideoCapture(str(self.path))
        if not capture.isOpened():
            raise SourceError(
                f"{self.path}: expected a picture or a video, cannot decode it; convert it to MP4 or JPEG"
            )
        return capture


class Webcam(Source):
    """A camera of this machine, or a network stream; its images come at the camera's pace.

    Args:
        device: Index (`"0"`), path (`"/dev/video0"`) or address (`"rtsp://..."`).
        rate_hz: Wished rate, 0 for the camera's own. A faster camera's surplus images are read and dropped, because
            left unread they would pile up in the driver and each image would arrive old.
    """

    def __init__(self, device: str, rate_hz: float = 0.0) -> None:
        super().__init__(rate_hz or _FALLBACK_RATE_HZ, None, live=True)
        self.device = device
        self._wished_hz = rate_hz

    def frames(self) -> Iterator[Frame]:
        """Yields images without end; the camera's end is an error."""
        capture, index = self._open(), 0
        every = max(1, round(_known_rate(capture) / self._wished_hz)) if self._wished_hz else 1
        try:
            while capture.grab():
                if index % every == 0:
                    found, bgr = capture.retrieve()
                    if found:
                        yield Frame(_rgb(bgr), f"webcam_{index:06d}")
                    else:
                        self._skip(f"an image of {self.device}: it could not be decoded")
                index += 1
        finally:
            capture.release()
        raise SourceError(f"{self.device}: the camera gives no more images after {index}; is it still plugged in?")

    def _open(self) -> cv2.VideoCapture:
        capture = cv2.VideoCapture(int(self.device) if self.device.isdigit() else self.device)
        if not capture.isOpened():
            raise SourceError(
                f"{self.device}: no camera opens there; see /dev/video*, whether another program uses it, and whether "
                "you are in the group 'video'"
            )
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        if self._wished_hz:
            capture.set(cv2.CAP_PROP_FPS, self._wished_hz)
        return capture


def open_source(source: str, rate_hz: float = 0.0) -> Source:
    """Opens a source by its name.

    Args:
        source: A picture, a folder of pictures, a video file, a webcam (`0`, `/dev/video0`) or a stream (`rtsp://...`).
        rate_hz: Wished rate of a webcam, 0 for its own; files ignore it.

    Raises:
        SourceError: It is missing, empty or cannot be decoded. A webcam is opened when its images are asked for.
    """
    if not source:
        raise SourceError("no source: give a picture, a folder of pictures, a video file or a webcam (0, /dev/video0)")
    if source.isdigit() or source.startswith("/dev/video") or "://" in source:
        return Webcam(source, rate_hz)
    path = Path(source).expanduser()
    if path.is_dir():
        return Pictures(_pictures_in(path))
    if not path.is_file():
        raise SourceError(f"{source}: no such file, folder or webcam")
    return Pictures([path]) if path.suffix.lower() in IMAGE_SUFFIXES else Video(path)


def endless(source: Source) -> Iterator[Frame]:
    """Yields a source's images over and over, from the beginning after the last one; a picture alone is read once.

    Raises:
        SourceError: Not a single image could be read.
    """
    if isinstance(source, Pictures) and source.length == 1:
        yield from repeat(next(source.frames()))
    while True:
        yield from source.frames()


def _pictures_in(folder: Path) -> list[Path]:
    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file())
    if not paths:
        raise SourceError(f"{folder}: the folder holds no pictures; expected files with {', '.join(IMAGE_SUFFIXES)}")
    return paths


def read_image(path: Path | str) -> NDArray[np.uint8]:
    """Reads a picture as RGB.

    EXIF orientation is not applied, alpha is dropped, 16-bit grey keeps its upper 8 bits.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        SourceError: The file is missing, is no picture, or is cut off.
    """
    try:
        with Image.open(path) as picture:
            if picture.mode.startswith("I"):
                grey = np.clip(np.asarray(picture, np.int64) >> 8, 0, 255).astype(np.uint8)
                return np.repeat(grey[..., None], 3, axis=2)
            return np.array(picture.convert("RGB"))
    except FileNotFoundError as error:
        raise SourceError(f"{path}: no such file") from error
    except (OSError, SyntaxError, ValueError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise SourceError(f"{path}: cannot be read as a picture: {error}") from error


def _known_rate(capture: cv2.VideoCapture) -> float:
    rate = float(capture.get(cv2.CAP_PROP_FPS))
    return rate if 0.0 < rate < 1000.0 else _FALLBACK_RATE_HZ


def _rgb(bgr: NDArray[Any]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), dtype=np.uint8)
