"""Which bridges there are, which packages they need, and how they are opened.

The messages are no dependencies of ours: a bridge's file is imported when somebody asks for the bridge by the parameter
`bridges`, and not before.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from rclpy.node import Node
from rclpy.type_support import NoTypeSupportImportedException, check_for_type_support

from ros2_multihmr.body.body_model import BodyInfo
from ros2_multihmr.ros.output import CreatePublisher, Output
from ros2_multihmr.ros.parameters import NodeConfig


@dataclass(frozen=True)
class Site:
    """Where a bridge stands.

    Attributes:
        node: The node.
        config: Its settings when it was configured.
        body: Names of the body's parts.
        create: Creates a publisher that lives as long as the bridge.
    """

    node: Node
    config: NodeConfig
    body: BodyInfo
    create: CreatePublisher


@dataclass(frozen=True)
class Kind:
    """A bridge that can be asked for.

    Attributes:
        package: ROS package of the messages.
        messages: Those that it needs.
        module: The bridge's file in this folder, with a function `open_bridge(site)`.
        source: Repository and branch of the package, for where no Debian package is.
        released: True if ROS has Debian packages of it.
    """

    package: str
    messages: tuple[str, ...]
    module: str
    source: str
    released: bool = True


KINDS = {
    "vision_msgs": Kind(
        package="vision_msgs",
        messages=("Detection3DArray", "Detection3D", "ObjectHypothesisWithPose"),
        module="detections",
        source="https://github.com/ros-perception/vision_msgs (branch ros2)",
    ),
    "people_msgs": Kind(
        package="people_msgs",
        messages=("People", "Person"),
        module="people",
        source="https://github.com/wg-perception/people (branch ros2)",
        released=False,
    ),
    "hri": Kind(
        package="hri_msgs",
        messages=("IdsList", "NormalizedRegionOfInterest2D", "Skeleton2D"),
        module="hri",
        source="https://github.com/ros4hri/hri_msgs (branch humble-devel)",
    ),
}


def check_bridges(names: Iterable[str]) -> None:
    """Makes sure that the messages of all bridges are there.

    Raises:
        ValueError: A package is missing, too old, or not built for this Python; says what to install.
    """
    for name in names:
        kind = KINDS[name]
        try:
            _check_messages(kind)
        except (ImportError, AttributeError, NoTypeSupportImportedException) as error:
            raise ValueError(
                f"bridges: {name} needs the ROS package {kind.package}, whose messages cannot be loaded "
                f"({type(error).__name__}: {error}); {_how_to_install(kind)}, or take {name} out of bridges"
            ) from error


def open_bridges(site: Site) -> tuple[Output, ...]:
    """Opens the bridges that the settings ask for; see `check_bridges`."""
    return tuple(_opener(KINDS[name])(site) for name in dict.fromkeys(site.config.bridges))


def _check_messages(kind: Kind) -> None:
    messages = importlib.import_module(f"{kind.package}.msg")
    for message in kind.messages:
        check_for_type_support(getattr(messages, message))


def _how_to_install(kind: Kind) -> str:
    source = f"build it from {kind.source} in a workspace that you source"
    if not kind.released:
        return source
    distro = os.environ.get("ROS_DISTRO", "<distro>")
    return f"install it (apt install ros-{distro}-{kind.package.replace('_', '-')}), or {source}"


def _opener(kind: Kind) -> Callable[[Site], Any]:
    opener: Callable[[Site], Any] = importlib.import_module(f"{__package__}.{kind.module}").open_bridge
    return opener
