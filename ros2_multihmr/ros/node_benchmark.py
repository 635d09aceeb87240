"""`multihmr benchmark node`: what the node adds to the network's time, between real processes."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import rclpy
from multihmr.msg import HumanArray
from numpy.typing import NDArray
from PIL import Image
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from rich.console import Console
from tf2_msgs.msg import TFMessage
from visualization_msgs.msg import MarkerArray

from ros2_multihmr.assets import asset
from ros2_multihmr.benchmark import show_times, stage_times, write_times
from ros2_multihmr.camera import Camera
from ros2_multihmr.estimator import Estimator, create_estimator
from ros2_multihmr.estimator_config import EstimatorConfig
from ros2_multihmr.hardware import hardware
from ros2_multihmr.humans import Humans
from ros2_multihmr.ros.multihmr_node import MultiHMRNode
from ros2_multihmr.ros.node import stop_on_signals
from ros2_multihmr.ros.processes import ProcessGroup, local_environment, random_domain, ros_arguments
from ros2_multihmr.ros.run import CAMERA_MODULE, NODE_REMAPS
from ros2_multihmr.ros.serve import autostart
from ros2_multihmr.settings import Settings, setting
from ros2_multihmr.sources import read_image
from ros2_multihmr.stopwatch import Stopwatch

_MODULE = "ros2_multihmr.ros.node_benchmark"
_WARM_UP = 10
_MOST_CANDIDATES, _LOWEST_SCORE = 200, 1e-6  # suppressed candidates have the score 0
_FOV_DEG = 60.0
_LIMIT_S = 60.0
_OUTPUTS = {"/multihmr/humans": HumanArray, "/multihmr/markers": MarkerArray, "/tf": TFMessage}


@dataclass(frozen=True)
class Options(Settings):
    """Measures converting, tracking and publishing: a real node between a camera process and a subscriber process.

    The people are found once and then replayed, so that the network's own time stays out.
    """

    people: int = setting(10, "People in the image", low=1, high=100)
    width: int = setting(1280, "Image width [px]", low=1, high=10000)
    height: int = setting(720, "Image height [px]", low=1, high=10000)
    mesh_lod: str = setting("reduced", "Mesh of the markers", choices=("reduced", "full"))
    rate_hz: float = setting(10.0, "Images per second [Hz]", low=0.1, high=1000.0)
    images: int = setting(100, "Measured images, after a few to warm up", low=1, high=100000)
    out: str = setting("", "Folder for node.json and node.md; empty: only show")


class Replay(Estimator):
    """An estimator that has the same people ready for every image."""

    def __init__(self, estimator: Estimator, humans: Humans) -> None:
        super().__init__(estimator.backend, estimator.body, estimator.config)
        self._humans = humans

    def estimate(
        self, image: NDArray[np.uint8], camera: Camera, *, vertices: bool = False, stopwatch: Stopwatch | None = None
    ) -> Humans:
        """Returns the people."""
        return self._humans

    def with_config(self, config: EstimatorConfig) -> Replay:
        """Settings change nothing."""
        return self


def main(options: Options) -> int:
    """Runs the verb; returns 0, or 1 if images were lost on the way."""
    console = Console()
    os.environ.update(local_environment(os.environ) | random_domain())
    image = read_image(asset("samples/basketball.jpg"))
    image = np.asarray(cv2.resize(image, (options.width, options.height), interpolation=cv2.INTER_AREA), np.uint8)
    with console.status(f"{options.people} people, {options.images} images at {options.rate_hz:g} Hz"):
        runs = measure(find_people(image, options), image, options)
    if len(runs) < options.images:
        console.print(f"{len(runs)} of {options.images} images came through: this machine is too busy to measure")
        return 1
    times = stage_times(runs)
    title = (
        f"the node without its network: {options.people} people, {options.mesh_lod} meshes, "
        f"{options.width}x{options.height} images"
    )
    show_times(console, title, times)
    if options.out:
        write_times(Path(options.out), "node", title, times, asdict(options), hardware())
        console.print(f"written: {options.out}/node.json and node.md")
    return 0


def find_people(image: NDArray[np.uint8], options: Options) -> Replay:
    """Takes the best candidates in the image for people, whatever their score.

    Raises:
        ValueError: There are fewer candidates than people asked for.
    """
    estimator = create_estimator(EstimatorConfig(detection_threshold=_LOWEST_SCORE, max_humans=_MOST_CANDIDATES))
    camera = Camera.from_fov(options.width, options.height, _FOV_DEG)
    humans = estimator.estimate(image, camera, vertices=options.mesh_lod == "full")
    if len(humans) < options.people:
        raise ValueError(f"the image has {len(humans)} candidates for people; ask for no more with --people")
    return Replay(estimator, humans.select(np.arange(options.people)))


def measure(replay: Replay, image: NDArray[np.uint8], options: Options) -> list[dict[str, float]]:
    """Returns seconds per stage for every image that the node published, those for warming up left out."""
    stop = stop_on_signals()
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    try:
        node = _node(replay, options)
        runs = _record_stages(node)
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        with tempfile.TemporaryDirectory() as folder, ProcessGroup(lambda name, line: None, os.environ) as group:
            Image.fromarray(image).save(Path(folder) / "image.png")
            camera = {"source": folder, "rate_hz": options.rate_hz, "fov_deg": _FOV_DEG}
            group.start("camera", CAMERA_MODULE, ros_arguments(camera))
            group.start("sink", _MODULE, [])
            deadline = time.monotonic() + _LIMIT_S + (options.images + _WARM_UP) / options.rate_hz
            while len(runs) < options.images + _WARM_UP and time.monotonic() < deadline and not stop.is_set():
                executor.spin_once(timeout_sec=0.1)
        node.trigger_shutdown()
        node.destroy_node()
    finally:
        rclpy.try_shutdown()
    return runs[_WARM_UP:]


def _node(replay: Replay, options: Options) -> MultiHMRNode:
    parameters = {
        "markers_rate_hz": 0.0,
        "mesh_lod": options.mesh_lod,
        "tf_is_demand": False,
        "track_begin_score": 0.0,  # the candidates are followed, whatever their score
    }
    overrides = [Parameter(name, value=value) for name, value in parameters.items()]
    remaps = ["--ros-args", *(part for name, topic in NODE_REMAPS.items() for part in ("-r", f"{name}:={topic}"))]
    node = MultiHMRNode(lambda config: cast(Estimator, replay), parameter_overrides=overrides, cli_args=remaps)
    autostart(node)
    return node


def _record_stages(node: MultiHMRNode) -> list[dict[str, float]]:
    """Makes the node's statistics keep every image's stages; they are added up and forgotten otherwise."""
    runs: list[dict[str, float]] = []
    published = node.statistics.published

    def record(stage_s: Mapping[str, float], *rest: Any) -> None:
        wanted = {"convert in", "track", "convert out", "publish"}
        if wanted <= set(stage_s):
            runs.append(dict(stage_s))
        published(stage_s, *rest)

    node.statistics.published = record  # type: ignore[method-assign, assignment]
    return runs


def _sink() -> None:
    """Subscribes to what the node publishes, and throws it away."""
    stop = stop_on_signals()
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node, executor = rclpy.create_node("sink"), SingleThreadedExecutor()
    qos = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
    for topic, kind in _OUTPUTS.items():
        node.create_subscription(kind, topic, lambda raw: None, qos, raw=True)
    executor.add_node(node)
    while not stop.is_set():
        executor.spin_once(timeout_sec=0.1)
    rclpy.try_shutdown()


if __name__ == "__main__":
    _sink()
