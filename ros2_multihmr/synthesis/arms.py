"""What people do with an arm: angles by name [degrees], of one side, drawn anew every time."""

from __future__ import annotations

import numpy as np

from ros2_multihmr.synthesis.angles import SIDES

Angles = dict[str, float]
Rng = np.random.Generator


def hanging(rng: Rng, side: str) -> Angles:
    """An arm that hangs down."""
    return {
        f"{side}_arm_flex": rng.normal(-2, 6),
        f"{side}_arm_abduct": rng.uniform(8, 18),
        f"{side}_arm_twist": rng.uniform(0, 30),
        f"{side}_elbow": rng.uniform(8, 30),
        f"{side}_pronate": rng.uniform(-10, 40),
    }


def on_hip(rng: Rng, side: str) -> Angles:
    """A hand on the hip."""
    return {
        f"{side}_arm_flex": rng.uniform(-28, -18),
        f"{side}_arm_abduct": rng.uniform(42, 52),
        f"{side}_arm_twist": rng.uniform(48, 60),
        f"{side}_elbow": rng.uniform(92, 106),
        f"{side}_pronate": rng.uniform(10, 40),
        f"{side}_wrist_flex": rng.uniform(-35, -10),
        f"{side}_shrug": rng.uniform(0, 8),
    }


def in_pocket(rng: Rng, side: str) -> Angles:
    """A hand in the trousers' pocket, or near it."""
    return {
        f"{side}_arm_flex": rng.uniform(-22, -10),
        f"{side}_arm_abduct": rng.uniform(16, 24),
        f"{side}_arm_twist": rng.uniform(10, 25),
        f"{side}_elbow": rng.uniform(35, 50),
        f"{side}_pronate": rng.uniform(0, 20),
    }


def waving(rng: Rng, side: str) -> Angles:
    """A raised forearm that waves."""
    return {
        f"{side}_arm_flex": rng.uniform(10, 50),
        f"{side}_arm_abduct": rng.uniform(60, 110),
        f"{side}_arm_twist": rng.uniform(-70, -45),
        f"{side}_elbow": rng.uniform(60, 115),
        f"{side}_pronate": rng.uniform(30, 75),
        f"{side}_wrist_side": rng.uniform(-20, 15),
    }


def phone_at_ear(rng: Rng, side: str) -> Angles:
    """A phone at the ear."""
    return {
        f"{side}_arm_flex": rng.uniform(35, 55),
        f"{side}_arm_abduct": rng.uniform(25, 45),
        f"{side}_arm_twist": rng.uniform(-30, -10),
        f"{side}_elbow": rng.uniform(132, 142),
        f"{side}_pronate": rng.uniform(-10, 15),
        f"{side}_shrug": rng.uniform(0, 10),
        "tilt": rng.uniform(2, 12) * (1 if side == "right" else -1),
    }


def phone_before(rng: Rng, side: str) -> Angles:
    """A phone held before the chest, looked at."""
    return {
        f"{side}_arm_flex": rng.uniform(15, 40),
        f"{side}_arm_abduct": rng.uniform(5, 15),
        f"{side}_arm_twist": rng.uniform(15, 35),
        f"{side}_elbow": rng.uniform(85, 118),
        f"{side}_pronate": rng.uniform(-70, -35),
        "nod": rng.uniform(15, 35),
        "gaze_down": rng.uniform(5, 20),
    }


def pointing(rng: Rng, side: str) -> Angles:
    """Reaching or pointing."""
    return {
        f"{side}_arm_flex": rng.uniform(45, 110),
        f"{side}_arm_abduct": rng.uniform(-20, 60),
        f"{side}_arm_twist": rng.uniform(-20, 40),
        f"{side}_elbow": rng.uniform(2, 35),
        f"{side}_pronate": rng.uniform(-10, 70),
        f"{side}_protract": rng.uniform(0, 15),
        f"{side}_shrug": rng.uniform(0, 10),
    }


def raised(rng: Rng, side: str) -> Angles:
    """An arm overhead."""
    return {
        f"{side}_arm_flex": rng.uniform(130, 170),
        f"{side}_arm_abduct": rng.uniform(-5, 35),
        f"{side}_arm_twist": rng.uniform(-30, 30),
        f"{side}_elbow": rng.uniform(5, 70),
        f"{side}_pronate": rng.uniform(-30, 50),
        f"{side}_shrug": rng.uniform(10, 25),
    }


def sideways(rng: Rng, side: str) -> Angles:
    """An arm stretched out to the side."""
    return {
        f"{side}_arm_flex": rng.uniform(-5, 25),
        f"{side}_arm_abduct": rng.uniform(50, 100),
        f"{side}_arm_twist": rng.uniform(-40, 20),
        f"{side}_elbow": rng.uniform(0, 45),
        f"{side}_pronate": rng.uniform(0, 70),
        f"{side}_shrug": rng.uniform(0, 12),
    }


def carrying(rng: Rng, side: str) -> Angles:
    """A forearm held out: carries a cup or a bag."""
    return {
        f"{side}_arm_flex": rng.uniform(0, 25),
        f"{side}_arm_abduct": rng.uniform(6, 16),
        f"{side}_arm_twist": rng.uniform(0, 20),
        f"{side}_elbow": rng.uniform(65, 100),
        f"{side}_pronate": rng.uniform(-40, 70),
    }


def at_face(rng: Rng, side: str) -> Angles:
    """A hand at the chin or the face."""
    return {
        f"{side}_arm_flex": rng.uniform(38, 55),
        f"{side}_arm_abduct": rng.uniform(0, 12),
        f"{side}_arm_twist": rng.uniform(25, 40),
        f"{side}_elbow": rng.uniform(132, 143),
        f"{side}_pronate": rng.uniform(-20, 30),
    }


def crossed(rng: Rng) -> Angles:
    """Both arms crossed before the chest."""
    angles = {"protract": rng.uniform(8, 16)}
    for side, higher in zip(SIDES, (1, 0), strict=True):
        angles |= {
            f"{side}_arm_flex": rng.uniform(30, 38) + 8 * higher,
            f"{side}_arm_abduct": rng.uniform(4, 10),
            f"{side}_arm_twist": rng.uniform(62, 72),
            f"{side}_elbow": rng.uniform(98, 108),
            f"{side}_pronate": rng.uniform(0, 30),
        }
    return angles


def joined_before(rng: Rng) -> Angles:
    """Both hands joined before the belly."""
    return {
        "arm_flex": rng.uniform(8, 18),
        "arm_abduct": rng.uniform(8, 14),
        "arm_twist": rng.uniform(42, 50),
        "elbow": rng.uniform(55, 90),
        "pronate": rng.uniform(0, 40),
    }


def joined_behind(rng: Rng) -> Angles:
    """Both hands behind the back."""
    return {
        "arm_flex": rng.uniform(-36, -28),
        "arm_abduct": rng.uniform(14, 20),
        "arm_twist": rng.uniform(40, 55),
        "elbow": rng.uniform(38, 55),
        "pronate": rng.uniform(10, 50),
    }


def behind_head(rng: Rng) -> Angles:
    """Both hands behind the head."""
    return {
        "arm_flex": rng.uniform(95, 115),
        "arm_abduct": rng.uniform(48, 62),
        "arm_twist": rng.uniform(-62, -45),
        "elbow": rng.uniform(128, 140),
        "shrug": rng.uniform(5, 18),
    }


# What one arm does, and how often when people stand.
ONE = (
    *((hanging, 5.0), (on_hip, 1.0), (in_pocket, 1.0), (waving, 0.7), (phone_at_ear, 0.6), (phone_before, 0.8)),
    *((pointing, 1.0), (raised, 0.5), (sideways, 0.5), (carrying, 1.0), (at_face, 0.5)),
)
BOTH = ((crossed, 1.0), (joined_before, 0.8), (joined_behind, 0.5), (behind_head, 0.3))


def two_arms(rng: Rng) -> Angles:
    """Both arms: often at rest, sometimes with something to do together, sometimes each on its own."""
    kind = rng.random()
    if kind < 0.2:
        chances = np.array([chance for _, chance in BOTH])
        return BOTH[rng.choice(len(BOTH), p=chances / chances.sum())][0](rng)
    chances = np.array([chance for _, chance in ONE])
    chances /= chances.sum()
    first = ONE[rng.choice(len(ONE), p=chances)][0]
    other = first if rng.random() < 0.25 else ONE[rng.choice(len(ONE), p=chances)][0]
    if kind < 0.45:
        first = other = hanging
    return first(rng, "left") | other(rng, "right")
