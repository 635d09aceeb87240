"""Body parts by which meshes are dressed, labelled and learned."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ros2_multihmr.body.body_model import BodyInfo, BodyModel

PARTS = (
    *("head", "torso", "hips", "left_upper_arm", "right_upper_arm", "left_forearm", "right_forearm"),
    *("left_hand", "right_hand", "left_thigh", "right_thigh", "left_shin", "right_shin", "left_foot", "right_foot"),
)
# What moves with a joint that is called so, without its side.
_OF_LIMB = {
    "collar": "torso",
    "hip": "thigh",
    "knee": "shin",
    "ankle": "foot",
    "foot": "foot",
    "shoulder": "upper_arm",
    "elbow": "forearm",
    "forearm": "forearm",
    "wrist": "hand",
}
_FINGERS = ("thumb", "index", "middle", "ring", "pinky")
_OF_MIDDLE = {"pelvis": "hips", "spine1": "torso", "spine2": "torso", "spine3": "torso", "neck": "head", "head": "head"}


def mirrored_parts() -> NDArray[np.intp]:
    """(15,) index of each part's mirror image in `PARTS`."""
    return np.array([PARTS.index(_mirrored(name)) for name in PARTS])


def parts_of_joints(info: BodyInfo) -> NDArray[np.intp]:
    """(J,) index in `PARTS` of what moves with each joint, by its name as a keypoint; a joint unknown by name is of its
    parent's part.
    """
    parts: list[str] = []
    for name, parent in zip(info.keypoint_names, info.parents, strict=False):
        parts.append(_part(name) or (parts[parent] if parent >= 0 else "hips"))
    return np.array([PARTS.index(part) for part in parts])


def parts_of_vertices(body: BodyModel) -> NDArray[np.uint8]:
    """(L,) part + 1 of the reduced mesh's vertices: the part that they follow most."""
    return (_shares(body.info, body.weights_lod).argmax(1) + 1).astype(np.uint8)


def parts_of_faces(body: BodyModel) -> NDArray[np.uint8]:
    """(G,) part + 1 of the reduced mesh's triangles: the part that their corners together follow most."""
    return (_shares(body.info, body.weights_lod)[body.info.faces_lod].sum(1).argmax(1) + 1).astype(np.uint8)


def parts_of_full_faces(body: BodyModel) -> NDArray[np.uint8]:
    """(F,) part + 1 of the full mesh's triangles: the part that their corners together follow most."""
    return (_shares(body.info, body.weights)[body.info.faces].sum(1).argmax(1) + 1).astype(np.uint8)


def _shares(info: BodyInfo, weights: NDArray[np.float32]) -> NDArray[np.float64]:
    """(L, 15) how much each of L vertices with (L, J) skinning weights follows each part."""
    shares = np.zeros((len(weights), len(PARTS)))
    np.add.at(shares.T, parts_of_joints(info), weights.T.astype(np.float64))
    return shares


def _part(joint: str) -> str:
    """Part of a joint, empty if the name says nothing."""
    side, _, rest = joint.partition("_")
    if side not in ("left", "right"):
        return _OF_MIDDLE.get(joint, "")
    if rest.rstrip("123") in _FINGERS:
        return f"{side}_hand"
    return _OF_LIMB[rest] if _OF_LIMB.get(rest) in PARTS else f"{side}_{_OF_LIMB[rest]}" if rest in _OF_LIMB else ""


def _mirrored(name: str) -> str:
    side, _, rest = name.partition("_")
    return {"left": f"right_{rest}", "right": f"left_{rest}"}.get(side, name)
