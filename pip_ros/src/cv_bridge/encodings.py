"""What the encoding names of sensor_msgs/Image mean, and conversion of arrays between them.

Rules are those of the real cv_bridge: which names it knows, which conversions it allows, how it scales between 8 and 16
bits, and that a picture without colour meaning (8UC3, 32FC1, ...) never becomes one with it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import cv2
import numpy as np

_GENERIC = re.compile(r"(8U|8S|16U|16S|32S|32F|64F)(?:C([0-9]+))?")
_DEPTH_TYPES = {
    "8U": "uint8", "8S": "int8", "16U": "uint16", "16S": "int16", "32S": "int32", "32F": "float32", "64F": "float64",
}  # fmt: skip
_COLOURS = {"GRAY": 1, "RGB": 3, "BGR": 3, "RGBA": 4, "BGRA": 4}  # OpenCV's name of a colour: number of channels
# ROS names a Bayer pattern by its first two rows' pixels, OpenCV by the second row's second and third.
_BAYER = {"rggb": "BayerBG", "bggr": "BayerRG", "gbrg": "BayerGR", "grbg": "BayerGB"}
_YUV = {"yuv422": "UYVY", "yuv422_yuy2": "YUY2"}


class CvBridgeError(TypeError):
    """An image cannot be converted: the encoding is unknown, or the conversion makes no sense."""


@dataclass(frozen=True)
class Encoding:
    """One encoding.

    Attributes:
        name: As in sensor_msgs/Image.
        dtype: Of one channel, native byte order.
        channels: Of a pixel, as OpenCV stores it.
        colour: OpenCV's name of its colour space (GRAY, RGB, UYVY, BayerBG, ...); "" for one without colour meaning.
    """

    name: str
    dtype: np.dtype
    channels: int
    colour: str = ""

    @property
    def bits(self) -> int:
        """Bits of one channel."""
        return self.dtype.itemsize * 8


def _named_encodings() -> dict[str, Encoding]:
    found = {}
    for bits in (8, 16):
        dtype = np.dtype(f"uint{bits}")
        for colour, channels in _COLOURS.items():
            name = f"{'mono' if colour == 'GRAY' else colour.lower()}{bits}"
            found[name] = Encoding(name, dtype, channels, colour)
        for pattern, colour in _BAYER.items():
            found[f"bayer_{pattern}{bits}"] = Encoding(f"bayer_{pattern}{bits}", dtype, 1, colour)
    for name, colour in _YUV.items():
        found[name] = Encoding(name, np.dtype("uint8"), 2, colour)
    return found


_NAMED = _named_encodings()


def parse_encoding(name: str) -> Encoding:
    """Return the encoding of that name.

    Raises:
        CvBridgeError: cv_bridge does not know the name.
    """
    if name in _NAMED:
        return _NAMED[name]
    match = _GENERIC.fullmatch(name)
    if not match:
        raise CvBridgeError(f"Unrecognized image encoding [{name}]")
    return Encoding(name, np.dtype(_DEPTH_TYPES[match[1]]), int(match[2] or 1))


def cv_type_name(dtype: np.dtype, channels: int) -> str:
    """Return OpenCV's name of an array type, such as 8UC3. Raises KeyError for a dtype that OpenCV lacks."""
    depths = {numpy_name: depth for depth, numpy_name in _DEPTH_TYPES.items()}
    return f"{depths[dtype.name]}C{channels}"


def getCvType(encoding: str) -> int:
    """Return OpenCV's type number of an encoding. Raises CvBridgeError if cv_bridge does not know it."""
    parsed = parse_encoding(encoding)
    one = int(getattr(cv2, f"CV_{cv_type_name(parsed.dtype, 1)}"))
    return one + (parsed.channels - 1) * (cv2.CV_8UC2 - cv2.CV_8UC1)  # a step that differs between OpenCV 4 and 5


def convert(image: np.ndarray, source: str, target: str) -> np.ndarray:
    """Convert an image between encodings; always a new array.

    Args:
        image: (H, W) or (H, W, C) in the encoding `source`, native byte order.
        source: Encoding of `image`.
        target: Encoding wanted; "" for the same.

    Raises:
        CvBridgeError: unknown encoding, senseless or unsupported conversion, or OpenCV refused the array.
    """
    if target in ("", source):
        return image.copy()
    before, after = parse_encoding(source), parse_encoding(target)
    _check_meaning(before, after)
    if not after.colour or (before.colour == after.colour and before.colour in _COLOURS):
        return _to_depth(image.copy(), before, after)
    try:
        return _to_depth(cv2.cvtColor(image, _colour_code(before, after)), before, after)
    except cv2.error as error:
        raise CvBridgeError(f"[{source}] to [{target}]: {error}") from error


def _check_meaning(before: Encoding, after: Encoding) -> None:
    for encoding in (before, after):
        if encoding.name in _DEPTH_TYPES:  # the real one reads messages in these, but converts none
            raise CvBridgeError(f"Unknown encoding {encoding.name}")
    if not before.colour and after.colour:
        raise CvBridgeError(
            f"[{before.name}] is not a color format. but [{after.name}] is. The conversion does not make sense"
        )
    if not after.colour and before.channels != after.channels:
        why = "is a color format but the other is not, so they must" if before.colour else "and the other must"
        raise CvBridgeError(f"[{before.name}] to [{after.name}]: the first {why} have the same number of channels")


def _colour_code(before: Encoding, after: Encoding) -> int:
    """Return OpenCV's conversion code; only plain colours can be the target, and Bayer gives no alpha."""
    if after.colour in _COLOURS and before.colour in _COLOURS:
        return int(getattr(cv2, f"COLOR_{before.colour}2{after.colour}"))
    if after.colour in _COLOURS and before.colour in _YUV.values():
        return int(getattr(cv2, f"COLOR_YUV2{after.colour}_{before.colour}"))
    if after.colour in ("GRAY", "RGB", "BGR") and before.colour in _BAYER.values():
        return int(getattr(cv2, f"COLOR_{before.colour}2{after.colour}"))
    raise CvBridgeError(f"Unsupported conversion from [{before.name}] to [{after.name}]")


def _to_depth(image: np.ndarray, before: Encoding, after: Encoding) -> np.ndarray:
    """Change the number type: 8 bits to 16 and back are scaled to the full range, everything else keeps its values."""
    if image.dtype == after.dtype:
        return image
    scale = {(8, 16): 257.0, (16, 8): 1.0 / 257.0}.get((before.bits, after.bits), 1.0)
    values = image.astype(np.float64) * scale
    if after.dtype.kind == "f":
        return values.astype(after.dtype)
    limits = np.iinfo(after.dtype)
    return np.fmin(np.fmax(np.rint(values), limits.min), limits.max).astype(after.dtype)  # fmax: NaN is the lowest
