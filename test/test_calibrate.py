"""Calibration: the best threshold is found, and scores move there and nowhere else."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from small_network import small_inputs, small_network

from ros2_multihmr import cli
from ros2_multihmr.model.checkpoint import save_weights
from ros2_multihmr.verbs import calibrate
from ros2_multihmr.verbs.calibrate import Found, best_threshold, move_scores, sweep

PERSON = np.stack(np.meshgrid([0.0, 30.0], [0.0, 80.0]), axis=-1).reshape(1, 4, 2)


def image(scores, places, people):
    """Guesses and people at places on a line."""
    at = lambda where: np.concatenate([PERSON + (x, 0.0) for x in where] or [PERSON[:0]])  # noqa: E731
    return Found(np.array(scores, np.float32), at(places), at(people), np.ones(len(people), bool))


def test_f1_by_threshold_counts_the_right_the_missed_and_the_false():
    images = [image([0.9, 0.6, 0.2], [0.0, 500.0, 900.0], [0.0, 500.0]), image([0.3], [0.0], []), image([], [], [0.0])]
    figures = sweep(images, (0.1, 0.25, 0.5, 0.7, 0.95))
    # Of three people: two right and two false; two and one; two; one; none.
    assert np.allclose(list(figures.values()), [4 / 7, 4 / 6, 4 / 5, 2 / 4, 0.0])


def test_the_moved_score_is_where_it_should_be_and_the_order_stays():
    model = small_network()
    pixels, _ = small_inputs()
    before = model.score(model.backbone(pixels)).flatten()
    least = float(before.median())
    move_scores(model, least, 0.3)
    after = model.score(model.backbone(pixels)).flatten()
    assert math.isclose(float(after.median()), 0.3, abs_tol=1e-4)
    assert torch.equal(before.argsort(), after.argsort())


def test_the_best_threshold_is_that_of_the_highest_f1():
    assert best_threshold({0.1: 0.2, 0.3: 0.5, 0.5: 0.5, 0.7: 0.0}, Path("a"), "data") == 0.3


def test_weights_that_find_nobody_are_refused_and_nothing_is_written(tmp_path, monkeypatch, capsys):
    own, out = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    save_weights(small_network(), own)
    monkeypatch.setattr(calibrate, "open_folder", lambda folder: None)
    monkeypatch.setattr(calibrate, "create_estimator", lambda options: None)
    monkeypatch.setattr(calibrate, "find_people", lambda *_: [image([0.9], [900.0], [0.0]), image([], [], [0.0])])
    assert cli.main(["evaluate", "calibrate", "--weights", str(own), "--out", str(out), "--data", "some"]) == 2
    told = capsys.readouterr().err
    assert "find people in some, got nobody right at any threshold from 0.05 to 0.95" in told and "Train them" in told
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "expected a .safetensors file of a network of our own"),
        (["--weights", "official.pt"], "expected a .safetensors file"),
        (["--weights", "{own}"], "give another file with --out"),
        (["--weights", "{own}", "--out", "{folder}/b.safetensors"], "has no manifest.json"),
    ],
)
def test_wrong_use(arguments, says, tmp_path, capsys):
    own = tmp_path / "a.safetensors"
    save_weights(small_network(), own)
    data = ["--data", str(tmp_path / "none")]
    assert cli.main(["evaluate", "calibrate", *(a.format(own=own, folder=tmp_path) for a in arguments), *data]) == 2
    assert says in capsys.readouterr().err
