"""Estimator: image and camera in, all people of the image out. One pass of the network, one of the body."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import fields

import numpy as np
import torch
from numpy.typing import NDArray

from ros2_multihmr.backends.backend import Backend, open_backend
from ros2_multihmr.body import create_body
from ros2_multihmr.body.body_model import BodyInfo, BodyModel, BodyOutput
from ros2_multihmr.camera import Camera
from ros2_multihmr.device_preprocess import DevicePreprocess
from ros2_multihmr.estimator_config import EstimatorConfig
from ros2_multihmr.humans import Humans
from ros2_multihmr.model.config import MultiHMRConfig
from ros2_multihmr.model.raw_outputs import RawOutputs
from ros2_multihmr.model.token_window import TokenWindow
from ros2_multihmr.people import People, describe_people, join_people, people_of, place_people
from ros2_multihmr.preprocess import check_counts, network_view, preprocess
from ros2_multihmr.settings import setting_info
from ros2_multihmr.stopwatch import Stopwatch
from ros2_multihmr.transfer import move_together
from ros2_multihmr.uncertainty import Sigmas, choose_sigmas

_logger = logging.getLogger("ros2_multihmr")


def create_estimator(config: EstimatorConfig, stopwatch: Stopwatch | None = None) -> Estimator:
    """Opens the network and the body whose parameters it estimates.

    Args:
        config: Settings.
        stopwatch: Takes the time of the stages weights (from the file to a network on its device) and body.

    Raises:
        ValueError: Weights, device or body cannot be used; the text says what to do.
        FileNotFoundError: A file is missing; the text says where to get it and where to put it.
    """
    watch = stopwatch or Stopwatch()
    with watch.stage("weights"):
        backend = open_backend(
            config.weights,
            config.device,
            config.backend,
            precision=config.precision,
            threads=config.threads,
            engine_cache=config.engine_cache,
            cuda_graphs=config.cuda_graphs,
            compile=config.compile,
            blocks=config.blocks,
            nms_kernel=config.nms_kernel,
            max_humans=config.max_humans,
        )
    with watch.stage("body"):
        body = create_body(backend.config.body, config.body_models, stored=backend.stored_body)
        return Estimator(backend, body, config)


class Estimator:
    """Finds all people of an image: Multi-HMR (arXiv:2402.14654) with the camera that took it.

    Attributes:
        backend: Runs the network; its `config` names the weights.
        body: The body model, on the backend's device; its `info` names everything.
        config: Settings.
        overflow: People over the threshold that found no slot in the last call, because `max_humans` were better.
    """

    def __init__(self, backend: Backend, body: BodyModel, config: EstimatorConfig) -> None:
        """Joins a network and a body.

        Raises:
            ValueError: The network was made for another body, or exported for another padding.
        """
        _check_match(backend.config, body.info)
        _check_padding(backend, config.padding)
        self.backend, self.body, self.config = backend, body.to(backend.device), config
        self.overflow = 0
        gpu = backend.device.type == "cuda"
        self._preprocess = DevicePreprocess(backend.device) if gpu else preprocess
        # Several estimators share a GPU: none waits for what another one queued.
        self._stream = torch.cuda.Stream(backend.device) if gpu else None

    def load(self) -> None:
        """Takes the device's memory again after `unload`; a new estimator has it.

        Raises:
            MemoryError: The device has no room for the network.
        """
        self.backend.load()
        self.body.to(self.backend.device)

    def unload(self) -> None:
        """Gives the device's memory back until `load`, and keeps weights and body at hand."""
        self.backend.unload()
        self.body.to("cpu")

    def estimate(
        self, image: NDArray[np.uint8], camera: Camera, *, vertices: bool = False, stopwatch: Stopwatch | None = None
    ) -> Humans:
        """Returns the people of one image; see `estimate_batch`."""
        return self.estimate_batch([image], [camera], vertices=vertices, stopwatch=stopwatch)[0]

    @torch.inference_mode()
    def estimate_batch(
        self,
        images: Sequence[NDArray[np.uint8]],
        cameras: Sequence[Camera],
        *,
        vertices: bool = False,
        stopwatch: Stopwatch | None = None,
    ) -> list[Humans]:
        """Returns the people of each image, by falling score, in the optical frame of its camera.

        Args:
            images: B images, (H, W, 3) uint8 RGB.
            cameras: The cameras that took them, of the same sizes; lens distortion is accounted for.
            vertices: True to compute the full meshes, too.
            stopwatch: Takes the time of the stages preprocess, network, body and describe.

        Raises:
            ValueError: An image is not uint8 RGB, or not of its camera's size.
            FloatingPointError: The network returned a number that is not finite.
        """
        watch, config = stopwatch or Stopwatch(), self.config
        with self._own_stream():
            people = self._find(images, cameras, watch)
            with watch.stage("body"):
                views = [network_view(camera, self.backend.config.image_size) for camera in cameras]
                people, centers = place_people(people, views, cameras)
                posed = self._pose(people, centers, vertices)
        with watch.stage("describe"):
            of_image = [np.flatnonzero(people.image == index) for index in range(len(images))]
            given, measured = Sigmas(config.position_sigma_px, config.depth_sigma), self.backend.config.sigmas
            return [
                describe_people(
                    people.select(those),
                    BodyOutput(*(tensor[those] for tensor in posed)),
                    self.body.info,
                    camera,
                    choose_sigmas(given, measured, view.scale[0]),
                )
                for those, camera, view in zip(of_image, cameras, views, strict=True)
            ]

    def _own_stream(self) -> AbstractContextManager[object]:
        return nullcontext() if self._stream is None else torch.cuda.stream(self._stream)

    def _pose(self, people: People, centers: NDArray[np.float32], vertices: bool) -> BodyOutput:
        """The people's geometry on the host: one transfer to the device, and one back."""
        numbers = people.rotmats, people.shape, people.expression, torch.from_numpy(centers)
        posed = self.body(*move_together(numbers, self.backend.device), vertices=vertices)
        return BodyOutput(*move_together(posed, "cpu"))

    def _find(self, images: Sequence[NDArray[np.uint8]], cameras: Sequence[Camera], watch: Stopwatch) -> People:
        """Runs the network, once for all images that need the same tokens."""
        check_counts(images, cameras)
        found, overflow = [], 0
        for window, those in self._windows(cameras).items():
            with watch.stage("preprocess"):
                shown, taken_by = [images[index] for index in those], [cameras[index] for index in those]
                pixels, k, _ = self._preprocess(shown, taken_by, self.backend.config.image_size, window)
            with watch.stage("network"):
                raw = self.backend.infer(pixels, k, self.config.detection_threshold)
                raw = RawOutputs(*move_together(raw, "cpu"))
                found.append(people_of(raw, those))
                overflow += _overflow(raw)
        self.overflow = overflow
        return join_people(found)

    def _windows(self, cameras: Sequence[Camera]) -> dict[TokenWindow, list[int]]:
        """Which images need which tokens."""
        network, only = self.backend.config, self.backend.window
        if only is None and (network.padding if self.config.padding == "auto" else self.config.padding) == "square":
            only = TokenWindow.whole(network.grid)
        windows: dict[TokenWindow, list[int]] = {}
        for index, camera in enumerate(cameras):
            window = only or network_view(camera, network.image_size).window(network.max_humans)
            windows.setdefault(window, []).append(index)
        return windows or {TokenWindow.whole(network.grid): []}

    def with_config(self, config: EstimatorConfig) -> Estimator:
        """Returns an estimator with other run-time settings, which shares this one's network and body.

        Raises:
            ValueError: A setting differs that cannot change at run time.
        """
        for field in fields(EstimatorConfig):
            if not setting_info(field).runtime and getattr(config, field.name) != getattr(self.config, field.name):
                raise ValueError(f"{field.name} cannot change at run time; create a new estimator")
        return Estimator(self.backend, self.body, config)


def _overflow(raw: RawOutputs) -> int:
    overflow = int((raw.found - raw.mask.shape[1]).clamp(min=0).sum())
    if overflow:
        _logger.warning("%d people found no slot; raise max_humans or detection_threshold", overflow)
    return overflow


def _check_padding(backend: Backend, padding: str) -> None:
    if backend.window is None or padding == "auto":
        return
    exported = "square" if backend.window == TokenWindow.whole(backend.config.grid) else "cut"
    if padding != exported:
        raise ValueError(f"padding {padding}: {backend.config.weights} was exported {exported}: leave it at auto")


def _check_match(network: MultiHMRConfig, body: BodyInfo) -> None:
    wanted = (network.num_rotations, network.num_shape, network.num_expression)
    has = (len(body.posed_joints), len(body.shape_names), len(body.expression_names))
    if wanted != has:
        raise ValueError(
            f"the weights {network.weights!r} are for a body with {wanted[0]} rotations, {wanted[1]} shape and "
            f"{wanted[2]} expression parameters, but the body {body.name!r} has {has[0]}, {has[1]} and {has[2]}; "
            "use the body that the weights were trained with, or weights for this body"
        )
