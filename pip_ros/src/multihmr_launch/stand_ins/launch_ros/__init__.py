"""Stand-in for ROS's launch_ros: nodes."""
