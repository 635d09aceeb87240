"""Errors of a second look: the same people as first found and as several networks saw them again, one by one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray

from ros2_multihmr.body.body_model import BodyModel
from ros2_multihmr.evaluation.errors import PX_SIZE, errors_of
from ros2_multihmr.evaluation.geometry import BODY_POINTS, Geometry, describe, places
from ros2_multihmr.evaluation.matching import match
from ros2_multihmr.evaluation.metrics import centred_error
from ros2_multihmr.evaluation.predictions import Prediction
from ros2_multihmr.evaluation.predictors import MIN_VISIBILITY
from ros2_multihmr.rotations import rotvec_to_rotmat
from ros2_multihmr.samples.sample import Sample

Array = NDArray[np.float64]

_MOVED_M = 1e-3  # vertices that an expression moves further are of the face


@dataclass(frozen=True)
class CropErrors:
    """How wrong M people are; NaN where nothing can be compared.

    Attributes:
        pve_m: Mean over the full mesh, roots moved onto each other [m].
        hand_m: Mean over 20 points of each visible hand, wrists moved onto each other [m].
        face_m: Mean over the vertices that expressions move, their middles moved onto each other [m].
        root_m: Distance between the roots [m].
        mpjpe_m: Mean over 14 body joints, roots moved onto each other [m].
        pa_mpjpe_m: The same after the best similarity [m].
        orientation_deg: Angle between the roots' orientations [degrees].
        px: Mean over visible body joints in the image, see `Errors.px`.
    """

    pve_m: Array
    hand_m: Array
    face_m: Array
    root_m: Array
    mpjpe_m: Array
    pa_mpjpe_m: Array
    orientation_deg: Array
    px: Array


NAMES = tuple(field.name for field in fields(CropErrors))


@dataclass(frozen=True)
class Compared:
    """M people who count and were found by the first pass; the second look changes nobody's identity.

    Attributes:
        image: (M,) index of the image.
        box_px: (M,) long side of the box around the first pass's keypoints [px].
        refined: (M,) True for those whom a network changed, by name.
        errors: Of those as first found, and of each network's, by name.
    """

    image: NDArray[np.intp]
    box_px: Array
    refined: Mapping[str, NDArray[np.bool_]]
    errors: Mapping[str, CropErrors]


def compare_people(
    samples: Iterable[Sample],
    first: str,
    guesses: Mapping[str, Mapping[str, Prediction]],
    body: BodyModel,
) -> Compared:
    """Compares predictions with the truth.

    Args:
        samples: Images, with people of `body`.
        first: Name of the first pass.
        guesses: Its predictions and those of other networks, who have the same people in the same order; by name, then
            by the image's.
        body: Everybody's body.

    Raises:
        ValueError: A network has other people than the first pass.
    """
    face = face_vertices(body)
    images: list[NDArray[np.intp]] = []
    sizes: list[Array] = []
    refined: dict[str, list[NDArray[np.bool_]]] = {name: [] for name in guesses}
    rows: dict[str, list[CropErrors]] = {name: [] for name in guesses}
    for index, sample in enumerate(samples):
        labels, camera = sample.labels, sample.camera
        truth = describe(body, labels.rotmats, labels.shape, labels.expression, labels.center, camera)
        found = {name: _geometry(of[sample.key], body, sample) for name, of in guesses.items()}
        px = found[first].px[:, BODY_POINTS]
        pairs = match(px, truth.px[:, BODY_POINTS], labels.visibility >= MIN_VISIBILITY)
        images.append(np.full(len(pairs.guess), index))
        sizes.append((np.nanmax(px, axis=1) - np.nanmin(px, axis=1)).max(axis=1)[pairs.guess] if len(px) else [])
        before = guesses[first][sample.key]
        for name, geometry in found.items():
            after = guesses[name][sample.key]
            if len(after) != len(before):
                raise ValueError(f"{sample.key}: {name} has {len(after)} people, {first} {len(before)}")
            refined[name].append((after.rotvecs != before.rotvecs).any(axis=(1, 2))[pairs.guess])
            rows[name].append(_errors(geometry, pairs.guess, truth, pairs.truth, sample, body, face))
    return Compared(
        np.concatenate([np.zeros(0, np.intp), *images]),
        np.concatenate([np.zeros(0), *sizes]),
        {name: np.concatenate([np.zeros(0, bool), *parts]) for name, parts in refined.items()},
        {name: _joined(parts) for name, parts in rows.items()},
    )


@torch.inference_mode()
def face_vertices(body: BodyModel) -> NDArray[np.intp]:
    """Returns indices of the full mesh's vertices that some expression moves by a millimetre; none if none does."""
    info = body.info
    count = len(info.expression_names)
    rotmats = torch.eye(3).expand(count + 1, len(info.posed_joints), 3, 3)
    shape = torch.full((count + 1, len(info.shape_names)), 0.5)
    expression = torch.cat([torch.zeros(1, count), torch.eye(count)])
    posed = body(rotmats, shape, expression, torch.zeros(count + 1, 3), vertices=True).vertices
    moved = (posed[1:] - posed[:1]).norm(dim=-1) > _MOVED_M
    return np.flatnonzero(moved.any(0).numpy())


def _geometry(guess: Prediction, body: BodyModel, sample: Sample) -> Geometry:
    rotmats = rotvec_to_rotmat(guess.rotvecs)
    return describe(body, rotmats, guess.shape, guess.expression, guess.center, sample.camera)


def _errors(
    found: Geometry, these: NDArray[np.intp], truth: Geometry, those: NDArray[np.intp], sample: Sample,
    body: BodyModel, face: NDArray[np.intp],
) -> CropErrors:  # fmt: skip
    here = Geometry(**{name: array[these] for name, array in found._asdict().items()})
    there = Geometry(**{name: array[those] for name, array in truth._asdict().items()})
    visible = sample.labels.keypoint_visible[:, places(body.info)] > 0
    scale = PX_SIZE / max(sample.camera.width, sample.camera.height)
    errors = errors_of(here, there, visible[those], scale, same_body=True)
    mine, theirs = here.vertices[:, face], there.vertices[:, face]
    of_face = (
        centred_error(mine, mine.mean(axis=1), theirs, theirs.mean(axis=1)) if len(face) else np.full(len(mine), np.nan)
    )
    return CropErrors(
        errors.pve_m, errors.hand_m, of_face, errors.position_m, errors.mpjpe_m, errors.pa_mpjpe_m,
        errors.orientation_deg, errors.px,
    )  # fmt: skip


def _joined(parts: list[CropErrors]) -> CropErrors:
    return CropErrors(*(np.concatenate([np.zeros(0), *(getattr(part, name) for part in parts)]) for name in NAMES))
