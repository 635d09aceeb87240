"""Association: which of the people seen is which of the people known.

The cost of a pair is minus twice the log-likelihood of the place, given the prediction (so a track of which little is
known does not draw people away from one that is sure), plus how far body size and pose differ, in standard deviations
squared and up to a limit: these break ties, they never forbid a pair. As in ByteTrack (arXiv:2110.06864), confident
detections choose first and weak ones take what is left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from ros2_multihmr.body.body_model import BodyInfo
from ros2_multihmr.humans import Humans
from ros2_multihmr.tracking.motion_state import Motion
from ros2_multihmr.tracking.tracker_config import TrackerConfig

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
_FORBIDDEN = 1e6
_SIZE_LIMIT, _POSE_LIMIT = 9.0, 9.0  # a wrong size or pose of one image must not outweigh the place
_SWING_M = 0.02  # of the hips, while walking
_POSE_DRIFT = 0.3  # how fast a pose that is not seen becomes uncertain [m/s]
# Re-entry: who left may have turned and run; who comes back must be as tall, and there must not be two such people.
_RETURN_SPEED, _RETURN_M = 0.5, 0.4
_RETURN_SIZE, _RETURN_DISTANCE, _RETURN_MARGIN = 3.0, 2.0, 1.0


class Looks(NamedTuple):
    """What tells people apart beside their places.

    Attributes:
        size: (N, B) lengths of the body's bones [m].
        pose: (N, 3 B) joints seen from the hips, along the axes of the fixed frame [m].
    """

    size: Array
    pose: Array

    def select(self, keep: Indices) -> Looks:
        """Returns the people with the indices `keep`."""
        return Looks(self.size[keep], self.pose[keep])


@dataclass(frozen=True)
class Seen:
    """N people seen in one image, in the fixed frame, float64.

    Attributes:
        position: (N, 3) halfway between the hips [m].
        covariance: (N, 3, 3) of what changes from image to image.
        scores: (N,) detection scores.
        looks: Size and pose.
    """

    position: Array
    covariance: Array
    scores: Array
    looks: Looks

    def __len__(self) -> int:
        return len(self.position)

    def select(self, keep: Indices) -> Seen:
        """Returns the people with the indices `keep`."""
        return Seen(self.position[keep], self.covariance[keep], self.scores[keep], self.looks.select(keep))


def seen_people(humans: Humans, transform: Array, jitter: float) -> Seen:
    """Takes what the tracker needs of people.

    Args:
        humans: N people.
        transform: (4, 4) T_fixed_camera.
        jitter: Part of the distance's standard deviation that changes from image to image.
    """
    rotation, translation = transform[:3, :3], transform[:3, 3]
    joints, parents = _main_bones(humans.body)
    bones = humans.joints[:, joints].astype(np.float64)
    lengths = np.linalg.norm(bones - humans.joints[:, parents], axis=-1)
    pose = (bones - humans.origin[:, None]) @ rotation.T
    return Seen(
        position=humans.origin @ rotation.T + translation,
        covariance=rotation @ _changing(humans, jitter) @ rotation.T,
        scores=humans.scores.astype(np.float64),
        looks=Looks(lengths, pose.reshape(len(humans), 3 * len(joints))),
    )


def associate(
    motion: Motion, looks: Looks, unseen_s: Array, seen: Seen, config: TrackerConfig
) -> tuple[Indices, Indices]:
    """Finds who is who.

    Args:
        motion: Of T tracks, predicted to the time of the image.
        looks: Of the tracks, when they were seen last.
        unseen_s: (T,) time since then [s].
        seen: N people of the image.
        config: Settings.

    Returns:
        Indices of tracks and of people seen, pair by pair.
    """
    cost = _pair_cost(motion, looks, unseen_s, seen, config)
    first = np.flatnonzero(seen.scores >= config.track_begin_score)
    tracks, people = assign(cost[:, first])
    people = first[people]
    left, weak = np.setdiff1d(np.arange(len(motion)), tracks), np.flatnonzero(seen.scores < config.track_begin_score)
    more_tracks, more_people = assign(cost[np.ix_(left, weak)])
    return np.concatenate([tracks, left[more_tracks]]), np.concatenate([people, weak[more_people]])


def returning(places: Array, size: Array, away_s: Array, seen: Seen, size_sigma_m: Array) -> tuple[Indices, Indices]:
    """Finds people who were lost and are back.

    Args:
        places: (T, 3) where lost people were last [m].
        size: (T, B) their bones' lengths [m].
        away_s: (T,) how long ago.
        seen: N people of whom nobody knows.
        size_sigma_m: (T,) spread of the lengths' differences [m].

    Returns:
        Indices of the lost and of the seen, pair by pair; who could be two people is neither of them.
    """
    distance = np.linalg.norm(places[:, None] - seen.position[None], axis=-1)
    reach = _RETURN_M + _RETURN_SPEED * away_s[:, None]
    size_cost = _mean_square(size, seen.looks.size) / size_sigma_m[:, None] ** 2
    cost = size_cost + (distance / reach) ** 2
    cost[(size_cost > _RETURN_SIZE**2) | (distance > _RETURN_DISTANCE * reach)] = _FORBIDDEN
    lost, people = assign(cost)
    clear = np.array([_is_clear(cost, t, n) for t, n in zip(lost, people)], bool)
    return lost[clear], people[clear]


def assign(cost: Array) -> tuple[Indices, Indices]:
    """Returns rows and columns of the cheapest pairs, forbidden ones left out."""
    rows, columns = linear_sum_assignment(cost)
    allowed = cost[rows, columns] < _FORBIDDEN
    return rows[allowed], columns[allowed]


def _is_clear(cost: Array, row: int, column: int) -> bool:
    rivals = np.concatenate([np.delete(cost[row], column), np.delete(cost[:, column], row)])
    return bool((rivals > cost[row, column] + _RETURN_MARGIN).all())


def _pair_cost(motion: Motion, looks: Looks, unseen_s: Array, seen: Seen, config: TrackerConfig) -> Array:
    distance, log_volume = _mahalanobis(motion, seen)
    size = _mean_square(looks.size, seen.looks.size) / config.track_size_sigma_m**2
    pose_sigma = config.track_pose_sigma_m + _POSE_DRIFT * unseen_s
    pose = 3 * _mean_square(looks.pose, seen.looks.pose) / pose_sigma[:, None] ** 2
    cost = distance + log_volume + np.minimum(size, _SIZE_LIMIT) + np.minimum(pose, _POSE_LIMIT)
    cost[distance > config.track_gate**2] = _FORBIDDEN
    return cost


def _mahalanobis(motion: Motion, seen: Seen) -> tuple[Array, Array]:
    """(T, N) squared distances in standard deviations, and logarithms of the covariances' determinants.

    By the adjugate, entry by entry: thousands of 3 x 3 inverses take milliseconds.
    """
    x, y, z = np.moveaxis(seen.position[None] - motion.position[:, None], -1, 0)
    rows, columns = np.triu_indices(3)
    known, measured = motion.covariance[:, rows, columns].T, seen.covariance[:, rows, columns].T
    a, b, c, d, e, f = known[:, :, None] + measured[:, None]
    aa, bb, cc = d * f - e * e, c * e - b * f, b * e - c * d
    determinant = a * aa + b * bb + c * cc
    dd, ee, ff = a * f - c * c, b * c - a * e, a * d - b * b
    square = aa * x * x + dd * y * y + ff * z * z + 2 * (bb * x * y + cc * x * z + ee * y * z)
    return square / determinant, np.log(determinant)


def _mean_square(first: Array, second: Array) -> Array:
    """(T, N) mean squared differences of (T, D) and (N, D)."""
    total = (first**2).sum(1)[:, None] + (second**2).sum(1)[None] - 2 * first @ second.T
    return np.maximum(total, 0.0) / max(first.shape[1], 1)


def _changing(humans: Humans, jitter: float) -> Array:
    """(N, 3, 3) covariances of what changes from image to image: all of it across the ray, a part along it.

    A distance that is wrong stays wrong for a while, as it comes from how tall a person is taken to be; and steps make
    the hips swing about any steady motion.
    """
    origin = humans.origin.astype(np.float64)
    ray = origin / np.maximum(np.linalg.norm(origin, axis=1, keepdims=True), 1e-9)
    shrink = np.eye(3) - (1.0 - jitter) * ray[:, :, None] * ray[:, None, :]
    return shrink @ humans.covariance[:, :3, :3] @ shrink + _SWING_M**2 * np.eye(3)


def _main_bones(body: BodyInfo) -> tuple[list[int], list[int]]:
    """Joints of trunk and limbs, and their parents: fingers and faces say little and jitter much."""
    joints = list(body.body_joints)
    return joints, [body.parents[joint] for joint in joints]
