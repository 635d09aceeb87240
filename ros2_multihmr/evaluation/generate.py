"""Samples from seeds, on several cores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import lru_cache, partial
from multiprocessing import get_context
from typing import Any

from ros2_multihmr.body import create_body
from ros2_multihmr.body.body_model import BodyModel
from ros2_multihmr.samples.sample import Sample
from ros2_multihmr.synthesis.config import SceneConfig


def generate(seeds: Sequence[int], scene: Mapping[str, Any], body: str, workers: int) -> Iterator[Sample]:
    """Makes synthetic images and their people, without the truth per pixel.

    Args:
        seeds: One per image.
        scene: Values of `SceneConfig`.
        body: Name of the people's body.
        workers: Processes that make them; 1: this one alone.

    Yields:
        Samples in the order of the seeds.

    Raises:
        ValueError: The scene has settings that this version of the package does not know.
    """
    _config(scene)
    make = partial(_sample, scene=dict(scene), body=body)
    if workers <= 1 or len(seeds) <= 1:
        yield from map(make, seeds)
        return
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:  # `synthesize` takes one core each
        yield from pool.map(make, seeds, chunksize=4)


def _sample(seed: int, scene: Mapping[str, Any], body: str) -> Sample:
    from ros2_multihmr.synthesis.synthetic import synthesize  # here: who reads frozen images needs no renderer

    return replace(synthesize(seed, _config(scene), _body(body)), dense=None)


def _config(scene: Mapping[str, Any]) -> SceneConfig:
    try:
        return SceneConfig(**scene)
    except TypeError as error:
        raise ValueError(f"settings of the scenes: {error}; this version of the package has others") from error


@lru_cache(maxsize=1)
def _body(name: str) -> BodyModel:
    return create_body(name)
