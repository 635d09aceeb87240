"""Stand-in for ROS's tf2_ros on machines whose ROS comes from PyPI: the two broadcasters, nothing that looks up."""

from .broadcasters import StaticTransformBroadcaster, TransformBroadcaster

__all__ = ["StaticTransformBroadcaster", "TransformBroadcaster"]
