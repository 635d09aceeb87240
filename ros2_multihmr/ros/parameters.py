"""The node's settings, and what may change while it runs."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

from ros2_multihmr.estimator_config import EstimatorConfig
from ros2_multihmr.nearness.spheres import parse_spheres
from ros2_multihmr.refining.refiner_config import RefinerConfig
from ros2_multihmr.ros.declare import declare_parameters, read_parameters, setting_value
from ros2_multihmr.settings import setting, setting_info
from ros2_multihmr.tracking.tracker_config import SmoothingConfig, TrackerConfig


@dataclass(frozen=True)
class NodeConfig(EstimatorConfig, RefinerConfig, TrackerConfig, SmoothingConfig):
    """The estimator's, the refiner's, the tracker's and the smoothing's settings, and the node's own."""

    rectify: str = setting(
        "auto",
        "What the image is: auto takes a topic whose last name begins with image_rect as rectified and any other as "
        "raw, always rectifies the image first, never takes it as raw",
        choices=("auto", "always", "never"),
    )
    image_transport: str = setting(
        "raw", "raw subscribes to image, compressed to image/compressed", choices=("raw", "compressed")
    )
    camera_info_timeout_s: float = setting(
        0.1, "Longest time that an image waits for the CameraInfo of its own stamp [s]", low=0.0, high=5.0, runtime=True
    )
    max_age_s: float = setting(
        0.0, "Older images are dropped [s]; 0: none, right for a bag played without a clock", low=0.0, runtime=True
    )
    target_rate: float = setting(
        0.0,
        "Most images used per second, evenly; too much for the machine: the display gives way, then more images [Hz]; "
        "0: every image for which there is time",
        low=0.0,
        high=1000.0,
        runtime=True,
    )
    track: bool = setting(
        True, "Follow people from image to image; false: ids number the people of one image by score", runtime=True
    )
    world_frame: str = setting(
        "", "TF frame that stands still, in which people are followed while the camera moves; empty: the camera stands"
    )
    world_frame_timeout_s: float = setting(
        0.1, "Longest time that an image waits for a late transform to world_frame [s]", low=0.0, high=5.0, runtime=True
    )
    path_horizon_s: float = setting(3.0, "How far ahead predicted paths reach [s]", low=0.1, high=60.0, runtime=True)
    path_steps: int = setting(12, "Poses of a predicted path", low=1, high=1000, runtime=True)
    proximity_frames: tuple[str, ...] = setting(
        (), "TF frames (a robot's links) to which the distance of everybody's surface is told on ~/proximity"
    )
    proximity_spheres: tuple[str, ...] = setting(
        (), 'The same of spheres that move with TF frames, each "name: frame radius" or "name: frame x y z radius" [m]'
    )
    proximity_timeout_s: float = setting(
        0.1, "Longest time that an image waits for late transforms of these [s]", low=0.0, high=5.0, runtime=True
    )
    publish_tf: bool = setting(True, "Publish a TF frame per person", runtime=True)
    tf_is_demand: bool = setting(
        True, "TF listeners alone keep the network running; false: it rests without another subscriber", runtime=True
    )
    frame_prefix: str = setting("", "Put in front of the people's frame names, to tell several cameras apart")
    bridges: tuple[str, ...] = setting(
        (),
        "Messages of other packages to publish people in, too; hri: REP-155",
        choices=("vision_msgs", "people_msgs", "hri"),
    )
    hri_id_prefix: str = setting(
        "b", "With the bridge hri: put in front of people's numbers to make their ids; begins with a letter"
    )
    publish_vertices: bool = setting(False, "Fill Human.vertices, 160 kB a person", runtime=True)
    mesh_lod: str = setting(
        "reduced", "Mesh of the markers: reduced has about 2,000 triangles", choices=("reduced", "full"), runtime=True
    )
    markers_rate_hz: float = setting(
        10.0, "Highest rate of the markers, by image stamps [Hz]; 0: with every image", low=0.0, runtime=True
    )
    jpeg_quality: int = setting(80, "Quality of the compressed overlay [percent]", low=1, high=100, runtime=True)
    diagnostics_period_s: float = setting(1.0, "Time between two diagnostics messages [s]", low=0.1, high=60.0)
    autostart: bool = setting(False, "Configure and activate at start; false: wait for lifecycle commands")

    def __post_init__(self) -> None:
        """Checks every value.

        Raises:
            ValueError: A value is not allowed; says which ones are.
        """
        super().__post_init__()
        if self.frame_prefix.startswith("/"):
            raise ValueError(f"frame_prefix: a TF frame must not begin with a slash, got {self.frame_prefix!r}")
        if self.world_frame.startswith("/"):
            raise ValueError(f"world_frame: a TF frame must not begin with a slash, got {self.world_frame!r}")
        self._check_hri_names()
        parse_spheres(self.proximity_frames, self.proximity_spheres)
        if self.smooth and not self.track:
            raise ValueError("smooth: whom nobody follows cannot be smoothed; set track true, or smooth false")

    @property
    def id_prefix(self) -> str:
        """What stands before people's numbers in the names of their frames; REP-155 wants more than a number."""
        return self.hri_id_prefix if "hri" in self.bridges else ""

    def _check_hri_names(self) -> None:
        if not re.fullmatch("[A-Za-z](_?[A-Za-z0-9])*_?", self.hri_id_prefix):
            raise ValueError(
                "hri_id_prefix: expected a letter, then letters, digits and single underscores, because topics are "
                f"named after it; got {self.hri_id_prefix!r}"
            )
        if self.frame_prefix and "hri" in self.bridges:
            raise ValueError(
                "frame_prefix: REP-155 calls a person's frame body_<id>, so the bridge hri wants it empty; tell "
                "cameras apart by hri_id_prefix"
            )


def declare(node: Node) -> NodeConfig:
    """Declares every setting, and returns what the parameter file and the command line make of them.

    Raises:
        ValueError: A parameter is given that does not exist, or a value is not allowed.
        rclpy.exceptions.ParameterException: A value has the wrong type or is out of range.
    """
    declare_parameters(node, NodeConfig, "fixed while the node is configured", read_at_start=("autostart",))
    return read(node)


def read(node: Node) -> NodeConfig:
    """Returns the declared parameters' values.

    Raises:
        ValueError: A value is not allowed.
    """
    return read_parameters(node, NodeConfig)


def check_change(current: NodeConfig, changes: Iterable[Parameter], *, configured: bool) -> SetParametersResult:
    """Says whether parameters may change, and if not, why.

    Args:
        current: The values now.
        changes: The new values; parameters that are none of ours are let through.
        configured: True while weights are loaded, so that only run-time settings may change.
    """
    known = {field.name: field for field in fields(NodeConfig)}
    values: dict[str, Any] = {change.name: setting_value(change) for change in changes if change.name in known}
    for name, value in values.items():
        if configured and not setting_info(known[name]).runtime and value != getattr(current, name):
            reason = f"{name} is fixed while the node is configured; deactivate it and clean it up first"
            return SetParametersResult(successful=False, reason=reason)
    try:
        dataclasses.replace(current, **values)
    except ValueError as error:
        return SetParametersResult(successful=False, reason=str(error))
    return SetParametersResult(successful=True)
