"""`multihmr benchmark node`: what the node adds to the network's time, or the whole chain, between real processes."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import rclpy
from numpy.typing import NDArray
from PIL import Image
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions

from ros2_multihmr.assets import asset
from ros2_multihmr.backends.onnxruntime_backend import ONNX_SUFFIX
from ros2_multihmr.camera import Camera
from ros2_multihmr.estimator import Estimator, create_estimator
from ros2_multihmr.estimator_config import EstimatorConfig
from ros2_multihmr.hardware import hardware
from ros2_multihmr.humans import Humans
from ros2_multihmr.measuring.crowd import network_call, with_people
from ros2_multihmr.measuring.limits import plain_settings
from ros2_multihmr.measuring.turns import Latency
from ros2_multihmr.openmp import aside
from ros2_multihmr.report import open_report, tell
from ros2_multihmr.ros.multihmr_node import MultiHMRNode
from ros2_multihmr.ros.node import stop_on_signals
from ros2_multihmr.ros.processes import ProcessGroup, local_environment, random_domain, ros_arguments
from ros2_multihmr.ros.run import CAMERA_MODULE, NODE_REMAPS
from ros2_multihmr.ros.serve import autostart
from ros2_multihmr.ros.sink import MODULE as SINK_MODULE
from ros2_multihmr.ros.sink import Arrival, arrivals
from ros2_multihmr.settings import setting
from ros2_multihmr.sources import read_image
from ros2_multihmr.stopwatch import Stopwatch
from ros2_multihmr.verbs.benchmark import stage_times, times_section

_WARM_UP = 10
_MOST_CANDIDATES, _LOWEST_SCORE = 200, 1e-6  # suppressed candidates have the score 0
_FOV_DEG = 60.0
_LIMIT_S, _PATIENCE = 60.0, 10.0  # before the first image, and for those that follow: so many times their due


@dataclass(frozen=True)
class Options(EstimatorConfig):
    """Measures a real node between a camera process and a subscriber process, from decoding to publishing.

    Unless `network` is given, the people are found once and then replayed, so that the network's own time stays out.
    """

    people: int = setting(10, "People in the image", low=1, high=100)
    width: int = setting(1280, "Image width [px]", low=1, high=10000)
    height: int = setting(720, "Image height [px]", low=1, high=10000)
    network: bool = setting(False, "Run the network on every image, too: the whole chain")
    image_transport: str = setting("raw", "How the images travel; compressed: as JPEG", choices=("raw", "compressed"))
    mesh_lod: str = setting("reduced", "Mesh of the markers", choices=("reduced", "full"))
    rate_hz: float = setting(10.0, "Images per second [Hz]", low=0.1, high=1000.0)
    images: int = setting(100, "Measured images, after a few to warm up", low=1, high=100000)
    out: str = setting("", "Folder for node.json and node.md, or chain.json and chain.md; empty: only show")


class Replay(Estimator):
    """An estimator that has the same people ready for every image.

    Attributes:
        humans: They.
    """

    def __init__(self, estimator: Estimator, humans: Humans) -> None:
        super().__init__(estimator.backend, estimator.body, estimator.config)
        self.humans = humans

    def estimate(
        self, image: NDArray[np.uint8], camera: Camera, *, vertices: bool = False, stopwatch: Stopwatch | None = None
    ) -> Humans:
        """Returns the people."""
        return self.humans

    def with_config(self, config: EstimatorConfig) -> Replay:
        """Settings change nothing."""
        return self


@dataclass(frozen=True)
class Chain:
    """What was measured.

    Attributes:
        runs: Seconds per stage of every image that the node published.
        rate_hz: At which people arrived in the subscriber's process [Hz].
        age: From the stamp, which the camera gives an image as it sends it, to the subscriber's callback.
    """

    runs: list[dict[str, float]]
    rate_hz: float
    age: Latency

    def note(self) -> str:
        """Returns what the subscriber saw, in a sentence."""
        return (
            f"In the subscriber's process: people at {self.rate_hz:.1f} Hz, {self.age.median_ms:.1f} ms (median), "
            f"{self.age.p95_ms:.1f} ms (95 %) and {self.age.p99_ms:.1f} ms (99 %) after the camera sent the image."
        )


def main(options: Options) -> int:
    """Runs the verb; returns 0, or 1 if images were lost on the way."""
    console = open_report(options.out)
    os.environ.update(local_environment(os.environ) | random_domain())
    image = read_image(asset("samples/basketball.jpg"))
    image = np.asarray(cv2.resize(image, (options.width, options.height), interpolation=cv2.INTER_AREA), np.uint8)
    with console.status(f"{options.people} people, {options.images} images at {options.rate_hz:g} Hz"):
        estimator = aside(lambda: finding(image, options) if options.network else find_people(image, options))
        chain = measure(estimator, image, options)
    if chain is None:
        console.print(f"fewer than {options.images} images came through: this machine is too busy to measure")
        return 1
    times, network = stage_times(chain.runs), estimator.backend.config
    what = (
        f"the whole chain with {network.weights} ({network.image_size} px)"
        if options.network
        else "the node without its network"
    )
    title = (
        f"{what}: {options.people} people, {options.mesh_lod} meshes, "
        f"{options.width}x{options.height} images, {options.image_transport}, at {options.rate_hz:g} Hz"
    )
    received = {"rate_hz": chain.rate_hz, "age": asdict(chain.age)}
    tell(
        console, options.out, "chain" if options.network else "node", [times_section(title, times, [chain.note()])],
        hardware(str(estimator.backend.device)),
        settings=asdict(options), stages=[asdict(time) for time in times], received=received,
    )  # fmt: skip
    return 0


def finding(image: NDArray[np.uint8], options: Options) -> Estimator:
    """Returns an estimator that finds so many people in the image, see `with_people`."""
    slots = options.max_humans if options.weights.endswith(ONNX_SUFFIX) else max(options.max_humans, options.people)
    estimator = create_estimator(EstimatorConfig(**plain_settings(replace(options, max_humans=slots))))
    call = network_call(estimator, [image], Camera.from_fov(options.width, options.height, _FOV_DEG))
    return with_people(estimator, options.people, call.raw.scores_map)


def find_people(image: NDArray[np.uint8], options: Options) -> Replay:
    """Takes the best candidates in the image for people, whatever their score.

    Raises:
        ValueError: There are fewer candidates than people asked for.
    """
    config = EstimatorConfig(**plain_settings(options))
    estimator = create_estimator(replace(config, detection_threshold=_LOWEST_SCORE, max_humans=_MOST_CANDIDATES))
    camera = Camera.from_fov(options.width, options.height, _FOV_DEG)
    humans = estimator.estimate(image, camera, vertices=options.mesh_lod == "full")
    if len(humans) < options.people:
        raise ValueError(f"the image has {len(humans)} candidates for people; ask for no more with --people")
    return Replay(estimator, humans.select(np.arange(options.people)))


def measure(estimator: Estimator, image: NDArray[np.uint8], options: Options) -> Chain | None:
    """Runs the graph until so many images are published, those for warming up left out; None if they are not."""
    stop, told = stop_on_signals(), list[str]()
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    try:
        node = _node(estimator, options)
        runs = _record_stages(node)
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        wanted = options.images + _WARM_UP
        on_line = lambda name, line: told.append(line) if name == "sink" else None  # noqa: E731
        with tempfile.TemporaryDirectory() as folder, ProcessGroup(on_line, os.environ) as group:
            Image.fromarray(image).save(Path(folder) / "image.png")
            transport = options.image_transport
            camera = {"source": folder, "rate_hz": options.rate_hz, "fov_deg": _FOV_DEG, "image_transport": transport}
            group.start("camera", CAMERA_MODULE, ros_arguments(camera))
            group.start("sink", SINK_MODULE, [])
            deadline = time.monotonic() + _LIMIT_S + _PATIENCE * wanted / options.rate_hz
            while len(runs) < wanted and time.monotonic() < deadline and not stop.is_set():
                executor.spin_once(timeout_sec=0.1)
        node.trigger_shutdown()
        node.destroy_node()
    finally:
        rclpy.try_shutdown()
    seen = arrivals(told)[_WARM_UP:]
    return Chain(runs[_WARM_UP:], *_received(seen)) if len(runs) >= wanted and len(seen) > 1 else None


def _received(seen: Sequence[Arrival]) -> tuple[float, Latency]:
    rate_hz = (len(seen) - 1) / (seen[-1].at_s - seen[0].at_s)
    return rate_hz, Latency.of([1e-3 * one.age_ms for one in seen])


def _node(estimator: Estimator, options: Options) -> MultiHMRNode:
    parameters = {
        **plain_settings(estimator.config),
        "markers_rate_hz": 0.0,
        "mesh_lod": options.mesh_lod,
        "image_transport": options.image_transport,
        "tf_is_demand": False,
        "track_begin_score": 0.0,  # the candidates are followed, whatever their score
    }
    overrides = [Parameter(name, value=value) for name, value in parameters.items()]
    remaps = ["--ros-args", *(part for name, topic in NODE_REMAPS.items() for part in ("-r", f"{name}:={topic}"))]
    node = MultiHMRNode(lambda config: estimator, parameter_overrides=overrides, cli_args=remaps)
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
