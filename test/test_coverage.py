"""Covariance of places: the numbers that are measured hold what they promise, and stay with the weights."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors import safe_open
from small_network import small_network

from ros2_multihmr import cli
from ros2_multihmr.evaluation.coverage import PlaceErrors, fit, inside, inside_covariance
from ros2_multihmr.model.checkpoint import CONFIG_KEY, LICENCE_KEY, load_weights, rewrite_config, save_weights
from ros2_multihmr.uncertainty import ASSUMED, Sigmas, choose_sigmas, pose_covariance
from ros2_multihmr.verbs import calibrate_covariance

FOCAL_PX = 200.0


def places(rng, count, sigmas, tail=None):
    """Places found, and true ones that differ by as much as `sigmas` say; with long tails if asked."""
    found = rng.uniform((-2, -1, 2), (2, 1, 9), (count, 3))
    covariance = pose_covariance(found, FOCAL_PX, *sigmas)[:, :3, :3]
    unit = rng.normal(size=(count, 3)) if tail is None else rng.standard_t(tail, (count, 3))
    return found, found + np.einsum("nij,nj->ni", np.linalg.cholesky(covariance), unit)


def test_what_was_put_in_comes_out():
    sigmas = Sigmas(3.0, 0.07)
    found = fit(PlaceErrors.of(*places(np.random.default_rng(0), 20_000, sigmas), FOCAL_PX))
    np.testing.assert_allclose(found, sigmas, rtol=0.03)


@pytest.mark.parametrize("tail", [None, 3.0])
def test_nine_of_ten_of_other_people_are_inside(tail):
    rng = np.random.default_rng(1)
    ours, others = (PlaceErrors.of(*places(rng, 4000, Sigmas(2.0, 0.1), tail), FOCAL_PX) for _ in range(2))
    sigmas = fit(ours)
    assert math.isclose(inside(ours, sigmas).mean(), 0.9, abs_tol=1e-3)
    assert math.isclose(inside(others, sigmas).mean(), 0.9, abs_tol=0.02)


def test_errors_taken_apart_are_those_of_the_covariance():
    found, true = places(np.random.default_rng(2), 500, Sigmas(4.0, 0.2))
    sigmas = Sigmas(3.0, 0.1)
    covariance = pose_covariance(found, FOCAL_PX, *sigmas)[:, :3, :3]
    apart = inside(PlaceErrors.of(found, true, FOCAL_PX), sigmas)
    np.testing.assert_array_equal(apart, inside_covariance(found - true, covariance))
    assert 0.2 < apart.mean() < 0.95


def test_errors_join_and_few_or_broken_ones_are_refused():
    found, true = places(np.random.default_rng(3), 40, Sigmas(2.0, 0.1))
    whole = PlaceErrors.of(found, true, FOCAL_PX)
    parts = [PlaceErrors.of(found[s], true[s], FOCAL_PX) for s in (slice(0, 7), slice(7, 7), slice(7, 40))]
    np.testing.assert_allclose(PlaceErrors.join(parts), whole)
    assert len(PlaceErrors.join([]).along) == 0
    with pytest.raises(ValueError, match="too few people were found: expected at least 30 .*, got 7; give more"):
        fit(parts[0])
    with pytest.raises(ValueError, match="nobody was found: expected at least 30 .*, got 0"):
        fit(parts[1])
    whole.along[3] = np.nan
    with pytest.raises(ValueError, match="finite"):
        fit(whole)


def test_the_user_goes_before_the_weights_and_these_before_what_is_assumed():
    measured, nothing = Sigmas(4.0, 0.2), Sigmas(0.0, 0.0)
    assert choose_sigmas(nothing, nothing, 0.5) == Sigmas(2.0 * ASSUMED.position_px, ASSUMED.depth)
    assert choose_sigmas(nothing, measured, 0.5) == Sigmas(8.0, 0.2), "twice as many pixels in an image twice as large"
    assert choose_sigmas(Sigmas(3.0, 0.0), measured, 0.5) == Sigmas(3.0, 0.2)
    assert choose_sigmas(Sigmas(3.0, 0.01), measured, 0.5) == Sigmas(3.0, 0.01)


def test_numbers_go_beside_weights_that_stay_the_same(tmp_path):
    source, out = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    save_weights(small_network(), source, half=True, licence="somebody's")
    assert load_weights(source).config.sigmas == Sigmas(0.0, 0.0), "nobody measured it"
    rewrite_config(source, out, position_sigma_px=1.5, depth_sigma=0.08)
    assert load_weights(out).config.sigmas == Sigmas(1.5, 0.08)
    with safe_open(source, "np") as one, safe_open(out, "np") as other:
        assert set(one.keys()) == set(other.keys()) and one.metadata()[CONFIG_KEY] != other.metadata()[CONFIG_KEY]
        assert other.metadata()[LICENCE_KEY] == "somebody's"
        for name in one.keys():  # noqa: SIM118
            assert one.get_tensor(name).dtype == other.get_tensor(name).dtype
            np.testing.assert_array_equal(one.get_tensor(name), other.get_tensor(name))
    rewrite_config(out, out, depth_sigma=0.09)
    assert load_weights(out).config.sigmas == Sigmas(1.5, 0.09)
    for wrong in (-0.1, math.nan, math.inf):
        with pytest.raises(ValueError, match="depth_sigma"):
            rewrite_config(source, out, depth_sigma=wrong)


def test_the_command_writes_what_it_measures(tmp_path, monkeypatch, capsys):
    source, out = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    save_weights(small_network(), source)
    errors = PlaceErrors.of(*places(np.random.default_rng(4), 5000, Sigmas(3.0, 0.07)), FOCAL_PX)
    monkeypatch.setattr(calibrate_covariance, "_benchmark", lambda *_: SimpleNamespace(title="few"))
    monkeypatch.setattr(calibrate_covariance, "place_errors", lambda *_: errors)
    backend = SimpleNamespace(config=load_weights(source).config)
    monkeypatch.setattr(calibrate_covariance, "create_estimator", lambda options: SimpleNamespace(backend=backend))
    assert cli.main(["evaluate", "calibrate-covariance", "--weights", str(source), "--out", str(out)]) == 0
    np.testing.assert_allclose(load_weights(out).config.sigmas, (3.0, 0.07), rtol=0.05)
    assert "90.0 % within the 90 % ellipsoid" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--weights", "official.pt", "--out", "b.safetensors"], "`multihmr convert` makes one"),
        ([], "expected the .safetensors file to write"),
        (["--weights", "a.safetensors", "--out", "a.safetensors"], "written over itself"),
    ],
)
def test_wrong_use(arguments, says, capsys):
    assert cli.main(["evaluate", "calibrate-covariance", *arguments]) == 2
    assert says in capsys.readouterr().err
