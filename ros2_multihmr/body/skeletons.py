"""Joints of the skeletons that benchmarks and detectors use, by our names, and which of a body's keypoints they are."""

from __future__ import annotations

from collections.abc import Sequence

COCO_17 = (
    *("nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow"),
    *("right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee"),
    *("left_ankle", "right_ankle"),
)
BODY_25 = (  # OpenPose's
    *("nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist"),
    *("mid_hip", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle"),
    *("right_eye", "left_eye", "right_ear", "left_ear", "left_big_toe", "left_small_toe", "left_heel"),
    *("right_big_toe", "right_small_toe", "right_heel"),
)
SMPL_22 = (  # those that SMPL shares with SMPL-X
    *("pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2", "left_ankle", "right_ankle"),
    *("spine3", "left_foot", "right_foot", "neck", "left_collar", "right_collar", "head", "left_shoulder"),
    *("right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist"),
)
SMPL_24 = (*SMPL_22, "left_hand", "right_hand")
H36M_17 = (  # Human3.6M's; where the file has the left leg first, the names follow it
    *("pelvis", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle", "spine", "neck"),
    *("jaw", "head_top", "left_shoulder", "left_elbow", "left_wrist", "right_shoulder", "right_elbow", "right_wrist"),
)
H36M_14 = (  # those that benchmarks count, in their order
    *("right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle", "right_wrist", "right_elbow"),
    *("right_shoulder", "left_shoulder", "left_elbow", "left_wrist", "neck", "head_top"),
)
_ALIASES = {"mid_hip": "pelvis"}


def named_keypoints(skeleton: Sequence[str], keypoint_names: Sequence[str]) -> tuple[int, ...]:
    """Finds a skeleton among a body's own keypoints, by name: no file is needed.

    They are the body's joints and points on its skin, where annotators' idea of a hip or a neck may differ by
    centimetres; `regressors.load_regressor` has the joints that benchmarks define.

    Args:
        skeleton: Names, such as `COCO_17`, `BODY_25` or `SMPL_22`.
        keypoint_names: `BodyInfo.keypoint_names`.

    Returns:
        The place of each of the skeleton's joints among the keypoints: `keypoints[:, places]` are the joints.

    Raises:
        ValueError: The body lacks one.
    """
    place = {name: i for i, name in enumerate(keypoint_names)}
    wanted = [name if name in place else _ALIASES.get(name, name) for name in skeleton]
    if missing := [name for name in wanted if name not in place]:
        raise ValueError(f"the body has no keypoint {', '.join(missing)}: use a regressor, see load_regressor")
    return tuple(place[name] for name in wanted)
