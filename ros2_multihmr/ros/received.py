"""People as they were received: messages back to what draws them and to what compares them with the truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
from multihmr.msg import Human
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from ros2_multihmr.body.body_model import BodyInfo
from ros2_multihmr.camera import Camera
from ros2_multihmr.evaluation.geometry import Geometry, places
from ros2_multihmr.humans import Humans

Points = NDArray[np.float64]


def received_camera(people: Any) -> Camera:
    """Returns the camera that a HumanArray refers to."""
    return Camera(
        np.reshape(people.k, (3, 3)),
        int(people.image_width),
        int(people.image_height),
        people.distortion_model,
        tuple(people.d),
        bool(people.calibrated),
        bool(people.rectified),
    )


def received_body(model: Any) -> BodyInfo:
    """Returns a BodyModelInfo as `BodyInfo`; what the message does not hold (center, hips, axes) stays neutral."""
    joints = ("parents", "body_joints", "left_hand_joints", "right_hand_joints", "jaw_joints", "eye_joints")
    names = ("joint_names", "shape_names", "expression_names", "keypoint_names")
    listed: dict[str, Any] = {name: tuple(int(joint) for joint in getattr(model, name)) for name in joints}
    listed |= {name: tuple(getattr(model, name)) for name in names}
    faces = np.asarray(model.faces, np.uint32).reshape(-1, 3)
    return BodyInfo(
        name=model.name,
        gender=model.gender,
        pose_convention=model.pose_convention,
        flat_hand_mean=bool(model.flat_hand_mean),
        **listed,
        center_joint=0,
        hip_joints=(0, 0),
        body_axes=np.eye(3),
        faces=faces,
        vertices_lod=np.asarray(model.vertices_lod, np.uint32),
        faces_lod=np.asarray(model.faces_lod, np.uint32).reshape(-1, 3),
        num_vertices=int(faces.max()) + 1,
    )


def marker_points(marker: Any) -> Points:
    """Returns the (F * 3, 3) corners of a triangle list in the marker's frame [m], its pose applied."""
    points = np.array([(p.x, p.y, p.z) for p in marker.points]).reshape(-1, 3)
    q, t = marker.pose.orientation, marker.pose.position
    return Rotation.from_quat([q.x, q.y, q.z, q.w]).apply(points) + (t.x, t.y, t.z)


def those_there(people: Any) -> list[Any]:
    """Returns the people of a HumanArray but for those lost: who is seen in the image, and who is predicted."""
    return [human for human in people.humans if human.tracking_state != Human.TRACK_LOST]


def received_humans(people: Any, body: BodyInfo, meshes: Sequence[Points]) -> Humans:
    """Returns the people of a HumanArray, but for those lost.

    Args:
        people: The message; its `humans` may hold vertices or not.
        body: Body of the same name.
        meshes: Corners of the reduced mesh of each of `those_there`, as `marker_points` gives them.

    Returns:
        Scores, places, boxes, keypoints and meshes; joints and parameters are zero.

    Raises:
        ValueError: The number of meshes is not that of the people.
    """
    humans = those_there(people)
    count = len(humans)
    if len(meshes) != count:
        raise ValueError(f"expected a mesh for each of {count} people, got {len(meshes)}")
    empty = Humans.empty(body)
    blank: dict[str, Any] = {f.name: _zeros(count, getattr(empty, f.name)) for f in fields(Humans) if f.name != "body"}
    received = [_fields(human, body, mesh) for human, mesh in zip(humans, meshes)]
    known: dict[str, Any] = {
        name: np.array([one[name] for one in received], np.float32) for name in (received[0] if received else ())
    }
    return replace(empty, **(blank | known))


def received_geometry(people: Any, body: BodyInfo) -> Geometry:
    """Returns the people of a HumanArray, but for those lost, as the points that are compared with the truth.

    Args:
        people: The message.
        body: Body of the same name.

    Returns:
        N people as they are in the message; their meshes have no vertices.

    Raises:
        ValueError: The body lacks keypoints that are compared.
    """
    humans = those_there(people)
    count, known, keypoints = len(humans), places(body), len(body.keypoint_names)
    poses = [human.pose.pose for human in humans]
    turns = np.array([(p.orientation.x, p.orientation.y, p.orientation.z, p.orientation.w) for p in poses])
    return Geometry(
        keypoints=_points(humans, "keypoints_3d", (keypoints, 3))[:, known],
        px=_points(humans, "keypoints_2d", (keypoints, 2))[:, known],
        root=np.array([(p.position.x, p.position.y, p.position.z) for p in poses]).reshape(count, 3),
        axes=Rotation.from_quat(turns).as_matrix() if count else np.zeros((0, 3, 3)),
        vertices=np.zeros((count, 0, 3), np.float32),
    )


def _points(humans: Sequence[Any], name: str, shape: tuple[int, int]) -> Points:
    """(N, *shape) one field of all people."""
    rows = [np.reshape(np.asarray(getattr(human, name), np.float64), shape) for human in humans]
    return np.array(rows).reshape(-1, *shape)


def _zeros(count: int, like: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.zeros((count, *like.shape[1:]), np.float32)


def _fields(human: Any, body: BodyInfo, mesh: Points) -> dict[str, Any]:
    pose = human.pose.pose
    q, p = pose.orientation, pose.position
    vertices_lod = np.zeros((len(body.vertices_lod), 3))
    vertices_lod[body.faces_lod.ravel()] = mesh
    return {
        "scores": human.score,
        "origin": (p.x, p.y, p.z),
        "rotation": Rotation.from_quat([q.x, q.y, q.z, q.w]).as_matrix(),
        "covariance": np.reshape(human.pose.covariance, (6, 6)),
        "bbox": human.bbox,
        "box_min": (human.box_min.x, human.box_min.y, human.box_min.z),
        "box_max": (human.box_max.x, human.box_max.y, human.box_max.z),
        "translation": human.translation,
        "keypoints_3d": np.reshape(human.keypoints_3d, (-1, 3)),
        "keypoints_2d": np.reshape(human.keypoints_2d, (-1, 2)),
        "keypoint_scores": human.keypoint_scores,
        "vertices": np.reshape(human.vertices, (-1, 3)),
        "vertices_lod": vertices_lod,
    }
