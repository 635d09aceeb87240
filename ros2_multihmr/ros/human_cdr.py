"""CDR bytes of a HumanArray, of all people at once; `conversions.human_array` makes the same as a message object.

Every person's sequences are as long as the others', so that one kind of field is one array. From `translation` on, a
Human (msg/Human.msg) is nothing but numbers and lengths of four bytes: a single row.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from std_msgs.msg import Header

from ros2_multihmr.camera import Camera
from ros2_multihmr.humans import Humans
from ros2_multihmr.ros.cdr import CdrWriter
from ros2_multihmr.ros.conversions import pose_slices
from ros2_multihmr.rotations import rotmat_to_quaternion_xyzw
from ros2_multihmr.tracking.motion_state import Motion
from ros2_multihmr.tracking.tracks import Tracks
from ros2_multihmr.uncertainty import UNKNOWN

Rows = NDArray[np.generic]
_BEGINNING = np.dtype(
    [("track_id", "<u4"), ("state", "u1"), ("sec", "<i4"), ("nanosec", "<u4"), ("score", "<f4")], align=True
)
_NS = 1_000_000_000


def human_array_cdr(
    header: Header,
    humans: Humans,
    tracks: Tracks,
    camera: Camera,
    *,
    weights: str,
    untrained: bool,
    vertices: bool,
    motion: Motion | None = None,
) -> bytes:
    """Serializes the HumanArray of one image; the arguments are those of `conversions.human_array`."""
    writer = CdrWriter()
    writer.header(header)
    writer.string(humans.body.name)
    writer.numbers("II", camera.width, camera.height)
    writer.numbers("9d", *camera.k.ravel())
    writer.string(camera.distortion_model)
    writer.sequence(np.array(camera.d, "<f8"))
    writer.numbers("??", camera.calibrated, camera.rectified)
    writer.string(weights)
    writer.numbers("?", untrained)
    writer.numbers("I", len(humans))
    twists, valid = _twists(len(humans), motion)
    boxes = np.concatenate([humans.box_min, humans.box_max], axis=1).astype("<f8")
    fields: list[tuple[Rows, int]] = [
        (_beginnings(humans, tracks), 4),
        (np.concatenate([_poses(humans), twists], axis=1), 8),
        (valid, 1),
        (humans.bbox, 4),
        (boxes, 8),
        (_words(humans, vertices), 4),
    ]
    if vertices and humans.has_vertices and len(humans):  # not among the words: they would be copied once more
        fields.append((humans.vertices.reshape(len(humans), humans.vertices[0].size), 4))
    for i in range(len(humans)):
        for rows, alignment in fields:
            writer.append(np.ascontiguousarray(rows[i : i + 1]).view(np.uint8).ravel().data, alignment)
    return writer.to_bytes()


def _beginnings(humans: Humans, tracks: Tracks) -> Rows:
    """(N, 1) what comes before the pose."""
    rows = np.zeros((len(humans), 1), _BEGINNING)
    ages_ns = np.rint(tracks.ages_s * _NS).astype(np.int64)
    rows["track_id"][:, 0], rows["state"][:, 0], rows["score"][:, 0] = tracks.ids, tracks.states, humans.scores
    rows["sec"][:, 0], rows["nanosec"][:, 0] = np.divmod(ages_ns, _NS)
    return rows


def _poses(humans: Humans) -> NDArray[np.float64]:
    """(N, 43) position, quaternion and covariance."""
    quaternions = rotmat_to_quaternion_xyzw(humans.rotation)
    return np.concatenate([humans.origin, quaternions, humans.covariance.reshape(-1, 36)], axis=1, dtype="<f8")


def _twists(count: int, motion: Motion | None) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """(N, 42) linear and angular velocity and their covariance, and (N, 1) whether they are known."""
    twists, valid = np.zeros((count, 42)), np.zeros((count, 1), bool)
    twists[:, 6:] = (UNKNOWN * np.eye(6)).ravel()
    if motion is not None:
        known = motion.valid
        twists[known, :3] = motion.velocity[known]
        twists[known, 6:] = motion.twist_covariance()[known].reshape(-1, 36)
        valid[:, 0] = known
    return twists, valid


def _words(humans: Humans, vertices: bool) -> NDArray[np.float32]:
    """(N, W) `translation` and all that follows, up to the length of `vertices`; lengths are bits in disguise."""
    count = len(humans)
    sequences = [humans.rotvecs[:, joints] for joints in pose_slices(humans.body).values()]
    sequences += [humans.expression, humans.shape, humans.keypoints_3d, humans.keypoints_2d, humans.keypoint_scores]
    words = [humans.translation, humans.rotvecs[:, 0]]
    for sequence in sequences:
        row = sequence.reshape(count, sequence[0].size if count else 0)
        words += [_length(count, row.shape[1]), row]
    words.append(_length(count, humans.vertices[0].size if vertices and count else 0))
    return np.concatenate(words, axis=1)


def _length(count: int, length: int) -> NDArray[np.float32]:
    return np.full((count, 1), length, "<u4").view("<f4")
