"""The big messages as anyone would write them, an object for every point: what the node's bytes must equal.

Nothing of this runs in the node. `multihmr benchmark messages` measures it beside what does, the tests compare both.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from builtin_interfaces.msg import Duration
from geometry_msgs.msg import Point
from numpy.typing import NDArray
from sensor_msgs.msg import PointCloud2
from sensor_msgs_py.point_cloud2 import create_cloud
from std_msgs.msg import Header
from visualization_msgs.msg import Marker, MarkerArray

from ros2_multihmr.humans import Humans
from ros2_multihmr.palette import color_of
from ros2_multihmr.ros import markers
from ros2_multihmr.ros.publishers import VERTEX_FIELDS
from ros2_multihmr.tracking.motion_state import Motion
from ros2_multihmr.tracking.tracks import Tracks

_UNIT = (1.0, 1.0, 1.0)
Color = tuple[float, float, float, float]
_FIRST_LIFETIME_S = 30  # of an image's markers when nobody knows how soon others will follow


def plain_markers(
    header: Header, humans: Humans, tracks: Tracks, motion: Motion | None = None, *, full: bool, untrained: bool = False
) -> MarkerArray:
    """Builds what `MarkerBuilder.update` makes of its first image; the arguments are the same."""
    ids: list[int] = tracks.ids.tolist()
    colors: list[Color] = [
        (*color_of(track_id), markers.PREDICTED_ALPHA if predicted else 1.0)
        for track_id, predicted in zip(ids, tracks.predicted)
    ]
    body = humans.body
    vertices, faces = (humans.vertices, body.faces) if full else (humans.vertices_lod, body.faces_lod)
    bones, width = markers.skeleton_edges(body), (markers.BONE_WIDTH_M, 0.0, 0.0)
    found = MarkerArray()
    for i, track_id in enumerate(ids):
        points = vertices[i][faces].reshape(-1, 3)
        found.markers.append(_marker(header, "mesh", track_id, Marker.TRIANGLE_LIST, _UNIT, colors[i], points))
    for i, track_id in enumerate(ids):
        points = humans.joints[i][bones].reshape(-1, 3)
        found.markers.append(_marker(header, "skeleton", track_id, Marker.LINE_LIST, width, colors[i], points))
    for i in range(len(ids)):
        found.markers.append(_label(header, humans, tracks, i, untrained))
    if motion is not None:
        fast = motion.valid & (np.linalg.norm(motion.velocity, axis=1) >= markers.STANDS_M_S)
        for i in np.flatnonzero(fast):
            ends = [humans.origin[i], humans.origin[i] + markers.ARROW_S * motion.velocity[i]]
            found.markers.append(
                _marker(header, markers.VELOCITY, ids[i], Marker.ARROW, markers.ARROW_M, colors[i], ends)
            )
    return found


def plain_cloud(header: Header, humans: Humans, tracks: Tracks) -> PointCloud2:
    """Builds what `publishers.cloud` makes of the same arguments."""
    points = [
        (float(x), float(y), float(z), int(track_id))
        for track_id, vertices in zip(tracks.ids, humans.vertices)
        for x, y, z in vertices
    ]
    message = create_cloud(header, VERTEX_FIELDS, points)
    message.is_dense = True
    return message


def _marker(
    header: Header,
    namespace: str,
    track_id: int,
    kind: int,
    scale: tuple[float, float, float],
    color: Color,
    points: Sequence[NDArray[np.float32]] | NDArray[np.float32] = (),
) -> Marker:
    marker = Marker(header=header, ns=namespace, id=track_id, type=kind, action=Marker.ADD)
    marker.lifetime = Duration(sec=_FIRST_LIFETIME_S)
    marker.scale.x, marker.scale.y, marker.scale.z = scale
    marker.color.r, marker.color.g, marker.color.b, marker.color.a = color
    marker.points = [Point(x=float(x), y=float(y), z=float(z)) for x, y, z in points]
    return marker


def _label(header: Header, humans: Humans, tracks: Tracks, i: int, untrained: bool) -> Marker:
    scale, white = (0.0, 0.0, markers.LABEL_HEIGHT_M), (1.0, 1.0, 1.0, 1.0)
    marker = _marker(header, "label", int(tracks.ids[i]), Marker.TEXT_VIEW_FACING, scale, white)
    x, y, z = humans.joints[i, humans.body.center_joint] + markers.LABEL_ABOVE_HEAD_M * humans.rotation[i, :, 2]
    marker.pose.position = Point(x=float(x), y=float(y), z=float(z))
    score = "predicted" if tracks.predicted[i] else f"{humans.scores[i]:.0%}"
    marker.text = f"{tracks.ids[i]} ({score})" + ("\nuntrained weights" if untrained else "")
    return marker
