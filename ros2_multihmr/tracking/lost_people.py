"""Lost people: those who would be known again, and the ids of everybody."""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray

from ros2_multihmr.tracking.association import returning
from ros2_multihmr.tracking.identities import IdPool
from ros2_multihmr.tracking.known_people import KnownPeople
from ros2_multihmr.tracking.scene import Scene, others
from ros2_multihmr.tracking.tracker_config import TrackerConfig

_logger = logging.getLogger("ros2_multihmr")
Array = NDArray[np.float64]
Indices = NDArray[np.intp]
_HARDLY_KNOWN_S = 2.0  # for so long, somebody may be known again who was seen in too few images to be predicted


class LostPeople:
    """Begins with nobody.

    Args:
        largest: Largest id.
        nobody: No people, of the kind that will be lost.
    """

    def __init__(self, largest: int, nobody: KnownPeople) -> None:
        self._ids = IdPool(largest)
        self._away = nobody

    def lose(self, lost: KnownPeople, since_s: Array) -> None:
        """Takes in people who are lost, (T,) since when [s]; their ids rest from then on."""
        for number, since in zip(lost.ids.tolist(), since_s.tolist()):
            self._ids.release(number, since)
        self._away = self._away.join(lost)

    def forget(self, stamp_s: float, config: TrackerConfig) -> None:
        """Forgets who has been away for too long."""
        self._ids.expire(stamp_s, config.track_id_cooldown_s)
        away = self._away
        hardly_known = (away.hits < config.track_confirm_images) & (stamp_s - away.seen_s > _HARDLY_KNOWN_S)
        rests = np.array([self._ids.rests(number) for number in away.ids.tolist()], bool)
        self._away = away.select(np.flatnonzero(rests & ~hardly_known))

    def with_features(self, count: int) -> None:
        """Forgets what everybody looked like, if that was not told in so many numbers."""
        self._away = self._away.with_features(count)

    def returned(self, fresh: Indices, scene: Scene) -> tuple[KnownPeople, Indices]:
        """Returns lost people who are among the fresh ones of an image, and who of the image they are."""
        away = self._away
        if not len(away) or not len(fresh):
            return away.select(fresh[:0]), fresh[:0]
        sigma_m = scene.config.track_size_sigma_m * np.sqrt(1.0 + 1.0 / away.hits)  # of the average and of one image
        away_s, seen = scene.stamp_s - away.seen_s, scene.seen.select(fresh)
        lost, people = returning(away.motion.position, away.looks.size, away_s, seen, sigma_m, away.hits)
        back = away.select(lost).doubting(np.ones(len(lost), bool))
        again = scene.again(back, fresh[people], restart=True)
        for number in again.ids.tolist():
            self._ids.resume(number)
        self._away = away.select(others(len(away), lost))
        return again, fresh[people]

    def begun(self, fresh: Indices, scene: Scene) -> tuple[KnownPeople, Indices]:
        """Returns new people, one for each fresh one of an image as far as there are ids, and who of it they are."""
        if not len(fresh):
            return self._away.select(fresh), fresh
        ids = [self._ids.take() for _ in fresh]
        if 0 in ids:
            _logger.warning("all %d ids are in use; raise track_max_ids: %d people left out", len(ids), ids.count(0))
        people = fresh[np.flatnonzero(ids)]
        return scene.begun([number for number in ids if number], people), people
