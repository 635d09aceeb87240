"""How near a robot's links are to everybody: `~/proximity`."""

from __future__ import annotations

from typing import Any

import numpy as np
from geometry_msgs.msg import Point
from multihmr.msg import Proximity, ProximityArray
from rclpy.lifecycle import LifecyclePublisher
from rclpy.node import Node
from std_msgs.msg import Header

from ros2_multihmr.body.parts import PARTS
from ros2_multihmr.estimator import Estimator
from ros2_multihmr.nearness.proximity import Proximities, ProximityMeter
from ros2_multihmr.nearness.spheres import parse_spheres
from ros2_multihmr.ros.output import RELIABLE, CreatePublisher, Result, send, wanted
from ros2_multihmr.ros.parameters import NodeConfig
from ros2_multihmr.ros.sphere_frames import SphereFrames, SpheresNow
from ros2_multihmr.stopwatch import Stopwatch

_NO_SPHERES = (
    "somebody listens to ~/proximity, but proximity_frames and proximity_spheres name nothing: nothing is published "
    "there; name a robot's TF frames or spheres, then configure the node again"
)


class ProximityOutput:
    """Publishes distances; is an `Output`.

    Attributes:
        publishers: Of the distances.
        listens: True if it subscribes to TF.

    Args:
        node: Listens to TF if the parameters name spheres.
        config: Its settings.
        estimator: Its body is measured.
        create: Creates a publisher from message type, topic and quality of service.
    """

    def __init__(self, node: Node, config: NodeConfig, estimator: Estimator, create: CreatePublisher) -> None:
        self._publisher = create(ProximityArray, "~/proximity", RELIABLE)
        self.publishers: tuple[LifecyclePublisher, ...] = (self._publisher,)
        self._estimator = estimator
        self._meter: ProximityMeter | None = None  # takes some memory and time, so only when somebody wants it
        spheres = parse_spheres(config.proximity_frames, config.proximity_spheres)
        self._frames = SphereFrames(node, spheres) if spheres else None
        self.listens = bool(spheres)

    @property
    def problem(self) -> str:
        """What is missing of what somebody listens to, and what to do about it; empty if nothing is."""
        if not wanted(self._publisher):
            return ""
        return self._frames.problem if self._frames is not None else _NO_SPHERES

    def publish(self, result: Result, config: NodeConfig, watch: Stopwatch) -> None:
        """Publishes how near everybody is in one image; see `Output`."""
        if self._frames is None:
            return
        with watch.stage("robot pose"):
            now = self._frames.find(result.header, config.proximity_timeout_s, result.T_world_camera)
        with watch.stage("proximity"):
            if self._meter is None:
                self._meter = ProximityMeter(self._estimator.body, self._estimator.backend.device)
            measured = self._meter.measure(
                result.humans,
                now.centers,
                [sphere.radius_m for sphere in now.spheres],
                person_velocities=_velocities(result),
                sphere_velocities=None if config.world_frame and result.T_world_camera is None else now.velocities,
            )
        untrained, missing = self._estimator.backend.config.untrained, self._frames.missing
        send(self._publisher, watch, lambda: proximity_array(result, now, measured, missing, untrained=untrained))

    def clear(self, header: Header) -> None:
        """There is nothing on display."""

    def forget(self) -> None:
        """Starts anew after time jumped back."""
        if self._frames is not None:
            self._frames.forget()

    def destroy(self) -> None:
        """Ends listening to TF."""
        if self._frames is not None:
            self._frames.destroy()


def proximity_array(
    result: Result, now: SpheresNow, measured: Proximities, missing: tuple[str, ...], *, untrained: bool
) -> ProximityArray:
    """Builds the message of one image.

    Args:
        result: The image and its N people.
        now: K spheres.
        measured: Everybody with every sphere.
        missing: Names of spheres whose places are not known.
        untrained: True if the network was never trained.
    """
    message = ProximityArray(header=result.header, calibrated=result.camera.calibrated, untrained=untrained)
    message.missing_spheres = list(missing)
    count = len(now.spheres)
    for place in measured.distances.ravel().argsort(kind="stable").tolist():
        person, index = divmod(place, count)
        sphere = now.spheres[index]
        message.proximities.append(
            Proximity(
                sphere=sphere.name,
                center=_point(now.centers[index]),
                radius=sphere.radius_m,
                track_id=int(result.tracks.ids[person]),
                tracking_state=int(result.tracks.states[person]),
                part=PARTS[measured.parts[person, index]],
                nearest=_point(measured.points[person, index]),
                distance=float(measured.distances[person, index]),
                distance_sigma=float(measured.sigmas[person, index]),
                closing_speed=float(measured.closing_speeds[person, index]),
                closing_speed_valid=bool(measured.closing_valid[person, index]),
            )
        )
    return message


def _velocities(result: Result) -> Any:
    if result.motion is None:
        return None
    return np.where(result.motion.valid[:, None], result.motion.velocity, np.nan)


def _point(place: Any) -> Point:
    x, y, z = place.tolist()
    return Point(x=x, y=y, z=z)
