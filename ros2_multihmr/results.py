"""Results as files: one image's people as JSON or NPZ, and their meshes."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ros2_multihmr.camera import Camera
from ros2_multihmr.files.whole_file import named
from ros2_multihmr.humans import Humans
from ros2_multihmr.mesh_io import write_mesh
from ros2_multihmr.model.config import MultiHMRConfig

DATA_FORMATS = ("json", "npz")
_MESHES = ("vertices", "vertices_lod")
_DIGITS = 7  # float32 has no more


@dataclasses.dataclass(frozen=True)
class Result:
    """The people of one image, and what they refer to.

    Attributes:
        image: Name of the image.
        camera: Its camera.
        network: Whose weights found them.
        humans: The people.
    """

    image: str
    camera: Camera
    network: MultiHMRConfig
    humans: Humans


def write_data(path: Path, result: Result) -> None:
    """Writes everything but the image in the format that the file's suffix names.

    JSON holds a list of people, numbers that are not finite as null, and no meshes; NPZ holds the arrays of `Humans`,
    meshes included, and the rest as the JSON text `about`.

    Raises:
        ValueError: Unknown suffix.
        OSError: The file cannot be written.
    """
    if path.suffix == ".json":
        with named(path):
            path.write_text(_json(result), encoding="utf-8")
    elif path.suffix == ".npz":
        arrays: dict[str, Any] = {"about": np.array(json.dumps(_about(result))), **_arrays(result.humans)}
        with named(path):
            np.savez_compressed(path, **arrays)
    else:
        raise ValueError(f"{path}: expected a file name that ends in .json or .npz")


def write_meshes(stem: Path, suffix: str, humans: Humans, *, full: bool) -> list[Path]:
    """Writes one mesh per person, in the camera's optical frame [m].

    Args:
        stem: Path without suffix; the people's numbers, from 1 by falling score, are added.
        suffix: "obj" or "ply".
        humans: The people.
        full: True for the full mesh, which `humans` must then hold; False for the reduced one.

    Returns:
        The files.

    Raises:
        OSError: A file cannot be written.
    """
    faces = humans.body.faces if full else humans.body.faces_lod
    paths = []
    for number, vertices in enumerate(humans.vertices if full else humans.vertices_lod, start=1):
        paths.append(stem.with_name(f"{stem.name}_{number}.{suffix}"))
        with named(paths[-1]):
            write_mesh(paths[-1], vertices, faces)
    return paths


def _about(result: Result) -> dict[str, Any]:
    camera, body = result.camera, result.humans.body
    return {
        "image": result.image,
        "weights": result.network.weights,
        "untrained": result.network.untrained,
        "camera": {
            "k": camera.k.tolist(),
            "width": camera.width,
            "height": camera.height,
            "distortion_model": camera.distortion_model,
            "d": list(camera.d),
            "calibrated": camera.calibrated,
            "rectified": camera.rectified,
        },
        "body": {
            "name": body.name,
            "joint_names": list(body.joint_names),
            "rotvec_joints": list(body.posed_joints),
            "shape_names": list(body.shape_names),
            "expression_names": list(body.expression_names),
            "keypoint_names": list(body.keypoint_names),
        },
    }


def _json(result: Result) -> str:
    """A line per value: readable, and not a line per number."""
    about = [f" {json.dumps(name)}: {json.dumps(value, allow_nan=False)}" for name, value in _about(result).items()]
    people = [
        ",\n".join(f"   {json.dumps(name)}: {json.dumps(value, allow_nan=False)}" for name, value in person.items())
        for person in _people(result.humans)
    ]
    listed = ",\n".join(f"  {{\n{person}\n  }}" for person in people)
    return "{\n" + ",\n".join([*about, f' "people": [\n{listed}\n ]']) + "\n}\n"


def _arrays(humans: Humans) -> dict[str, NDArray[np.float32]]:
    return {field.name: getattr(humans, field.name) for field in dataclasses.fields(humans) if field.name != "body"}


def _people(humans: Humans) -> list[dict[str, Any]]:
    arrays = {name: array for name, array in _arrays(humans).items() if name not in _MESHES}
    return [{name: _numbers(array[i].tolist()) for name, array in arrays.items()} for i in range(len(humans))]


def _numbers(value: Any) -> Any:
    if isinstance(value, list):
        return [_numbers(part) for part in value]
    return float(f"{value:.{_DIGITS}g}") if np.isfinite(value) else None
