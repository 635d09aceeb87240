"""Where everybody is going to be, for planners and for RViz."""

from __future__ import annotations

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, Pose, PoseWithCovariance, Quaternion
from multihmr.msg import PredictedPath, PredictedPathArray
from numpy.typing import NDArray
from rclpy.lifecycle import LifecyclePublisher
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from ros2_multihmr.palette import color_of
from ros2_multihmr.ros.conversions import duration_message
from ros2_multihmr.ros.output import BEST_EFFORT, RELIABLE, CreatePublisher, Result, send, wanted
from ros2_multihmr.ros.pace import Lifetime
from ros2_multihmr.ros.parameters import NodeConfig
from ros2_multihmr.rotations import rotmat_to_quaternion_xyzw
from ros2_multihmr.stopwatch import Stopwatch
from ros2_multihmr.tracking.prediction import PredictedPaths, predicted_paths

LINE_WIDTH_M = 0.03
NAMESPACE = "path"


class PathOutput:
    """Publishes predicted paths: `~/predicted_paths`, and lines of them on `~/predicted_paths/markers`.

    Attributes:
        publishers: Of the paths and of the lines.

    Args:
        create: Creates a publisher from message type, topic and quality of service.
    """

    def __init__(self, create: CreatePublisher) -> None:
        self._paths = create(PredictedPathArray, "~/predicted_paths", RELIABLE)
        self._markers = create(MarkerArray, "~/predicted_paths/markers", BEST_EFFORT)
        self.publishers: tuple[LifecyclePublisher, ...] = (self._paths, self._markers)
        self._displayed: set[int] = set()
        self._lifetime = Lifetime()

    def publish(self, result: Result, config: NodeConfig, watch: Stopwatch) -> None:
        """Publishes what is wanted of one image; see `Output`."""
        with watch.stage("convert out"):
            header = path_header(result, config.world_frame)
            paths = _predict(result, config)
            ids = result.tracks.ids.tolist() if paths else []
        if wanted(self._paths):
            send(self._paths, watch, lambda: path_array(header, ids, paths))
        if wanted(self._markers):
            send(self._markers, watch, lambda: self._lines(header, ids, paths))

    def clear(self, header: Header) -> None:
        """Takes all lines off the display."""
        self._displayed = set()
        self._markers.publish(MarkerArray(markers=[Marker(header=header, action=Marker.DELETEALL)]))

    def _lines(self, header: Header, ids: list[int], paths: PredictedPaths | None) -> MarkerArray:
        lifetime_s = self._lifetime.renewed(header.stamp.sec + header.stamp.nanosec * 1e-9)
        lines = path_lines(header, ids, paths, lifetime_s)
        for track_id in sorted(self._displayed - set(ids)):
            lines.markers.append(Marker(header=header, ns=NAMESPACE, id=track_id, action=Marker.DELETE))
        self._displayed = set(ids)
        return lines


def path_header(result: Result, world_frame: str) -> Header:
    """Returns the header of one image's paths: in the world frame if the camera's pose in it is known."""
    known = result.T_world_camera is not None
    return Header(stamp=result.header.stamp, frame_id=world_frame if known else result.header.frame_id)


def path_array(header: Header, ids: list[int], paths: PredictedPaths | None) -> PredictedPathArray:
    """Builds the message of one image.

    Args:
        header: Stamp of the image, and the frame that the paths are in.
        ids: N track ids.
        paths: N people's paths; None if nobody is followed.
    """
    message = PredictedPathArray(header=header)
    if paths is None:
        return message
    message.stamps = [_later(header.stamp, time_s) for time_s in paths.times_s.tolist()]
    turns = rotmat_to_quaternion_xyzw(paths.rotations).tolist()
    for track_id, positions, turn, covariances in zip(ids, paths.positions, turns, paths.covariances):
        x, y, z, w = turn
        orientation = Quaternion(x=x, y=y, z=z, w=w)
        poses = [Pose(position=point, orientation=orientation) for point in _points(positions)]
        posed = [PoseWithCovariance(pose=pose, covariance=c.ravel()) for pose, c in zip(poses, covariances)]
        message.paths.append(PredictedPath(track_id=track_id, poses=posed))
    return message


def path_lines(header: Header, ids: list[int], paths: PredictedPaths | None, lifetime_s: float) -> MarkerArray:
    """Builds a line per person, from where he or she is, in the colour of the id; arguments as of `path_array`."""
    lines = MarkerArray()
    if paths is None:
        return lines
    for track_id, start, positions in zip(ids, paths.starts, paths.positions):
        line = Marker(header=header, ns=NAMESPACE, id=track_id, type=Marker.LINE_STRIP, action=Marker.ADD)
        line.pose.orientation.w, line.scale.x = 1.0, LINE_WIDTH_M
        red, green, blue = color_of(track_id)
        line.color = ColorRGBA(r=red, g=green, b=blue, a=1.0)
        line.lifetime = duration_message(lifetime_s)
        line.points = _points(np.vstack([start, positions]))
        lines.markers.append(line)
    return lines


def _predict(result: Result, config: NodeConfig) -> PredictedPaths | None:
    if result.motion is None:
        return None
    return predicted_paths(
        result.humans, result.tracks, result.motion, config.path_horizon_s, config.path_steps, result.T_world_camera
    )


def _later(stamp: Time, seconds: float) -> Time:
    nanoseconds = stamp.sec * 1_000_000_000 + stamp.nanosec + round(seconds * 1e9)
    return Time(sec=nanoseconds // 1_000_000_000, nanosec=nanoseconds % 1_000_000_000)


def _points(positions: NDArray[np.float64]) -> list[Point]:
    return [Point(x=x, y=y, z=z) for x, y, z in positions.tolist()]
