"""Smoothing: calm motion of tracked people, causal, without a frame of delay.

Positions are filtered in the tracker's fixed frame, along the camera's ray and across it apart; the root's rotation in
the same frame and every joint's on SO(3); the expression as it is; the shape is averaged, because nobody's changes. See
`one_euro` for the filters, and `reposing.reposed` for the people that follow from the smoothed parameters.

The rotations' cutoffs are meant for 30 images a second and more. Where fewer come, they are lower by the square root of
that: fewer images hold less to average over, and a lag that is the same part of the time between two images is longer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ros2_multihmr.rotations import rotmat_to_quaternion_xyzw
from ros2_multihmr.tracking.one_euro import Limb, Trend, follow_limb, follow_point, follow_rotation, lowpass
from ros2_multihmr.tracking.quaternions import conjugate, exponential, in_rows, logarithm, multiply
from ros2_multihmr.tracking.reposing import Parameters
from ros2_multihmr.tracking.tracker_config import SmoothingConfig
from ros2_multihmr.tracking.tracks import Tracked, TrackState

Array = NDArray[np.floating]
_State = TypeVar("_State", Trend, Limb)
_FULL_RATE_S = 1 / 30  # time between images for which the rotations' cutoffs are meant
_NEW_PERIOD, _PAUSE_S = 0.1, 0.5  # share of an image in the mean time between images; longer ones are a pause


@dataclass(frozen=True)
class _Memory:
    """Filter states of M people.

    Attributes:
        ids: (M,) their ids.
        place: Of (M, 3) positions in the fixed frame.
        turn: Of (M, 4) rotations of the root in the fixed frame.
        limbs: Of (M, R - 1, 4) the other rotations.
        expression, expression_rate: (M, E).
        shape: (M, S) average.
        images: (M,) number of images in it.
    """

    ids: NDArray[np.int64]
    place: Trend
    turn: Trend
    limbs: Limb
    expression: Array
    expression_rate: Array
    shape: Array
    images: Array

    def select(self, keep: NDArray[np.intp]) -> _Memory:
        """People with the indices `keep`."""
        if len(keep) == len(self.ids) and (keep[:-1] < keep[1:]).all():
            return self
        return _Memory(
            self.ids[keep],
            Trend(*(values[keep] for values in self.place)),
            Trend(*(values[keep] for values in self.turn)),
            Limb(*(in_rows(values[keep]) for values in self.limbs)),
            self.expression[keep],
            self.expression_rate[keep],
            self.shape[keep],
            self.images[keep],
        )

    def put(self, places: NDArray[np.intp], other: _Memory) -> _Memory:
        """These people, but at `places` the others."""
        if len(places) == len(self.ids):
            return other

        def both(mine: Array, theirs: Array) -> Array:
            mine = mine.copy(order="K")
            mine[places] = theirs
            return mine

        return _Memory(
            self.ids,
            Trend(*map(both, self.place, other.place)),
            Trend(*map(both, self.turn, other.turn)),
            Limb(*map(both, self.limbs, other.limbs)),
            *(both(getattr(self, name), getattr(other, name)) for name in _ARRAYS),
        )


_ARRAYS = ("expression", "expression_rate", "shape", "images")


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
        self._stamp_s, self._period_s = -np.inf, 0.0
        self._rotation, self._turn = np.eye(3), np.array([0.0, 0.0, 0.0, 1.0])  # from the camera to the fixed frame

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
        dt_s = float(stamp_s - self._stamp_s)
        self._stamp_s, self._period_s = stamp_s, _period(self._period_s, dt_s)
        if not np.array_equal(tracked.transform[:3, :3], self._rotation):
            self._rotation = tracked.transform[:3, :3].copy()
            self._turn = rotmat_to_quaternion_xyzw(self._rotation)
        smoothed = self._smoothed(_measure(tracked, self._turn), tracked, dt_s)
        self._memory = smoothed.select(np.flatnonzero(tracked.tracks.states != TrackState.LOST))
        return self._parameters(smoothed, tracked)

    def _smoothed(self, measured: _Memory, tracked: Tracked, dt_s: float) -> _Memory:
        """The measurements of those who are new, filtered those of all others."""
        if self._memory is None or not len(self._memory.ids) or not len(measured.ids):
            return measured
        order = np.argsort(self._memory.ids)
        here = np.searchsorted(self._memory.ids, measured.ids, sorter=order).clip(max=len(order) - 1)
        here = order[here]
        known = np.flatnonzero(self._memory.ids[here] == measured.ids)
        before, now = self._memory.select(here[known]), measured.select(known)
        unseen = (tracked.tracks.states[known] >= TrackState.PREDICTED)[:, None]
        ray = _rays(now.place.value, tracked.transform)
        return measured.put(known, self._step(before, now, ray, unseen, dt_s))

    def _step(self, before: _Memory, now: _Memory, ray: Array, unseen: NDArray[np.bool_], dt_s: float) -> _Memory:
        c, few = self.config, min(1.0, _FULL_RATE_S / max(self._period_s, 1e-9)) ** 0.5
        place = follow_point(
            now.place.value, ray, before.place, dt_s, c.smooth_across_hz, c.smooth_along_hz, c.smooth_position_beta
        )
        turn, limbs = now.turn, now.limbs
        if c.smooth_turn_hz > 0.0:
            turn = follow_rotation(turn.value, before.turn, dt_s, few * c.smooth_turn_hz, few * c.smooth_turn_beta)
            turn = _still(turn, before.turn, unseen)
        if c.smooth_limbs_hz > 0.0:
            limbs = follow_limb(limbs.value, before.limbs, dt_s, few * c.smooth_limbs_hz, few * c.smooth_limbs_beta)
            limbs = _still(limbs, before.limbs, unseen[..., None])
        expression, rate = lowpass(
            now.expression, before.expression, before.expression_rate, dt_s, c.smooth_expression_hz,
            c.smooth_expression_beta,
        )  # fmt: skip
        images = before.images + ~unseen[:, 0]
        gain = np.maximum(1.0 / images, 1.0 - np.exp(-dt_s / max(c.smooth_shape_s, 1e-9)))[:, None]
        return _Memory(
            ids=now.ids,
            place=place,
            turn=turn,
            limbs=limbs,
            expression=np.where(unseen, before.expression, expression),
            expression_rate=np.where(unseen, 0.0, rate),
            shape=np.where(unseen, before.shape, before.shape + gain * (now.shape - before.shape)),
            images=images,
        )

    def _parameters(self, smoothed: _Memory, tracked: Tracked) -> Parameters:
        c, raw = self.config, Parameters.of(tracked.humans)
        rotation, translation = tracked.transform[:3, :3], tracked.transform[:3, 3]
        rotvecs = raw.rotvecs
        if c.smooth_turn_hz > 0.0 or c.smooth_limbs_hz > 0.0:
            rotvecs = raw.rotvecs.copy()
        if c.smooth_turn_hz > 0.0:
            rotvecs[:, 0] = logarithm(multiply(conjugate(self._turn), smoothed.turn.value))
        if c.smooth_limbs_hz > 0.0:
            rotvecs[:, 1:] = logarithm(smoothed.limbs.value)
        position_is_raw = c.smooth_across_hz == 0.0 and c.smooth_along_hz == 0.0
        return Parameters(
            rotvecs=rotvecs,
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


def _still(after: _State, before: _State, unseen: NDArray[np.bool_]) -> _State:
    """What comes after; where nobody was seen, what was before, at rest."""
    if not unseen.any():
        return after
    rest = before._replace(speed=np.zeros_like(before.speed), rate=np.zeros_like(before.rate))
    return type(after)(*(np.where(unseen, a, b) for a, b in zip(rest, after)))


def _period(before: float, dt_s: float) -> float:
    """Mean time between images [s], of late; 0 if it is not known."""
    if dt_s == 0.0 or not np.isfinite(dt_s):
        return before
    dt_s = min(dt_s, _PAUSE_S)
    return before + _NEW_PERIOD * (dt_s - before) if before else dt_s


def _measure(tracked: Tracked, turn: Array) -> _Memory:
    """People's raw parameters in the fixed frame, as the states of those who begin; `turn`: the camera's, in it."""
    humans, rotation, translation = tracked.humans, tracked.transform[:3, :3], tracked.transform[:3, 3]
    place, rotvecs = humans.origin @ rotation.T + translation, in_rows(humans.rotvecs[:, 1:])
    still, at_rest = np.zeros_like(place), np.zeros_like(rotvecs)
    return _Memory(
        ids=tracked.tracks.ids.astype(np.int64),
        place=Trend(place, still, still),
        turn=Trend(multiply(turn, exponential(humans.rotvecs[:, 0].astype(np.float64))), still, still),
        limbs=Limb(exponential(rotvecs), at_rest, at_rest, at_rest),
        expression=humans.expression.astype(np.float64),
        expression_rate=np.zeros(humans.expression.shape),
        shape=humans.shape.astype(np.float64),
        images=np.ones(len(humans)),
    )
