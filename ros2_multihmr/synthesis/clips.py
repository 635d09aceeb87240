"""Clips: people who walk and stand in one place, image after image, with exact truth and lasting identities."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from ros2_multihmr.body.body_model import BodyModel
from ros2_multihmr.camera import Camera
from ros2_multihmr.samples.sample import Labels, Sample
from ros2_multihmr.settings import Settings, setting
from ros2_multihmr.synthesis.actors import dress
from ros2_multihmr.synthesis.config import SPLITS
from ros2_multihmr.synthesis.furniture import PILLAR_HALF_M, pillar
from ros2_multihmr.synthesis.lights import Lighting, sample_lighting
from ros2_multihmr.synthesis.motion import Performer, Spot, Stay, Walk, Way, course
from ros2_multihmr.synthesis.rooms import Ground, Place, make_open, make_room
from ros2_multihmr.synthesis.scene import Scene, picture_and_view
from ros2_multihmr.synthesis.sensor import Sensor, sample_sensor
from ros2_multihmr.synthesis.synthetic import labels_of, present
from ros2_multihmr.synthesis.threads import one_thread
from ros2_multihmr.synthesis.views import Eye, aim
from ros2_multihmr.synthesis.wardrobe import Split

Floats = NDArray[np.float64]
Rng = np.random.Generator

PLACES, CAMERAS = ("room", "open"), ("still", "pan", "drive", "patrol")


@dataclass(frozen=True)
class ClipConfig(Settings):
    """Settings of `clip`."""

    split: str = setting("val", "Which colours, patterns and seeds the clip may use", choices=SPLITS)
    longer_side: int = setting(640, "Width of the images, which are 16:9 [px]", low=64, high=2048)
    duration_s: float = setting(4.0, "Length [s]", low=0.1, high=600.0)
    rate_hz: float = setting(10.0, "Images per second [Hz]", low=0.5, high=240.0)
    place: str = setting("room", "What is around", choices=PLACES)
    people: int = setting(3, "How many people, where no ways are given", low=0, high=4)
    camera: str = setting(
        "still", "still; pan turns to and fro; drive moves ahead and sways; patrol does it all", choices=CAMERAS
    )

    @property
    def times_s(self) -> Floats:
        """(N,) when the images are taken, from 0 on [s]."""
        return np.arange(max(1, round(self.duration_s * self.rate_hz))) / self.rate_hz


class ClipFrame(NamedTuple):
    """One image of a clip.

    Attributes:
        stamp_s: When it was taken, from the clip's begin on [s].
        sample: Image and truth; `labels.identity` is the index of the person's way in all images.
        T_camera_world: (4, 4) from the world frame (z up, floor at z = 0) to the camera's optical frame.
        everybody: The same truth as the sample's of one person per way, of whom the image shows nothing, too.
    """

    stamp_s: float
    sample: Sample
    T_camera_world: Floats
    everybody: Labels


class _Stage(NamedTuple):
    """What does not change from image to image."""

    eye: Eye
    pitch_rad: float
    performers: tuple[Performer, ...]
    place: Place
    lighting: Lighting
    sensor: Sensor


def clip(
    seed: int,
    config: ClipConfig,
    body: BodyModel,
    ways: Sequence[Way] | None = None,
    *,
    ages: Sequence[float] | None = None,
    pillars: Sequence[Spot] = (),
    times_s: Sequence[float] | None = None,
) -> Iterator[ClipFrame]:
    """Makes a clip, image by image; the same seed, settings, ways and machine give the same bytes.

    The camera begins above the world's origin and looks along x, a little down; y is to its left. What it sees at a
    distance of x is about 1.2 x wide.

    Args:
        seed: Not negative.
        config: Settings.
        body: The "anny" body, on the CPU.
        ways: Where people go, one each; drawn by the seed if not given.
        ages: Phenotype ages of people with ways, one each: 0.33 a child, 0.67 a young adult; drawn if not given.
        pillars: Where pillars stand on the floor (x, y), to the ceiling [m].
        times_s: When images are taken, from 0 on [s]; the settings' rate if not given.

    Yields:
        Images; people of whom an image shows nothing are not in its labels.

    Raises:
        ValueError: The seed is negative, there are not as many ages as ways, or people would walk into each other, into
            a pillar or into the camera; says who, and when.
    """
    if seed < 0:
        raise ValueError(f"clip: expected a seed that is not negative, got {seed}")
    rng = np.random.default_rng((SPLITS.index(config.split), seed, _STREAM))
    eye = sample_camera(rng, config)
    ways = sample_ways(rng, eye, config) if ways is None else tuple(ways)
    if met := collision(ways, config, pillars):
        raise ValueError(f"clip: {met}; give ways that keep apart")
    if ages is not None and len(ages) != len(ways):
        raise ValueError(f"clip: expected one age per way, got {len(ages)} ages for {len(ways)} ways")
    stage = _stage(rng, eye, config, body, ways, ages, pillars)
    for index, time_s in enumerate(config.times_s.tolist() if times_s is None else times_s):
        key = f"{config.split}-{seed:08d}-{round(time_s * 1e9):012d}"
        yield _frame(key, index, time_s, stage, config, body)


def sample_ways(rng: Rng, eye: Eye, config: ClipConfig) -> tuple[Way, ...]:
    """Draws ways: people who cross the view one before another, some who stand, some who come or go.

    Raises:
        ValueError: No ways were found on which all keep apart.
    """
    kinds = (_crossing, _standing, _crossing, _coming)
    for _ in range(_TRIES):
        ways = tuple(kind(rng, eye, config, index) for index, kind in enumerate(kinds[: config.people]))
        if not collision(ways, config):
            return ways
    raise ValueError(f"sample_ways: found no place for {config.people} people; ask for fewer, or a shorter clip")


def collision(ways: Sequence[Way], config: ClipConfig, pillars: Sequence[Spot] = ()) -> str:
    """Says who comes too near to whom, to a pillar or to the camera, and when; empty if all keep apart."""
    times = _looks(config)
    spots = [_spots(way, times) for way in ways]
    own = _camera_spots(config, times)
    for index, spot in enumerate(spots):
        near = np.linalg.norm(spot - own, axis=1) - _RADIUS_M[type(ways[index])] - _CAMERA_M
        if near.min() < 0.0:
            return f"person {index} comes too near to the camera after {times[near < 0.0][0]:.1f} s"
        for at in pillars:
            near = np.linalg.norm(spot - at, axis=1) - _RADIUS_M[type(ways[index])] - PILLAR_HALF_M
            if near.min() < 0.0:
                return f"person {index} comes too near to the pillar at {at} after {times[near < 0.0][0]:.1f} s"
    for (a, one), (b, other) in combinations(enumerate(spots), 2):
        near = np.linalg.norm(one - other, axis=1) - _RADIUS_M[type(ways[a])] - _RADIUS_M[type(ways[b])]
        if near.min() < 0.0:
            return f"people {a} and {b} come too near to each other after {times[near < 0.0][0]:.1f} s"
    return ""


def _looks(config: ClipConfig) -> Floats:
    """(N,) times at which it is looked who is where [s]."""
    return np.arange(0.0, config.duration_s + _LOOK_S, _LOOK_S, dtype=np.float64)


def _spots(way: Way, times: Floats) -> Floats:
    follow = course(way)
    return np.array([follow(time_s)[0] for time_s in times.tolist()])


def sample_camera(rng: Rng, config: ClipConfig) -> Eye:
    """Draws a camera like a robot's or a room's, whose optics are not quite symmetric; it looks along x."""
    width, height = config.longer_side, round(config.longer_side * 9 / 16)
    focal = width / 2.0 / np.tan(np.radians(rng.uniform(60.0, 68.0)) / 2.0)
    k = np.diag([focal, focal * rng.uniform(0.995, 1.005), 1.0])
    k[:2, 2] = np.array([(width - 1) / 2.0, (height - 1) / 2.0]) + rng.uniform(-0.01, 0.01, 2) * width
    return Eye(Camera(k, width, height), float(rng.uniform(1.3, 1.9)), 0.0)


def _crossing(rng: Rng, eye: Eye, config: ClipConfig, index: int) -> Way:
    """Somebody who crosses the view, in its middle about half-way through the clip."""
    away = rng.uniform(3.3, 4.0) if index == 0 else rng.uniform(5.4, 6.8)
    side = rng.choice([-1.0, 1.0])
    reach = eye.half_width * away + 0.6
    speed = rng.uniform(0.9, 1.35)
    bow, slant = rng.uniform(-0.3, 0.3, 2)
    points = ((away - slant, side * reach), (away + bow, 0.0), (away + slant, -side * reach))
    start = reach - speed * config.duration_s * rng.uniform(0.45, 0.6)
    return Walk(points, speed, start)


def _standing(rng: Rng, eye: Eye, config: ClipConfig, index: int) -> Way:
    """Somebody who stands in view and faces the camera, more or less."""
    away = rng.uniform(4.4, 5.2)
    spot = (away, float(rng.uniform(-0.6, 0.6) * eye.half_width * away))
    return Stay(spot, float(np.arctan2(-spot[1], -spot[0]) + rng.normal(0.0, 0.6)))


def _coming(rng: Rng, eye: Eye, config: ClipConfig, index: int) -> Way:
    """Somebody who comes towards the camera and passes it, or goes."""
    far, near = rng.uniform(7.0, 8.5), rng.uniform(2.5, 3.0)
    ends = ((far, float(rng.uniform(-1.8, 1.8))), (near, float(rng.choice([-1.0, 1.0]) * rng.uniform(1.0, 1.6))))
    return Walk(ends if rng.random() < 0.6 else ends[::-1], float(rng.uniform(0.8, 1.2)))


@one_thread()
def _stage(
    rng: Rng,
    eye: Eye,
    config: ClipConfig,
    body: BodyModel,
    ways: Sequence[Way],
    ages: Sequence[float] | None,
    pillars: Sequence[Spot],
) -> _Stage:
    split = cast(Split, config.split)
    drawn: Sequence[float | None] = [None] * len(ways) if ages is None else ages
    performers = tuple(
        Performer(rng, body, split, way, config.duration_s, age) for way, age in zip(ways, drawn, strict=True)
    )
    times = _looks(config)
    taken = [_camera_spots(config, times), *(_spots(way, times) for way in ways)]
    ground = Ground()
    for spots, radius in zip(taken, (_CAMERA_M, *(_RADIUS_M[type(way)] for way in ways))):
        for x, y in spots.tolist():
            ground.take(x, y, radius)
    # In front of the camera nothing stands that would hide everybody.
    ground.take(1.2, 0.0, 1.0)
    for x, y in pillars:
        ground.take(x, y, 1.5 * PILLAR_HALF_M)
    place = _place(rng, eye, config, np.concatenate([*taken, [(6.0, 0.0)]]), ground)
    focus = np.append(np.mean([spots.mean(axis=0) for spots in taken[1:]] or [(3.0, 0.0)], axis=0), 0.0)
    if pillars:
        place.things.extend(pillar(rng, config.split).at(spot, 0.0) for spot in pillars)
    lighting = sample_lighting(rng, room=place.room, focus=focus)
    # Whoever writes the images compresses them: once is enough.
    sensor = replace(sample_sensor(rng), motion_px=(0.0, 0.0), jpeg_quality=0)
    return _Stage(eye, float(rng.uniform(0.08, 0.16)), performers, place, lighting, sensor)


def _place(rng: Rng, eye: Eye, config: ClipConfig, spots: Floats, ground: Ground) -> Place:
    low, high = spots.min(axis=0) - _WALL_M, spots.max(axis=0) + _WALL_M
    if config.place == "room":
        return make_room(rng, config.split, low, high, ground, eye.height_m)
    return make_open(rng, config.split, low, high, ground)


@one_thread()
def _frame(key: str, index: int, time_s: float, stage: _Stage, config: ClipConfig, body: BodyModel) -> ClipFrame:
    people = [performer.at(time_s) for performer in stage.performers]
    dressed = [surface for person, placed in enumerate(people) for surface in dress(placed, body, person)]
    scene = Scene(
        surfaces=(*stage.place.shell, *stage.place.things, *dressed),
        T_camera_world=_camera_pose(stage, config, time_s),
        camera=stage.eye.camera,
        lighting=stage.lighting,
        sensor=replace(stage.sensor, seed=stage.sensor.seed + index),
        shell=tuple(range(len(stage.place.shell))),
    )
    picture, view = picture_and_view(scene)
    everybody = labels_of(people, view, scene, body)
    labels, dense = present(everybody, view)
    return ClipFrame(time_s, Sample(key, picture, scene.camera, labels, dense), scene.T_camera_world, everybody)


def _camera_pose(stage: _Stage, config: ClipConfig, time_s: float) -> Floats:
    """T_camera_world (4, 4) at a time."""
    turn = np.sin(2.0 * np.pi * time_s / _PAN_S)
    eye = stage.eye._replace(heading_rad=_PAN_RAD * turn) if config.camera in ("pan", "patrol") else stage.eye
    if config.camera in ("still", "pan"):
        return aim(eye, stage.pitch_rad, 0.0)
    sway = np.sin(2.0 * np.pi * _BUMP_HZ * time_s)
    ahead = np.eye(4)
    ahead[:2, 3] = -_camera_spots(config, np.array([time_s]))[0]
    return aim(eye, stage.pitch_rad + _BUMP_RAD * sway, 0.5 * _BUMP_RAD * turn) @ ahead


def _camera_spots(config: ClipConfig, times: Floats) -> Floats:
    """(N, 2) places on the floor that the camera is above."""
    speed = _DRIVE_M_PER_S if config.camera in ("drive", "patrol") else 0.0
    return np.stack([speed * times, np.zeros_like(times)], axis=1)


_STREAM = 1_000_003  # apart from the seeds of single images, which have no third number
_TRIES = 300
_LOOK_S = 0.1
# What of the ground people take, arms included, and the camera with who carries it.
_RADIUS_M: dict[type, float] = {Walk: 0.42, Stay: 0.5}
_CAMERA_M = 0.45
_WALL_M = 0.8
_PAN_S, _PAN_RAD = 6.0, 0.25
_DRIVE_M_PER_S, _BUMP_HZ, _BUMP_RAD = 0.35, 1.1, 0.012
