"""Our network and the official one, turn by turn, on the same pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ros2_multihmr.backends.backend import Backend
from ros2_multihmr.camera import Camera
from ros2_multihmr.estimator import Estimator
from ros2_multihmr.measuring.limits import precision_of
from ros2_multihmr.measuring.options import Options
from ros2_multihmr.measuring.peer import Found, Peer, open_peer
from ros2_multihmr.measuring.turns import Latency, Stages, now, take_turns
from ros2_multihmr.measuring.variants import Variant
from ros2_multihmr.model.config import PATCH
from ros2_multihmr.model.raw_outputs import RawOutputs
from ros2_multihmr.preprocess import preprocess

HEADINGS = (
    *("network alone", "people", "median [ms]", "95 % [ms]", "99 % [ms]", "times as fast as official float32"),
    *("also found by that", "farthest apart [px]"),
)
COVERS = (
    "Official: the network of the given checkout, in this process, turn by turn with ours: from normalised pixels to "
    "rotations, shape, expression, places and distances, in eager PyTorch, the backbone's attention on SDPA, 16 bits "
    "through autocast as in its demo. Without its body model, resizing and drawing; ours are without these here, too. "
    "Same weights, same image, the same number of best candidates. It gets the padded square, as it wants it."
)
FIRST = "official, float32"
_NETWORK = "network"


@dataclass(frozen=True)
class Ours:
    """One of our variants, ready to run for some number of people.

    Attributes:
        backend: Runs it.
        pixels, k: Its input.
        threshold: Which so many candidates pass.
    """

    backend: Backend
    pixels: Tensor
    k: Tensor
    threshold: float

    def run(self) -> RawOutputs:
        """Runs the network."""
        return self.backend.infer(self.pixels, self.k, self.threshold)


@dataclass(frozen=True)
class Theirs:
    """The official network, ready to run for some number of people; see `Peer.infer`."""

    peer: Peer
    pixels: Tensor
    k: Tensor
    threshold: float
    nms_kernel: int
    precision: str

    def run(self) -> Found:
        """Runs the network."""
        return self.peer.infer(self.pixels, self.k, self.threshold, self.nms_kernel, self.precision)


@dataclass(frozen=True)
class Comparison:
    """One network beside the official one in float32.

    Attributes:
        name: Which network.
        people: How many were asked for.
        latency: Its own.
        times_faster: Median of the official one in float32 over its own.
        found: How many people it found, and how many of the official one's are among them.
        farthest_px: Greatest distance between the two places of somebody whom both found [px]; 0 without anybody.
    """

    name: str
    people: int
    latency: Latency
    times_faster: float
    found: tuple[int, int]
    farthest_px: float

    def cells(self) -> tuple[str, ...]:
        """Returns the row for `HEADINGS`."""
        latency = self.latency
        times = (f"{value:.2f}" for value in (latency.median_ms, latency.p95_ms, latency.p99_ms, self.times_faster))
        share = f"{self.found[1]} of {self.people}"
        return self.name, str(self.people), *times, share, f"{self.farthest_px:.3g}"


def beside_official(
    options: Options,
    variants: Sequence[Variant],
    crowds: Mapping[tuple[str, int], Estimator],
    image: NDArray[np.uint8],
    camera: Camera,
    watched: Callable[[Sequence[int]], Iterable[int]] = iter,
) -> list[Comparison]:
    """Measures the variants' networks and the official one for every number of people.

    Args:
        options: What is asked for; weights and `peer` among it.
        variants: Ours.
        crowds: Their estimators, by name and number of people, see `crowd.with_people`.
        image: (H, W, 3) uint8 RGB.
        camera: Its camera.
        watched: See `take_turns`.

    Raises:
        ValueError: See `open_peer`.
    """
    first = variants[0].estimator.backend
    peer = open_peer(options.peer, options.peer_backbone, options.weights, first.device)
    pixels, k, _ = preprocess([image], [camera], first.config.image_size)
    sixteen = {precision_of(one.estimator.config): 0 for one in variants}
    found: list[Comparison] = []
    for count in sorted({count for _, count in crowds}):
        chosen = [(one, crowds[one.name, count].config) for one in variants if (one.name, count) in crowds]
        threshold = chosen[0][1].detection_threshold
        official = Theirs(peer, pixels, k, threshold, options.nms_kernel, "float32")
        networks: dict[str, Ours | Theirs] = {FIRST: official}
        for name in sixteen:
            networks[f"official, {name}"] = replace(official, precision=name)
        for one, config in chosen:
            call = one.call
            networks[one.name] = Ours(one.estimator.backend, call.pixels, call.k, config.detection_threshold)
        people = count or len(official.run().scores)
        found += compare_networks(networks, people, first.device, options.repeats, watched)
    return found


def compare_networks(
    networks: Mapping[str, Ours | Theirs],
    people: int,
    device: torch.device,
    repeats: int,
    watched: Callable[[Sequence[int]], Iterable[int]] = iter,
) -> list[Comparison]:
    """Runs networks turn by turn.

    Args:
        networks: By name; `FIRST` is among them.
        people: How many each was told to find.
        device: Where they run.
        repeats: Runs of each.
        watched: See `take_turns`.
    """
    seen = {name: _found(network.run()) for name, network in networks.items()}
    runs = {name: partial(_timed, network, device) for name, network in networks.items()}
    times = {
        name: Latency.of([run[_NETWORK] for run in calls])
        for name, calls in take_turns(runs, repeats, watched=watched).items()
    }
    return [
        Comparison(name, people, times[name], times[FIRST].median_ms / times[name].median_ms, *apart(seen[FIRST], one))
        for name, one in seen.items()
    ]


def apart(expected: Found, came: Found) -> tuple[tuple[int, int], float]:
    """Compares where two networks place people: within a token of each other they are the same.

    Returns:
        How many came, and how many of those expected are among them; and the greatest distance of these [px].
    """
    count = len(came.loc_px)
    if not count or not len(expected.loc_px):
        return (count, 0), 0.0
    nearest = torch.cdist(expected.loc_px.double().cpu(), came.loc_px.double().cpu()).amin(1).numpy()
    both = nearest[nearest < PATCH]
    return (count, len(both)), float(np.max(both, initial=0.0))


def _timed(network: Ours | Theirs, device: torch.device) -> Stages:
    start = now(device)
    network.run()
    return {_NETWORK: now(device) - start}


def _found(result: RawOutputs | Found) -> Found:
    if isinstance(result, Found):
        return result
    return Found(result.scores[0][result.mask[0]], result.loc_px[0][result.mask[0]])
