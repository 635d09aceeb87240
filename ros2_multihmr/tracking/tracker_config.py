"""Settings of the tracker and of the smoothing, apart from both: all of them may change at run time."""

from __future__ import annotations

from dataclasses import dataclass

from ros2_multihmr.settings import Settings, setting


@dataclass(frozen=True)
class TrackerConfig(Settings):
    """Settings of the tracker."""

    track_begin_score: float = setting(
        0.3,
        "Score from which a detection begins a track and is matched first; weaker ones only go on with a track, and "
        "are left out where there is none",
        low=0.0,
        high=1.0,
        runtime=True,
    )
    track_show_score: float = setting(
        0.5,
        "Score from which somebody new is told of at once; with a weaker one, from the second image on: a false "
        "detection seldom comes twice",
        low=0.0,
        high=1.0,
        runtime=True,
    )
    track_confirm_images: int = setting(
        3, "Images in which a person must be seen to be predicted when not seen", low=1, high=100, runtime=True
    )
    track_predict_s: float = setting(
        3.0, "Longest time that a person who is not seen is predicted [s]", low=0.0, high=60.0, runtime=True
    )
    track_belief: float = setting(
        0.3,
        "Probability of still being there from which somebody who is not seen is predicted; 0: for track_predict_s",
        low=0.0,
        high=1.0,
        runtime=True,
    )
    track_id_cooldown_s: float = setting(
        10.0,
        "Time for which a lost person's id waits for that person; others get it only afterwards [s]",
        low=0.0,
        high=3600.0,
        runtime=True,
    )
    track_max_ids: int = setting(1000, "Largest id; it bounds the names of the people's frames", low=10, high=1_000_000)
    track_gate: float = setting(
        4.0, "Largest distance from where a person is expected [standard deviations]", low=0.5, high=20.0, runtime=True
    )
    track_agility: float = setting(
        0.2,
        "How readily people change their velocity: spectral density of their acceleration [m^2/s^3]",
        low=0.001,
        high=1000.0,
        runtime=True,
    )
    track_jitter: float = setting(
        0.25,
        "Part of a distance's standard deviation that changes from image to image, to begin with: it is learned "
        "from the people who are followed",
        low=0.01,
        high=1.0,
        runtime=True,
    )
    track_size_sigma_m: float = setting(
        0.012, "Spread of a person's estimated bone lengths [m]; large: size tells nobody apart", low=1e-3, runtime=True
    )
    track_pose_sigma_m: float = setting(
        0.1, "Spread of the joints about the hips from image to image [m]; large: poses tell nobody apart", low=1e-3,
        runtime=True,
    )  # fmt: skip
    track_appearance_sigma: float = setting(
        0.05,
        "Spread of one person's appearances, as 1 - cosine; large: appearances tell nobody apart",
        low=1e-4,
        runtime=True,
    )


@dataclass(frozen=True)
class SmoothingConfig(Settings):
    """Settings of the smoothing; a cutoff of 0 leaves its part raw."""

    smooth: bool = setting(False, "Smooth the people's motion; needs the tracker", runtime=True)
    smooth_across_hz: float = setting(
        0.8, "Cutoff of the position across the ray, for steady motion [Hz]; 0: raw", low=0.0, high=100.0, runtime=True
    )
    smooth_along_hz: float = setting(
        0.3, "Cutoff of the position along the ray, for steady motion [Hz]; 0: raw", low=0.0, high=100.0, runtime=True
    )
    smooth_position_beta: float = setting(
        0.15, "How much faster the position follows who leaves a steady motion [Hz per m/s]", low=0.0, high=1000.0,
        runtime=True,
    )  # fmt: skip
    smooth_turn_hz: float = setting(
        0.4, "Cutoff of the whole body's rotation, for a steady turn [Hz]; 0: raw", low=0.0, high=100.0, runtime=True
    )
    smooth_turn_beta: float = setting(
        0.2, "How much faster the whole body follows who leaves a steady turn [Hz per rad/s]", low=0.0, high=1000.0,
        runtime=True,
    )  # fmt: skip
    smooth_limbs_hz: float = setting(
        0.05, "Cutoff of the joints' rotations, for limbs that rest [Hz]; 0: raw", low=0.0, high=100.0, runtime=True
    )
    smooth_limbs_beta: float = setting(
        1.2, "How much faster joints follow that are moved [Hz per rad/s]", low=0.0, high=1000.0, runtime=True
    )
    smooth_expression_hz: float = setting(
        2.0, "Cutoff of the expression at rest [Hz]; 0: raw", low=0.0, high=100.0, runtime=True
    )
    smooth_expression_beta: float = setting(
        1.0, "How much faster a changing expression is followed [Hz per unit/s]", low=0.0, high=1000.0, runtime=True
    )
    smooth_shape_s: float = setting(
        20.0, "Time over which a person's shape is averaged [s]; 0: raw", low=0.0, high=3600.0, runtime=True
    )
