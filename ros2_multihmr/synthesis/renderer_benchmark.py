"""Why synthetic scenes are drawn by our own rasteriser: its time beside that of Embree's rays, on the same scenes.

`python -m ros2_multihmr.synthesis.renderer_benchmark` prints both; Embree is left out where `embreex` is missing.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import sys
from collections.abc import Callable
from time import process_time

import numpy as np
import torch
from numpy.typing import NDArray

from ros2_multihmr.body import create_body
from ros2_multihmr.rasterizer import rasterize
from ros2_multihmr.synthesis.config import SceneConfig
from ros2_multihmr.synthesis.renderer import SAMPLES, project
from ros2_multihmr.synthesis.scene import Scene
from ros2_multihmr.synthesis.synthetic import sample_scene, synthesize
from ros2_multihmr.synthesis.triangles import cut_near, faces_viewer, touches, triangles_of

_REPEATS = 3


def main() -> None:
    """Measures processor time and prints it: which triangle each of a pixel's four parts sees, and whole samples."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=20, help="number of scenes")
    parser.add_argument("--longer-side", type=int, default=288, help="longer side of the images [px]")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    config, body = SceneConfig(longer_side=arguments.longer_side), create_body("anny")
    scenes = [sample_scene(np.random.default_rng(seed), config, body)[0] for seed in range(arguments.scenes)]
    people = np.mean([scene.people for scene in scenes])
    lines = [f"{len(scenes)} scenes of {people:.1f} people, {arguments.longer_side} px, ms of processor time per image"]
    lines.append(f"rasteriser, {SAMPLES}x{SAMPLES} samples a pixel: {_mean_ms(rasterized, scenes):.1f}")
    if importlib.util.find_spec("embreex"):
        lines.append(f"Embree, as many rays: {_mean_ms(raycast, scenes):.1f}")
    start = process_time()
    for seed in range(len(scenes)):
        synthesize(seed, config, body)
    lines.append(f"a whole sample: {1e3 * (process_time() - start) / len(scenes):.1f}")
    sys.stdout.write("\n".join(lines) + "\n")


def rasterized(scene: Scene) -> NDArray[np.bool_]:
    """Returns where the parts of the pixels see a surface, found by the rasteriser."""
    camera = scene.camera
    corners, nearness = project(cut_near(triangles_of(scene.surfaces).moved(scene.T_camera_world)).points, camera)
    seen = faces_viewer(corners) & touches(corners, camera.width, camera.height)
    fine = SAMPLES * corners[seen] + (SAMPLES - 1) / 2.0
    return np.asarray(rasterize(fine, nearness[seen], SAMPLES * camera.width, SAMPLES * camera.height).triangle >= 0)


def raycast(scene: Scene) -> NDArray[np.bool_]:
    """Returns the same, found by Embree."""
    mesh, rtcore = (importlib.import_module(f"embreex.{name}") for name in ("mesh_construction", "rtcore_scene"))
    camera, embree = scene.camera, rtcore.EmbreeScene()
    points = triangles_of(scene.surfaces).moved(scene.T_camera_world).points.astype(np.float32)
    mesh.TriangleMesh(embree, points)
    place = [(np.arange(SAMPLES * size) + 0.5) / SAMPLES - 0.5 for size in (camera.height, camera.width)]
    y, x = np.meshgrid(*place, indexing="ij")
    rays = np.stack([(x - camera.cx) / camera.fx, (y - camera.cy) / camera.fy, np.ones_like(x)], -1)
    rays = rays.reshape(-1, 3).astype(np.float32)
    return np.asarray(embree.run(np.zeros_like(rays), rays) >= 0).reshape(x.shape)


def _mean_ms(find: Callable[[Scene], NDArray[np.bool_]], scenes: list[Scene]) -> float:
    find(scenes[0])
    start = process_time()
    for _ in range(_REPEATS):
        for scene in scenes:
            find(scene)
    return 1e3 * (process_time() - start) / (_REPEATS * len(scenes))


if __name__ == "__main__":
    main()
