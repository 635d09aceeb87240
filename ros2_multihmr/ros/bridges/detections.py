"""People as vision_msgs/Detection3DArray: what many trackers, loggers and RViz plugins listen to."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from geometry_msgs.msg import Point, Pose, Quaternion, Vector3
from numpy.typing import NDArray
from vision_msgs.msg import Detection3D, Detection3DArray, ObjectHypothesisWithPose

from ros2_multihmr.humans import Humans
from ros2_multihmr.ros.bridges.registry import Site
from ros2_multihmr.ros.bridges.topic import TopicBridge
from ros2_multihmr.ros.output import RELIABLE, Result
from ros2_multihmr.rotations import rotmat_to_quaternion_xyzw
from ros2_multihmr.tracking.tracks import TrackState

CLASS_ID = "person"


class Boxes(NamedTuple):
    """Boxes of N people, with the axes of their bodies.

    Attributes:
        centers: (N, 3) middles, in the frame of the people [m].
        sizes: (N, 3) lengths along x (out of the chest), y (left) and z (to the head) [m].
    """

    centers: NDArray[np.float64]
    sizes: NDArray[np.float64]


def open_bridge(site: Site) -> TopicBridge:
    """Opens `~/detections`."""
    return TopicBridge(site.create(Detection3DArray, "~/detections", RELIABLE), detection_array)


def detection_array(result: Result) -> Detection3DArray:
    """Builds the message of one image: who is seen in it, by falling score.

    Who is predicted was not detected, and is left out: the message has no word for it. A hypothesis' pose is mid-hips
    with REP-155 axes, as `Human.pose`; the box has the same axes. Ids are empty while nobody follows the people.
    """
    seen = result.select(result.tracks.seen)
    humans, boxes = seen.humans, body_boxes(seen.humans)
    message = Detection3DArray(header=result.header)
    turns = rotmat_to_quaternion_xyzw(humans.rotation).tolist()
    for i, (x, y, z, w) in enumerate(turns):
        turn = Quaternion(x=x, y=y, z=z, w=w)
        hypothesis = ObjectHypothesisWithPose()
        hypothesis.hypothesis.class_id, hypothesis.hypothesis.score = CLASS_ID, float(humans.scores[i])
        hypothesis.pose.pose = Pose(position=Point(**_xyz(humans.origin[i])), orientation=turn)
        hypothesis.pose.covariance = humans.covariance[i].astype(np.float64).ravel()
        detection = Detection3D(header=result.header, results=[hypothesis])
        detection.bbox.center = Pose(position=Point(**_xyz(boxes.centers[i])), orientation=turn)
        detection.bbox.size = Vector3(**_xyz(boxes.sizes[i]))
        detection.id = "" if seen.tracks.states[i] == TrackState.NONE else str(seen.tracks.ids[i])
        message.detections.append(detection)
    return message


def body_boxes(humans: Humans) -> Boxes:
    """Returns the smallest boxes with the body's axes around the reduced meshes."""
    rotation = humans.rotation.astype(np.float64)
    in_body = (humans.vertices_lod - humans.origin[:, None]) @ rotation
    low, high = in_body.min(axis=1), in_body.max(axis=1)
    centers = humans.origin + (rotation @ ((low + high) / 2)[..., None])[..., 0]
    return Boxes(centers, high - low)


def _xyz(values: NDArray[np.floating]) -> dict[str, float]:
    return dict(zip("xyz", values.tolist()))
