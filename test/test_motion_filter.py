"""What the tracker knows beside places: how people move, how noisy the detector is, who is still there."""

from __future__ import annotations

import numpy as np
import pytest

from ros2_multihmr.tracking.detector_noise import DetectorNoise
from ros2_multihmr.tracking.existence import Existence
from ros2_multihmr.tracking.motion_filter import MotionFilter
from ros2_multihmr.tracking.symmetric import entries, full, inverse_and_determinant, squares

SIGMA, COUNT, DT = 0.05, 400, 1 / 30


def follow(path, rng) -> tuple[MotionFilter, np.ndarray]:
    """The filter after people were seen along (F, 3) places, and their true velocity then."""
    noise = np.tile(SIGMA**2 * np.eye(3), (COUNT, 1, 1))
    people = MotionFilter.begin(path[0] + rng.normal(0, SIGMA, (COUNT, 3)), noise, 0.2)
    for place in path[1:]:
        people = people.predicted(DT).updated(place + rng.normal(0, SIGMA, (COUNT, 3)), noise)
    return people, (path[-1] - path[-2]) / DT


def inside(people: MotionFilter, velocity) -> float:
    """Part of the velocities within the ellipsoid that should hold 90 %."""
    off, spread = people.motion.velocity - velocity, people.motion.covariance[:, 3:, 3:]
    return float((np.einsum("ni,nij,nj->n", off, np.linalg.inv(spread), off) < 6.251).mean())


def steady(frames: int):
    return np.arange(frames)[:, None] * DT * np.array([1.0, 0.0, 0.3])


def turning(frames: int):
    angle = 1.5 * np.arange(frames) * DT
    return 0.7 * np.stack([np.cos(angle), 0 * angle, np.sin(angle)], axis=1)


def test_who_goes_steadily_has_a_surer_velocity_than_who_turns():
    rng = np.random.default_rng(0)
    straight, velocity = follow(steady(90), rng)
    curved, turning_velocity = follow(turning(90), rng)
    assert straight.weight[:, 0].mean() > 0.7 > 0.5 > curved.weight[:, 0].mean()
    spread = [np.trace(p.motion.covariance[:, 3:, 3:], axis1=1, axis2=2).mean() for p in (straight, curved)]
    assert spread[0] < 0.6 * spread[1]
    assert inside(straight, velocity) > 0.85 and inside(curved, turning_velocity) > 0.75


def test_weights_are_probabilities_and_covariances_can_be():
    people, _ = follow(turning(40), np.random.default_rng(1))
    later = people.predicted(3600.0)
    np.testing.assert_allclose(later.weight.sum(axis=1), 1.0)
    assert (np.linalg.eigvalsh(people.motion.covariance) > 0).all() and np.isfinite(later.motion.covariance).all()


def test_no_time_changes_nothing_and_nobody_is_nobody():
    people, _ = follow(steady(5), np.random.default_rng(2))
    assert people.predicted(0.0) is people
    nobody = people.select(np.zeros(0, np.intp)).predicted(0.1)
    assert len(nobody.motion) == 0 and len(nobody.join(people)) == COUNT


def test_together_is_as_alone():
    people, _ = follow(turning(20), np.random.default_rng(3))
    measured, noise = people.motion.position[:2] + 0.1, np.tile(0.01 * np.eye(3), (2, 1, 1))
    both = people.select(np.array([0, 1])).predicted(DT).updated(measured, noise)
    one = people.select(np.array([1])).predicted(DT).updated(measured[1:], noise[1:])
    np.testing.assert_allclose(both.motion.velocity[1], one.motion.velocity[0])


def test_symmetric_matrices_are_inverted_as_lapack_does():
    rng = np.random.default_rng(4)
    root = rng.normal(size=(5, 4, 3, 3)) * np.array([1.0, 0.01, 100.0])[:, None]
    matrices, vectors = root @ root.swapaxes(-1, -2), rng.normal(size=(5, 4, 3))
    inverse, determinant = inverse_and_determinant(entries(matrices))
    np.testing.assert_allclose(full(entries(matrices)), matrices, rtol=1e-12)
    np.testing.assert_allclose(full(inverse) @ matrices, np.broadcast_to(np.eye(3), matrices.shape), atol=1e-5)
    np.testing.assert_allclose(determinant, np.linalg.det(matrices), rtol=1e-6)
    expected = np.einsum("abi,abij,abj->ab", vectors, full(inverse), vectors)
    np.testing.assert_allclose(squares(inverse, *np.moveaxis(vectors, -1, 0)), expected)


# --- the detector's noise -------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_the_detectors_noise_is_learned_along_and_across_the_ray(factor: float):
    rng, noise = np.random.default_rng(0), DetectorNoise(0.25)
    ray = np.tile([0.0, 0.0, 1.0], (10, 1))
    for _ in range(400):
        sigma = np.array([0.02 * noise.across, 0.02 * noise.across, 0.4 * noise.along])
        off = rng.normal(0, 1, (10, 3)) * np.array([0.02, 0.02, 0.1 * factor])
        noise = noise.learned(off, np.tile(np.diag(sigma**2), (10, 1, 1)), ray)
    assert noise.along == pytest.approx(0.25 * factor, rel=0.15) and noise.across == pytest.approx(1.0, rel=0.15)


def test_nobody_and_a_mistaken_person_teach_little():
    noise = DetectorNoise(0.25)
    assert noise.learned(np.zeros((0, 3)), np.zeros((0, 3, 3)), np.zeros((0, 3))) is noise
    wild = noise.learned(np.full((1, 3), 100.0), np.eye(3)[None], np.array([[0.0, 0.0, 1.0]]))
    assert noise.along < wild.along < 1.1 * noise.along


# --- existence ------------------------------------------------------------------------------------


def after(misses: int, *, hits: int = 30, score: float = 0.8, every: int = 1) -> float:
    """Probability that somebody is there who was found `hits` times, every so many images, and then missed."""
    one = Existence.begin(np.array([score]))
    for i in range(1, hits * every):
        one = one.predicted(DT)
        one = one.missed() if i % every else one.seen(np.array([score]))
    for _ in range(misses):
        one = one.predicted(DT).missed()
    return float(one.there[0])


def test_who_is_missed_once_is_there_and_who_stays_away_is_not():
    chances = [after(misses) for misses in (0, 1, 15, 60, 150)]
    assert chances[0] > 0.98 and chances[1] > 0.95 and chances[2] > 0.6 and chances[4] < 0.2
    assert (np.diff(chances) < 0).all()


def test_a_weak_detection_that_never_comes_back_is_believed_less_than_somebody_known():
    assert after(3, hits=1, score=0.3) < 0.4 < after(3)


def test_who_is_found_seldom_is_believed_longer_after_a_few_misses_than_the_detector_lets_expect():
    one = Existence.begin(np.array([0.9, 0.9]))
    for i in range(1, 60):
        seen = one.predicted(DT)
        found, lost = seen.seen(np.array([0.9, 0.9])), seen.missed()
        one = found if i % 3 == 0 else found.select(np.array([0])).join(lost.select(np.array([1])))
    assert one.detection[1] < 0.7 < one.detection[0]
    for _ in range(2):
        one = one.predicted(DT).missed()
    assert one.visible[1] > one.visible[0]


def test_who_comes_back_from_being_hidden_is_there_for_sure():
    one = Existence.begin(np.array([0.8]))
    for _ in range(20):
        one = one.predicted(DT).seen(np.array([0.8]))
    for _ in range(30):
        one = one.predicted(DT).missed()
    assert one.predicted(DT).seen(np.array([0.8])).there[0] > 0.9
