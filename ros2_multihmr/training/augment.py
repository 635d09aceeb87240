"""Augmentation: a sample seen otherwise. Camera and labels move along exactly; nothing changes its depth.

Zooming is cropping: the network's input is scaled to fit, so that a window of the image looks like a longer lens.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from ros2_multihmr.samples.sample import Dense, Labels, Sample
from ros2_multihmr.settings import Settings, setting
from ros2_multihmr.training import pixels
from ros2_multihmr.training.mirror import Mirror


@dataclass(frozen=True)
class AugmentConfig(Settings):
    """Settings of `Augment`. Each chance is of an image's own; 0 turns an augmentation off."""

    flip: float = setting(0.5, "Chance that the image is mirrored", low=0.0, high=1.0)
    zoom: float = setting(0.5, "Chance of a window of the image, or of a margin around it", low=0.0, high=1.0)
    zoom_in: float = setting(1.8, "Most that a window is smaller than the image", low=1.0, high=8.0)
    zoom_out: float = setting(1.3, "Most that image and margin are larger than the image", low=1.0, high=4.0)
    aspect: float = setting(1.2, "Most that the window's width over height differs from the image's", low=1.0, high=3.0)
    coarse: float = setting(0.15, "Chance of fewer pixels", low=0.0, high=1.0)
    coarsest: float = setting(0.4, "Fewest pixels per side, of what there were", low=0.05, high=1.0)
    color: float = setting(0.8, "Chance of other brightness, contrast, saturation and hue", low=0.0, high=1.0)
    brightness: float = setting(0.3, "Most that brightness changes, as a factor around 1", low=0.0, high=0.9)
    contrast: float = setting(0.3, "Most that contrast changes, as a factor around 1", low=0.0, high=0.9)
    saturation: float = setting(0.4, "Most that saturation changes, as a factor around 1", low=0.0, high=1.0)
    hue_deg: float = setting(12.0, "Most that hue turns [degrees]", low=0.0, high=180.0)
    gray: float = setting(0.05, "Chance of no colour", low=0.0, high=1.0)
    blur: float = setting(0.15, "Chance of blur", low=0.0, high=1.0)
    blur_px: float = setting(1.5, "Strongest blur, standard deviation [px]", low=0.0, high=20.0)
    noise: float = setting(0.2, "Chance of noise", low=0.0, high=1.0)
    noise_level: float = setting(12.0, "Strongest noise, standard deviation of 255 [levels]", low=0.0, high=100.0)
    jpeg: float = setting(0.2, "Chance of JPEG's artefacts", low=0.0, high=1.0)
    jpeg_worst: int = setting(30, "Lowest quality of JPEG", low=1, high=100)
    erase: float = setting(0.25, "Chance that boxes hide parts of the image", low=0.0, high=1.0)
    erase_most: int = setting(3, "Most boxes", low=1, high=20)
    erase_area: float = setting(0.08, "Largest box, of the image's area", low=0.0, high=0.5)


class Augment:
    """Augments samples of one body: a pure function of the sample and the random numbers."""

    def __init__(self, config: AugmentConfig, mirror: Mirror) -> None:
        self._config, self._mirror = config, mirror

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Returns the sample, seen otherwise.

        Args:
            sample: A sample without lens distortion; not changed.
            rng: What the changes are drawn from.
        """
        config = self._config
        if rng.random() < config.flip:
            sample = self._mirror.sample(sample)
        if rng.random() < config.zoom:
            sample = crop(sample, draw_window(sample, config, rng))
        if rng.random() < config.coarse:
            factor = rng.uniform(config.coarsest, 1.0)
            camera = sample.camera
            sample = resize(sample, max(1, round(camera.width * factor)), max(1, round(camera.height * factor)))
        if rng.random() < config.erase:
            for _ in range(rng.integers(1, config.erase_most + 1)):
                sample = erase(sample, draw_box(sample.image.shape, config.erase_area, rng), rng)
        return replace(sample, image=_other_pixels(sample.image, config, rng))


@dataclass(frozen=True)
class Window:
    """A rectangle of an image's pixels; parts of it may lie outside: first column and row, width, height [px]."""

    x: int
    y: int
    width: int
    height: int


def crop(sample: Sample, window: Window) -> Sample:
    """Returns the window of the sample, black where it lies outside of the image."""
    camera = sample.camera.crop(window.x, window.y, window.width, window.height)
    dense = sample.dense and Dense(*(_cut(field, window) for field in vars(sample.dense).values()))
    seen = camera.contains(camera.project(sample.labels.keypoints))
    labels = _less_seen(sample.labels, seen, sample.dense, dense)
    return replace(sample, image=_cut(sample.image, window), camera=camera, labels=labels, dense=dense)


def resize(sample: Sample, width: int, height: int) -> Sample:
    """Returns the sample with other pixels: averages of what they cover; truth per pixel is that of their centres."""
    image = np.asarray(cv2.resize(sample.image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    dense = sample.dense
    if dense is not None:
        rows = np.minimum((np.arange(height) + 0.5) * dense.depth.shape[0] / height, dense.depth.shape[0] - 1)
        columns = np.minimum((np.arange(width) + 0.5) * dense.depth.shape[1] / width, dense.depth.shape[1] - 1)
        pick = np.ix_(rows.astype(np.intp), columns.astype(np.intp))
        dense = Dense(dense.instance[pick], dense.part[pick], dense.depth[pick])
    return replace(sample, image=image, camera=sample.camera.resized(width, height), dense=dense)


def erase(sample: Sample, box: Window, rng: np.random.Generator) -> Sample:
    """Returns the sample with something in front of it: a box, plain or of noise."""
    area = np.s_[box.y : box.y + box.height, box.x : box.x + box.width]
    image = sample.image.copy()
    plain, grain = rng.integers(0, 256, 3), rng.uniform(0.0, 80.0) * (rng.random() < 0.5)
    content = rng.normal(plain, grain, image[area].shape)
    image[area] = np.clip(content, 0, 255).astype(np.uint8)
    dense = sample.dense
    if dense is not None:
        fields = {name: field.copy() for name, field in vars(dense).items()}
        for field in fields.values():
            field[area] = 0
        dense = Dense(**fields)
    px = sample.camera.project(sample.labels.keypoints)
    first = np.array([box.x, box.y]) - 0.5
    hidden = np.all((px >= first) & (px < first + (box.width, box.height)), axis=-1)
    return replace(
        sample, image=image, labels=_less_seen(sample.labels, np.logical_not(hidden), sample.dense, dense), dense=dense
    )


def draw_window(sample: Sample, config: AugmentConfig, rng: np.random.Generator) -> Window:
    """Draws a window; a smaller one shows the head of somebody whom the image shows, if there is anybody."""
    camera = sample.camera
    # Half of the windows are smaller, half larger; either evenly in the logarithm.
    zoom = float(config.zoom_in ** rng.random() if rng.random() < 0.5 else config.zoom_out ** -rng.random())
    stretch = float(config.aspect ** rng.uniform(-0.5, 0.5))
    width = max(16, round(camera.width / zoom * stretch))
    height = max(16, round(camera.height / zoom / stretch))
    heads = camera.project(sample.labels.center)
    heads = heads[camera.contains(heads) & (sample.labels.visibility > 0.0)]
    head = heads[rng.integers(len(heads))] if len(heads) else np.array([camera.width, camera.height]) * rng.random(2)
    return Window(_start(camera.width, width, head[0], rng), _start(camera.height, height, head[1], rng), width, height)


def draw_box(shape: tuple[int, ...], largest: float, rng: np.random.Generator) -> Window:
    """Draws a box inside an image of this shape, of up to `largest` of its area."""
    height, width = shape[:2]
    area, stretch = largest * rng.uniform(0.1, 1.0), 2.0 ** rng.uniform(-1.0, 1.0)
    box_width = int(np.clip(np.sqrt(area * stretch) * width, 1, width))
    box_height = int(np.clip(np.sqrt(area / stretch) * height, 1, height))
    x, y = rng.integers(0, width - box_width + 1), rng.integers(0, height - box_height + 1)
    return Window(int(x), int(y), box_width, box_height)


def _start(image: int, window: int, inside: float, rng: np.random.Generator) -> int:
    """First pixel of a window along one side: within the image if it is smaller, around it if larger."""
    low, high = min(0, image - window), max(0, image - window)
    if window < image:
        low, high = max(low, int(np.ceil(inside)) - window + 1), min(high, int(np.floor(inside)))
    return int(rng.integers(low, max(low, high) + 1))


def _cut(field: NDArray, window: Window) -> NDArray:
    out = np.zeros((window.height, window.width, *field.shape[2:]), field.dtype)
    rows, columns = (
        (max(0, start), min(size, start + length))
        for start, length, size in ((window.y, window.height, field.shape[0]), (window.x, window.width, field.shape[1]))
    )
    if rows[0] < rows[1] and columns[0] < columns[1]:
        there = np.s_[rows[0] - window.y : rows[1] - window.y, columns[0] - window.x : columns[1] - window.x]
        out[there] = field[slice(*rows), slice(*columns)]
    return out


def _less_seen(labels: Labels, seen: NDArray[np.bool_], before: Dense | None, after: Dense | None) -> Labels:
    """Labels after only `seen` keypoints (P, K), and those pixels that `after` has, remained of what was visible."""
    visible = labels.keypoint_visible * seen.astype(np.float32)
    if before is None or after is None:  # without truth per pixel, the keypoints stand for the silhouette
        had, kept = labels.keypoint_visible.sum(axis=1), visible.sum(axis=1)
    else:
        had, kept = (
            np.bincount(dense.instance.ravel(), minlength=len(labels) + 1)[1 : len(labels) + 1]
            for dense in (before, after)
        )
    share = (kept / np.maximum(had, 1)).astype(np.float32)
    return replace(labels, keypoint_visible=visible, visibility=labels.visibility * share)


def _other_pixels(image: NDArray[np.uint8], config: AugmentConfig, rng: np.random.Generator) -> NDArray[np.uint8]:
    if rng.random() < config.color:
        factors = [1.0 + rng.uniform(-most, most) for most in (config.brightness, config.contrast, config.saturation)]
        image = pixels.recolor(image, *factors, hue_deg=rng.uniform(-config.hue_deg, config.hue_deg))
    if rng.random() < config.gray:
        image = pixels.recolor(image, 1.0, 1.0, 0.0, hue_deg=0.0)
    if rng.random() < config.blur:
        image = pixels.blur(image, rng.uniform(0.0, config.blur_px))
    if rng.random() < config.noise:
        image = pixels.add_noise(image, rng.uniform(0.0, config.noise_level), rng)
    if rng.random() < config.jpeg:
        image = pixels.as_jpeg(image, int(rng.integers(config.jpeg_worst, 101)))
    return image
