"""A reduced mesh whose vertices are some of the full mesh's: posing those alone gives it, for any pose and shape."""

from __future__ import annotations

import fast_simplification
import numpy as np
from numpy.typing import NDArray


def reduce_mesh(
    vertices: NDArray[np.float32], faces: NDArray[np.integer], num_faces: int
) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Reduces a mesh by collapsing edges (quadric error), then puts each vertex back on the nearest one it stands for.

    Args:
        vertices: (V, 3) vertices at rest [m].
        faces: (F, 3) triangles.
        num_faces: About as many triangles stay.

    Returns:
        (L,) indices of the vertices that stay, ascending, and (G, 3) triangles as indices into those.
    """
    points = np.ascontiguousarray(vertices, np.float32)
    triangles = np.ascontiguousarray(faces, np.int32)
    _, _, collapses = fast_simplification.simplify(points, triangles, target_count=num_faces, return_collapses=True)
    moved, reduced, owner = fast_simplification.replay_simplification(points, triangles, collapses)
    distance = np.linalg.norm(points - moved[owner], axis=1)
    nearest_first = np.lexsort((distance, owner))
    owners, first = np.unique(owner[nearest_first], return_index=True)
    stands_for = np.zeros(len(moved), np.int64)
    stands_for[owners] = nearest_first[first]
    kept, faces_lod = np.unique(stands_for[reduced], return_inverse=True)
    return kept.astype(np.uint32), faces_lod.reshape(-1, 3).astype(np.uint32)
