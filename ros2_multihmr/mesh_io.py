"""Triangle meshes as files: Wavefront OBJ and binary PLY."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

MESH_FORMATS = ("obj", "ply")


def write_mesh(path: Path | str, vertices: NDArray[np.floating], faces: NDArray[np.integer]) -> None:
    """Writes a mesh in the format that the file's suffix names.

    Args:
        path: Ends in .obj or .ply.
        vertices: (V, 3) metres.
        faces: (F, 3) indices into `vertices`, counted from 0.

    Raises:
        ValueError: Unknown suffix, wrong shapes, or a face names a vertex that is not there.
        OSError: The file cannot be written.
    """
    path = Path(path)
    _check(vertices, faces)
    suffix = path.suffix.lower()
    if suffix == ".obj":
        path.write_text(_obj(vertices, faces), encoding="ascii")
    elif suffix == ".ply":
        path.write_bytes(_ply(vertices, faces))
    else:
        raise ValueError(f"{path}: expected a file name that ends in .obj or .ply")


def _check(vertices: NDArray[np.floating], faces: NDArray[np.integer]) -> None:
    for name, array in (("vertices", vertices), ("faces", faces)):
        if array.ndim != 2 or array.shape[1] != 3:
            raise ValueError(f"{name}: expected shape (N, 3), got {array.shape}")
    if len(faces) and not 0 <= int(faces.min()) <= int(faces.max()) < len(vertices):
        raise ValueError(f"faces: expected indices 0 to {len(vertices) - 1}, got {faces.min()} to {faces.max()}")


def _obj(vertices: NDArray[np.floating], faces: NDArray[np.integer]) -> str:
    lines = [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in vertices.tolist()]
    lines += [f"f {a + 1} {b + 1} {c + 1}" for a, b, c in faces.tolist()]
    return "\n".join(lines) + "\n"


def _ply(vertices: NDArray[np.floating], faces: NDArray[np.integer]) -> bytes:
    header = (
        "ply\nformat binary_little_endian 1.0\n"
        f"element vertex {len(vertices)}\nproperty float x\nproperty float y\nproperty float z\n"
        f"element face {len(faces)}\nproperty list uchar int vertex_indices\nend_header\n"
    )
    rows = np.empty(len(faces), dtype=[("count", "u1"), ("indices", "<i4", 3)])
    rows["count"] = 3
    rows["indices"] = faces
    return header.encode("ascii") + vertices.astype("<f4").tobytes() + rows.tobytes()
