"""Refiner: a second look at everybody who was found, in several crops each, in the same full camera.

All crops of all people of an image are one batch of the network (arXiv:2402.02074, `model.multi_crop`). Who stands too
near the border or is too small stays as first found. Scores, order and covariance are always the first pass's.
"""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ros2_multihmr.backends.blocks import choose_blocks, replace_blocks
from ros2_multihmr.body.body_model import BodyOutput
from ros2_multihmr.camera import Camera
from ros2_multihmr.crops import network_crops, person_crops
from ros2_multihmr.estimator import Estimator
from ros2_multihmr.humans import Humans
from ros2_multihmr.model.crop_cameras import CropBoxes
from ros2_multihmr.model.crop_encoders import TimmEncoder
from ros2_multihmr.model.crop_regressor import BodyState, state_of
from ros2_multihmr.model.embedded import open_multi_crop
from ros2_multihmr.model.multi_crop import CropPeople, MultiCrop, pose_people
from ros2_multihmr.model.multi_crop_config import MultiCropConfig
from ros2_multihmr.people import People, describe_people, pixel_bounds
from ros2_multihmr.preprocess import check_image
from ros2_multihmr.rectify import Rectifier
from ros2_multihmr.refining.first_pass import FirstPass, roi_align
from ros2_multihmr.refining.outcomes import Outcome, Refinement, judge
from ros2_multihmr.refining.refiner_config import RefinerConfig
from ros2_multihmr.rotations import rotvec_to_rotmat
from ros2_multihmr.stopwatch import Stopwatch
from ros2_multihmr.uncertainty import ASSUMED

_SEED = 0  # of crops drawn at random: the same ones in every image


def create_refiner(config: RefinerConfig, estimator: Estimator) -> Refiner | None:
    """Opens the network of the second look, if there is to be one.

    Args:
        config: Settings.
        estimator: Who looks first; the refiner shares its body and device.

    Returns:
        None if `refine` is false.

    Raises:
        WeightsError: There are no weights, or they are damaged; says what to do.
        ValueError: They are for another body, or for another first network.
    """
    if not config.refine:
        return None
    return Refiner(open_multi_crop(config.refiner_weights), estimator, config)


class Refiner:
    """Looks at people again.

    Attributes:
        network: The network.
        config: Settings; may be exchanged between two images.
    """

    def __init__(self, network: MultiCrop, estimator: Estimator, config: RefinerConfig) -> None:
        """Joins a network and what an estimator has: body, device and, if the network wants them, its features.

        Raises:
            ValueError: The network was made for another body, or for another first network.
        """
        _check_match(network.config, estimator)
        self.network, self.config = network.eval().requires_grad_(False), config
        self._body, self._device = estimator.body, estimator.backend.device
        _hasten(network, self._device)
        self._first_pass = FirstPass(estimator, network.config) if network.config.encoder == "roi" else None
        self._rectifier: Rectifier | None = None
        self.load()

    def load(self) -> None:
        """Takes the device's memory again after `unload`; a new refiner has it. The body is the estimator's matter."""
        self.network.to(self._device)

    def unload(self) -> None:
        """Gives the device's memory back until `load`."""
        self.network.to("cpu")

    @torch.inference_mode()
    def refine(
        self, image: NDArray[np.uint8], camera: Camera, humans: Humans, *, stopwatch: Stopwatch | None = None
    ) -> Refinement:
        """Looks again at the people of an image, with full meshes if they came with theirs.

        Args:
            image: (H, W, 3) uint8 RGB.
            camera: The camera that took it; lens distortion is accounted for.
            humans: Whom the estimator found in it, just before: there may be features of its network to read, too.
            stopwatch: Takes the time of the stages crops, second look and merge.

        Raises:
            ValueError: The image is not uint8 RGB, or not of its camera's size.
            FloatingPointError: The network returned a number that is not finite.
            RuntimeError: The first network's features are wanted, and it has not looked at this image.
        """
        watch = stopwatch or Stopwatch()
        pinhole, bounds, outcomes = self._judged(image, camera, humans)
        chosen = np.flatnonzero(outcomes == Outcome.REFINED)
        if not len(chosen):
            return Refinement(humans, outcomes)
        before = humans.select(chosen)
        with watch.stage("crops"):
            boxes = self._boxes(bounds[chosen])
            crops = self._crops(image, camera, pinhole, boxes)
        with watch.stage("second look"):
            people = self._look(crops, boxes, before, pinhole)
            posed = pose_people(self._body, people, vertices=humans.has_vertices)
            posed = BodyOutput(*(tensor.cpu() for tensor in posed))
        with watch.stage("merge"):
            sound = _visible(posed, camera)
            outcomes[chosen[~sound]] = Outcome.IMPOSSIBLE
            after = self._described(people, posed, before, camera, np.flatnonzero(sound))
            return Refinement(_replaced(humans, chosen[sound], after), outcomes)

    @torch.inference_mode()
    def features(self, image: NDArray[np.uint8], camera: Camera, humans: Humans) -> Tensor:
        """Returns the encoder's features (P, N, D) of the P people who are looked at again; see `refine`."""
        pinhole, bounds, outcomes = self._judged(image, camera, humans)
        boxes = self._boxes(bounds[outcomes == Outcome.REFINED])
        return self.network.encode(self._crops(image, camera, pinhole, boxes))

    def _judged(
        self, image: NDArray[np.uint8], camera: Camera, humans: Humans
    ) -> tuple[Camera, NDArray[np.floating], NDArray[np.int64]]:
        """A camera without distortion, everybody's box in its image, and who is looked at."""
        check_image(image, camera)
        pinhole = self._pinhole(camera)
        bounds = humans.bbox if pinhole is camera else pixel_bounds(pinhole.project(humans.vertices_lod))
        return pinhole, bounds, judge(bounds, humans, pinhole, self.config)

    def _pinhole(self, camera: Camera) -> Camera:
        """The camera without its lens's distortion, whose image `Rectifier` makes."""
        if not camera.has_distortion:
            return camera
        if self._rectifier is None or self._rectifier.raw != camera:
            self._rectifier = Rectifier(camera, camera.k)
        return self._rectifier.camera

    def _boxes(self, bounds: NDArray[np.floating]) -> CropBoxes:
        generator = torch.Generator().manual_seed(_SEED)
        boxes = person_crops(torch.from_numpy(bounds.astype(np.float32)), self.network.config, generator)
        return CropBoxes(*(edges.to(self._device) for edges in boxes))

    def _crops(self, image: NDArray[np.uint8], camera: Camera, pinhole: Camera, boxes: CropBoxes) -> Tensor:
        """What the encoder reads, of all crops of all people."""
        config = self.network.config
        if self._first_pass is not None:
            return roi_align(self._first_pass.features(camera), boxes, config.bins, camera, pinhole)
        if pinhole is not camera and self._rectifier is not None:
            image = self._rectifier(image)
        writable = np.require(image, requirements=("C", "W"))  # a message's bytes are not, and torch warns of others
        pixels = torch.from_numpy(writable).to(self._device).permute(2, 0, 1)[None]
        of_image = torch.zeros(len(boxes.size), dtype=torch.int64, device=self._device)
        return network_crops(pixels, of_image, boxes, config.size)

    def _look(self, crops: Tensor, boxes: CropBoxes, before: Humans, pinhole: Camera) -> CropPeople:
        k = torch.from_numpy(pinhole.k.astype(np.float32)).to(self._device).expand(len(before), -1, -1)
        people: CropPeople = self.network(crops, boxes, k, self._start(before, boxes, k))
        for name in ("rotmats", "shape", "expression", "translation"):
            if not torch.isfinite(getattr(people, name)).all():
                raise FloatingPointError(
                    f"second look: the network {self.network.config.weights!r} returned {name} that are not finite: "
                    "the weights are damaged; get or train them again"
                )
        return people

    def _start(self, before: Humans, boxes: CropBoxes, k: Tensor) -> BodyState | None:
        if self.network.config.start != "first_pass":
            return None
        rotmats, shape, expression, root = (
            torch.from_numpy(np.asarray(array, np.float32)).to(self._device)
            for array in (rotvec_to_rotmat(before.rotvecs), before.shape, before.expression, before.joints[:, 0])
        )
        return state_of(self.network.config, rotmats, shape, expression, root, boxes, k)

    def _described(
        self, people: CropPeople, posed: BodyOutput, before: Humans, camera: Camera, sound: NDArray[np.intp]
    ) -> Humans:
        """Those of the people who are where the camera sees, with what the first pass knew of them."""
        first = before.select(sound)
        nowhere = np.zeros((len(first), 2), np.float32)  # loc_px: no description reads it
        known = People(
            np.zeros(len(first), np.int64), first.scores, nowhere, first.translation[:, 2],
            *(tensor.cpu()[sound] for tensor in (people.rotmats, people.shape, people.expression)),
        )  # fmt: skip
        posed = BodyOutput(*(tensor[sound] for tensor in posed))
        described = describe_people(known, posed, self._body.info, camera, ASSUMED)
        return replace(described, covariance=first.covariance)


def _visible(posed: BodyOutput, camera: Camera) -> NDArray[np.bool_]:
    """(N,) who is in front of the camera, and somewhere in what its lens can show."""
    mesh = posed.vertices_lod.numpy()
    seen = np.isfinite(camera.project(mesh)[..., 0]).any(axis=1)
    visible: NDArray[np.bool_] = seen & (mesh[..., 2].min(axis=1) > 0.0)
    return visible


def _replaced(humans: Humans, rows: NDArray[np.intp], after: Humans) -> Humans:
    """The people, those of `rows` as `after` has them."""
    changed = {}
    for name in (field.name for field in fields(Humans) if field.name != "body"):
        changed[name] = getattr(humans, name).copy()
        changed[name][rows] = getattr(after, name)
    return replace(humans, **changed)


def _hasten(network: MultiCrop, device: torch.device) -> None:
    """Gives a transformer's blocks the way that the device likes best."""
    if not isinstance(network.encoder, TimmEncoder):
        shape = network.config.width, network.config.heads
        kind = choose_blocks("auto", device, torch.float32, *shape)
        replace_blocks(network.encoder.blocks, kind, torch.float32)


def _check_match(network: MultiCropConfig, estimator: Estimator) -> None:
    info, body = estimator.body.info, estimator.backend.config.body
    wanted = (network.num_rotations, network.num_shape, network.num_expression)
    has = (len(info.posed_joints), len(info.shape_names), len(info.expression_names))
    if (network.body, wanted) != (body, has):
        raise ValueError(
            f"second look: the weights {network.weights!r} are for the body {network.body} with {wanted[0]} rotations, "
            f"{wanted[1]} shape and {wanted[2]} expression parameters, but who looks first has {body} with {has[0]}, "
            f"{has[1]} and {has[2]}; train a refiner for it, or set refine to false"
        )
