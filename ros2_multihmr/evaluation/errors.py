"""Errors: what is compared between a person found and the one there is."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ros2_multihmr.evaluation import metrics
from ros2_multihmr.evaluation.geometry import BODY_POINTS, HAND_POINTS, WRISTS, Geometry

Array = NDArray[np.float64]

PX_SIZE = 640.0
"""Errors in the image are those of images whose longer side has so many pixels."""


class Errors(NamedTuple):
    """How wrong the people found are: one number per person who counts, NaN for those not found.

    Attributes:
        position_m: Distance between the roots, halfway between the hips [m] (MRPE).
        position_share: The same as a fraction of the true distance.
        depth_m: Difference along the optical axis, without sign [m].
        depth_share: The same as a fraction of the true depth.
        orientation_deg: Angle between the roots' orientations [degrees].
        mpjpe_m: Mean over 14 body joints, roots moved onto each other [m].
        pa_mpjpe_m: The same after the best similarity [m].
        pve_m: Mean over the full mesh, roots moved onto each other [m]; NaN if the bodies differ.
        hand_m: Mean over 20 points of each hand whose wrist is visible, wrists moved onto each other [m].
        px: Mean over visible body joints in the image [px of `PX_SIZE`].
    """

    position_m: Array
    position_share: Array
    depth_m: Array
    depth_share: Array
    orientation_deg: Array
    mpjpe_m: Array
    pa_mpjpe_m: Array
    pve_m: Array
    hand_m: Array
    px: Array


def errors_of(found: Geometry, truth: Geometry, visible: NDArray[np.bool_], scale: float, same_body: bool) -> Errors:
    """Compares M people with whom they are.

    Args:
        found: What was found.
        truth: The same people as they are.
        visible: (M, 54) True for keypoints that the image shows.
        scale: From the image's pixels to those of an image of `PX_SIZE`.
        same_body: True if their meshes have the same vertices.
    """
    body, true_body = found.keypoints[:, BODY_POINTS], truth.keypoints[:, BODY_POINTS]
    position = np.linalg.norm(found.root - truth.root, axis=1)
    depth = np.abs(found.root[:, 2] - truth.root[:, 2])
    pve = metrics.centred_error(found.vertices, found.root, truth.vertices, truth.root) if same_body else None
    px, true_px = found.px[:, BODY_POINTS], truth.px[:, BODY_POINTS]
    return Errors(
        position_m=position,
        position_share=position / np.linalg.norm(truth.root, axis=1),
        depth_m=depth,
        depth_share=depth / np.abs(truth.root[:, 2]),
        orientation_deg=metrics.rotation_error_deg(found.axes, truth.axes),
        mpjpe_m=metrics.centred_error(body, found.root, true_body, truth.root),
        pa_mpjpe_m=metrics.aligned_error(body, true_body),
        pve_m=np.full(len(position), np.nan) if pve is None else pve,
        hand_m=_hand_error(found, truth, visible),
        px=scale * metrics.px_error(px, true_px, visible[:, BODY_POINTS]),
    )


def _hand_error(found: Geometry, truth: Geometry, visible: NDArray[np.bool_]) -> Array:
    """(M,) mean over the hands whose wrist is visible, NaN where none is."""
    errors = [
        metrics.centred_error(
            found.keypoints[:, hand], found.keypoints[:, wrist], truth.keypoints[:, hand], truth.keypoints[:, wrist]
        )
        for hand, wrist in zip(HAND_POINTS, WRISTS)
    ]
    seen = visible[:, WRISTS].T
    number = seen.sum(axis=0)
    total = np.where(seen, errors, 0.0).sum(axis=0)
    return np.divide(total, number, out=np.full(len(found.root), np.nan), where=number > 0)
