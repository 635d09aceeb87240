"""`multihmr benchmark proximity`: time and truth of distances to people's surfaces, and what capsules hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from time import process_time
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ros2_multihmr.body import BodyModel, create_body
from ros2_multihmr.hardware import hardware
from ros2_multihmr.humans import Humans
from ros2_multihmr.nearness.capsules import CapsuleModel, Capsules
from ros2_multihmr.nearness.proximity import ProximityMeter
from ros2_multihmr.nearness.triangles import brute_force
from ros2_multihmr.report import Section, open_report, tell
from ros2_multihmr.rotations import rotvec_to_rotmat
from ros2_multihmr.settings import Settings, setting
from ros2_multihmr.synthesis.actors import sample_actor

HEADINGS = ("what", "median [ms]", "95 % [ms]")
_WARM_UP = 3
_RADIUS_M = 0.1
# The world's axes (x ahead, y left, z up) in the camera's.
_CAMERA_WORLD = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])


@dataclass(frozen=True)
class Options(Settings):
    """Measures spheres of a robot's arm against people in the postures of the synthetic scenes, on full meshes."""

    people: int = setting(10, "People in a scene", low=1, high=100)
    spheres: int = setting(10, "Spheres along the robot's arm", low=1, high=1000)
    scenes: int = setting(20, "Scenes, each with other people", low=1, high=10000)
    brute_force: int = setting(2, "Scenes that brute force does, too", low=0, high=10000)
    repeats: int = setting(5, "Measured runs per scene", low=1, high=10000)
    out: str = setting("", "Folder for proximity.json and proximity.md; empty: only show")


@dataclass(frozen=True)
class Row:
    """How much processor time something took, over all runs [ms]."""

    what: str
    median_ms: float
    p95_ms: float


@dataclass(frozen=True)
class Findings:
    """What the scenes say beside times.

    Attributes:
        difference_mm: Largest difference of a distance from brute force [mm].
        inside: Spheres' centers inside people, in all scenes.
        contained: Part of the full meshes' vertices that lie in their person's capsules.
        farthest_mm: How far the farthest vertex lies outside [mm].
        beyond_mm: How far the capsules' own surfaces are from their mesh where they are outside of it, on average [mm].
    """

    difference_mm: float
    inside: int
    contained: float
    farthest_mm: float
    beyond_mm: float


def main(options: Options) -> int:
    """Runs the verb."""
    console = open_report(options.out)
    with console.status(f"{options.people} people, {options.spheres} spheres, {options.scenes} scenes"):
        rows, findings = measure(options)
    title = f"distances of {options.spheres} spheres to {options.people} people, and the people's capsules"
    section = Section(title, HEADINGS, [_cells(row) for row in rows], sentences(findings, options))
    tell(
        console, options.out, "proximity", [section], hardware(),
        findings=asdict(findings), settings=asdict(options), rows=[asdict(row) for row in rows],
    )  # fmt: skip
    return 0


def measure(options: Options) -> tuple[list[Row], Findings]:
    """Returns the times, and what the scenes say beside."""
    body = create_body("anny")
    meter, model = ProximityMeter(body), CapsuleModel(body)
    times: dict[str, list[float]] = {"distances": [], "distances by brute force": [], "fit capsules": []}
    times["move capsules"] = []
    differences, outside, beyond, inside = [0.0], [], [], 0
    for seed in range(options.scenes):
        humans, centers = scene(body, options.people, options.spheres, np.random.default_rng(seed))
        radii = np.full(len(centers), _RADIUS_M)
        found = _timed(times["distances"], options.repeats, meter.measure, humans, centers, radii)
        inside += int((found.distances < -_RADIUS_M).sum())
        if seed < options.brute_force:
            exact = _timed(times["distances by brute force"], 1, _brutally, humans, centers)
            differences.append(float(np.abs(np.abs(found.distances + _RADIUS_M) - exact).max()))
        resting = _timed(times["fit capsules"], 1, model.fit, humans.shape)
        capsules = _timed(times["move capsules"], options.repeats, model.pose, resting, humans.vertices_lod)
        outside.append(capsules.distances(humans.vertices[:, ::4]).min(axis=1).ravel())
        beyond.append(_beyond(meter, humans, capsules))
    gaps = np.concatenate(outside)
    findings = Findings(
        difference_mm=1e3 * max(differences),
        inside=inside,
        contained=float((gaps <= 0.0).mean()),
        farthest_mm=1e3 * max(float(gaps.max()), 0.0),
        beyond_mm=1e3 * float(np.concatenate(beyond).mean()),
    )
    rows = [
        Row(what, 1e3 * float(np.median(seconds)), 1e3 * float(np.percentile(seconds, 95)))
        for what, seconds in times.items()
        if seconds
    ]
    return rows, findings


@torch.inference_mode()
def scene(body: BodyModel, people: int, spheres: int, rng: np.random.Generator) -> tuple[Humans, NDArray[np.float64]]:
    """Returns people before a camera, 1 to 6 m away, and (K, 3) centers along an arm that reaches out of it."""
    actors = [sample_actor(rng, body, split="train") for _ in range(people)]
    rotmats = np.stack([actor.rotmats for actor in actors])
    headings = np.zeros((people, 3))
    headings[:, 2] = rng.uniform(-np.pi, np.pi, people)
    rotmats[:, 0] = _CAMERA_WORLD @ rotvec_to_rotmat(headings) @ rotmats[:, 0]
    heads = rng.uniform((-2.5, -0.5, 1.0), (2.5, 0.3, 6.0), (people, 3))
    inputs = (rotmats, [a.shape for a in actors], [a.expression for a in actors], heads)
    posed = body(*(torch.from_numpy(np.asarray(array, np.float32)) for array in inputs), vertices=True)
    nobody = Humans.empty(body.info)
    arrays: dict[str, Any] = {
        name: np.zeros((people, *array.shape[1:]), np.float32)
        for name, array in vars(nobody).items()
        if isinstance(array, np.ndarray)
    }
    arrays |= {"shape": np.stack([a.shape for a in actors]).astype(np.float32)}
    arrays |= {"vertices": posed.vertices.numpy(), "vertices_lod": posed.vertices_lod.numpy()}
    base = np.array([0.0, 0.5, 0.3])
    reach = base + rng.uniform((-0.8, -0.8, 0.5), (0.8, 0.2, 1.2))
    return Humans(body=body.info, **arrays), base + np.linspace(0.0, 1.0, spheres)[:, None] * (reach - base)


def sentences(findings: Findings, options: Options) -> list[str]:
    """Returns what is said below the table."""
    told = ["Times are the processor's own; on a busy machine (see its load) they are longer still: caches are shared."]
    if options.brute_force:
        told.append(f"Largest difference of a distance from brute force: {findings.difference_mm:.4f} mm.")
    told.append(f"Centers of spheres inside people: {findings.inside}.")
    told.append(
        f"Of the people's vertices {findings.contained:.2%} lie in their capsules, the farthest one "
        f"{findings.farthest_mm:.0f} mm outside; where the capsules' surfaces are outside of the people, they are so "
        f"by {findings.beyond_mm:.0f} mm on average."
    )
    return told


def _brutally(humans: Humans, centers: NDArray[np.float64]) -> NDArray[np.float64]:
    faces = humans.body.faces.astype(np.intp)
    return np.array([[brute_force(mesh, faces, center)[0] for center in centers] for mesh in humans.vertices])


def _beyond(meter: ProximityMeter, humans: Humans, capsules: Capsules) -> NDArray[np.float64]:
    """Distances [m] to the first person of points on the hull of that person's capsules, as far as they are outside."""
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(capsules.radii.shape[1], 20, 3))
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    share = rng.uniform(size=(*directions.shape[:2], 1))
    middle = capsules.starts[0][:, None] + share * (capsules.ends - capsules.starts)[0][:, None]
    points = (middle + capsules.radii[0][:, None, None] * directions).reshape(1, -1, 3)
    first = np.array([0])
    on_hull = capsules.select(first).distances(points).min(axis=1)[0] > -1e-3
    far = meter.measure(humans.select(first), points[0, on_hull], np.zeros(int(on_hull.sum()))).distances[0]
    outside: NDArray[np.float64] = far[far > 0.0]
    return outside


def _timed(seconds: list[float], repeats: int, run: Callable[..., Any], *arguments: Any) -> Any:
    warm_up = _WARM_UP if repeats > 1 else 0
    for index in range(warm_up + repeats):
        start = process_time()
        result = run(*arguments)
        if index >= warm_up:
            seconds.append(process_time() - start)
    return result


def _cells(row: Row) -> tuple[str, ...]:
    return row.what, f"{row.median_ms:.2f}", f"{row.p95_ms:.2f}"
