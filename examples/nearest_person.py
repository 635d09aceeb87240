#!/usr/bin/env python3
"""A planner's ear: prints the distance to the nearest person, and what to think of it.

python examples/nearest_person.py --ros-args -r /multihmr/humans:=/front/multihmr/humans
"""

import math
from contextlib import suppress

import rclpy
from multihmr.msg import Human, HumanArray
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node


class NearestPerson(Node):
    """Listens to people and logs the nearest one of every image."""

    def __init__(self) -> None:
        super().__init__("nearest_person")
        listening = self.create_subscription(HumanArray, "/multihmr/humans", self.on_people, 5)
        self.get_logger().info(f"listening to {listening.topic_name}")

    def on_people(self, people: HumanArray) -> None:
        """Called with the people of every image, also when nobody is there."""
        if people.untrained:
            self.get_logger().warning("untrained weights: these people are random", once=True)
        if not people.calibrated:
            self.get_logger().warning("camera not calibrated: distances are a guess", once=True)
        there = [human for human in people.humans if human.tracking_state != Human.TRACK_LOST]
        if not there:
            self.get_logger().info("nobody")
            return
        nearest = min(there, key=distance_m)
        seen = "" if nearest.tracking_state != Human.TRACK_PREDICTED else ", not seen but predicted"
        self.get_logger().info(
            f"{len(there)} people, nearest: body_{nearest.track_id} at {distance_m(nearest):.2f} m "
            f"(+- {deviation_m(nearest):.2f} m), score {nearest.score:.2f}{seen}"
        )


def distance_m(human: Human) -> float:
    """Returns the distance from the camera to the middle of the hips [m]."""
    position = human.pose.pose.position
    return math.hypot(position.x, position.y, position.z)


def deviation_m(human: Human) -> float:
    """Returns the standard deviation of that distance [m]: the position's covariance, seen along the ray."""
    position, covariance = human.pose.pose.position, human.pose.covariance.reshape(6, 6)
    ray = [value / distance_m(human) for value in (position.x, position.y, position.z)]
    return math.sqrt(sum(ray[i] * covariance[i, j] * ray[j] for i in range(3) for j in range(3)))


def main() -> None:
    """Runs until interrupted."""
    rclpy.init()
    executor = SingleThreadedExecutor()
    executor.add_node(NearestPerson())
    with suppress(KeyboardInterrupt, ExternalShutdownException):
        while rclpy.ok():
            executor.spin_once(timeout_sec=0.5)  # rclpy.spin misses a signal now and then, and waits for ever
    rclpy.try_shutdown()


if __name__ == "__main__":
    main()
