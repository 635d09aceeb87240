"""Runs over rendered clips: who stays who, how people move, and how often true places lie within their ellipsoids.

Every clip is followed twice, from the network's detections and from the truth with noise, by every one of `METHODS`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ros2_multihmr.body.body_model import BodyModel
from ros2_multihmr.evaluation.clip_truth import walk_of, who_of
from ros2_multihmr.evaluation.coverage import inside_covariance
from ros2_multihmr.evaluation.noise import Noise
from ros2_multihmr.evaluation.rendered_clips import Key, RenderedClip
from ros2_multihmr.evaluation.tracking_runs import AnyTracker, Clip, Figures, NearestNeighbour, run
from ros2_multihmr.evaluation.walks import Walk
from ros2_multihmr.humans import Humans
from ros2_multihmr.samples.sample import Sample
from ros2_multihmr.tracking.smoothing import Smoother
from ros2_multihmr.tracking.tracker import Tracker
from ros2_multihmr.tracking.tracker_config import SmoothingConfig, TrackerConfig

NETWORK, NOISE = "network", "truth with noise"
METHODS: dict[str, tuple[Callable[[], AnyTracker], bool]] = {
    "tracker, smoothed": (lambda: Tracker(TrackerConfig()), True),
    "tracker, raw": (lambda: Tracker(TrackerConfig()), False),
    "nearest neighbour, raw": (NearestNeighbour, False),
}
_NOISE_WIDTH_PX = 1280  # of the images that the noise's pixels are meant for

Find = Callable[[Sample], Humans]


class Found(NamedTuple):
    """How well the network found people before anybody followed them.

    Attributes:
        visible: People who were there to be found, over all images.
        found: How many of them were.
        false: Detections that are nobody.
        inside: (N,) True for people found whose true place lies within their 90 % ellipsoid.
        person: (N,) who they are.
    """

    visible: int
    found: int
    false: int
    inside: NDArray[np.bool_]
    person: NDArray[np.intp]


@dataclass(frozen=True)
class ClipResult:
    """What came out of one clip.

    Attributes:
        key: Which clip.
        images: How many it has.
        figures: By `NETWORK` and `NOISE`, and by method.
        found: Of the network.
    """

    key: Key
    images: int
    figures: Mapping[str, Mapping[str, Figures]]
    found: Found


def judge(clip: RenderedClip, find: Find, body: BodyModel) -> ClipResult:
    """Follows the people of a clip in every way.

    Args:
        clip: The clip.
        find: Returns the people that the network found in an image.
        body: The people's body, and the network's.

    Raises:
        ModuleNotFoundError: TrackEval is not installed; says how.
    """
    walk = walk_of(clip, body)
    humans, who = list[Humans](), list[NDArray[np.intp]]()
    for sample in clip.samples():
        humans.append(find(sample))
        who.append(who_of(humans[-1], sample.labels, sample.camera))
    # Identities are the clip's own, in every image: the labels hold everybody.
    detections = {NETWORK: Clip(walk, humans, who), NOISE: Clip.make(walk, noise_of(walk), clip.key.seed, body)}
    figures = {source: follow(detected, body) for source, detected in detections.items()}
    return ClipResult(clip.key, len(clip), figures, found_of(walk, humans, who))


def follow(clip: Clip, body: BodyModel) -> dict[str, Figures]:
    """Runs every method over a clip's detections."""
    results = {}
    for name, (tracker, smooth) in METHODS.items():
        smoother = Smoother(SmoothingConfig(smooth=True)) if smooth else None
        with warnings.catch_warnings():
            # Where nobody was found there is nothing to average; the figures are NaN, and are told as such.
            warnings.simplefilter("ignore", RuntimeWarning)
            results[name] = run(clip, tracker(), smoother, body)
    return results


def noise_of(walk: Walk) -> Noise:
    """Returns the noise of the walks without pictures; its pixels are those of an image of the same size."""
    noise = Noise()
    return replace(noise, across_px=noise.across_px * walk.camera.width / _NOISE_WIDTH_PX)


def found_of(walk: Walk, humans: list[Humans], who: list[NDArray[np.intp]]) -> Found:
    """Compares detections with the truth, image by image."""
    inside, person, right = list[NDArray[np.bool_]](), list[NDArray[np.intp]](), 0
    for frame, (people, names) in enumerate(zip(humans, who)):
        rows = np.flatnonzero(names >= 0)
        off = people.origin[rows].astype(np.float64) - walk.people.root[frame, names[rows]]
        inside.append(inside_covariance(off, people.covariance[rows, :3, :3].astype(np.float64)))
        person.append(names[rows])
        right += int(walk.visible[frame, names[rows]].sum())
    false = sum(int((names < 0).sum()) for names in who)
    return Found(int(walk.visible.sum()), right, false, np.concatenate(inside), np.concatenate(person))
