"""Joint angles of the human model that REP-155 names (package human_description), from a person's keypoints.

The model has hinges where people have joints of three axes, and bones of fixed proportions. So these angles turn its
limbs into the directions that the person's limbs have; where its hands come to lie follows from its own bones. (The
shin of a knee bent by less than 10 degrees is that much off at most: nearly straight, it does not tell its own axis.)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ros2_multihmr.body.skeletons import named_keypoints

Array = NDArray[np.float64]
_HEAD = ("left_eye", "right_eye", "left_ear", "right_ear")
_ARM = ("shoulder", "elbow", "wrist")
_LEG = ("hip", "knee", "ankle")
_POINTS = (*_HEAD, *(f"{side}_{name}" for side in ("left", "right") for name in (*_ARM, *_LEG)))
_SIDES = {"l": ("left", 1.0), "r": ("right", -1.0)}
_STRAIGHT = np.sin(np.radians(10.0))


class JointAngles:
    """Finds the angles of people of one body.

    Args:
        keypoint_names: `BodyInfo.keypoint_names`.

    Raises:
        ValueError: The body lacks a keypoint that is needed.
    """

    def __init__(self, keypoint_names: Sequence[str]) -> None:
        self._places = list(named_keypoints(_POINTS, keypoint_names))

    def __call__(self, keypoints: NDArray[np.floating], rotation: NDArray[np.floating]) -> dict[str, float]:
        """Returns the angle [rad] of every joint of the model, by its name without the body's id.

        Args:
            keypoints: (P, 3) keypoints of one person, in any frame.
            rotation: (3, 3) axes of the body in that frame (x out of the chest, y left, z to the head).
        """
        in_body = keypoints[self._places].astype(np.float64) @ rotation.astype(np.float64)
        points = dict(zip(_POINTS, in_body))
        shoulders, hips = (points[f"left_{name}"] + points[f"right_{name}"] for name in ("shoulder", "hip"))
        up = shoulders - hips
        waist = float(np.arctan2(up[0], up[2]))
        about_y = np.array([[np.cos(waist), 0, np.sin(waist)], [0, 1, 0], [-np.sin(waist), 0, np.cos(waist)]])
        in_torso = {name: point @ about_y for name, point in points.items()}
        angles = {"waist": waist, **_head_angles(in_torso)}
        for letter, (side, sign) in _SIDES.items():
            angles |= {f"{letter}_{name}": angle for name, angle in _arm_angles(in_torso, side, sign).items()}
        for letter, (side, sign) in _SIDES.items():
            angles |= {f"{letter}_{name}": angle for name, angle in _leg_angles(points, side, sign).items()}
        return angles


def _head_angles(points: dict[str, Array]) -> dict[str, float]:
    """Roll, yaw and pitch, one after the other: the matrix is Rx(roll) Rz(yaw) Ry(-pitch)."""
    eyes, ears = (points[f"left_{name}"] + points[f"right_{name}"] for name in ("eye", "ear"))
    turn = _axes(points["left_ear"] - points["right_ear"], eyes - ears)
    return {
        "r_head": float(np.arctan2(turn[2, 1], turn[1, 1])),
        "y_head": float(-np.arcsin(np.clip(turn[0, 1], -1.0, 1.0))),
        "p_head": float(-np.arctan2(turn[0, 2], turn[0, 0])),
    }


def _arm_angles(points: dict[str, Array], side: str, sign: float) -> dict[str, float]:
    """Upper arm along Rz(-sign yaw) Rx(sign pitch) (-z); the forearm turns by Rz(sign roll) Ry(-elbow) from there."""
    upper, lower = _bones(points, side, _ARM)
    pitch = np.arccos(np.clip(-upper[2], -1.0, 1.0))
    yaw = np.arctan2(upper[0], sign * upper[1])
    about_z, about_x = _turn_z(-sign * yaw), _turn_x(sign * pitch)
    lower = (about_z @ about_x).T @ lower
    return {
        "y_shoulder": float(yaw),
        "p_shoulder": float(pitch),
        "r_shoulder": float(sign * np.arctan2(lower[1], lower[0])),
        "elbow": float(np.arccos(np.clip(-lower[2], -1.0, 1.0))),
    }


def _leg_angles(points: dict[str, Array], side: str, sign: float) -> dict[str, float]:
    """Thigh's axes Rz(-yaw) Rx(sign pitch) Ry(-roll), its y the knee's axis; the shin turns by Ry(-knee) from there."""
    upper, lower = _bones(points, side, _LEG)
    axis = np.asarray(np.cross(upper, lower), np.float64)  # to the left, as long as the knee is bent
    left = np.array([0.0, 1.0, 0.0])
    axis = axis + max(0.0, _STRAIGHT - float(np.linalg.norm(axis))) * (left - (left @ upper) * upper)
    thigh = _axes(axis, np.asarray(np.cross(upper, axis), np.float64))
    bent = thigh.T @ lower
    return {
        "y_hip": float(np.arctan2(thigh[0, 1], thigh[1, 1])),
        "p_hip": float(sign * np.arcsin(np.clip(thigh[2, 1], -1.0, 1.0))),
        "r_hip": float(np.arctan2(thigh[2, 0], thigh[2, 2])),
        "knee": float(np.arctan2(bent[0], -bent[2])),
    }


def _bones(points: dict[str, Array], side: str, names: tuple[str, ...]) -> tuple[Array, Array]:
    first, second, third = (points[f"{side}_{name}"] for name in names)
    return _unit(second - first), _unit(third - second)


def _axes(left: Array, forward: Array) -> Array:
    """A rotation whose y is `left`, and whose x is as near to `forward` as that allows."""
    y = _unit(left)
    x = _unit(forward - (forward @ y) * y)
    return np.stack([x, y, np.cross(x, y)], axis=1)


def _unit(vector: Array) -> Array:
    return np.asarray(vector / np.linalg.norm(vector))


def _turn_z(angle: float) -> Array:
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])


def _turn_x(angle: float) -> Array:
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])
