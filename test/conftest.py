"""The tests' ROS graph is this machine's alone, and no other run's: set before anything imports rclpy."""

from __future__ import annotations

import os
import random

# Domains above 101 may collide with ephemeral ports. Workers of pytest-xdist import this file in processes of their own.
os.environ["ROS_DOMAIN_ID"] = str(random.SystemRandom().randint(1, 101))
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
os.environ["ROS_PYTHON_CHECK_FIELDS"] = "1"
# Tests decide themselves about big images' settings, and about where ROS looks for its log folder.
for name in ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE", "ROS_STATIC_PEERS", "ROS_NAMESPACE"):
    os.environ.pop(name, None)
