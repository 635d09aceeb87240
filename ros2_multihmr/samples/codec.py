"""Codec: a sample as files. The same sample gives the same bytes.

`jpg` or `png` is the image, `json` its camera and body, `npz` the labels, `dense.npz` the truth per pixel.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import fields
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ros2_multihmr.camera import Camera
from ros2_multihmr.samples.sample import ARRAYS, Dense, Labels, Sample

IMAGE_FORMATS = ("jpg", "png")
_VERSION = 1


def encode(sample: Sample, image_format: str, quality: int) -> Iterator[tuple[str, bytes]]:
    """Yields a sample's members, one after another: what follows the key and a dot, and the content."""
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if image_format == "jpg" else []
    _, picture = cv2.imencode(f".{image_format}", cv2.cvtColor(sample.image, cv2.COLOR_RGB2BGR), options)
    yield image_format, picture.tobytes()
    about = {"version": _VERSION, "body": sample.labels.body, "camera": _camera_numbers(sample.camera)}
    yield "json", json.dumps(about).encode()
    yield "npz", _npz({name: getattr(sample.labels, name) for name in ARRAYS}, np.savez)
    if sample.dense is not None:
        yield "dense.npz", _npz(vars(sample.dense), np.savez_compressed)


def _npz(arrays: dict[str, NDArray[Any]], save: Callable[..., None]) -> bytes:
    out = io.BytesIO()
    save(out, **arrays)
    return out.getvalue()


def _camera_numbers(camera: Camera) -> dict[str, Any]:
    numbers = {field.name: getattr(camera, field.name) for field in fields(camera)}
    return numbers | {"k": camera.k.tolist()}


def decode(key: str, members: dict[str, bytes], where: str) -> Sample:
    """Makes a sample of its members.

    Args:
        key: Its name.
        members: Their content by what follows the key and a dot.
        where: The file, for messages.

    Raises:
        ValueError: A member is missing or damaged; says which.
    """
    about = _part(where, key, members, "json", json.loads)
    labels = _part(where, key, members, "npz", _arrays)
    suffix = "png" if "png" in members else "jpg"
    image = _part(where, key, members, suffix, _picture)
    dense = (
        _part(where, key, members, "dense.npz", lambda raw: Dense(**_arrays(raw))) if "dense.npz" in members else None
    )
    try:
        sample = Sample(key, image, Camera(**about["camera"]), Labels(about["body"], **labels), dense)
    except (TypeError, KeyError, ValueError) as error:
        raise ValueError(f"{where}: sample {key} is damaged ({error}); make the file again") from error
    size, camera = image.shape[:2], (sample.camera.height, sample.camera.width)
    if size != camera or (dense is not None and dense.instance.shape != size):
        raise ValueError(f"{where}: sample {key} is damaged: image {size}, camera {camera}; make it again")
    return sample


def _part(where: str, key: str, members: dict[str, bytes], suffix: str, read: Callable[[bytes], Any]) -> Any:
    if suffix not in members:
        raise ValueError(f"{where}: sample {key} lacks {key}.{suffix}; is this a file of samples?")
    try:
        return read(members[suffix])
    except (ValueError, TypeError, KeyError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{where}: {key}.{suffix} is damaged ({error}); make or copy it again") from error


def _arrays(raw: bytes) -> dict[str, NDArray[Any]]:
    with np.load(io.BytesIO(raw), allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def _picture(raw: bytes) -> NDArray[np.uint8]:
    picture = cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_COLOR) if raw else None
    if picture is None:
        raise ValueError("no image can be decoded")
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)
