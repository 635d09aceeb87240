"""A tiny body, for the network of `small_network`, and batches of made-up people with their truth."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor, nn

from ros2_multihmr.body.body_model import BodyInfo
from ros2_multihmr.body.skinned_body import BodyData, SkinnedBody
from ros2_multihmr.training.batches import Batch, DenseBatch

SIZE = 112
JOINTS = ("pelvis", "neck", "head", "left_wrist", "left_thumb1", "jaw")
PARENTS = (-1, 0, 1, 1, 3, 2)
JOINT_PLACES = ((0, 0, 0), (0, -0.5, 0), (0, -0.65, 0), (0.5, -0.4, 0), (0.55, -0.4, 0), (0, -0.6, -0.05))
VERTICES, SHAPE, EXPRESSION = 12, 3, 2
HEAD, WRIST = JOINTS.index("head"), JOINTS.index("left_wrist")


class Coefficients(nn.Module):
    """Shape and expression are the blend shapes' coefficients themselves."""

    def forward(self, shape: Tensor, expression: Tensor) -> Tensor:
        one = torch.ones_like(shape[:, :1])
        return torch.cat([one, shape, expression], 1).expand(3, -1, -1)


def small_body() -> SkinnedBody:
    rng = np.random.default_rng(0)
    joints = rng.normal(0, 0.02, (1 + SHAPE + EXPRESSION, len(JOINTS), 3)).astype(np.float32)
    joints[0] = JOINT_PLACES
    vertices = rng.normal(0, 0.05, (1 + SHAPE + EXPRESSION, VERTICES, 3)).astype(np.float32)
    of_joint = np.arange(VERTICES) % len(JOINTS)
    vertices[0] += joints[0][of_joint]
    weights = 0.1 / len(JOINTS) + 0.9 * np.eye(len(JOINTS), dtype=np.float32)[of_joint]
    points = np.array([[2], [4]])
    data = BodyData(joints, vertices, weights.astype(np.float32), points, np.ones((2, 1), np.float32), False)
    return SkinnedBody(_info(), data, Coefficients())


def _info() -> BodyInfo:
    faces = np.arange(VERTICES, dtype=np.uint32).reshape(-1, 3)
    return BodyInfo(
        name="small", gender="", pose_convention="", flat_hand_mean=True, joint_names=JOINTS, parents=PARENTS,
        body_joints=(1, WRIST), left_hand_joints=(4,), right_hand_joints=(), jaw_joints=(5,), eye_joints=(),
        shape_names=("a", "b", "c"), expression_names=("d", "e"),
        keypoint_names=(*JOINTS, "nose", "left_thumb_tip"), center_joint=HEAD, hip_joints=(0, 0),
        body_axes=np.eye(3), faces=faces, vertices_lod=np.arange(0, VERTICES, 2, dtype=np.uint32),
        faces_lod=np.array([[0, 1, 2]], np.uint32), num_vertices=VERTICES,
    )  # fmt: skip


def cameras(count: int) -> Tensor:
    k = torch.tensor([[100.0, 0, 56], [0, 110, 54], [0, 0, 1]]).repeat(count, 1, 1)
    k[:, 0, 0] += 5 * torch.arange(count)
    return k


def project(points: Tensor, k: Tensor) -> Tensor:
    """(B, P, K, 3) to (B, P, K, 2); 0 behind the camera, as batches have it."""
    seen = points[..., 2:] > 0
    rays = points / torch.where(seen, points[..., 2:], 1.0)
    px = torch.einsum("bij,bpkj->bpki", k.to(points), rays)[..., :2]
    return torch.where(seen, px, 0.0)


def small_batch(count: int = 2, places: int = 4, seed: int = 0, **changes: Any) -> Batch:
    """Batches of people here and there; the last place of every image is empty."""
    rng = np.random.default_rng(seed)
    rotmats = Rotation.from_rotvec(rng.normal(0, 0.4, (count * places * 5, 3))).as_matrix()
    arrays = {
        "rotmats": rotmats.reshape(count, places, 5, 3, 3),
        "shape": rng.uniform(0.1, 0.9, (count, places, SHAPE)),
        "expression": rng.normal(0, 0.5, (count, places, EXPRESSION)),
        "center": rng.uniform((-1.2, -1.0, 3.0), (1.2, 0.4, 4.5), (count, places, 3)),
        "visibility": np.ones((count, places)),
        "pixels": rng.normal(0, 1, (count, 3, SIZE, SIZE)),
    }
    tensors = {name: torch.from_numpy(array.astype(np.float32)) for name, array in arrays.items()}
    people = (torch.arange(places) < places - 1).expand(count, -1).clone()
    batch = Batch(
        keys=tuple(f"image-{index}" for index in range(count)), body="small", k=cameras(count), people=people,
        **_points(small_body(), cameras(count), tensors), **tensors, dense=small_dense(count, rng),
    )  # fmt: skip
    return dataclasses.replace(batch, **changes)


def moved(batch: Batch, center: Tensor) -> Batch:
    """The same people elsewhere, (B, P, 3), all of them seen as far as the image goes."""
    tensors = {name: getattr(batch, name) for name in ("rotmats", "shape", "expression")}
    points = _points(small_body(), batch.k, tensors | {"center": center})
    return dataclasses.replace(batch, center=center, **points)


def _points(body: SkinnedBody, k: Tensor, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    people = (tensors[name].flatten(0, 1) for name in ("rotmats", "shape", "expression", "center"))
    keypoints = body(*people).keypoints.unflatten(0, tensors["center"].shape[:2])
    px = project(keypoints, k)
    visible = ((px >= 0) & (px < SIZE)).all(-1) & (keypoints[..., 2] > 0)
    return {"keypoints": keypoints, "keypoints_px": px, "keypoint_visible": visible.float()}


def small_dense(count: int, rng: np.random.Generator) -> DenseBatch:
    side = SIZE // 7
    mask = (rng.random((count, side, side)) < 0.4).astype(np.float32)
    parts = rng.integers(1, 16, mask.shape) * (mask > 0)
    depth = rng.uniform(1, 5, mask.shape).astype(np.float32)
    valid = np.ones(mask.shape, bool)
    valid[:, :2] = False
    return DenseBatch(*(torch.from_numpy(array) for array in (mask, parts, depth, valid)))


def doubled(batch: Batch) -> Batch:
    """The batch in float64."""
    return dataclasses.replace(
        batch, **_doubles(batch), dense=dataclasses.replace(batch.dense, **_doubles(batch.dense))
    )


def _doubles(value: Any) -> dict[str, Tensor]:
    tensors = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return {name: t.double() for name, t in tensors.items() if isinstance(t, Tensor) and t.dtype == torch.float32}


def chosen(batch: Batch, images: slice, order: list[int] | slice = slice(None)) -> Batch:
    """Some of the images, with their people in another order."""
    per_person = ("people", "rotmats", "shape", "expression", "center", "keypoints", "keypoints_px")
    changes: dict[str, Any] = {"keys": batch.keys[images], "pixels": batch.pixels[images], "k": batch.k[images]}
    for name in (*per_person, "keypoint_visible", "visibility"):
        changes[name] = getattr(batch, name)[images][:, order]
    dense = batch.dense
    changes["dense"] = DenseBatch(*(getattr(dense, field.name)[images] for field in dataclasses.fields(dense)))
    return dataclasses.replace(batch, **changes)
