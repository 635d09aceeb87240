"""Association: which of the people seen is which of the people known.

The cost of a pair is minus twice the log-likelihood of the place, given the prediction (so a track of which little is
known does not draw people away from one that is sure), plus how far body size and pose differ, in standard deviations
squared and up to a limit: these break ties, they never forbid a pair. As in ByteTrack (arXiv:2110.06864), confident
detections choose first and weak ones take what is left. Who is left then may have jumped along the ray, as a network's
idea of somebody's size does: such a person goes on with a wider gate, instead of leaving a ghost beside a newcomer.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from ros2_multihmr.body.body_model import BodyInfo
from ros2_multihmr.humans import Humans
from ros2_multihmr.tracking.detector_noise import DetectorNoise
from ros2_multihmr.tracking.motion_state import Motion
from ros2_multihmr.tracking.symmetric import entries, inverse_and_determinant, squares
from ros2_multihmr.tracking.tracker_config import TrackerConfig

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
_FORBIDDEN = 1e6
_WIDE_GATE, _WIDE_S = 3.0, 0.5  # for who jumped: the detector is wrong in another way than an image ago
_SIZE_LIMIT, _POSE_LIMIT, _APPEARANCE_LIMIT = 9.0, 9.0, 9.0  # wrong looks of one image must not outweigh the place
_NEW_LOOK = 0.1  # share of an image in what is remembered of an appearance
_SWING_M = 0.02  # of the hips, while walking
_POSE_DRIFT = 0.3  # how fast a pose that is not seen becomes uncertain [m/s]
# Re-entry: who left may have turned and run; who comes back must be as tall, and there must not be two such people.
_RETURN_SPEED, _RETURN_M = 0.5, 0.4
_RETURN_SIZE, _RETURN_DISTANCE, _RETURN_MARGIN, _RETURN_ONCE = 3.0, 2.0, 1.0, 4.0


class Looks(NamedTuple):
    """What tells people apart beside their places.

    Attributes:
        size: (N, B) lengths of the body's bones [m].
        pose: (N, 3 B) joints seen from the hips, along the axes of the fixed frame [m].
        appearance: (N, D) unit vectors, alike for images of one person; zeros for who has none.
    """

    size: Array
    pose: Array
    appearance: Array

    def select(self, keep: Indices | slice) -> Looks:
        """Returns the people that `keep` names, indices or a slice."""
        return Looks(self.size[keep], self.pose[keep], self.appearance[keep])


@dataclass(frozen=True)
class Seen:
    """N people seen in one image, in the fixed frame, float64.

    Attributes:
        position: (N, 3) halfway between the hips [m].
        covariance: (N, 3, 3) of what changes from image to image.
        whole: (N, 3, 3) of all errors.
        ray: (N, 3) unit rays from the camera.
        scores: (N,) detection scores.
        looks: Size and pose.
    """

    position: Array
    covariance: Array
    whole: Array
    ray: Array
    scores: Array
    looks: Looks

    def __len__(self) -> int:
        return len(self.position)

    def select(self, keep: Indices) -> Seen:
        """Returns the people with the indices `keep`."""
        if len(keep) == len(self) and (keep[:-1] < keep[1:]).all():
            return self
        return Seen(
            self.position[keep],
            self.covariance[keep],
            self.whole[keep],
            self.ray[keep],
            self.scores[keep],
            self.looks.select(keep),
        )

    def unsure(self, which: NDArray[np.bool_]) -> Seen:
        """Returns the people; of those whom the mask names, every error may have changed since the last image."""
        return replace(self, covariance=np.where(which[:, None, None], self.whole, self.covariance))


def seen_people(humans: Humans, transform: Array, noise: DetectorNoise, appearance: Array) -> Seen:
    """Takes what the tracker needs of people.

    Args:
        humans: N people.
        transform: (4, 4) T_fixed_camera.
        noise: Parts of the standard deviations that change from image to image.
        appearance: (N, D) what they look like, of any length; zeros or NaN for who has no appearance.
    """
    rotation, translation = transform[:3, :3], transform[:3, 3]
    joints, parents = _main_bones(humans.body)
    bones = humans.joints[:, joints].astype(np.float64)
    lengths = np.linalg.norm(bones - humans.joints[:, parents], axis=-1)
    pose = (bones - humans.origin[:, None]) @ rotation.T
    origin = humans.origin.astype(np.float64)
    ray = origin / np.maximum(np.linalg.norm(origin, axis=1, keepdims=True), 1e-9)
    along = ray[:, :, None] * ray[:, None, :]
    shrink = noise.across * (np.eye(3) - along) + noise.along * along
    whole, swing = humans.covariance[:, :3, :3].astype(np.float64), _SWING_M**2 * np.eye(3)
    return Seen(
        position=origin @ rotation.T + translation,
        covariance=rotation @ (shrink @ whole @ shrink + swing) @ rotation.T,
        whole=rotation @ (whole + swing) @ rotation.T,
        ray=ray @ rotation.T,
        scores=humans.scores.astype(np.float64),
        looks=Looks(lengths, pose.reshape(len(humans), 3 * len(joints)), _unit(appearance)),
    )


def remembered(before: Array, now: Array) -> Array:
    """Returns (N, D) appearances: what is known, and a part of what is seen."""
    share = np.where(before.any(axis=1), _NEW_LOOK, 1.0)[:, None]
    return np.where(now.any(axis=1, keepdims=True), _unit(before + share * (now - before)), before)


def pair_costs(motion: Motion, looks: Looks, unseen_s: Array, seen: Seen, config: TrackerConfig) -> Array:
    """Returns (T,) the costs of T tracks as T people seen, pair by pair; see `associate`, no pair is too far."""
    place = _place_cost(motion, seen.position, seen.covariance, np.inf)
    return np.asarray(np.diagonal(place + _looks_cost(looks, unseen_s, seen, config)))


def associate(
    motion: Motion, looks: Looks, unseen_s: Array, seen: Seen, config: TrackerConfig
) -> tuple[Indices, Indices, NDArray[np.bool_]]:
    """Finds who is who.

    Args:
        motion: Of T tracks, predicted to the time of the image.
        looks: Of the tracks, when they were seen last.
        unseen_s: (T,) time since then [s].
        seen: N people of the image.
        config: Settings.

    Returns:
        Indices of tracks and of people seen, pair by pair; and True for pairs that fit only if all that may be wrong
        with the place has changed since the last image.
    """
    beyond = _looks_cost(looks, unseen_s, seen, config)
    cost = _place_cost(motion, seen.position, seen.covariance, config.track_gate) + beyond
    strong = seen.scores >= config.track_begin_score
    tracks, people = assign(cost[:, strong])
    people = np.flatnonzero(strong)[people]
    tracks, people = _and_then(cost, tracks, people, ~strong)
    near = len(tracks)
    if near < min(len(motion), len(seen)):
        wide = _place_cost(motion, seen.position, seen.whole, _WIDE_GATE) + beyond
        wide[unseen_s > _WIDE_S] = _FORBIDDEN
        tracks, people = _and_then(wide, tracks, people, np.ones(len(seen), bool))
    return tracks, people, np.arange(len(tracks)) >= near


def _and_then(cost: Array, tracks: Indices, people: Indices, allowed: NDArray[np.bool_]) -> tuple[Indices, Indices]:
    """The pairs, and those among everybody who is left and allowed."""
    if len(tracks) == len(cost) or not allowed.any():
        return tracks, people
    track_left, person_left = np.ones(len(cost), bool), allowed.copy()
    track_left[tracks], person_left[people] = False, False
    rows, columns = np.flatnonzero(track_left), np.flatnonzero(person_left)
    if not len(columns):
        return tracks, people
    more, who = assign(cost[np.ix_(rows, columns)])
    return np.concatenate([tracks, rows[more]]), np.concatenate([people, columns[who]])


def returning(
    places: Array, size: Array, away_s: Array, seen: Seen, size_sigma_m: Array, hits: NDArray[np.int64]
) -> tuple[Indices, Indices]:
    """Finds people who were lost and are back.

    Who was seen only once was likely nobody, is hardly a rival of somebody who is known, and is back nearby or never.

    Args:
        places: (T, 3) where lost people were last [m].
        size: (T, B) their bones' lengths [m].
        away_s: (T,) how long ago.
        seen: N people of whom nobody knows.
        size_sigma_m: (T,) spread of the lengths' differences [m].
        hits: (T,) in how many images they were seen.

    Returns:
        Indices of the lost and of the seen, pair by pair; who could be two people is neither of them.
    """
    distance = np.linalg.norm(places[:, None] - seen.position[None], axis=-1)
    reach = _RETURN_M + _RETURN_SPEED * away_s[:, None]
    size_cost = _mean_square(size, seen.looks.size) / size_sigma_m[:, None] ** 2
    cost = size_cost + (distance / reach) ** 2 + np.where(hits == 1, _RETURN_ONCE, 0.0)[:, None]
    farthest = reach * np.where(hits == 1, 1.0, _RETURN_DISTANCE)[:, None]
    cost[(size_cost > _RETURN_SIZE**2) | (distance > farthest)] = _FORBIDDEN
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


def _looks_cost(looks: Looks, unseen_s: Array, seen: Seen, config: TrackerConfig) -> Array:
    """(T, N) what size, pose and appearance say, each up to a limit."""
    size = _mean_square(looks.size, seen.looks.size) / config.track_size_sigma_m**2
    pose_sigma = config.track_pose_sigma_m + _POSE_DRIFT * unseen_s
    pose = 3 * _mean_square(looks.pose, seen.looks.pose) / pose_sigma[:, None] ** 2
    cost = np.minimum(size, _SIZE_LIMIT) + np.minimum(pose, _POSE_LIMIT)
    if not seen.looks.appearance.any():
        return cost
    both = looks.appearance.any(axis=1, keepdims=True) & seen.looks.appearance.any(axis=1)
    unlike = (1.0 - looks.appearance @ seen.looks.appearance.T) / config.track_appearance_sigma
    return cost + np.where(both, np.minimum(unlike, _APPEARANCE_LIMIT), 0.0)


def _place_cost(motion: Motion, position: Array, covariance: Array, gate: float) -> Array:
    """(T, N) minus twice the log-likelihoods of places."""
    x, y, z = (position[None, :, i] - motion.position[:, None, i] for i in range(3))
    together = entries(motion.covariance[:, :3, :3])[:, :, None] + entries(covariance)[:, None]
    inverse, determinant = inverse_and_determinant(together)
    square = squares(inverse, x, y, z)
    return np.where(square > gate**2, _FORBIDDEN, square + np.log(determinant))


def _mean_square(first: Array, second: Array) -> Array:
    """(T, N) mean squared differences of (T, D) and (N, D)."""
    total = (first**2).sum(1)[:, None] + (second**2).sum(1)[None] - 2 * first @ second.T
    return np.maximum(total, 0.0) / max(first.shape[1], 1)


def _unit(vectors: Array) -> Array:
    """(N, D) vectors of length 1; zeros for those that are not finite, or zero."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    good = np.isfinite(length) & (length > 0.0)
    return np.where(good, vectors, 0.0) / np.where(good, length, 1.0)


def _main_bones(body: BodyInfo) -> tuple[list[int], list[int]]:
    """Joints of trunk and limbs, and their parents: fingers and faces say little and jitter much."""
    joints = list(body.body_joints)
    return joints, [body.parents[joint] for joint in joints]
