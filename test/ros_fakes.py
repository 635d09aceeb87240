"""Stand-ins for the ROS tests: a small body, people at chosen places, a network that returns them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from rclpy.serialization import deserialize_message, serialize_message
from std_msgs.msg import Header
from torch import Tensor

from ros2_multihmr.body.body_model import BodyInfo
from ros2_multihmr.humans import Humans
from ros2_multihmr.model.config import MultiHMRConfig
from ros2_multihmr.model.raw_outputs import RawOutputs

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


# A person who stands upright before a level camera and faces it, as a rotation of Anny's axes (x left, y back, z up)
# into the optical frame (x right, y down, z forward).
FACING_THE_CAMERA = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]], np.float32)


@dataclass(frozen=True)
class Person:
    """Someone whom `FakeBackend` finds: where the head is in the network's input [px], how far away [m], how turned."""

    x: float = 56.0
    y: float = 40.0
    depth: float = 4.0
    score: float = 0.9
    rotation: NDArray[np.float32] = field(default_factory=lambda: FACING_THE_CAMERA)


class FakeBackend:
    """A network that finds the people it was told to find, in every image.

    Attributes:
        people: Whom it finds next.
        error: Raised instead, if set.
        wait: Called in every call, before anything else.
        calls: Number of calls.
        threads: Names of the threads that called.
        loaded: True between `load` and `unload`.
    """

    def __init__(self, body: BodyInfo, people: Sequence[Person] = (), *, untrained: bool = False) -> None:
        self.people, self.error, self.wait = list(people), None, lambda: None
        self.calls, self.threads = 0, set()
        self.device, self.window, self.loaded = torch.device("cpu"), None, True
        self.config = MultiHMRConfig(
            kind="multihmr", weights="fake", body="anny", untrained=untrained, image_size=112, width=8, depth=1,
            heads=1, num_rotations=len(body.posed_joints), num_shape=len(body.shape_names),
            num_expression=len(body.expression_names), max_humans=10,
        )  # fmt: skip

    def load(self) -> None:
        self.loaded = True

    def unload(self) -> None:
        self.loaded = False

    def infer(self, pixels: Tensor, k: Tensor, threshold: float) -> RawOutputs:
        self.calls += 1
        self.threads.add(threading.current_thread().name)
        self.wait()
        if self.error is not None:
            raise self.error
        config, slots = self.config, self.config.max_humans
        found = [person for person in self.people if person.score >= threshold]
        shown = found[:slots]
        rotmats = torch.eye(3).repeat(1, slots, config.num_rotations, 1, 1)
        values = torch.zeros(1, slots, 4)
        for i, person in enumerate(shown):
            rotmats[0, i, 0] = torch.from_numpy(person.rotation)
            values[0, i] = torch.tensor([person.score, person.x, person.y, person.depth])
        return RawOutputs(
            mask=(torch.arange(slots) < len(shown))[None],
            scores=values[..., 0],
            cells=torch.zeros(1, slots, 2, dtype=torch.int64),
            loc_px=values[..., 1:3],
            depth=values[..., 3],
            rotmats=rotmats,
            shape=torch.full((1, slots, config.num_shape), 0.5),
            expression=torch.zeros(1, slots, config.num_expression),
            found=torch.tensor([len(found)]),
            scores_map=torch.zeros(1, 8, 8),
        )
