"""Mirror: people and pictures seen in a mirror, left and right exchanged."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ros2_multihmr.body.body_model import BodyInfo
from ros2_multihmr.body.parts import mirrored_parts
from ros2_multihmr.camera import Camera
from ros2_multihmr.samples.sample import Dense, Labels, Sample

_ACROSS = np.diag([-1.0, 1.0, 1.0]).astype(np.float32)  # the mirror of the optical frame: x changes its sign
_SIDES = re.compile(r"^(left|right)(?=_)|(?<=\.)(L|R)$|(Left|Right)$")
_OTHER = {"left": "right", "L": "R", "Left": "Right"}
_OTHER |= {there: here for here, there in _OTHER.items()}


class Mirror:
    """Mirrors samples of one body.

    A mirror image of a person has the mirrored joint's rotation, conjugated by the mirror: R' = C R M, where M mirrors
    the body's own axes (its left becomes its right) and C = M but for the root, whose rotation leads into the camera's
    axes. Sides follow from names: `left_knee`, `lowerleg01.L`, `browDownLeft`. As exact as the body is symmetric; the
    shape parameters stay, and so do expressions without a side in their name.
    """

    def __init__(self, info: BodyInfo) -> None:
        """Finds the sides.

        Raises:
            ValueError: A name with a side has no counterpart, or joints turn about other axes than the model's, as in
                anny_official: about bones, whose axes are not each other's mirror images.
        """
        if "about axes parallel to the model's" not in info.pose_convention:
            raise ValueError(
                f"mirror: {info.name} turns its joints about their bones; train with the body anny or smplx"
            )
        posed = [info.joint_names[joint] for joint in info.posed_joints]
        self._joints = _counterparts(posed)
        self._expression = _counterparts(info.expression_names)
        self._keypoints = _counterparts(info.keypoint_names)
        left = info.body_axes[:, 1]
        self._body = (np.eye(3) - 2.0 * np.outer(left, left)).astype(np.float32)
        self._parts = np.concatenate([[0], mirrored_parts() + 1]).astype(np.uint8)

    def sample(self, sample: Sample) -> Sample:
        """Returns the mirrored sample.

        Raises:
            ValueError: The camera has lens distortion.
        """
        return replace(
            sample,
            image=np.ascontiguousarray(sample.image[:, ::-1]),
            camera=mirrored_camera(sample.camera),
            labels=self.labels(sample.labels),
            dense=None if sample.dense is None else self.dense(sample.dense),
        )

    def labels(self, labels: Labels) -> Labels:
        """Returns the mirrored people."""
        rotmats = labels.rotmats[:, self._joints]
        root, others = _ACROSS @ rotmats[:, :1] @ self._body, self._body @ rotmats[:, 1:] @ self._body
        return replace(
            labels,
            rotmats=np.concatenate([root, others], axis=1),
            expression=labels.expression[:, self._expression],
            center=labels.center @ _ACROSS,
            keypoints=labels.keypoints[:, self._keypoints] @ _ACROSS,
            keypoint_visible=labels.keypoint_visible[:, self._keypoints],
        )

    def dense(self, dense: Dense) -> Dense:
        """Returns the mirrored truth per pixel."""
        flipped = {name: np.ascontiguousarray(field[:, ::-1]) for name, field in vars(dense).items()}
        return Dense(flipped["instance"], self._parts[flipped["part"]], flipped["depth"])


def mirrored_camera(camera: Camera) -> Camera:
    """Returns the camera of the mirrored image.

    Raises:
        ValueError: The camera has lens distortion.
    """
    if camera.has_distortion:
        raise ValueError("mirror: expected an image without lens distortion, got one with; rectify it first")
    k = camera.k.copy()
    k[0, 2] = camera.width - 1 - camera.cx
    return replace(camera, k=k)


def _counterparts(names: Sequence[str]) -> NDArray[np.intp]:
    others = [_SIDES.sub(lambda side: _OTHER[side.group()], name) for name in names]
    alone = sorted(set(others) - set(names))
    if alone:
        raise ValueError(f"mirror: every side needs its other side, {', '.join(alone)} are missing; see BodyInfo")
    return np.array([names.index(other) for other in others], np.intp)
