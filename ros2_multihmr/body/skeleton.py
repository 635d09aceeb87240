"""Which keypoints to join by lines when a person is drawn; by name, so for every body."""

from __future__ import annotations

from collections.abc import Sequence

_FINGERS = ("thumb", "index", "middle", "ring", "pinky")
_TRUNK = (
    ("pelvis", "spine1", "spine2", "spine3", "neck", "head", "nose"),
    ("nose", "right_eye", "right_ear"),
    ("nose", "left_eye", "left_ear"),
)
_SIDE = (
    ("pelvis", "{}_hip", "{}_knee", "{}_ankle", "{}_big_toe"),
    ("{}_ankle", "{}_heel", "{}_big_toe"),
    ("{}_ankle", "{}_small_toe"),
    ("spine3", "{}_collar", "{}_shoulder", "{}_elbow", "{}_wrist"),
    *(("{}_wrist", *(f"{{}}_{finger}{k}" for k in (1, 2, 3)), f"{{}}_{finger}_tip") for finger in _FINGERS),
)
_LINES = (*_TRUNK, *(tuple(name.format(side) for name in line) for side in ("left", "right") for line in _SIDE))


def skeleton_edges(keypoint_names: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Returns the pairs of keypoints to join, as indices; lines whose points the body lacks are left out."""
    place = {name: i for i, name in enumerate(keypoint_names)}
    pairs = [pair for line in _LINES for pair in zip(line[:-1], line[1:])]
    return tuple((place[a], place[b]) for a, b in pairs if a in place and b in place)


def side_of(keypoint_name: str) -> str:
    """Returns "left", "right" or "" for a keypoint, to colour it by."""
    side = keypoint_name.partition("_")[0]
    return side if side in ("left", "right") else ""
