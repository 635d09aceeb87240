"""Multi-HMR for ROS 2: metric whole-body meshes of everyone in a camera image."""

__version__ = "0.1.0"
