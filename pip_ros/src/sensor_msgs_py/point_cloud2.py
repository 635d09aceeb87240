"""Point clouds between numpy arrays and sensor_msgs/PointCloud2.

As in the real module, wrong arguments raise AssertionError.
"""

from __future__ import annotations

import array
import sys
from collections import namedtuple
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.lib.recfunctions import structured_to_unstructured, unstructured_to_structured
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import Header

_DTYPES = {
    PointField.INT8: "int8", PointField.UINT8: "uint8", PointField.INT16: "int16", PointField.UINT16: "uint16",
    PointField.INT32: "int32", PointField.UINT32: "uint32", PointField.FLOAT32: "float32",
    PointField.FLOAT64: "float64",
}  # fmt: skip


def dtype_from_fields(fields: Iterable[PointField], point_step: int | None = None) -> np.dtype:
    """Return the structured dtype of one point.

    Args:
        fields: Fields of the cloud. One with a count above 1 becomes `name_0`, `name_1`, ...; a nameless one is called
            `unnamed_field_<its place>`.
        point_step: Bytes from one point to the next; default: up to the end of the last field.
    """
    names: list[str] = []
    formats: list[str] = []
    offsets: list[int] = []
    for place, field in enumerate(fields):
        _require(field.count > 0, "Can't process fields with count = 0.")
        name, one = field.name or f"unnamed_field_{place}", np.dtype(_DTYPES[field.datatype])
        names += [name] if field.count == 1 else [f"{name}_{part}" for part in range(field.count)]
        offsets += [field.offset + part * one.itemsize for part in range(field.count)]
        formats += [one.str] * field.count
    _require(len(set(names)) == len(names), "Duplicate field names are not allowed!")
    layout: dict[str, Any] = {"names": names, "formats": formats, "offsets": offsets}
    if point_step is not None:
        layout["itemsize"] = point_step
    return np.dtype(layout)  # type: ignore[call-overload, no-any-return]


def create_cloud(
    header: Header, fields: Sequence[PointField], points: Iterable[Any], point_step: int | None = None
) -> PointCloud2:
    """Return a cloud of points.

    Args:
        header: Header of the message.
        fields: What a point consists of.
        points: (N, fields) array, or a structured array of exactly the fields' dtype, or one tuple a point (slow).
            Structured arrays of two dimensions (width, height) make an organized cloud.
        point_step: Bytes from one point to the next; default: up to the end of the last field.
    """
    packed = _pack(fields, points, dtype_from_fields(fields, point_step))
    _require(packed.ndim <= 2, "Too many dimensions for organized cloud: points have one or two.")
    width, step = packed.shape[0], packed.dtype.itemsize
    cloud = PointCloud2(header=header, height=packed.shape[1] if packed.ndim == 2 else 1, width=width, is_dense=False)
    cloud.is_bigendian = sys.byteorder != "little"
    cloud.fields, cloud.point_step, cloud.row_step = list(fields), step, step * width
    data = array.array("B")  # what the message holds; any other sequence is copied byte by byte
    data.frombytes(packed.tobytes())
    cloud.data = data
    return cloud


def create_cloud_xyz32(header: Header, points: Iterable[Any]) -> PointCloud2:
    """Return a cloud with the float32 fields x, y, z. Points: (N, 3) array, or three values a point."""
    fields = [
        PointField(name=name, offset=offset, datatype=PointField.FLOAT32, count=1)
        for name, offset in (("x", 0), ("y", 4), ("z", 8))
    ]
    return create_cloud(header, fields, points)


def read_points(
    cloud: PointCloud2,
    field_names: Sequence[str] | None = None,
    skip_nans: bool = False,
    uvs: Iterable[int] | None = None,
    reshape_organized_cloud: bool = False,
) -> np.ndarray:
    """Return the points of a cloud as a structured array, which may share the message's memory.

    Args:
        cloud: The message.
        field_names: Fields to return; default: all.
        skip_nans: Leave out points with a NaN in a returned field, unless the cloud says that it is dense.
        uvs: Indices of the points to return.
        reshape_organized_cloud: Return a cloud of several rows as (width, height).
    """
    _require(isinstance(cloud, PointCloud2), "Cloud is not a sensor_msgs.msg.PointCloud2")
    dtype = dtype_from_fields(cloud.fields, cloud.point_step)
    points: np.ndarray = np.ndarray((cloud.width * cloud.height,), dtype, buffer=cloud.data)
    if field_names is not None:
        _require(set(field_names) <= set(dtype.names or ()), "Requests field is not in the fields of the PointCloud!")
        points = points[list(field_names)]
    if bool(cloud.is_bigendian) != (sys.byteorder == "big"):
        points = points.byteswap()
    if skip_nans and not cloud.is_dense:
        points = points[~np.any([np.isnan(points[name]) for name in points.dtype.names or ()], axis=0)]
    if uvs is not None:
        points = points[uvs if isinstance(uvs, np.ndarray) else np.fromiter(uvs, int)]
    if reshape_organized_cloud and cloud.height > 1:
        points = points.reshape(cloud.width, cloud.height)
    return points


def read_points_numpy(
    cloud: PointCloud2,
    field_names: Sequence[str] | None = None,
    skip_nans: bool = False,
    uvs: Iterable[int] | None = None,
    reshape_organized_cloud: bool = False,
) -> np.ndarray:
    """Return the points as a plain (..., fields) array; the fields must be of one type. See `read_points`."""
    kinds = {f.datatype for f in cloud.fields if field_names is None or f.name in field_names}
    _require(len(kinds) <= 1, "All fields need to have the same datatype. Use `read_points()` otherwise.")
    return structured_to_unstructured(read_points(cloud, field_names, skip_nans, uvs, reshape_organized_cloud))


def read_points_list(
    cloud: PointCloud2,
    field_names: Sequence[str] | None = None,
    skip_nans: bool = False,
    uvs: Iterable[int] | None = None,
) -> list[Any]:
    """Return the points as a list of named tuples (slow). See `read_points`."""
    _require(isinstance(cloud, PointCloud2), "cloud is not a sensor_msgs.msg.PointCloud2")
    names = [f.name for f in cloud.fields] if field_names is None else list(field_names)
    point = namedtuple("Point", names)  # type: ignore[misc]
    return [point._make(values) for values in read_points(cloud, names, skip_nans, uvs)]


def _pack(fields: Sequence[PointField], points: Iterable[Any], dtype: np.dtype) -> np.ndarray:
    if not isinstance(points, np.ndarray):
        return np.array([tuple(point) for point in points], dtype)
    if points.dtype.names is None:
        _require(
            len({field.datatype for field in fields}) == 1,
            "All fields need to have the same datatype. Pass a structured NumPy array with multiple dtypes otherwise.",
        )
        return unstructured_to_structured(points, dtype)
    _require(points.dtype == dtype, "PointFields and structured NumPy array dtype do not match for all fields!")
    return points


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise AssertionError(message)
