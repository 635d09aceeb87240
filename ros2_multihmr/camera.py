"""Camera: intrinsics, image size and lens distortion, changed together with the image.

Pixels follow ROS and OpenCV: the centre of the first pixel is (0, 0). Points are in the optical frame of REP 103:
x right, y down, z forward, metres.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ros2_multihmr.distortion import COEFFICIENTS, Distortion

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Camera:
    """A calibrated or guessed camera. Equal cameras have equal numbers; usable as a dictionary key.

    Attributes:
        k: (3, 3) intrinsics [px], [[fx, 0, cx], [0, fy, cy], [0, 0, 1]].
        width: Image width [px].
        height: Image height [px].
        distortion_model: "" for none, "plumb_bob", "rational_polynomial" or "equidistant".
        d: Distortion coefficients in the order of sensor_msgs/CameraInfo; empty for none.
        calibrated: False if k was guessed from a field of view.
        rectified: True if the image was rectified, so that k describes the rectified image.
    """

    k: Array
    width: int
    height: int
    distortion_model: str = ""
    d: tuple[float, ...] = ()
    calibrated: bool = True
    rectified: bool = False

    def __post_init__(self) -> None:
        """Checks and freezes the numbers.

        Raises:
            ValueError: A size is not positive, k is no pinhole matrix, or d does not fit the distortion model.
        """
        k = np.array(self.k, np.float64)
        k.flags.writeable = False
        object.__setattr__(self, "k", k)
        object.__setattr__(self, "d", tuple(float(value) for value in self.d))
        _check_size(self.width, self.height)
        _check_k(k)
        _check_distortion(self.distortion_model, self.d)

    @staticmethod
    def from_fov(width: int, height: int, fov_deg: float) -> Camera:
        """Guesses an uncalibrated camera: square pixels, principal point in the middle of the image.

        Args:
            width: Image width [px].
            height: Image height [px].
            fov_deg: Field of view over the longer side of the image [degrees].

        Raises:
            ValueError: The field of view is not between 0 and 180 degrees, or a size is not positive.
        """
        if not 0.0 < fov_deg < 180.0:
            raise ValueError(f"Camera: the field of view must lie between 0 and 180 degrees, got {fov_deg!r}")
        focal = max(width, height) / 2.0 / np.tan(np.radians(fov_deg) / 2.0)
        return Camera(_pinhole(focal, focal, (width - 1) / 2.0, (height - 1) / 2.0), width, height, calibrated=False)

    @property
    def fx(self) -> float:
        """Focal length along x [px]."""
        return float(self.k[0, 0])

    @property
    def fy(self) -> float:
        """Focal length along y [px]."""
        return float(self.k[1, 1])

    @property
    def cx(self) -> float:
        """Principal point, x [px]."""
        return float(self.k[0, 2])

    @property
    def cy(self) -> float:
        """Principal point, y [px]."""
        return float(self.k[1, 2])

    @property
    def has_distortion(self) -> bool:
        """True if the lens bends rays; coefficients that are all zero cost nothing."""
        return self._distortion is not None

    def crop(self, x: int, y: int, width: int, height: int) -> Camera:
        """Returns the camera of the image's rectangle whose first pixel is (x, y); a region of interest [px]."""
        return replace(self, k=_pinhole(self.fx, self.fy, self.cx - x, self.cy - y), width=width, height=height)

    def binned(self, bin_x: int, bin_y: int) -> Camera:
        """Returns the camera after joining blocks of bin_x by bin_y pixels into one; 0 means 1, as in CameraInfo.

        Raises:
            ValueError: A factor is negative, or larger than the image.
        """
        bin_x, bin_y = bin_x or 1, bin_y or 1
        if bin_x < 0 or bin_y < 0:
            raise ValueError(f"Camera: binning must not be negative, got {bin_x} x {bin_y}")
        return self._scaled(1.0 / bin_x, 1.0 / bin_y, self.width // bin_x, self.height // bin_y)

    def resized(self, width: int, height: int) -> Camera:
        """Returns the camera of the whole image resized to width x height [px]."""
        return self._scaled(width / self.width, height / self.height, width, height)

    def project(self, points: ArrayLike) -> Array:
        """Projects points into the image, lens distortion included.

        Args:
            points: (..., 3) points in the optical frame [m].

        Returns:
            (..., 2) pixels, also outside the image; NaN for points that the camera cannot see: z <= 0, or further from
            the axis than where the distortion model folds back.
        """
        points = _as_floats(points, 3)
        with np.errstate(divide="ignore", invalid="ignore"):
            normalised = np.where(points[..., 2:] > 0.0, points[..., :2] / points[..., 2:], np.nan)
        if self._distortion is not None:
            normalised = self._distortion.distort(normalised)
        px: Array = normalised * (self.fx, self.fy) + (self.cx, self.cy)
        return px

    def unproject(self, px: ArrayLike, depth: ArrayLike) -> Array:
        """Returns the points that `project` sends to the pixels `px`.

        Args:
            px: (..., 2) pixels.
            depth: (...) distances along the optical axis [m].

        Returns:
            (..., 3) points in the optical frame [m]; NaN where no ray of a distorted camera reaches the pixel.
        """
        depth = np.asarray(depth, np.float64)[..., None]
        normalised = (_as_floats(px, 2) - (self.cx, self.cy)) / (self.fx, self.fy)
        if self._distortion is not None:
            normalised = self._distortion.undistort(normalised)
        return np.concatenate([normalised * depth, np.broadcast_to(depth, (*normalised.shape[:-1], 1))], axis=-1)

    def rays(self, px: ArrayLike) -> Array:
        """Returns (..., 3) unit rays through the pixels `px` (..., 2)."""
        px = _as_floats(px, 2)
        points = self.unproject(px, np.ones(px.shape[:-1]))
        unit: Array = points / np.linalg.norm(points, axis=-1, keepdims=True)
        return unit

    def contains(self, px: ArrayLike) -> NDArray[np.bool_]:
        """Returns (...) True where pixels `px` (..., 2) lie inside the image; NaN does not."""
        px = _as_floats(px, 2)
        inside = (px >= -0.5) & (px < (self.width - 0.5, self.height - 0.5))
        return inside[..., 0] & inside[..., 1]

    @cached_property
    def _distortion(self) -> Distortion | None:
        return Distortion(self.distortion_model, self.d) if any(self.d) else None

    def _scaled(self, sx: float, sy: float, width: int, height: int) -> Camera:
        # Half pixels: the image's corner stays where it is, and the corner is half a pixel before the first centre.
        k = _pinhole(self.fx * sx, self.fy * sy, (self.cx + 0.5) * sx - 0.5, (self.cy + 0.5) * sy - 0.5)
        return replace(self, k=k, width=width, height=height)

    def _key(self) -> tuple[Any, ...]:
        return (
            self.k.tobytes(), self.width, self.height, self.distortion_model, self.d, self.calibrated, self.rectified,
        )  # fmt: skip

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Camera) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())


def _pinhole(fx: float, fy: float, cx: float, cy: float) -> Array:
    return np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])


def _as_floats(values: ArrayLike, last: int) -> Array:
    array = np.asarray(values, np.float64)
    if array.ndim == 0 or array.shape[-1] != last:
        raise ValueError(f"Camera: expected an array of shape (..., {last}), got {array.shape}")
    return array


def _check_size(width: Any, height: Any) -> None:
    for name, value in (("width", width), ("height", height)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value <= 0:
            raise ValueError(f"Camera: {name} must be a positive whole number of pixels, got {value!r}")


def _check_k(k: Array) -> None:
    if k.shape != (3, 3) or not np.isfinite(k).all():
        raise ValueError(f"Camera: k must be 3 x 3 finite numbers, got shape {k.shape}: {k.tolist()}")
    if k[0, 0] <= 0.0 or k[1, 1] <= 0.0:
        raise ValueError(
            f"Camera: focal lengths must be positive, got fx={k[0, 0]}, fy={k[1, 1]}; an uncalibrated camera "
            "(k all zero) needs a calibration, or Camera.from_fov with a guessed field of view"
        )
    if not np.array_equal(k, _pinhole(k[0, 0], k[1, 1], k[0, 2], k[1, 2])):
        raise ValueError(f"Camera: k must be [[fx, 0, cx], [0, fy, cy], [0, 0, 1]], got {k.tolist()}")


def _check_distortion(model: str, d: tuple[float, ...]) -> None:
    if model not in COEFFICIENTS:
        known = ", ".join(repr(name) for name in COEFFICIENTS)
        raise ValueError(f"Camera: unknown distortion model {model!r}; expected one of {known}")
    if not np.isfinite(d).all():
        raise ValueError(f"Camera: distortion coefficients must be finite, got d={d}; calibrate the camera again")
    if len(d) not in (0, *COEFFICIENTS[model]):
        counts = " or ".join(str(count) for count in COEFFICIENTS[model]) or "no"
        raise ValueError(f"Camera: distortion model {model!r} has {counts} coefficients, got {len(d)}: d={d}")
