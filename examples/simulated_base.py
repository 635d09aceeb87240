#!/usr/bin/env python3
"""A base that is not there: follows cmd_vel, sends its pose as TF odom -> base_link, and asks to drive ahead.

Where nav_msgs is installed (every ROS 2 installation has it, PyPI does not), it sends odom as well, as bases do.

python examples/simulated_base.py --ros-args -p x:=0.5 -p speed:=0.8
"""

import math
from contextlib import suppress

import rclpy
from geometry_msgs.msg import TransformStamped, Twist
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from tf2_ros import TransformBroadcaster

try:
    from nav_msgs.msg import Odometry
except ImportError:
    Odometry = None

RATE_HZ = 30.0
STALE_S = 0.5  # without a command for so long, it stops, as a base should
BRAKE_M_PER_S2, TURN_RAD_PER_S2 = 2.0, 4.0


class SimulatedBase(Node):
    """Moves as it is told, within what its motors can."""

    def __init__(self) -> None:
        super().__init__("simulated_base")
        self.x, self.y, self.yaw, self.wanted_m_per_s = (
            self.declare_parameter(name, value).value
            for name, value in (("x", 0.0), ("y", 0.0), ("yaw", 0.0), ("speed", 0.5))
        )
        self.speed = self.turning = 0.0
        self.command, self.commanded_s, self.last_s = Twist(), -math.inf, self.now_s()
        self.broadcaster = TransformBroadcaster(self)
        self.wishes = self.create_publisher(Twist, "cmd_vel_in", 5)
        self.odometry = self.create_publisher(Odometry, "odom", 5) if Odometry else None
        if self.odometry is None:
            self.get_logger().info("nav_msgs is not installed: TF alone tells where the base is, there is no odom")
        self.create_subscription(Twist, "cmd_vel", self.on_command, 5)
        self.create_timer(1.0 / RATE_HZ, self.on_tick)

    def now_s(self) -> float:
        """The time [s]."""
        return self.get_clock().now().nanoseconds * 1e-9

    def on_command(self, command: Twist) -> None:
        """Remembers a command."""
        self.command, self.commanded_s = command, self.now_s()

    def on_tick(self) -> None:
        """Moves on, and says where it is and where it wants to go."""
        now_s = self.now_s()
        dt_s, self.last_s = now_s - self.last_s, now_s
        command = self.command if now_s - self.commanded_s < STALE_S else Twist()
        self.speed = toward(self.speed, command.linear.x, BRAKE_M_PER_S2 * dt_s)
        self.turning = toward(self.turning, command.angular.z, TURN_RAD_PER_S2 * dt_s)
        self.x += self.speed * math.cos(self.yaw) * dt_s
        self.y += self.speed * math.sin(self.yaw) * dt_s
        self.yaw += self.turning * dt_s
        self.tell()

    def tell(self) -> None:
        """Sends its pose, and what it would like to do."""
        pose = TransformStamped(child_frame_id="base_link")
        pose.header.frame_id, pose.header.stamp = "odom", self.get_clock().now().to_msg()
        pose.transform.translation.x, pose.transform.translation.y = self.x, self.y
        pose.transform.rotation.z, pose.transform.rotation.w = math.sin(self.yaw / 2), math.cos(self.yaw / 2)
        self.broadcaster.sendTransform(pose)
        if self.odometry is not None:
            self.odometry.publish(as_odometry(pose, self.speed, self.turning))
        wish = Twist()
        wish.linear.x = self.wanted_m_per_s
        self.wishes.publish(wish)


def as_odometry(pose: TransformStamped, speed: float, turning: float) -> "Odometry":
    """Returns the base's pose as odometry, with its velocity along its own axes [m/s, rad/s]; it is exact."""
    odometry = Odometry(header=pose.header, child_frame_id=pose.child_frame_id)
    place, there = odometry.pose.pose, pose.transform
    place.position.x, place.position.y, place.orientation = there.translation.x, there.translation.y, there.rotation
    odometry.twist.twist.linear.x, odometry.twist.twist.angular.z = speed, turning
    return odometry


def toward(value: float, wanted: float, most: float) -> float:
    """Returns the value, changed toward what is wanted by so much at most."""
    return value + min(max(wanted - value, -most), most)


def main() -> None:
    """Runs until interrupted."""
    rclpy.init()
    executor = SingleThreadedExecutor()
    executor.add_node(SimulatedBase())
    with suppress(KeyboardInterrupt, ExternalShutdownException):
        while rclpy.ok():
            executor.spin_once(timeout_sec=0.5)
    rclpy.try_shutdown()


if __name__ == "__main__":
    main()
