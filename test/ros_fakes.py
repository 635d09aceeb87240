"""Stand-ins for the ROS tests: a small body, people at chosen places, a network that returns them."""

from __future__ import annotations

import os
import random
from typing import Any

# Before anything of ROS is loaded: stay on this machine, apart from other runs, and check every field of a message.
os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
os.environ.setdefault("ROS_DOMAIN_ID", str(random.SystemRandom().randrange(1, 100)))
os.environ.setdefault("ROS_PYTHON_CHECK_FIELDS", "1")

import numpy as np
from builtin_interfaces.msg import Time
from rclpy.serialization import deserialize_message, serialize_message
from std_msgs.msg import Header

from ros2_multihmr.body.body_model import BodyInfo
from ros2_multihmr.humans import Humans

# SMPL's axes: x left, y up, z forward.
SMPL_AXES = np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0]], np.float64)


def small_body(faces: int = 12, faces_lod: int = 4) -> BodyInfo:
    """A body of nine joints with every kind of joint but eyes."""
    rng = np.random.default_rng(0)
    return BodyInfo(
        name="small/1/test",
        gender="",
        pose_convention="test",
        flat_hand_mean=True,
        joint_names=(
            "pelvis",
            "left_hip",
            "right_hip",
            "spine",
            "head",
            "left_hand",
            "left_index",
            "right_hand",
            "jaw",
        ),
        parents=(-1, 0, 0, 0, 3, 3, 5, 3, 4),
        body_joints=(1, 2, 4),
        left_hand_joints=(6,),
        right_hand_joints=(7,),
        jaw_joints=(8,),
        eye_joints=(),
        shape_names=("age", "height"),
        expression_names=("jaw_open",),
        keypoint_names=("nose", "left_ear", "right_ear"),
        center_joint=4,
        hip_joints=(1, 2),
        body_axes=SMPL_AXES,
        faces=rng.integers(0, 20, (faces, 3)).astype(np.uint32),
        vertices_lod=np.arange(0, 20, 2, dtype=np.uint32),
        faces_lod=rng.integers(0, 10, (faces_lod, 3)).astype(np.uint32),
        num_vertices=20,
    )


def random_humans(body: BodyInfo, count: int, *, vertices: bool = True, seed: int = 0) -> Humans:
    """People whose every number is different, by falling score."""
    rng = np.random.default_rng(seed)
    empty = Humans.empty(body)
    arrays = {
        name: rng.normal(size=(count, *array.shape[1:])).astype(np.float32)
        for name, array in vars(empty).items()
        if name != "body"
    }
    arrays["scores"] = np.sort(rng.random(count).astype(np.float32))[::-1].copy()
    arrays["rotation"] = np.linalg.qr(arrays["rotation"].astype(np.float64))[0].astype(np.float32).reshape(-1, 3, 3)
    arrays["rotation"] *= np.linalg.det(arrays["rotation"]).astype(np.float32)[:, None, None]
    if not vertices:
        arrays["vertices"] = np.zeros((count, 0, 3), np.float32)
    return Humans(body=body, **arrays)


def header(frame_id: str = "camera_optical_frame", sec: int = 12, nanosec: int = 345_000_000) -> Header:
    """A header."""
    return Header(stamp=Time(sec=sec, nanosec=nanosec), frame_id=frame_id)


def assert_serializes(data: bytes, message: Any) -> None:
    """Asserts that `data` is `message`, serialized.

    The generated classes leave the bytes between two aligned fields as they find them in memory, ours are zero. So: the
    same length, the same fields, and no other difference than zeros.
    """
    naive = serialize_message(message)
    assert len(data) == len(naive)
    ours, theirs = np.frombuffer(data, np.uint8), np.frombuffer(naive, np.uint8)
    assert not ours[ours != theirs].any()
    assert deserialize_message(data, type(message)) == deserialize_message(naive, type(message))
