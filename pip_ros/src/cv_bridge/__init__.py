"""Stand-in for ROS's cv_bridge on machines whose ROS comes from PyPI: images between ROS messages and OpenCV arrays."""

from .bridge import CvBridge
from .encodings import CvBridgeError, getCvType

__all__ = ["CvBridge", "CvBridgeError", "getCvType"]
