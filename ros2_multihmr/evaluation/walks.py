"""Walks: people with known identities and motion before a camera, seconds of them, without a picture.

Who is hidden is decided from boxes: somebody whose head and hips both lie behind a nearer person's trunk, or behind a
pillar, is not seen. Everything is drawn from the seed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from ros2_multihmr.body.body_model import BodyInfo, BodyModel
from ros2_multihmr.camera import Camera
from ros2_multihmr.evaluation.noise import Poses
from ros2_multihmr.rotations import rotvec_to_rotmat
from ros2_multihmr.synthesis.actors import sample_shape
from ros2_multihmr.synthesis.gait import Gait, walking
from ros2_multihmr.synthesis.rig import rig_of

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Rng = np.random.Generator
FPS = 30.0
_EYE_HEIGHT = 1.4
# The camera looks along world x: its axes (x right, y down, z forward) in the world's (x forward, y left, z up).
_LOOKS_AHEAD = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])
_CHILD, _ADULT = (0.4, 0.55), (0.62, 0.85)  # phenotype age
_TRUNK = 0.5  # of a person's box hides what is behind
_PILLAR_HALF_M = 0.3


@dataclass(frozen=True)
class Walk:
    """F frames of P people.

    Attributes:
        name: What happens.
        body: Names and topology of the people's body.
        camera: Who looks.
        stamps_s: (F,) when the frames were taken [s].
        T_world_camera: (F, 4, 4) where from; world: z up, floor at 0.
        people: Poses of F x P people, frame by frame; in the camera.
        joints: (F, P, J, 3) in the world [m].
        roots: (F, P, 3) halfway between the hips, in the world [m].
        velocities: (F, P, 3) of the roots, averaged over a step, in the world [m/s].
        present: (F, P) True where any of a person is in the image, hidden or not, from when the person was to be seen
            for the first time since coming into the image: nobody can know of somebody before.
        visible: (F, P) True where the head is in the image and the person is not hidden.
        moving_camera: True if the camera moves.
    """

    name: str
    body: BodyInfo
    camera: Camera
    stamps_s: Array
    T_world_camera: Array
    people: Poses
    joints: Array
    roots: Array
    velocities: Array
    present: Mask
    visible: Mask
    moving_camera: bool


class _Script(NamedTuple):
    """What happens: ways of people over the floor, and how the camera moves.

    Attributes:
        ways: Per person, waypoints (time [s], x, y [m]).
        ages: Per person, range of the phenotype age.
        pillars: Places of pillars on the floor (x, y) [m].
        camera: From times (F,) to (F, 3): x, y [m] and turn to the left [rad].
        drops: Part of the frames that are missing.
        length_s: How long it lasts.
    """

    ways: list[list[tuple[float, float, float]]]
    ages: list[tuple[float, float]]
    pillars: tuple[tuple[float, float], ...] = ()
    camera: Callable[[Array], Array] | None = None
    drops: float = 0.0
    length_s: float = 10.0


def _crossing(rng: Rng) -> _Script:
    """Four people cross before the camera, one behind the other, 0.8 m apart and more."""
    near = rng.uniform(3.2, 3.8)
    depths = near + np.array([0.0, 0.9, 1.8, 2.7])
    ways = []
    for i, x in enumerate(depths):
        side = (-1) ** i * (0.5 - 0.08 * i) * x  # at different bearings: nobody walks behind somebody all the time
        middle = (5.0, 5.0, 4.0, 6.0)[i] + rng.uniform(-0.3, 0.3)
        ways.append([(0.0, x, side), (middle, x + rng.uniform(-0.05, 0.05), 0.0), (10.0, x, -side)])
    return _Script(ways, [_ADULT] * 4)


def _hidden(rng: Rng) -> _Script:
    """Three people pass behind two pillars."""
    ways = []
    for i, x in enumerate((5.0, 6.0, 7.0)):
        side, middle = (-1) ** i * 3.0, rng.uniform(2.8, 3.2)
        ways.append([(0.0, x, side), (middle, x, 0.0), (6.0, x, -side)])
    return _Script(ways, [_ADULT] * 3, pillars=((3.0, 0.45), (3.0, -0.5)), length_s=6.0)


def _leaving(rng: Rng) -> _Script:
    """Two people leave the image, and come back seconds later; one stays."""
    ways = []
    for side, x in ((1.0, 4.0), (-1.0, 5.0)):
        out, away = side * (0.7 * x + 0.9), rng.uniform(2.5, 3.5)
        ways.append([(0.0, x, 0.2 * x * side), (3.0, x, out), (3.0 + away, x + 0.2, out), (10.0, x + 0.3, 0.5 * side)])
    ways.append([(0.0, 6.5, 1.0), (10.0, 6.0, -1.2)])
    return _Script(ways, [_ADULT] * 3)


def _family(rng: Rng) -> _Script:
    """Two children run rings around an adult."""
    ways = [[(0.0, 4.5, -1.0), (5.0, 4.7, 0.0), (10.0, 4.5, 1.0)]]
    for phase in (0.0, np.pi):
        turn = phase + rng.uniform(-0.3, 0.3)
        times = np.linspace(0, 10, 11)
        x = 4.6 + 0.9 * np.cos(0.9 * times + turn)
        y = -1 + 0.2 * times + 0.9 * np.sin(0.9 * times + turn)
        ways.append(list(zip(times.tolist(), x.tolist(), y.tolist())))
    return _Script(ways, [_ADULT, _CHILD, _CHILD])


def _moving_camera(rng: Rng) -> _Script:
    """The camera drives and looks about while four people cross."""
    turn, speed = rng.uniform(0.2, 0.35), rng.uniform(0.15, 0.3)

    def camera(t: Array) -> Array:
        return np.stack([speed * t, 0.3 * np.sin(0.7 * t), turn * np.sin(1.3 * t)], axis=1)

    script = _crossing(rng)
    ways = [[(t, x + 2.0, y) for t, x, y in way] for way in script.ways]
    return script._replace(ways=ways, camera=camera)


def _dropped(rng: Rng) -> _Script:
    """Three in ten frames never come."""
    return _crossing(rng)._replace(drops=0.3)


SCENES: dict[str, Callable[[Rng], _Script]] = {
    "crossing": _crossing,
    "hidden by pillars": _hidden,
    "leaving and entering": _leaving,
    "two children and an adult": _family,
    "moving camera": _moving_camera,
    "dropped frames": _dropped,
}


def make_walk(name: str, seed: int, body: BodyModel) -> Walk:
    """Makes a walk.

    Args:
        name: One of `SCENES`.
        seed: What everything is drawn from.
        body: A body with anny's rig and phenotypes.

    Raises:
        ValueError: No scene has that name.
    """
    if name not in SCENES:
        raise ValueError(f"make_walk: no scene is called {name!r}; known are {', '.join(SCENES)}")
    rng = np.random.default_rng([seed, list(SCENES).index(name)])
    script = SCENES[name](rng)
    times = np.arange(int(script.length_s * FPS)) / FPS
    times = times[rng.random(len(times)) >= script.drops]
    poses = _camera_poses(script, times)
    walkers = [_walker(rng, way, age, times, body) for way, age in zip(script.ways, script.ages)]
    people = Poses(*(np.stack(parts, axis=1) for parts in zip(*walkers)))  # (F, P, ...), in the world
    return _seen(name, script, times, poses, people, body)


def _walker(
    rng: Rng, way: list[tuple[float, float, float]], age: tuple[float, float], times: Array, body: BodyModel
) -> Poses:
    """One person's parameters in the world, (F, ...)."""
    t, x, y = np.array(way).T
    spline = CubicSpline(t, np.stack([x, y], axis=1), bc_type="natural")
    velocity = spline(times, 1)
    speed = np.maximum(np.linalg.norm(velocity, axis=1), 0.05)
    heading = np.unwrap(np.arctan2(velocity[:, 1], velocity[:, 0]))
    shape = sample_shape(rng)
    shape[1] = rng.uniform(*age)
    leg_m = 0.5 * _stature_m(body, shape)
    gait = Gait(speed=float(np.clip(np.median(speed) / leg_m, 0.6, 1.8)), arm_swing=rng.uniform(0.6, 1.3))
    steps = np.gradient(times) * speed / leg_m / gait.speed * gait.cycles_per_s
    rotmats = rig_of(body).rotmats(walking(rng.random() + np.cumsum(steps), gait))
    rotmats[:, 0] = rotvec_to_rotmat(np.stack([0 * heading, 0 * heading, heading], axis=1)) @ rotmats[:, 0]
    count = len(times)
    expression = np.zeros((count, len(body.info.expression_names)), np.float32)
    path = spline(times)
    root = np.concatenate([path, np.full((count, 1), np.nan)], axis=1)  # the height follows from the feet
    return Poses(rotmats.astype(np.float32), np.tile(shape, (count, 1)), expression, root)


@torch.inference_mode()
def _stature_m(body: BodyModel, shape: NDArray[np.float32]) -> float:
    info = body.info
    still = torch.eye(3).repeat(1, len(info.posed_joints), 1, 1)
    posed = body(still, torch.from_numpy(shape)[None], torch.zeros(1, len(info.expression_names)), torch.zeros(1, 3))
    return float(np.ptp(posed.vertices_lod[0, :, 2].numpy()))


def _camera_poses(script: _Script, times: Array) -> Array:
    moves = np.zeros((len(times), 3)) if script.camera is None else script.camera(times)
    poses = np.tile(np.eye(4), (len(times), 1, 1))
    turns = rotvec_to_rotmat(np.stack([0 * times, 0 * times, moves[:, 2]], axis=1))
    poses[:, :3, :3] = turns @ _LOOKS_AHEAD
    poses[:, :2, 3], poses[:, 2, 3] = moves[:, :2], _EYE_HEIGHT
    return poses


@torch.inference_mode()
def _seen(name: str, script: _Script, times: Array, poses: Array, people: Poses, body: BodyModel) -> Walk:
    camera = Camera.from_fov(1280, 720, 70.0)
    frames, count = people.rotmats.shape[:2]
    flat = (people.rotmats, people.shape, people.expression)
    rotmats, shape, expression = (
        torch.from_numpy(a.reshape(frames * count, *a.shape[2:]).astype(np.float32)) for a in flat
    )
    posed = body(rotmats, shape, expression, torch.zeros(frames * count, 3))
    joints, mesh = (p.double().numpy().reshape(frames, count, -1, 3) for p in (posed.joints, posed.vertices_lod))
    hips = joints[:, :, list(body.info.hip_joints)].mean(2)
    place = people.root.copy()
    place[..., 2] = (hips - mesh.min(axis=2))[..., 2]
    joints, mesh = joints + (place - hips)[:, :, None], mesh + (place - hips)[:, :, None]
    back = poses[:, :3, :3].transpose(0, 2, 1)[:, None]

    def in_camera(points: Array) -> Array:
        return (points - poses[:, None, None, :3, 3]) @ poses[:, None, :3, :3]

    own = joints[:, :, [body.info.center_joint, 0]]
    present, visible = _visibility(in_camera(mesh), in_camera(own), _pillars(script, poses), camera)
    turned = people.rotmats.copy()
    turned[:, :, 0] = back @ people.rotmats[:, :, 0]
    local = people._replace(rotmats=turned, root=in_camera(place[:, :, None])[:, :, 0])
    velocities = np.gradient(place, times, axis=0)
    return Walk(
        name, body.info, camera, times, poses, local, joints, place, velocities, present, visible,
        script.camera is not None,
    )  # fmt: skip


def _pillars(script: _Script, poses: Array) -> list[Array]:
    """Per pillar, (F, 2) x and z in the camera."""
    found = []
    for x, y in script.pillars:
        away = np.array([x, y, _EYE_HEIGHT]) - poses[:, :3, 3]
        found.append(np.einsum("fji,fj->fi", poses[:, :3, :3], away)[:, [0, 2]])
    return found


def _visibility(mesh: Array, points: Array, pillars: list[Array], camera: Camera) -> tuple[Mask, Mask]:
    """(F, P) in the image at all; (F, P) to be found."""
    px, outline = camera.project(points), camera.project(mesh)
    low, high = np.nanmin(outline, axis=2), np.nanmax(outline, axis=2)
    present = ((high > 0) & (low < (camera.width, camera.height))).all(-1)
    middle, half = (low + high)[..., 0] / 2, (high - low)[..., 0] / 2 * _TRUNK
    depth = points[:, :, 0, 2]
    behind = depth[:, :, None] > depth[:, None, :] + 0.2  # somebody, behind somebody else
    covered = (np.abs(px[:, :, None, :, 0] - middle[:, None, :, None]) < half[:, None, :, None]) & (
        px[:, :, None, :, 1] > low[:, None, :, None, 1]
    )
    hidden = (behind & covered.all(-1)).any(2)
    for pillar in pillars:
        side = camera.fx * _PILLAR_HALF_M / pillar[:, 1]
        at = camera.cx + camera.fx * pillar[:, 0] / pillar[:, 1]
        hidden |= (depth > pillar[:, 1:]) & (np.abs(px[..., 0] - at[:, None, None]) < side[:, None, None]).all(-1)
    visible = present & camera.contains(px[:, :, 0]) & ~hidden
    return _known(present, visible), visible


def _known(present: Mask, visible: Mask) -> Mask:
    """(F, P) True from where somebody is visible until the person has left the image."""
    known = present & visible
    for f in range(1, len(known)):
        known[f] |= present[f] & known[f - 1]
    return known
