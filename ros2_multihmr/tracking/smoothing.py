"""Smoothing: calm motion of tracked people, causal, without a frame of delay.

Positions are filtered in the tracker's fixed frame, along the camera's ray and across it apart; every joint's rotation
on SO(3); the expression as it is; the shape is averaged, because nobody's changes. See `one_euro` for the filters, and
`reposing.reposed` for the people that follow from the smoothed parameters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ros2_multihmr.rotations import rotmat_to_quaternion_xyzw
from ros2_multihmr.tracking.one_euro import (
    Trend,
    exponential,
    follow_point,
    follow_rotation,
    logarithm,
    lowpass,
    multiply,
)
from ros2_multihmr.tracking.reposing import Parameters
from ros2_multihmr.tracking.tracker import Tracked, TrackState
from ros2_multihmr.tracking.tracker_config import SmoothingConfig

Array = NDArray[np.floating]


@dataclass(frozen=True)
class _Memory:
    """Filter states of M people.

    Attributes:
        ids: (M,) rising.
        place: Of (M, 3) positions in the fixed frame.
        turn: Of (M, R, 4) rotations, the root's in the fixed frame.
        expression, expression_rate: (M, E).
        shape: (M, S) average.
        images: (M,) number of images in it.
    """

    ids: NDArray[np.int64]
    place: Trend
    turn: Trend
    expression: Array
    expression_rate: Array
    shape: Array
    images: Array

    def select(self, keep: NDArray[np.intp]) -> _Memory:
        """People with the indices `keep`."""
        return _Memory(
            self.ids[keep],
            Trend(*(values[keep] for values in self.place)),
            Trend(*(values[keep] for values in self.turn)),
            self.expression[keep],
            self.expression_rate[keep],
            self.shape[keep],
            self.images[keep],
        )

    def put(self, places: NDArray[np.intp], other: _Memory) -> None:
        """Puts other people's states at `places`."""
        for mine, theirs in zip((*self.place, *self.turn), (*other.place, *other.turn)):
            mine[places] = theirs
        for name in ("expression", "expression_rate", "shape", "images"):
            getattr(self, name)[places] = getattr(other, name)


class Smoother:
    """Smooths tracked people's parameters.

    Attributes:
        config: Settings; may be exchanged between two images.
    """

    def __init__(self, config: SmoothingConfig) -> None:
        self.config = config
        self.reset()

    def reset(self) -> None:
        """Forgets everybody."""
        self._memory: _Memory | None = None
        self._stamp_s = -np.inf

    def update(self, tracked: Tracked, stamp_s: float) -> Parameters:
        """Takes in the people of one image, and returns their smoothed parameters.

        People who are predicted keep their pose, and move as the tracker says.

        Args:
            tracked: N people of one image, as the tracker returned them.
            stamp_s: When [s]; earlier than the last one's: everything starts anew.

        Returns:
            Of the N people; their own arrays for what is not smoothed.
        """
        if not self.config.smooth:
            self.reset()
            return Parameters.of(tracked.humans)
        if stamp_s < self._stamp_s:
            self.reset()
        measured = _measure(tracked)
        smoothed = self._smoothed(measured, tracked, stamp_s - self._stamp_s)
        self._stamp_s = stamp_s
        stays = np.flatnonzero(tracked.tracks.states != TrackState.LOST)
        self._memory = smoothed.select(stays[np.argsort(smoothed.ids[stays])])
        return self._parameters(smoothed, tracked)

    def _smoothed(self, measured: _Memory, tracked: Tracked, dt_s: float) -> _Memory:
        """The measurements of those who are new, filtered those of all others."""
        if self._memory is None or not len(self._memory.ids) or not len(measured.ids):
            return measured
        here = np.searchsorted(self._memory.ids, measured.ids).clip(max=len(self._memory.ids) - 1)
        known = np.flatnonzero(self._memory.ids[here] == measured.ids)
        before, now = self._memory.select(here[known]), measured.select(known)
        unseen = (tracked.tracks.states[known] >= TrackState.PREDICTED)[:, None]
        ray = _rays(now.place.value, tracked.transform)
        measured.put(known, self._step(before, now, ray, unseen, dt_s))
        return measured

    def _step(self, before: _Memory, now: _Memory, ray: Array, unseen: NDArray[np.bool_], dt_s: float) -> _Memory:
        c = self.config
        place = follow_point(
            now.place.value, ray, before.place, dt_s, c.smooth_across_hz, c.smooth_along_hz, c.smooth_position_beta
        )
        expression, rate = lowpass(
            now.expression, before.expression, before.expression_rate, dt_s, c.smooth_expression_hz,
            c.smooth_expression_beta,
        )  # fmt: skip
        images = before.images + ~unseen[:, 0]
        gain = np.maximum(1.0 / images, 1.0 - np.exp(-dt_s / max(c.smooth_shape_s, 1e-9)))[:, None]
        return _Memory(
            ids=now.ids,
            place=place,
            turn=self._turned(before.turn, now.turn, unseen, dt_s),
            expression=np.where(unseen, before.expression, expression),
            expression_rate=np.where(unseen, 0.0, rate),
            shape=np.where(unseen, before.shape, before.shape + gain * (now.shape - before.shape)),
            images=images,
        )

    def _turned(self, before: Trend, now: Trend, unseen: NDArray[np.bool_], dt_s: float) -> Trend:
        if self.config.smooth_rotation_hz == 0.0:
            return now
        after = follow_rotation(
            now.value, before, dt_s, self.config.smooth_rotation_hz, self.config.smooth_rotation_beta
        )
        if not unseen.any():
            return after
        still = Trend(before.value, np.zeros_like(before.speed), np.zeros_like(before.rate))
        return Trend(*(np.where(unseen[..., None], a, b) for a, b in zip(still, after)))

    def _parameters(self, smoothed: _Memory, tracked: Tracked) -> Parameters:
        c, raw = self.config, Parameters.of(tracked.humans)
        rotation, translation = tracked.transform[:3, :3], tracked.transform[:3, 3]
        turn = smoothed.turn.value.copy()
        turn[:, 0] = multiply(rotmat_to_quaternion_xyzw(rotation.T), turn[:, 0])
        position_is_raw = c.smooth_across_hz == 0.0 and c.smooth_along_hz == 0.0
        return Parameters(
            rotvecs=logarithm(turn).astype(np.float32) if c.smooth_rotation_hz else raw.rotvecs,
            shape=smoothed.shape.astype(np.float32) if c.smooth_shape_s else raw.shape,
            expression=smoothed.expression.astype(np.float32) if c.smooth_expression_hz else raw.expression,
            origin=raw.origin if position_is_raw else _origin(smoothed.place.value, rotation, translation),
        )


def _origin(place: Array, rotation: Array, translation: Array) -> NDArray[np.float32]:
    return ((place - translation) @ rotation).astype(np.float32)


def _rays(place: Array, transform: Array) -> Array:
    """(N, 3) unit rays from the camera to places, in the fixed frame; zeros for who is at the camera."""
    away = place - transform[:3, 3]
    rays: Array = away / np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-9)
    return rays


def _measure(tracked: Tracked) -> _Memory:
    """People's raw parameters in the fixed frame, as the states of those who begin."""
    humans, rotation, translation = tracked.humans, tracked.transform[:3, :3], tracked.transform[:3, 3]
    place = humans.origin @ rotation.T + translation
    turn = exponential(humans.rotvecs)
    turn[:, 0] = multiply(rotmat_to_quaternion_xyzw(rotation), turn[:, 0])
    still = np.zeros_like(place)
    return _Memory(
        ids=tracked.tracks.ids.astype(np.int64),
        place=Trend(place, still, still.copy()),
        turn=Trend(turn, np.zeros_like(humans.rotvecs), np.zeros_like(humans.rotvecs)),
        expression=humans.expression.astype(np.float64),
        expression_rate=np.zeros(humans.expression.shape),
        shape=humans.shape.astype(np.float64),
        images=np.ones(len(humans)),
    )
