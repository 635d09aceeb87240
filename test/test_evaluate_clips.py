"""Clips to evaluate on: plays are what they say, truth is true, perfect detections are perfect, the command tells."""

from __future__ import annotations

import functools
import json
import sys
from dataclasses import replace

import numpy as np
import pytest

from ros2_multihmr import cli
from ros2_multihmr.body import create_body
from ros2_multihmr.evaluation.clip_page import ClipPage, covered_range
from ros2_multihmr.evaluation.clip_runs import METHODS, NETWORK, NOISE, judge
from ros2_multihmr.evaluation.clip_truth import walk_of, who_of
from ros2_multihmr.evaluation.pictures import humans_of
from ros2_multihmr.evaluation.predictions import Prediction
from ros2_multihmr.evaluation.predictors import MIN_VISIBILITY
from ros2_multihmr.evaluation.rendered_clips import ClipSet, fill, missing, open_clips, samples_of
from ros2_multihmr.rotations import rotmat_to_rotvec
from ros2_multihmr.synthesis.clips import ClipConfig, clip
from ros2_multihmr.synthesis.motion import Stay, Walk, course
from ros2_multihmr.synthesis.plays import KINDS, play, taken_s
from ros2_multihmr.uncertainty import Sigmas
from ros2_multihmr.verbs import evaluate
from ros2_multihmr.verbs.evaluate_clips import evaluate_clips, sigmas_text

LONG = ClipConfig(duration_s=7.0, rate_hz=15.0)
TINY = ClipSet("tiny", 0, 1, ClipConfig(longer_side=64, duration_s=3.0, rate_hz=3.0))
BODY = create_body("anny")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    assert list(fill(TINY, folder, 1, limit=1)) == [9]
    return folder


@pytest.fixture(scope="module")
def rendered(cache):
    (one,) = open_clips(TINY, cache, limit=1)
    return one


def truth(sample, keep=None):
    """What a perfect network would find: those of whom enough is to be seen."""
    labels = sample.labels.select(sample.labels.visibility >= MIN_VISIBILITY if keep is None else keep)
    rotvecs = rotmat_to_rotvec(labels.rotmats).astype(np.float32)
    scores = np.full(len(labels), 0.9, np.float32)
    guess = Prediction(sample.key, scores, rotvecs, labels.shape, labels.expression, labels.center, 0.0)
    return humans_of(guess, BODY, sample.camera)


# ---- plays


@pytest.mark.parametrize("kind", KINDS)
def test_a_play_follows_from_its_seed_and_people_keep_apart(kind):
    assert play(kind, 3, LONG) == play(kind, 3, LONG) != play(kind, 4, LONG)
    for seed in range(8):
        drawn = play(kind, seed, LONG)  # raises where people meet
        assert len(drawn.ways) == len(drawn.ages) and 3 <= len(drawn.ways) <= 4


def test_plays_are_what_they_are_called():
    assert play("hidden by pillars", 0, LONG).pillars and play("moving camera", 0, LONG).camera == "patrol"
    family = play("two children and an adult", 0, LONG)
    assert isinstance(family.ways[0], Stay) and max(family.ages[1:]) < 0.5 < family.ages[0]
    for seed in range(3):
        for way in play("leaving and entering", seed, LONG).ways[:2]:
            spots = np.array([course(way)(t)[0] for t in np.linspace(0.0, 7.0, 71)])
            sides = np.abs(spots[:, 1]) / spots[:, 0]
            assert sides[0] < 0.5 and sides.max() > 0.72 and sides[-1] < 0.6, "in, out and in again"
    with pytest.raises(ValueError, match="known are crossing"):
        play("ballet", 0, LONG)


def test_dropped_images_never_come_and_the_others_keep_their_time():
    times = taken_s(LONG, play("dropped frames", 0, LONG).dropped, 0)
    assert set(times) <= set(LONG.times_s) and times[0] == 0.0
    assert 0.55 < len(times) / len(LONG.times_s) < 0.85
    assert np.array_equal(taken_s(LONG, 0.0, 0), LONG.times_s)


def test_ways_through_pillars_and_missing_ages_are_refused():
    ways = (Walk(((4.0, 2.0), (4.0, -2.0)), 1.0),)
    with pytest.raises(ValueError, match="person 0 comes too near to the pillar"):
        next(clip(0, LONG, BODY, ways, pillars=((4.0, 0.0),)))
    with pytest.raises(ValueError, match="one age per way, got 2 ages for 1 ways"):
        next(clip(0, LONG, BODY, ways, ages=(0.4, 0.7)))


# ---- rendered clips


def test_clips_are_made_once(cache, rendered):
    assert list(fill(TINY, cache, 1, limit=1)) == [] and len(missing(TINY, cache)) == len(KINDS) - 1
    assert [key.kind for key in TINY.chosen()] == list(KINDS)
    assert len(rendered) == 9 == len(list(samples_of([rendered])))
    others = replace(TINY, seeds=2), replace(TINY, config=replace(TINY.config, rate_hz=2.0))
    assert len({clips.folder(cache) for clips in (TINY, *others)}) == 3


def test_a_slower_camera_sees_one_image_in_so_many(cache, rendered):
    (slower,) = open_clips(TINY, cache, limit=1, every=2)
    images = list(rendered.samples())[::2]
    assert len(slower) == 5 and [one.key for one in slower.samples()] == [one.key for one in images]
    assert np.array_equal(slower.stamps_s, rendered.stamps_s[::2])
    assert np.array_equal(slower.T_camera_world, rendered.T_camera_world[::2])


def test_only_clips_have_images_in_a_row(tmp_path):
    with pytest.raises(ValueError, match="--every: only --data clips"):
        evaluate.main(evaluate.Options(data="synthetic-val", every=2, out=str(tmp_path / "out")))


def test_everybody_is_in_all_labels(rendered):
    for sample in rendered.samples():
        sample.labels.check(BODY.info)
        assert sample.labels.identity.tolist() == [0, 1, 2, 3]


def test_truth_is_where_the_ways_are(rendered):
    walk, drawn = walk_of(rendered, BODY), play("crossing", 0, TINY.config)
    assert walk.roots.shape == (9, 4, 3) and not walk.moving_camera
    for person, way in enumerate(drawn.ways):
        spots = np.array([course(way)(t)[0] for t in walk.stamps_s])
        assert np.linalg.norm(walk.roots[:, person, :2] - spots, axis=1).max() < 0.2
        speeds = np.linalg.norm(walk.velocities[:, person, :2], axis=1)
        assert abs(np.median(speeds) - way.speed_m_per_s) < 0.15
    assert 0.6 < np.median(walk.roots[..., 2]) < 1.2, "hips above the floor"
    assert walk.visible.any() and not (walk.visible & ~walk.present).any() and not walk.visible.all()


def test_who_is_who_in_any_order(rendered):
    sample = max(rendered.samples(), key=lambda one: (one.labels.visibility >= MIN_VISIBILITY).sum())
    those = np.flatnonzero(sample.labels.visibility >= MIN_VISIBILITY)[::-1]
    assert len(those) >= 2
    assert who_of(truth(sample, those), sample.labels, sample.camera).tolist() == those.tolist()
    assert len(who_of(truth(sample, those[:0]), sample.labels, sample.camera)) == 0
    hidden = replace(sample.labels, visibility=0 * sample.labels.visibility)
    assert (who_of(truth(sample, those), hidden, sample.camera) == -1).all(), "who cannot be seen does not count"


# ---- runs


def test_perfect_detections_are_perfect(rendered):
    pytest.importorskip("trackeval")
    result = judge(rendered, truth, BODY)
    raw = result.figures[NETWORK]["tracker, raw"]
    assert raw.mpjpe_mm < 0.1 and raw.root_mm < 0.1 and raw.acceleration < 0.01 and raw.switches == 0
    assert result.found.false == 0 and result.found.inside.all() and result.found.found == result.found.visible > 5
    assert result.figures[NOISE]["tracker, raw"].root_mm > 5.0
    assert covered_range([result]) == (1.0, 1.0, 1.0)
    again = judge(rendered, truth, BODY)
    np.testing.assert_equal(again.figures, result.figures)
    page = ClipPage("net on clips", "one clip", ["a note"], {}, [result], {"machine": "none"})
    text = page.markdown()
    assert all(method in text for method in METHODS) and "crossing" in text and "**100.0 % of the true places" in text
    assert "±" not in text and "| one clip |" in text, "one clip has no spread"
    assert "mean ± deviation" in replace(page, results=[result, result]).markdown() and "Nobody was found" not in text
    values = json.loads(json.dumps(page.to_json(), allow_nan=False))
    assert values["clips"][0]["figures"][NETWORK]["tracker, raw"]["switches"] == 0


def test_a_network_that_finds_nobody_has_no_errors(rendered):
    pytest.importorskip("trackeval")
    result = judge(rendered, lambda sample: truth(sample, np.zeros(0, np.intp)), BODY)
    figures = result.figures[NETWORK]["tracker, smoothed"]
    assert figures.idf1 == 0.0 and np.isnan(figures.mpjpe_mm) and result.found.found == 0
    page = ClipPage("none", "one clip", [], {}, [result], {})
    assert json.loads(json.dumps(page.to_json(), allow_nan=False))["coverage"]["share"] is None
    assert "| - " in page.markdown() and "**Nobody was found**: none of" in page.markdown()


def test_standard_deviations_are_told_as_words():
    assert sigmas_text(Sigmas(2.0, 0.1), "of the image") == "2 px of the image across the ray and 10 % of the distance"
    assert sigmas_text(Sigmas(0.0, 0.07), "of the image") == "7 % of the distance"
    assert sigmas_text(Sigmas(3.5, 0.0), "of it") == "3.5 px of it across the ray"


# ---- the command


def test_the_command_writes_page_and_figures(cache, rendered, tmp_path, monkeypatch):
    pytest.importorskip("trackeval")
    monkeypatch.setattr(evaluate, "evaluate_clips", functools.partial(evaluate_clips, clips=TINY))
    out, report = tmp_path / "out", tmp_path / "report"
    places = ["--cache", str(cache), "--out", str(out), "--report", str(report)]
    command = ["evaluate", "--data", "clips", "--limit", "1", "--workers", "1", *places]
    assert cli.main(command) == 0
    first = json.loads((report / "clips.json").read_text())
    assert (report / "clips.md").read_text() == (out / "figures.md").read_text()
    assert first["run"]["data_sha256"] == TINY.sha256 and first["clips"][0]["kind"] == "crossing"
    assert cli.main(command) == 0
    again = json.loads((report / "clips.json").read_text())
    first["machine"].pop("load"), again["machine"].pop("load")
    assert again == first, "the same, from its predictions"


def test_wrong_use(monkeypatch, tmp_path, capsys):
    command = ["evaluate", "--data", "clips", "--out", str(tmp_path / "out")]
    assert cli.main([*command, "--pictures", "1"]) == 2
    assert "--pictures" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "trackeval", None)
    assert cli.main(command) == 2
    assert "pip install --no-deps trackeval" in capsys.readouterr().err
