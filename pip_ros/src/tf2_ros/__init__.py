"""Stand-in for ROS's tf2_ros on machines whose ROS comes from PyPI: broadcasters, and a buffer that looks up."""

from .broadcasters import StaticTransformBroadcaster, TransformBroadcaster
from .buffer import (
    Buffer,
    ConnectivityException,
    ExtrapolationException,
    InvalidArgumentException,
    LookupException,
    TransformException,
)
from .transform_listener import TransformListener

__all__ = [
    "Buffer",
    "ConnectivityException",
    "ExtrapolationException",
    "InvalidArgumentException",
    "LookupException",
    "StaticTransformBroadcaster",
    "TransformBroadcaster",
    "TransformException",
    "TransformListener",
]
