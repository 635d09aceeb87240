"""The ROS 2 side: the only files that may name rclpy or a message package."""
