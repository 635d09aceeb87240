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
_OF_MIDDLE = {"pelvis": "hips", "spine1": "torso", "spine2": "torso", "spine3": "torso"}


def mirrored_parts() -> NDArray[np.intp]:
    """(15,) index of each part's mirror image in `PARTS`."""
    return np.array([PARTS.index(_mirrored(name)) for name in PARTS])


def parts_of_joints(info: BodyInfo) -> NDArray[np.intp]:
    """(J,) index in `PARTS` of what moves with each joint, by the joint's name as a keypoint."""
    names = info.keypoint_names[: len(info.joint_names)]
    return np.array([PARTS.index(_part(name)) for name in names])


def parts_of_vertices(body: BodyModel) -> NDArray[np.uint8]:
    """(L,) part + 1 of the reduced mesh's vertices: the part that they follow most."""
    return (_shares(body).argmax(1) + 1).astype(np.uint8)


def parts_of_faces(body: BodyModel) -> NDArray[np.uint8]:
    """(G,) part + 1 of the reduced mesh's triangles: the part that their corners together follow most."""
    return (_shares(body)[body.info.faces_lod].sum(1).argmax(1) + 1).astype(np.uint8)


def _shares(body: BodyModel) -> NDArray[np.float64]:
    """(L, 15) how much each vertex follows each part."""
    shares = np.zeros((len(body.info.vertices_lod), len(PARTS)))
    np.add.at(shares.T, parts_of_joints(body.info), body.weights_lod.T.astype(np.float64))
    return shares


def _part(joint: str) -> str:
    side, _, rest = joint.partition("_")
    if side not in ("left", "right"):
        return _OF_MIDDLE.get(joint, "head")
    if rest.rstrip("123") in _FINGERS:
        return f"{side}_hand"
    return _OF_LIMB[rest] if _OF_LIMB.get(rest) in PARTS else f"{side}_{_OF_LIMB[rest]}" if rest in _OF_LIMB else "head"


def _mirrored(name: str) -> str:
    side, _, rest = name.partition("_")
    return {"left": f"right_{rest}", "right": f"left_{rest}"}.get(side, name)
