"""Actors: people with a body, a posture, a face and clothes, and where they stand in a scene."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from ros2_multihmr.body.body_model import BodyModel
from ros2_multihmr.rotations import rotvec_to_rotmat
from ros2_multihmr.synthesis.faces import sample_face
from ros2_multihmr.synthesis.figure import figure_of
from ros2_multihmr.synthesis.gait import Gait, walking
from ros2_multihmr.synthesis.hands import sample_hands
from ros2_multihmr.synthesis.outfit import Outfit, Skirt
from ros2_multihmr.synthesis.poses import sample_pose
from ros2_multihmr.synthesis.rig import rig_of
from ros2_multihmr.synthesis.skirts import skirt_around
from ros2_multihmr.synthesis.surface import Surface
from ros2_multihmr.synthesis.tailoring import standoff, tailor
from ros2_multihmr.synthesis.wardrobe import Split, sample_outfit

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Actor:
    """A person in a posture, nowhere yet; R posed joints.

    Attributes:
        rotmats: (R, 3, 3) float32 as `BodyModel` takes them; the root turns the model's axes into the world's (z up),
            and the person faces x, as far as the posture has a front.
        shape: (S,) float32 shape parameters.
        expression: (E,) float32 expression parameters.
        outfit: Clothes, skin and hair.
        angles: (A,) the posture in the angles of `angles.ANGLES` [rad].
        family: Name of the posture's family.
        seat: True if the person sits on something.
    """

    rotmats: Array
    shape: Array
    expression: Array
    outfit: Outfit
    angles: NDArray[np.float64]
    family: str
    seat: bool


@dataclass(frozen=True)
class PlacedActor:
    """A person in the world: z up, floor at z = 0, metres; float32.

    Attributes:
        actor: Who it is.
        rotmats: (R, 3, 3) as `BodyModel` takes them; the first turns the model's axes into the world's.
        center: (3,) where `BodyInfo.center_joint` is.
        joints: (J, 3).
        keypoints: (K, 3).
        vertices_lod: (L, 3) the skin under the clothes.
        seat_m: Height of what a sitting person sits on; 0 for those who do not sit.
    """

    actor: Actor
    rotmats: Array
    center: Array
    joints: Array
    keypoints: Array
    vertices_lod: Array
    seat_m: float


def sample_actor(
    rng: np.random.Generator,
    body: BodyModel,
    *,
    split: Split,
    close_up: bool = False,
    family: str = "",
    age: float | None = None,
) -> Actor:
    """Draws a person.

    Args:
        rng: What everything is drawn from: the same state gives the same person.
        body: A body with phenotypes and anatomical rig: "anny".
        split: Which designs the clothes are of, see `wardrobe`.
        close_up: True for postures that are seen from nearby: upright, mostly.
        family: Name of a family of `poses.FAMILIES`; any if empty.
        age: Phenotype age, 0 to 1; drawn if not given.

    Raises:
        ValueError: The body has other axes than anny's, or no family has that name.
    """
    close = rng.choice(_CLOSE_UP) if close_up and rng.random() < 0.8 else ""
    pose = sample_pose(rng, family or str(close))
    angles = pose.angles + sample_hands(rng)
    shape = sample_shape(rng)
    if age is not None:
        shape[1] = age
    upright = pose.family in _UPRIGHT
    outfit = sample_outfit(rng, split=split, gender=float(shape[0]), age=float(shape[1]), upright=upright)
    expression = sample_face(rng, body.info.expression_names)
    rotmats = rig_of(body).rotmats(angles).astype(np.float32)
    return Actor(rotmats, shape, expression, outfit, angles, pose.family, pose.seat)


# Mean and spread of the phenotype: men of 1.76 m and women of 1.64 m, give or take 7 cm.
_HEIGHT = (0.37, 0.065)
_UPRIGHT = ("standing", "contrapposto", "walking", "arms_up")
_CLOSE_UP = ("standing", "contrapposto", "sitting")


def sample_shape(rng: np.random.Generator) -> Array:
    """Draws (6,) phenotypes: adults mostly, some old, some children from about five on, no babies."""
    kind = rng.random()
    age = rng.uniform(0.28, 0.6) if kind < 0.13 else rng.uniform(0.6, 0.8) if kind < 0.78 else rng.uniform(0.8, 1.0)
    gender = rng.beta(0.3, 0.3)
    muscle, weight, proportions = rng.beta(3.0, 3.0, 3)
    height = np.clip(rng.normal(*_HEIGHT), 0.1, 0.7)
    return np.array([gender, age, muscle, weight, height, proportions], np.float32)


def with_gait(actor: Actor, body: BodyModel, phase: float, gait: Gait) -> Actor:
    """Returns the actor at a phase of its gait, its hands as they are; see `gait.walking`.

    To walk without skating, `phase` grows by `gait.cycles_per_s` and `ground_xy` by `gait.speed` legs a second.
    """
    hands = actor.angles * _FINGERS
    angles = walking(phase, gait) + hands
    return replace(actor, rotmats=rig_of(body).rotmats(angles).astype(np.float32), angles=angles, seat=False)


def place(actor: Actor, body: BodyModel, heading_rad: float, ground_xy: NDArray[np.floating]) -> PlacedActor:
    """Puts an actor into the world: its lowest point, clothes and shoes included, on the floor.

    Args:
        actor: Who.
        body: The actor's body.
        heading_rad: Turn about the vertical; 0 faces x.
        ground_xy: (2,) where on the floor the root joint (the pelvis) is above [m].
    """
    rotmats = actor.rotmats.copy()
    rotmats[0] = rotvec_to_rotmat([0.0, 0.0, heading_rad]) @ actor.rotmats[0]
    with torch.no_grad():
        turned, shape, expression = (torch.from_numpy(a[None]) for a in (rotmats, actor.shape, actor.expression))
        posed = body(turned, shape, expression, torch.zeros(1, 3))
    joints, keypoints, vertices = (part[0].numpy() for part in (posed.joints, posed.keypoints, posed.vertices_lod))
    lowest = (vertices + standoff(vertices.astype(np.float64), actor.outfit, figure_of(body)))[:, 2].min()
    move = np.array([*(ground_xy - joints[0, :2]), -lowest], np.float32)
    hips = np.flatnonzero(figure_of(body).vertices.is_part("hips"))
    bottom = vertices[hips][:, 2].min() + move[2]
    center = joints[body.info.center_joint] + move
    seat_m = float(bottom) if actor.seat else 0.0
    return PlacedActor(actor, rotmats, center, joints + move, keypoints + move, vertices + move, seat_m)


def dress(placed: PlacedActor, body: BodyModel, person: int) -> tuple[Surface, ...]:
    """Returns what is seen of a person: the reduced mesh, pushed out by clothes and hair, and what hangs loose.

    Args:
        placed: Who, and where.
        body: The actor's body.
        person: The person's index in the scene.
    """
    figure, outfit = figure_of(body), placed.actor.outfit
    cloth = tailor(placed.vertices_lod.astype(np.float64), outfit, figure)
    surface = Surface(
        vertices=cloth.vertices.astype(np.float32),
        faces=cloth.faces,
        texture=cloth.texture.astype(np.float32),
        materials=outfit.materials,
        material=cloth.material,
        smooth=True,
        person=person,
        part=figure.part[cloth.origin],
    )
    return (surface,) if outfit.skirt is None else (surface, _skirt(placed, body, outfit.skirt, surface))


_SKIRT_HANGS_ON = ("pelvis", "spine2", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle")


def _skirt(placed: PlacedActor, body: BodyModel, skirt: Skirt, clothes: Surface) -> Surface:
    names = body.info.keypoint_names
    joint = {name: placed.keypoints[names.index(name)].astype(np.float64) for name in _SKIRT_HANGS_ON}
    below = np.flatnonzero(figure_of(body).vertices.is_part("hips", "thigh"))
    tube = skirt_around(joint, clothes.vertices[below].astype(np.float64), skirt)
    tube.vertices[:, 2] = np.maximum(tube.vertices[:, 2], 0.0)
    return replace(
        clothes,
        vertices=tube.vertices.astype(np.float32),
        faces=tube.faces,
        texture=tube.texture.astype(np.float32),
        material=np.full(len(tube.faces), skirt.material),
        part=tube.part,
    )


_FINGERS = sample_hands(np.random.default_rng(0)) != 0
