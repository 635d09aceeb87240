"""Scene: all that a picture is made of, and the picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ros2_multihmr.camera import Camera
from ros2_multihmr.samples.sample import Dense
from ros2_multihmr.synthesis.lights import Lighting, shadow_map
from ros2_multihmr.synthesis.renderer import View, view_of
from ros2_multihmr.synthesis.sensor import Sensor, develop
from ros2_multihmr.synthesis.shading import shade
from ros2_multihmr.synthesis.surface import Surface
from ros2_multihmr.synthesis.triangles import triangles_of


@dataclass(frozen=True)
class Scene:
    """What a camera looks at.

    Attributes:
        surfaces: People and things; world frame: z up, floor at z = 0, metres.
        T_camera_world: (4, 4) from the world frame to the camera's optical frame.
        camera: Intrinsics and image size; no distortion.
        lighting: The light.
        sensor: The exposure.
        shell: Indices of `surfaces` that throw no shadows: walls, ceiling, ground.
    """

    surfaces: tuple[Surface, ...]
    T_camera_world: NDArray[np.float64]
    camera: Camera
    lighting: Lighting
    sensor: Sensor
    shell: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Checks the camera.

        Raises:
            ValueError: The camera has distortion.
        """
        if self.camera.has_distortion:
            raise ValueError(
                f"Scene: expected a camera without distortion, got {self.camera.distortion_model} {self.camera.d}; "
                "render with the pinhole camera and distort the picture"
            )

    @property
    def people(self) -> int:
        """Number of people."""
        return 1 + max((surface.person for surface in self.surfaces), default=-1)


def render_scene(scene: Scene) -> tuple[NDArray[np.uint8], Dense]:
    """Returns the (H, W, 3) uint8 RGB picture of a scene and what is true of its pixels."""
    picture, view = picture_and_view(scene)
    return picture, dense_of(view)


def picture_and_view(scene: Scene) -> tuple[NDArray[np.uint8], View]:
    """Returns the picture of a scene, (H, W, 3) uint8 RGB, and its geometry."""
    triangles = triangles_of(scene.surfaces)
    view = view_of(triangles, scene.camera, scene.T_camera_world, scene.people)
    casters = triangles.take(~np.isin(triangles.surface, scene.shell))
    shadows = [shadow_map(light, casters) if light.shadows else None for light in scene.lighting.lights]
    position = -scene.T_camera_world[:3, :3].T @ scene.T_camera_world[:3, 3]
    materials = [material for surface in scene.surfaces for material in surface.materials]
    light = shade(view, scene.camera, position, materials, scene.lighting, shadows)
    return develop(light, scene.sensor), view


def dense_of(view: View) -> Dense:
    """Returns what is true of the pixels of a view."""
    return Dense(view.instance, view.part, view.depth.astype(np.float16))
