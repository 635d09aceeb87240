"""Where people are on the ground, and where they are going to be, from multihmr's messages and TF's transforms."""

from dataclasses import dataclass

import numpy as np
from geometry_msgs.msg import TransformStamped
from multihmr.msg import Human, PredictedPath, PredictedPathArray
from rclpy.time import Time
from scipy.spatial.transform import Rotation

STEP_S = 0.1


@dataclass(frozen=True)
class Person:
    """A person on the ground of the world frame, now and later.

    Attributes:
        name: For the log.
        points: (K, 2) keypoints seen from above, at the image's time [m].
        times_s: (S,) after the image's time, rising from 0 [s].
        moves: (S, 2) how far the person has gone by then [m].
        covariances: (S, 2, 2) of where the person is by then [m^2].
    """

    name: str
    points: np.ndarray
    times_s: np.ndarray
    moves: np.ndarray
    covariances: np.ndarray


Later = tuple[np.ndarray, np.ndarray, np.ndarray]
"""(S,) seconds after the image, (S, 2) where the hips are then on the ground [m], (S, 2, 2) their covariances [m^2]."""


def along_path(path: PredictedPath, paths: PredictedPathArray, pose: np.ndarray) -> Later:
    """Returns where a person is going to be: the node's own word, `pose` that of its frame."""
    begin = Time.from_msg(paths.header.stamp)
    times = np.array([(Time.from_msg(stamp) - begin).nanoseconds * 1e-9 for stamp in paths.stamps])
    places = [(p.pose.position.x, p.pose.position.y, p.pose.position.z) for p in path.poses]
    places, turn = np.array(places) @ pose[:3, :3].T + pose[:3, 3], pose[:3, :3]
    covariances = turn @ np.array([p.covariance for p in path.poses]).reshape(-1, 6, 6)[:, :3, :3] @ turn.T
    return times, places[:, :2], covariances[:, :2, :2]


def at_this_velocity(human: Human, pose: np.ndarray, horizon_s: float, walking_m_per_s: float) -> Later:
    """Returns where a person is going to be who goes on as now, `pose` that of the camera.

    Args:
        human: With or without a known velocity.
        pose: (4, 4) of the frame that the person is in.
        horizon_s: How far to look ahead [s].
        walking_m_per_s: Standard deviation of a speed that is not known [m/s].
    """
    times, turn, linear = np.arange(STEP_S, horizon_s + STEP_S / 2, STEP_S), pose[:3, :3], human.twist.twist.linear
    velocity, speed = np.zeros(2), walking_m_per_s**2 * np.eye(2)
    if human.twist_valid:
        velocity = (turn @ [linear.x, linear.y, linear.z])[:2]
        speed = (turn @ human.twist.covariance.reshape(6, 6)[:3, :3] @ turn.T)[:2, :2]
    place, covariance = hips(human, pose)
    return times, place + times[:, None] * velocity, covariance + times[:, None, None] ** 2 * speed


def on_the_ground(human: Human, pose: np.ndarray, later: Later) -> Person:
    """Returns a person, now and as known for later, in even steps.

    Args:
        human: In the frame of `pose`.
        pose: (4, 4) of that frame in the world.
        later: Where the person is going to be.
    """
    place, covariance = hips(human, pose)
    points = np.array(human.keypoints_3d).reshape(-1, 3) @ pose[:3, :3].T + pose[:3, 3]
    known = np.append(0.0, later[0])
    table = np.vstack([np.append([0.0, 0.0], covariance), np.column_stack([later[1] - place, later[2].reshape(-1, 4)])])
    times = np.arange(0.0, known[-1] + STEP_S / 2, STEP_S)
    even = np.stack([np.interp(times, known, column) for column in table.T], axis=1)
    return Person(f"body_{human.track_id}", points[:, :2], times, even[:, :2], even[:, 2:].reshape(-1, 2, 2))


def hips(human: Human, pose: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns (2,) where a person is on the ground [m], and the (2, 2) covariance of that."""
    p, turn = human.pose.pose.position, pose[:3, :3]
    covariance = turn @ human.pose.covariance.reshape(6, 6)[:3, :3] @ turn.T
    return (turn @ [p.x, p.y, p.z] + pose[:3, 3])[:2], covariance[:2, :2]


def matrix(transform: TransformStamped) -> np.ndarray:
    """Returns the (4, 4) matrix of a transform."""
    t, q = transform.transform.translation, transform.transform.rotation
    result = np.eye(4)
    result[:3, :3] = Rotation.from_quat([q.x, q.y, q.z, q.w]).as_matrix()
    result[:3, 3] = t.x, t.y, t.z
    return result
