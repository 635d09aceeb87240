"""Metrics of identity and motion, and the targets on a short walk."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from ros2_multihmr.evaluation import tracking_benchmark
from ros2_multihmr.evaluation.tracking import Frame, acceleration, identities, lag_s, similarity, switches

WAYS = np.stack([[(0.02 * f, 0, 4), (-0.02 * f, 0, 6)] for f in range(60)]).astype(float)


def frames(ids, offset: float = 0.0) -> list[Frame]:
    return [Frame(np.array([0, 1]), way, np.array(ids(f)), way + (offset, 0, 0)) for f, way in enumerate(WAYS)]


def test_perfect_tracks_are_perfect_and_half_a_metre_halves_hota():
    pytest.importorskip("trackeval")
    perfect = identities(frames(lambda f: [7, 3]))
    np.testing.assert_allclose(perfect, (1, 1, 1, 0), atol=1e-9)
    off = identities(frames(lambda f: [7, 3], 0.45))
    assert off.idf1 == 1.0 and 0.5 < off.hota < 0.65


def test_a_switch_counts_and_is_found_where_it_is():
    exchanged = frames(lambda f: [1, 2] if f < 30 else [2, 1])
    found = switches(exchanged)
    assert [(s.frame, s.person) for s in found] == [(30, 0), (30, 1)]
    assert all(s.apart_m == pytest.approx(2.0) for s in found)
    pytest.importorskip("trackeval")
    told = identities(exchanged)
    assert told.switches == 2 and told.idf1 == pytest.approx(0.5)


def test_misses_and_false_people_cost():
    pytest.importorskip("trackeval")
    one = [f._replace(ids=f.ids[:1], roots=f.roots[:1]) for f in frames(lambda f: [1, 2])]
    assert identities(one).mota == pytest.approx(0.5)
    nobody = [f._replace(ids=f.ids[:0], roots=f.roots[:0]) for f in one]
    assert identities(nobody).idf1 == 0.0 and switches(nobody) == []


def test_similarity_ends_at_a_metre():
    np.testing.assert_allclose(
        similarity(np.zeros((1, 3)), np.array([[0.25, 0, 0], [0, 1.0, 0], [0, 0, 9]])), [[0.75, 0, 0]]
    )


def test_acceleration_with_uneven_steps():
    times = np.array([0.0, 0.1, 0.15, 0.4])
    np.testing.assert_allclose(acceleration(1.5 * times[:, None] ** 2, times), 3.0)


def test_lag():
    times, late = np.arange(100) / 30, 0.05
    way = np.stack([np.sin(times), 0 * times, times], 1)
    speed = np.stack([np.cos(times), 0 * times, 0 * times + 1], 1)
    delayed = np.stack([np.sin(times - late), 0 * times, times - late], 1)
    assert lag_s(delayed, way, speed) == pytest.approx(late, rel=0.05)


@pytest.mark.parametrize(
    ("out", "says"),
    [("taken/page.md", "is a file"), ("/proc/x/page.md", "nothing can be written to /proc"), (".", "is a folder")],
)
def test_a_page_that_cannot_be_written_is_told_before_anything_is_measured(out, says, tmp_path, monkeypatch, capsys):
    (tmp_path / "taken").write_text("mine")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["tracking_benchmark", "--out", out])
    monkeypatch.setattr(tracking_benchmark, "create_body", lambda _: pytest.fail("measures"))
    with pytest.raises(SystemExit, match="2"):
        tracking_benchmark.main()
    assert says in capsys.readouterr().err
