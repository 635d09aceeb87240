"""Rig: from anatomical angles to a body's rotations.

People's postures are written as angles that physiotherapists would name (elbow flexion, hip abduction ...), the same
for both sides of the body. At zero, a person stands straight, arms hanging, palms to the thighs, as far as the trunk
and limbs go, and hands are as the body rests. The rig reads from the body's resting joints about which axes those
angles turn.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ros2_multihmr.body.body_model import BodyInfo, BodyModel
from ros2_multihmr.rotations import rotvec_to_rotmat
from ros2_multihmr.synthesis.angles import FINGERS, PLACE, SIDES

Array = NDArray[np.floating[Any]]
LEFT, BACK, UP = np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0]), np.array([0.0, 0.0, 1.0])
_STEPS = 3  # turns that a joint is made of, at most
_SPINE = (("spine1", 0.3), ("spine2", 0.35), ("spine3", 0.35))
_NECK = (("neck", 0.45), ("head", 0.55))
_CURLS = (0, 1, 2)


@dataclass(frozen=True)
class Rig:
    """How a body's joints turn with the angles; J posed joints, up to three turns each, the first outermost.

    Attributes:
        before: (J, 3, 3) what the turns are multiplied to from the left, and
        after: (J, 3, 3) from the right.
        axes: (J, 3, 3) axis of each turn, zeros for none.
        angle: (J, 3) index into `ANGLES` of what the turn follows.
        gain: (J, 3) how much it follows, and
        offset: (J, 3) what is added [rad].
    """

    before: Array
    after: Array
    axes: Array
    angle: NDArray[np.intp]
    gain: Array
    offset: Array

    def rotmats(self, angles: Array) -> Array:
        """Turns angles (..., A) of `ANGLES` [rad] into rotations (..., J, 3, 3); the root faces world x."""
        turns = self.gain * angles[..., self.angle] + self.offset
        first, second, third = np.moveaxis(rotvec_to_rotmat(turns[..., None] * self.axes), -3, 0)
        rotmats: Array = self.before @ first @ second @ third @ self.after
        return rotmats


@lru_cache(maxsize=4)
def rig_of(body: BodyModel) -> Rig:
    """Makes the body's rig; the same object again for the same body.

    Raises:
        ValueError: The body's axes are not x left, y back, z up.
    """
    expected = np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 1]])
    if not np.array_equal(body.info.body_axes, expected):
        raise ValueError(f"rig_of: expected a body with axes x left, y back, z up, as anny; got {body.info.name}")
    return _Builder(body.info, resting_joints(body)).rig


def average_shape(body: BodyModel) -> torch.Tensor:
    """(1, S) an average adult: phenotypes in the middle, or the mean shape of a body of principal components."""
    values = {"age": 2 / 3}
    middle = 0.5 if "age" in body.info.shape_names else 0.0
    return torch.tensor([[values.get(name, middle) for name in body.info.shape_names]])


@torch.no_grad()
def resting_joints(body: BodyModel) -> dict[str, Array]:
    """Joints of the average person at rest by keypoint name, (3,) in the model's axes [m]."""
    info = body.info
    still = torch.eye(3).repeat(1, len(info.posed_joints), 1, 1)
    person = body(still, average_shape(body), torch.zeros(1, len(info.expression_names)), torch.zeros(1, 3))
    points = person.keypoints[0].double().numpy()
    return dict(zip(info.keypoint_names, points, strict=True))


class _Builder:
    """Fills a rig's tables, joint by joint."""

    def __init__(self, info: BodyInfo, points: dict[str, Array]) -> None:
        names = [info.keypoint_names[joint] for joint in info.posed_joints]
        count = len(names)
        self._place = {name: i for i, name in enumerate(names)}
        self._points = points
        eyes = np.tile(np.eye(3), (count, 1, 1))
        flat = np.zeros((count, _STEPS))
        self.rig = Rig(eyes.copy(), eyes.copy(), np.zeros((count, _STEPS, 3)), flat.astype(np.intp), flat.copy(), flat)
        self._trunk()
        for side in SIDES:
            self._arm(side)
            self._hand(side)
            self._leg(side)
        self._face()

    def _turn(self, joint: str, step: int, axis: Array, angle: str, gain: float = 1.0, offset: float = 0.0) -> None:
        place = self._place[joint]
        self.rig.axes[place, step] = axis / np.linalg.norm(axis)
        self.rig.angle[place, step] = PLACE[angle]
        self.rig.gain[place, step] = gain
        self.rig.offset[place, step] = offset

    def _trunk(self) -> None:
        # World axes are x forward, y left, z up; the model's are x left, y back, z up.
        self.rig.before[0] = np.stack([-BACK, LEFT, UP])
        for step, (axis, angle) in enumerate(((UP, "root_turn"), (LEFT, "root_pitch"), (-BACK, "root_roll"))):
            self._turn("pelvis", step, axis, angle)
        for chain, angles in ((_SPINE, ("bend", "lean", "twist")), (_NECK, ("nod", "tilt", "look"))):
            for joint, share in chain:
                for step, (axis, angle) in enumerate(zip((LEFT, -BACK, UP), angles, strict=True)):
                    self._turn(joint, step, axis, angle, share)

    def _arm(self, side: str) -> None:
        out = _outwards(side)
        shoulder, elbow, wrist = (self._points[f"{side}_{name}"] for name in ("shoulder", "elbow", "wrist"))
        upper, lower = _unit(elbow - shoulder), _unit(wrist - elbow)
        hinge = np.cross(upper, lower)  # towards the model's right on both sides: the arm bends forwards
        self._turn(f"{side}_collar", 0, out * BACK, f"{side}_shrug", -1.0)
        self._turn(f"{side}_collar", 1, out * UP, f"{side}_protract", -1.0)
        self._turn(f"{side}_shoulder", 0, -LEFT, f"{side}_arm_flex")
        self._turn(f"{side}_shoulder", 1, -out * BACK, f"{side}_arm_abduct")
        self._turn(f"{side}_shoulder", 2, -out * UP, f"{side}_arm_twist")
        self.rig.after[self._place[f"{side}_shoulder"]] = _frame(-LEFT, -UP) @ _frame(hinge, upper).T
        self._turn(f"{side}_elbow", 0, hinge, f"{side}_elbow", offset=-_between(upper, lower))
        palm = self._palm(side)
        self._turn(f"{side}_forearm", 0, out * lower, f"{side}_pronate", 0.65)
        self._turn(f"{side}_wrist", 0, out * lower, f"{side}_pronate", 0.35)
        self._turn(f"{side}_wrist", 1, np.cross(lower, palm), f"{side}_wrist_flex")
        self._turn(f"{side}_wrist", 2, out * palm, f"{side}_wrist_side")

    def _palm(self, side: str) -> Array:
        """Where the palm at rest looks."""
        wrist, middle, index, pinky = (
            self._points[f"{side}_{name}"] for name in ("wrist", "middle1", "index1", "pinky1")
        )
        return _unit(_outwards(side) * np.cross(middle - wrist, index - pinky))

    def _hand(self, side: str) -> None:
        palm, out = self._palm(side), _outwards(side)
        across = _unit(self._points[f"{side}_pinky1"] - self._points[f"{side}_index1"])
        for finger in FINGERS:
            names = [f"{side}_{finger}{k}" for k in (1, 2, 3)]
            points = [*(self._points[name] for name in names), self._points[f"{side}_{finger}_tip"]]
            inwards = _unit(0.7 * across + 0.7 * palm) if finger == "thumb" else palm
            for k in _CURLS:
                self._turn(names[k], 0, np.cross(points[k + 1] - points[k], inwards), f"{names[k]}_curl")
            self._turn(names[0], 1, out * palm, f"{side}_{finger}_spread", _SPREADS[finger])

    def _leg(self, side: str) -> None:
        out = _outwards(side)
        hip, knee, ankle = (self._points[f"{side}_{name}"] for name in ("hip", "knee", "ankle"))
        upper, lower = _unit(knee - hip), _unit(ankle - knee)
        hinge = _unit(np.cross(upper, np.cross(LEFT, upper)))  # across the thigh: the knee bends in the leg's plane
        straight = _frame(LEFT, -UP) @ _frame(hinge, upper).T
        self._turn(f"{side}_hip", 0, -LEFT, f"{side}_hip_flex")
        self._turn(f"{side}_hip", 1, -out * BACK, f"{side}_hip_abduct")
        self._turn(f"{side}_hip", 2, out * UP, f"{side}_hip_turn")
        self.rig.after[self._place[f"{side}_hip"]] = straight
        bent = np.arctan2(straight @ lower @ BACK, -(straight @ lower) @ UP)
        self._turn(f"{side}_knee", 0, hinge, f"{side}_knee", offset=-bent)
        unbent = rotvec_to_rotmat(-bent * hinge)
        self.rig.before[self._place[f"{side}_ankle"]] = (straight @ unbent).T
        self._turn(f"{side}_ankle", 0, -LEFT, f"{side}_ankle")
        self._turn(f"{side}_ankle", 1, -out * BACK, f"{side}_foot_tilt")

    def _face(self) -> None:
        self._turn("jaw", 0, LEFT, "jaw")
        for eye in ("left_eyeball", "right_eyeball"):
            if eye in self._place:
                self._turn(eye, 0, UP, "gaze_side")
                self._turn(eye, 1, LEFT, "gaze_down")


_SPREADS = {"thumb": 1.0, "index": 0.6, "middle": 0.15, "ring": -0.4, "pinky": -1.0}


def _outwards(side: str) -> float:
    return 1.0 if side == "left" else -1.0


def _unit(vector: Array) -> Array:
    unit: Array = vector / np.linalg.norm(vector)
    return unit


def _between(a: Array, b: Array) -> float:
    return float(np.arccos(np.clip(a @ b, -1, 1)))


def _frame(across: Array, along: Array) -> Array:
    """Right-handed frame whose second axis lies along one vector and whose first is nearest to another."""
    second = _unit(along)
    first = _unit(across - (across @ second) * second)
    return np.stack([first, second, np.cross(first, second)], 1)
