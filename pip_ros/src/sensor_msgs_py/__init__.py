"""Stand-in for ROS's sensor_msgs_py on machines whose ROS comes from PyPI: point clouds."""
