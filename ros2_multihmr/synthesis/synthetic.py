"""Synthetic samples: people in rooms, drawn from a seed, with exact truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from ros2_multihmr.body import BodyModel
from ros2_multihmr.camera import Camera
from ros2_multihmr.samples.sample import Dense, Labels, Sample
from ros2_multihmr.synthesis.actors import PlacedActor, dress
from ros2_multihmr.synthesis.config import KINDS, SPLITS, SceneConfig
from ros2_multihmr.synthesis.crowd import footprint, gather
from ros2_multihmr.synthesis.furniture import SEATS, STANDING, stool
from ros2_multihmr.synthesis.lights import sample_lighting
from ros2_multihmr.synthesis.renderer import View
from ros2_multihmr.synthesis.rooms import Ground, Place, make_clutter, make_open, make_room
from ros2_multihmr.synthesis.scene import Scene, dense_of, picture_and_view
from ros2_multihmr.synthesis.sensor import sample_sensor
from ros2_multihmr.synthesis.surface import Surface
from ros2_multihmr.synthesis.threads import one_thread
from ros2_multihmr.synthesis.views import Eye, aim, sample_eye, sample_pitch, sample_roll

Floats = NDArray[np.float64]
Rng = np.random.Generator

_BODY_NAME = "anny"
_HIDDEN_M = 0.02  # a thing that is nearer than a keypoint by this hides it


@one_thread()
def synthesize(seed: int, config: SceneConfig, body: BodyModel) -> Sample:
    """Draws a scene, renders it and says what is true of it.

    The same seed, settings and machine give the same bytes, whatever was made before.

    Args:
        seed: Not negative.
        config: Settings.
        body: The "anny" body, on the CPU.

    Raises:
        ValueError: The seed is negative.
    """
    if seed < 0:
        raise ValueError(f"synthesize: expected a seed that is not negative, got {seed}")
    scene, people = sample_scene(np.random.default_rng((SPLITS.index(config.split), seed)), config, body)
    picture, view = picture_and_view(scene)
    labels = labels_of(people, view, scene, body)
    labels, dense = present(labels, view)
    return Sample(f"{config.split}-{seed:08d}", picture, scene.camera, labels, dense)


def sample_scene(rng: Rng, config: SceneConfig, body: BodyModel) -> tuple[Scene, list[PlacedActor]]:
    """Draws a scene: camera, then people in its view, then what is around them, then light."""
    kind = KINDS[rng.choice(len(KINDS), p=np.array(config.shares) / sum(config.shares))]
    close_up = kind == "close_up"
    eye = sample_eye(rng, config.longer_side, close_up=close_up)
    ground = Ground()
    people = gather(
        *(rng, config.split, _how_many(rng, config, close_up), eye, body, ground),
        close_up=close_up,
        farthest=config.max_distance_m,
    )
    transform = aim(eye, sample_pitch(rng, eye, _target(rng, eye, people)), sample_roll(rng))
    seats = [_seat(rng, config.split, person, body) for person in people if person.actor.seat]
    occluders = _occluders(rng, config.split, people, ground) if not close_up or rng.random() < 0.3 else []
    place = _surroundings(rng, config.split, kind, eye, people, ground)
    dressed = [surface for index, person in enumerate(people) for surface in dress(person, body, index)]
    focus = np.append(np.mean([footprint(person)[0] for person in people] or [_ahead(eye, 3.0)], axis=0), 0.0)
    scene = Scene(
        surfaces=(*place.shell, *place.things, *seats, *occluders, *dressed),
        T_camera_world=transform,
        camera=eye.camera,
        lighting=sample_lighting(rng, room=place.room, focus=focus),
        sensor=sample_sensor(rng),
        shell=tuple(range(len(place.shell))),
    )
    return scene, people


def labels_of(people: list[PlacedActor], view: View, scene: Scene, body: BodyModel) -> Labels:
    """Returns what is true of people, in the camera's optical frame."""
    if not people:
        return Labels.empty(_BODY_NAME, body.info)
    rotation, shift = scene.T_camera_world[:3, :3], scene.T_camera_world[:3, 3]
    rotmats = np.stack([person.rotmats for person in people]).astype(np.float64)
    rotmats[:, 0] = rotation @ rotmats[:, 0]
    center = np.stack([person.center for person in people]) @ rotation.T + shift
    shape, expression = ([getattr(person.actor, name) for person in people] for name in ("shape", "expression"))
    parameters = [np.asarray(values, np.float32) for values in (rotmats, shape, expression, center)]
    with torch.inference_mode():
        keypoints = body(*(torch.from_numpy(values) for values in parameters)).keypoints.numpy()
    return Labels(
        _BODY_NAME,
        **dict(zip(("rotmats", "shape", "expression", "center"), parameters)),
        keypoints=keypoints,
        keypoint_visible=keypoints_visible(keypoints, view, scene.camera),
        visibility=(view.seen / np.maximum(view.whole, 1)).clip(0.0, 1.0).astype(np.float32),
        identity=np.arange(len(people), dtype=np.int32),
    )


def keypoints_visible(keypoints: NDArray[np.float32], view: View, camera: Camera) -> NDArray[np.float32]:
    """Returns (P, K) 1 where nothing but its own body hides a keypoint (P, K, 3) that is inside the image."""
    px = camera.project(keypoints)
    inside = camera.contains(px)
    column, row = np.where(inside[..., None], np.floor(px + 0.5), 0).astype(np.intp).transpose(2, 0, 1)
    column, row = column.clip(0, camera.width - 1), row.clip(0, camera.height - 1)
    depth, instance = view.depth[row, column], view.instance[row, column]
    own = instance == np.arange(1, len(keypoints) + 1)[:, None]
    in_front = (depth > 0.0) & (depth < keypoints[..., 2] - _HIDDEN_M)
    return (inside & (own | ~in_front)).astype(np.float32)


def present(labels: Labels, view: View) -> tuple[Labels, Dense]:
    """Leaves out people of whom the image shows nothing, and numbers the others."""
    here = np.flatnonzero(view.seen > 0)
    number = np.zeros(len(view.seen) + 1, np.uint8)
    number[here + 1] = np.arange(1, len(here) + 1)
    dense = dense_of(view)
    return labels.select(here), replace(dense, instance=number[dense.instance])


def _how_many(rng: Rng, config: SceneConfig, close_up: bool) -> int:
    if rng.random() < config.empty:
        return 0
    shares = np.array([0.75, 0.25]) if close_up else np.array([0.26, 0.24, 0.18, 0.14, 0.1, 0.08])
    count = 1 + int(rng.choice(len(shares), p=shares))
    return min(count, config.max_people)


def _target(rng: Rng, eye: Eye, people: list[PlacedActor]) -> Floats:
    """(3,) what the camera looks at: somebody between hip and head, a bit off."""
    if not people:
        return np.append(_ahead(eye, 3.0), rng.uniform(0.3, 1.5))
    person = people[rng.integers(len(people))]
    head = np.asarray(person.center, np.float64)
    return head * (1.0, 1.0, rng.uniform(0.5, 1.0))


def _ahead(eye: Eye, distance: float) -> Floats:
    return distance * np.array([np.cos(eye.heading_rad), np.sin(eye.heading_rad)])


def _seat(rng: Rng, split: str, person: PlacedActor, body: BodyModel) -> Surface:
    """What a sitting person sits on."""
    height = person.seat_m - 0.01
    ahead = (person.rotmats[0] @ body.info.body_axes[:, 0])[:2]
    make = SEATS[rng.integers(len(SEATS))] if height > 0.3 else stool
    return make(rng, split, height).at(person.joints[0, :2] + 0.05 * ahead, float(np.arctan2(ahead[1], ahead[0])))


def _occluders(rng: Rng, split: str, people: list[PlacedActor], ground: Ground) -> list[Surface]:
    """Furniture between the camera and some people."""
    things: list[Surface] = []
    for person in people:
        if rng.random() < 0.3:
            thing = STANDING[rng.integers(len(STANDING))](rng, split)
            spot = footprint(person)[0] * rng.uniform(0.35, 0.85) + rng.normal(0.0, 0.2, 2)
            if ground.free(spot[0], spot[1], thing.radius):
                ground.take(spot[0], spot[1], thing.radius)
                things.append(thing.at(spot, rng.uniform(0, 2 * np.pi)))
    return things


def _surroundings(rng: Rng, split: str, kind: str, eye: Eye, people: list[PlacedActor], ground: Ground) -> Place:
    """The place around camera and people; close-ups are taken anywhere."""
    corners = [np.array([[-0.3, -0.3], [0.3, 0.3]]), _ahead(eye, 2.5)[None]]
    corners += [person.vertices_lod[:, :2] for person in people]
    points = np.concatenate(corners).astype(np.float64)
    low, high = points.min(axis=0) - 0.2, points.max(axis=0) + 0.2
    if kind == "close_up":
        kind = str(rng.choice(["room", "open", "clutter"], p=[0.65, 0.2, 0.15]))
    if kind == "open":
        return make_open(rng, split, low, high, ground)
    make = make_room if kind == "room" else make_clutter
    return make(rng, split, low, high, ground, eye.height_m)
