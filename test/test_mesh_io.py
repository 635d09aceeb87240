"""Mesh files read back, by readers written from the formats' definitions."""

import numpy as np
import pytest

from ros2_multihmr.mesh_io import write_mesh

VERTICES = np.random.default_rng(3).normal(size=(5, 3)).astype(np.float32)
FACES = np.array([[0, 1, 2], [2, 3, 4], [4, 0, 1]], np.uint32)


def _read_obj(path):
    rows = [line.split() for line in path.read_text().splitlines()]
    vertices = np.array([r[1:] for r in rows if r[0] == "v"], float)
    return vertices, np.array([r[1:] for r in rows if r[0] == "f"], int) - 1


def _read_ply(path):
    header, body = path.read_bytes().split(b"end_header\n", 1)
    sizes = {words[1]: int(words[2]) for words in map(bytes.split, header.splitlines()) if words[0] == b"element"}
    vertices = np.frombuffer(body, "<f4", 3 * sizes[b"vertex"]).reshape(-1, 3)
    rows = np.frombuffer(body[vertices.nbytes :], "u1").reshape(sizes[b"face"], 13)
    assert (rows[:, 0] == 3).all()
    return vertices, rows[:, 1:].copy().view("<i4")


@pytest.mark.parametrize(("suffix", "read", "tolerance"), [("obj", _read_obj, 1e-6), ("ply", _read_ply, 0.0)])
def test_reads_back(tmp_path, suffix, read, tolerance):
    path = tmp_path / f"mesh.{suffix}"
    write_mesh(path, VERTICES, FACES)
    vertices, faces = read(path)
    assert np.allclose(vertices, VERTICES, rtol=0, atol=tolerance) and np.array_equal(faces, FACES)


@pytest.mark.parametrize(
    ("name", "vertices", "faces", "says"),
    [
        ("mesh.stl", VERTICES, FACES, "obj or .ply"),
        ("mesh.obj", VERTICES[:3], FACES, "indices 0 to 2, got 0 to 4"),
        ("mesh.ply", VERTICES[:, :2], FACES, "vertices"),
    ],
)
def test_bad_meshes_are_refused(tmp_path, name, vertices, faces, says):
    with pytest.raises(ValueError, match=says):
        write_mesh(tmp_path / name, vertices, faces)
