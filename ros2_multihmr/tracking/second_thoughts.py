"""Second thoughts: the last sighting of somebody who is not seen now may have been somebody else's, or nobody's.

A detector takes two people who cross for one, or sees somebody where nobody is, and a track goes along. Where that was
wrong, the person is soon found where the track would be without that sighting, and where nobody is expected. Either the
sighting was right, the person is missed now, and this is a newcomer; or the sighting was wrong, and this is the person
(two hypotheses: Reid, IEEE TAC 24(6), 1979). Who is likelier goes on, and from a wrong sighting no ghost does.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ros2_multihmr.tracking.known_people import KnownPeople
from ros2_multihmr.tracking.scene import Scene
from ros2_multihmr.tracking.tracker_config import TrackerConfig

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
KNOWN_WELL = 10  # sightings from which somebody's motion is as sure as the filter says
BRIEF_S = 0.5  # who was gone for longer is taken to be back only after being seen in as many images again


class SecondThoughts:
    """Keeps what would be known of everybody without the last sighting, and how well that one fitted."""

    def __init__(self) -> None:
        self._found: tuple[KnownPeople, Indices, Scene] | None = None  # in the last image, as they were expected
        self._missed: KnownPeople | None = None  # longer ago; at the time of the last image
        self._cost: Array = np.zeros(0)  # of the last sightings of those
        self._stamp_s = 0.0

    def mistaken(self, missed: KnownPeople, left: Indices, scene: Scene) -> tuple[KnownPeople, Indices]:
        """Finds people of whom only a wrong sighting says that they are not here; to be asked once an image.

        Args:
            missed: Who is not seen, at the time of the image.
            left: People of the image of whom nobody knows.
            scene: The image.

        Returns:
            Those people, seen again as if that sighting had not been; and who of the image they are.
        """
        without, cost = self._of(missed, scene)
        self._missed, self._cost, self._stamp_s = without, cost, scene.stamp_s
        if not len(without) or not len(left):
            return missed.select(left[:0]) if len(missed) else missed, left[:0]
        who, people, jumped = scene.pairs(without, left)
        now, detection = scene.unsure(people[jumped]).costs(without.select(who), people), without.existence.detection
        # Minus twice the log-likelihoods: a right sighting was followed by a miss, a wrong one by none.
        wrong = now - 2.0 * np.log(detection / (1.0 - detection))[who] < cost[who]
        return scene.again(without.select(who[wrong]), people[wrong]), people[wrong]

    def remember(self, expected: KnownPeople, people: Indices, scene: Scene) -> None:
        """Keeps people found in the image as they were expected before; `people`: who of it each is taken to be."""
        self._found = expected, people, scene

    def _of(self, missed: KnownPeople, scene: Scene) -> tuple[KnownPeople, Array]:
        """People who are missed, at the time of the image, as if the last sighting had not been; and what that cost."""
        if not len(missed):
            return missed, self._cost[:0]
        some, cost = missed.select(np.zeros(0, np.intp)), self._cost[:0]
        features = scene.seen.looks.appearance.shape[1]
        if self._missed is not None:
            rows = np.flatnonzero(np.isin(self._missed.ids, missed.ids))
            some, cost = self._missed.select(rows).with_features(features), self._cost[rows]
        if self._found is not None:
            expected, people, before = self._found
            # Only of people who are known well is it sure enough where they are expected.
            rows = np.flatnonzero(np.isin(expected.ids, missed.ids) & (expected.hits >= KNOWN_WELL))
            if len(rows):
                lately = expected.select(rows)
                cost = np.concatenate([before.costs(lately, people[rows]), cost])
                some = lately.with_features(features).join(some)
        return some.missed().predicted(scene.stamp_s - self._stamp_s, scene.config.track_agility), cost


def disappointed(missed: KnownPeople, config: TrackerConfig) -> KnownPeople:
    """People who are not seen; those of them who seemed to be back for a moment are as they were before."""
    if not any(missed.before):
        return missed
    kept = [
        one if one is not None and streak < config.track_confirm_images else missed.select(np.array([i]))
        for i, (one, streak) in enumerate(zip(missed.before, missed.streak.tolist()))
    ]
    return kept[0].join(*kept[1:])


def not_back_but_here(missed: KnownPeople, left: Indices, scene: Scene) -> tuple[KnownPeople, Indices]:
    """Of people not seen, those who are where they were expected before a false detection seemed to be them.

    Args:
        missed: Who is not seen, see `disappointed`.
        left: People of the image of whom nobody knows.
        scene: The image.

    Returns:
        Those people, seen again; and who of the image they are.
    """
    if not len(missed):
        return missed, left[:0]
    gone = missed.select(np.flatnonzero(scene.stamp_s - missed.seen_s > BRIEF_S))
    if not len(gone) or not len(left):
        return missed.select(left[:0]), left[:0]
    who, people, _ = scene.pairs(gone, left)
    return scene.again(gone.select(who).doubting(np.ones(len(who), bool)), people), people
