"""People as people_msgs/People: what the `people` stack and social layers of navigation listen to."""

from __future__ import annotations

import numpy as np
from geometry_msgs.msg import Point
from numpy.typing import NDArray
from people_msgs.msg import People, Person

from ros2_multihmr.ros.bridges.registry import Site
from ros2_multihmr.ros.bridges.topic import TopicBridge
from ros2_multihmr.ros.output import RELIABLE, Result
from ros2_multihmr.tracking.tracks import TrackState

TAG_NAMES = ["state", "velocity", "position_sigma_m", "velocity_sigma_m_s"]
_STATES = {
    TrackState.NONE: "untracked",
    TrackState.NEW: "new",
    TrackState.OK: "seen",
    TrackState.PREDICTED: "predicted",
}


def open_bridge(site: Site) -> TopicBridge:
    """Opens `~/people`."""
    return TopicBridge(site.create(People, "~/people", RELIABLE), people)


def people(result: Result) -> People:
    """Builds the message of one image: who is seen in it, and who is predicted (reliability 0).

    The message has no covariances: the tags carry the largest standard deviations of position and velocity. A velocity
    that is not estimated is 0, and its tags say so ("unknown", and an empty deviation).
    """
    message = People(header=result.header)
    velocity_known = result.motion.valid.tolist() if result.motion is not None else [False] * len(result.humans)
    for i, track_id in enumerate(result.tracks.ids.tolist()):
        person = Person(name=str(track_id), position=_point(result.humans.origin[i]))
        person.reliability = float(result.humans.scores[i])
        speed_sigma = ""
        if result.motion is not None and velocity_known[i]:
            person.velocity = _point(result.motion.velocity[i])
            speed_sigma = _sigma(result.motion.covariance[i, 3:, 3:])
        known = "known" if velocity_known[i] else "unknown"
        state = _STATES[TrackState(int(result.tracks.states[i]))]
        person.tagnames = TAG_NAMES
        person.tags = [state, known, _sigma(result.humans.covariance[i, :3, :3]), speed_sigma]
        message.people.append(person)
    return message


def _point(values: NDArray[np.floating]) -> Point:
    x, y, z = values.tolist()
    return Point(x=x, y=y, z=z)


def _sigma(covariance: NDArray[np.floating]) -> str:
    return f"{np.sqrt(np.linalg.eigvalsh(covariance)[-1]):.3f}"
