#!/usr/bin/env python3
"""Slows and stops a base for people: by how near they are, and by whether they are going to meet.

Sits between whoever drives and the base: takes cmd_vel_in, publishes the same on cmd_vel, scaled by 0 to 1.
Velocities of people must be those over the ground: the camera stands still, or multihmr's world_frame is set.
It is an example, and no safety function.

python examples/slow_for_people.py --ros-args -p world_frame:=map -r cmd_vel_in:=cmd_vel_smoothed
"""

import math
import re
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, fields

import numpy as np
import rclpy
from geometry_msgs.msg import Twist
from multihmr.msg import Human, HumanArray, PredictedPathArray
from people_on_the_ground import Person, along_path, at_this_velocity, matrix, on_the_ground
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.time import Time
from std_msgs.msg import Header
from tf2_ros import Buffer, TransformException, TransformListener


@dataclass(frozen=True)
class Rules:
    """The node's parameters."""

    world_frame: str = "odom"  # z is up
    base_frame: str = "base_link"  # x is ahead
    base_radius_m: float = 0.3  # of a circle around the base
    body_margin_m: float = 0.15  # how thick people are about their keypoints
    stop_gap_m: float = 0.4  # between the two circles' rims: nearer than this, the base stands
    slow_gap_m: float = 1.4  # from here on it has its full speed
    horizon_s: float = 3.0  # how far ahead to look: whoever is met sooner slows the base
    reaction_s: float = 0.6  # whoever is met within this time stops it: latency and braking
    sigmas: float = 1.0  # standard deviations by which people may be nearer than they seem
    walking_m_per_s: float = 1.2  # standard deviation of the speed of people whose speed is not known yet
    stale_s: float = 0.5  # people, commands and transforms that are older stop the base
    rate_hz: float = 20.0


def gaps_m(person: Person, base: np.ndarray, velocity: np.ndarray, age_s: float, rules: Rules) -> np.ndarray:
    """Returns (S,) free space between base and person, `person.times_s` from now on [m]; negative: they may touch.

    Args:
        person: Seen `age_s` ago; stays where the path ends.
        base: (2,) where the base is [m].
        velocity: (2,) and how it moves [m/s].
        age_s: How old the image is [s].
        rules: Sizes, and how much to doubt.
    """
    ahead = person.times_s
    moves = np.stack([np.interp(age_s + ahead, ahead, move) for move in person.moves.T], axis=1)
    apart = person.points + (moves - base - ahead[:, None] * velocity)[:, None]  # (S, K, 2)
    distances = np.linalg.norm(apart, axis=2)
    nearest = distances.argmin(axis=1)[:, None]
    distance = np.take_along_axis(distances, nearest, 1)[:, 0]
    toward = np.take_along_axis(apart, nearest[..., None], 1)[:, 0] / np.maximum(distance, 1e-6)[:, None]
    deviation = np.sqrt(np.einsum("si,sij,sj->s", toward, person.covariances, toward))
    return distance - rules.sigmas * deviation - rules.base_radius_m - rules.body_margin_m


def allowed(gaps: np.ndarray, times_s: np.ndarray, rules: Rules) -> tuple[float, str]:
    """Returns which part of the wanted speed is allowed, 0 to 1, and why."""
    near = (gaps[0] - rules.stop_gap_m) / (rules.slow_gap_m - rules.stop_gap_m)
    meets = gaps < rules.stop_gap_m
    meeting_s = times_s[meets.argmax()] if meets.any() else math.inf
    soon = (meeting_s - rules.reaction_s) / (rules.horizon_s - rules.reaction_s)
    why = f"is {max(gaps[0], 0.0):.1f} m away" if near <= soon else f"would be met in {meeting_s:.1f} s"
    return float(np.clip(min(near, soon), 0.0, 1.0)), why


class SlowForPeople(Node):
    """Scales commands by what the people allow."""

    def __init__(self) -> None:
        super().__init__("slow_for_people")
        names = [field.name for field in fields(Rules)]
        self.rules = Rules(**{name: self.declare_parameter(name, getattr(Rules, name)).value for name in names})
        self.tf = Buffer()
        self.listener = TransformListener(self.tf, self)
        self.people: list[Person] = []
        self.placed: tuple = ()
        self.seen_at = self.commanded_at = None
        self.images: deque[HumanArray] = deque(maxlen=10)
        self.paths: deque[PredictedPathArray] = deque(maxlen=10)
        self.wanted, self.reason = Twist(), ""
        self.commands = self.create_publisher(Twist, "cmd_vel", 5)
        self.create_subscription(Twist, "cmd_vel_in", self.on_command, 5)
        self.create_subscription(HumanArray, "/multihmr/humans", self.on_people, 5)
        self.create_subscription(PredictedPathArray, "/multihmr/predicted_paths", self.on_paths, 5)
        self.create_timer(1.0 / self.rules.rate_hz, self.on_tick)

    def on_command(self, command: Twist) -> None:
        """Remembers what is wanted."""
        self.wanted, self.commanded_at = command, self.get_clock().now()

    def on_people(self, people: HumanArray) -> None:
        """Remembers who is there; where that is on the ground, TF may know only a little later."""
        if not people.untrained and people.calibrated:  # else random people, or distances that are a guess
            self.images.append(people)

    def on_paths(self, paths: PredictedPathArray) -> None:
        """Remembers where the people of one image are going to be; that may come first or last."""
        self.paths.append(paths)

    def on_tick(self) -> None:
        """Publishes what is wanted, as fast as people allow."""
        self.place_people()
        factor, reason = self.judge()
        if (what := re.sub(r"[\d.]+ s$|[\d.]+ m away$", "", reason)) != self.reason:
            self.get_logger().info(reason or "free to go")
            self.reason = what
        command = Twist()
        for part in ("linear", "angular"):
            for axis in "xyz":
                setattr(getattr(command, part), axis, factor * getattr(getattr(self.wanted, part), axis))
        self.commands.publish(command)

    def place_people(self) -> None:
        """Puts people on the ground: those of the newest image of which TF knows where the camera was."""
        for people in reversed(self.images):
            said = next((paths for paths in self.paths if paths.header.stamp == people.header.stamp), None)
            if self.placed and self.placed[0] is people and self.placed[1] is said:
                return
            with suppress(TransformException):
                self.people = self.on_the_ground(people, said)
                self.seen_at, self.placed = Time.from_msg(people.header.stamp), (people, said)
                while self.images[0] is not people:
                    self.images.popleft()
                return

    def on_the_ground(self, people: HumanArray, said: PredictedPathArray | None) -> list[Person]:
        """Returns people with the node's word of where they are going, or at the same velocity until that comes."""
        camera, paths, ground = self.pose(people.header), {}, None
        if said is not None:
            paths, ground = {path.track_id: path for path in said.paths}, self.pose(said.header)
        found = []
        for human in people.humans:
            if human.tracking_state != Human.TRACK_LOST:
                if path := paths.get(human.track_id):
                    later = along_path(path, said, ground)
                else:
                    later = at_this_velocity(human, camera, self.rules.horizon_s, self.rules.walking_m_per_s)
                found.append(on_the_ground(human, camera, later))
        return found

    def pose(self, header: Header) -> np.ndarray:
        """Returns the (4, 4) pose of a message's frame in the world."""
        return matrix(self.tf.lookup_transform(self.rules.world_frame, header.frame_id, Time.from_msg(header.stamp)))

    def judge(self) -> tuple[float, str]:
        """Returns the factor for what is wanted, and the reason where it is below 1."""
        now, rules = self.get_clock().now(), self.rules
        for what, since in (("command", self.commanded_at), ("people", self.seen_at)):
            if since is None or (now - since).nanoseconds * 1e-9 > rules.stale_s:
                return 0.0, f"stands: no {what} of the last {rules.stale_s:g} s"
        try:
            found = self.tf.lookup_transform(rules.world_frame, rules.base_frame, Time())
        except TransformException as error:
            return 0.0, f"stands: where is the base? {error}"
        if (now - Time.from_msg(found.header.stamp)).nanoseconds * 1e-9 > rules.stale_s:
            return 0.0, f"stands: no transform of the base of the last {rules.stale_s:g} s"
        base, wanted = matrix(found), self.wanted.linear
        velocity = (base[:3, :3] @ [wanted.x, wanted.y, wanted.z])[:2]
        age_s = max(0.0, (now - self.seen_at).nanoseconds * 1e-9)
        factor, reason = 1.0, ""
        for person in self.people:
            part, why = allowed(gaps_m(person, base[:2, 3], velocity, age_s, rules), person.times_s, rules)
            if part < factor:
                factor, reason = part, f"{'slows' if part > 0.0 else 'stands'}: {person.name} {why}"
        return factor, reason


def main() -> None:
    """Runs until interrupted."""
    rclpy.init()
    executor = SingleThreadedExecutor()
    executor.add_node(SlowForPeople())
    with suppress(KeyboardInterrupt, ExternalShutdownException):
        while rclpy.ok():
            executor.spin_once(timeout_sec=0.5)  # rclpy.spin misses a signal now and then, and waits for ever
    rclpy.try_shutdown()


if __name__ == "__main__":
    main()
