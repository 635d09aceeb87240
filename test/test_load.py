"""What gives way to `target_rate`, on a made-up clock: a camera, a mailbox with room for one, and a slow worker."""

import itertools

import numpy as np
import pytest

from ros2_multihmr.ros.load import DISPLAY_S, EASY, STEPS, TOO_MUCH, Load, LoadRule


class Machine:
    """A rule and what becomes of the images that come; `cost` is the seconds that one takes, by whether it is shown."""

    def __init__(self, cost=lambda shown: 0.01, target_hz=20.0):
        self.now_s, self.cost, self.target_hz = 1000.0, cost, target_hz
        self.rule = LoadRule(lambda: self.now_s)
        self.waiting = self.in_work = None
        self.used, self.shown, self.levels, self.ages = [], [], [], []

    def run(self, seconds, camera_hz=30.0, jitter_s=0.0):
        """Lets images come for a while; the newest one waits for the worker."""
        rng, begin_s = np.random.default_rng(0), self.now_s
        for index in range(1, int(seconds * camera_hz)):
            come_s = begin_s + index / camera_hz + rng.uniform(-jitter_s, jitter_s)
            while self.in_work and self.in_work[0] <= come_s:
                self._end()
            self.now_s = max(self.now_s, come_s)
            if self.rule.admits(self.target_hz):
                self.waiting = self.now_s
                self._begin()
            self.levels.append(self.rule.state.level)
        return self

    def _begin(self):
        if self.in_work is None and self.waiting is not None:
            work = self.rule.work()
            work.__enter__()
            shown = self.rule.display_due()
            self.in_work = self.now_s + self.cost(shown), work, self.waiting
            self.waiting = None
            self.used.append(self.now_s)
            self.shown += [self.now_s] * shown

    def _end(self):
        (self.now_s, work, came_s), self.in_work = self.in_work, None
        work.__exit__(None, None, None)
        self.ages.append(self.now_s - came_s)
        self._begin()

    def rate_hz(self, seconds):
        """Images used per second, over the last seconds."""
        return sum(at > self.now_s - seconds for at in self.used) / seconds


def test_without_a_target_every_image_is_used_whatever_it_costs():
    machine = Machine(cost=lambda shown: 0.5, target_hz=0.0).run(20)
    assert set(machine.levels) == {0} and machine.rate_hz(10) == pytest.approx(2.0)
    state = machine.rule.state
    assert state == Load(busy=state.busy) and not state.problem and state.facts["images allowed [Hz]"] == "all"


@pytest.mark.parametrize(("cost_s", "busy"), [(0.5, 1.0), (0.02, 0.2)])
def test_without_a_target_it_is_told_how_busy_the_worker_is(cost_s, busy):
    machine = Machine(cost=lambda shown: cost_s, target_hz=0.0).run(20, camera_hz=10.0)
    assert machine.rule.state.busy == pytest.approx(busy, abs=0.02)
    assert machine.rule.state.facts["worker busy"] == f"{machine.rule.state.busy:.0%}"


@pytest.mark.parametrize("camera_hz", [60.0, 30.0, 29.97, 25.0, 20.0, 10.0, 3.0])
@pytest.mark.parametrize("jitter", [0.0, 0.2, 0.45])
def test_a_machine_that_copes_uses_what_is_asked_for_and_nothing_gives_way(camera_hz, jitter):
    machine = Machine().run(40, camera_hz, jitter / camera_hz)
    assert set(machine.levels) == {0} and not machine.rule.state.problem
    assert machine.rate_hz(30) == pytest.approx(min(camera_hz, 20.0), rel=0.03)
    assert machine.shown == machine.used


def test_images_are_used_evenly():
    machine = Machine(target_hz=10.0).run(20)
    assert np.allclose(np.diff(machine.used[5:]), 0.1)


@pytest.mark.parametrize("cost_s", [0.06, 0.1, 0.3, 0.35])
def test_a_machine_too_slow_settles_where_it_has_air_and_stays(cost_s):
    machine = Machine(cost=lambda shown: cost_s).run(30)
    settled = machine.rule.state.level
    assert set(machine.levels[-600:]) == {settled}
    fits = [level for level, step in enumerate(STEPS) if level and 20.0 * step * cost_s <= TOO_MUCH]
    assert settled == fits[0]
    assert machine.rate_hz(16) == pytest.approx(20.0 * STEPS[settled], rel=0.05)
    # No queue: an image waits for no other, so that none is older than its own work.
    assert np.allclose(machine.ages[-20:], cost_s)
    state = machine.rule.state
    assert (
        "cannot keep up with target_rate 20 Hz" in state.problem
        and f"{state.allowed_hz:.3g} images per second are allowed at most" in state.problem
    )
    assert state.facts["worker busy"] == f"{state.busy:.0%}" and state.busy <= TOO_MUCH


def test_a_machine_far_too_slow_uses_the_least_and_never_an_old_image():
    machine = Machine(cost=lambda shown: 3.0).run(120)
    assert machine.rule.state.level == len(STEPS) - 1 and machine.rule.state.busy > 1.0
    assert max(machine.ages) <= 2 * 3.0 + 0.1  # what waits is replaced by what is newer


def test_where_the_display_alone_is_too_much_it_alone_gives_way():
    machine = Machine(cost=lambda shown: 0.15 if shown else 0.03).run(60)
    assert 1 in machine.levels and max(machine.levels) == 1
    slow = [at for at in machine.shown if at > machine.now_s - 4]
    assert machine.rate_hz(10) == pytest.approx(20.0, rel=0.1)
    assert machine.rule.state.level == 0 or np.diff(slow).min() >= DISPLAY_S


@pytest.mark.parametrize("level", range(1, len(STEPS)))
def test_words_say_what_gives_way_and_blame_no_machine_that_keeps_its_target(level):
    problem = Load(20.0, level, 0.5).problem
    assert "markers and overlay come once a second" in problem and "target_rate 20 Hz" in problem
    assert ("cannot keep up" in problem) == ("images per second are allowed" in problem) == (STEPS[level] < 1.0)


def test_while_the_display_alone_is_held_back_no_word_says_that_the_target_is_missed():
    busy = {"s": 0.2}
    machine = Machine(cost=lambda shown: busy["s"]).run(20)
    busy["s"] = 0.01
    while machine.rule.state.level > 1:
        machine.run(0.5)
    machine.run(4)
    assert machine.rule.state.level == 1 and machine.rate_hz(3) == pytest.approx(20.0, rel=0.1)
    assert "cannot" not in machine.rule.state.problem and "leaves time for" in machine.rule.state.problem


def test_it_comes_back_once_there_is_air_and_not_at_the_edge():
    busy = {"s": 0.2}
    machine = Machine(cost=lambda shown: busy["s"]).run(20)
    low = machine.rule.state.level
    assert low > 1
    busy["s"] = 0.9 * EASY / (20.0 * STEPS[low - 1]) * 1.2  # fits where it is, and one up it would be no longer easy
    assert set(machine.run(60).levels[-900:]) == {low}
    busy["s"] = 0.01
    machine.run(30)
    assert machine.rule.state.level == 0 and machine.rate_hz(5) == pytest.approx(20.0, rel=0.05)
    assert not machine.rule.state.problem


def test_who_tries_too_early_waits_longer_and_longer():
    machine = Machine(cost=lambda shown: 0.2 if shown else 0.03).run(600)  # slow with the display, quick without
    changes = np.flatnonzero(np.diff(machine.levels))
    lowered = [index for index in changes if machine.levels[index + 1] > machine.levels[index]]
    waits_s = np.diff(lowered) / 30.0
    assert len(waits_s) >= 4 and waits_s[0] < 10.0 < 60.0 < waits_s[-1]
    assert (np.diff(waits_s[:4]) > 0.0).all()


def test_the_first_image_may_take_long():
    costs = itertools.chain([5.0], itertools.repeat(0.01))
    machine = Machine(cost=lambda shown: next(costs)).run(30)
    assert max(machine.levels) == 0


def test_one_slow_image_changes_nothing():
    costs = (0.5 if index % 60 == 30 else 0.01 for index in itertools.count())
    assert max(Machine(cost=lambda shown: next(costs)).run(60).levels) == 0


def test_irregular_images_are_used_as_far_as_the_rate_goes():
    clock, used = {"s": 0.0}, 0
    rule, now = LoadRule(lambda: clock["s"]), np.cumsum(np.random.default_rng(0).exponential(0.03, 3000))
    for clock["s"] in now:
        used += rule.admits(10.0)
    assert used == pytest.approx(10.0 * now[-1], rel=0.2) and used <= 10.0 * now[-1] + 2


def test_after_a_pause_there_is_no_burst():
    machine = Machine(target_hz=10.0).run(5)
    machine.now_s += 3600.0
    before = len(machine.used)
    machine.run(1)
    assert len(machine.used) - before <= 11


def test_a_clock_that_jumps_back_stops_nothing():
    clock = {"s": 5000.0}
    rule = LoadRule(lambda: clock["s"])
    used = []
    for index in range(400):
        clock["s"] += 0.05 if index != 200 else -4000.0
        if rule.admits(20.0):
            used.append(index)
            with rule.work():
                clock["s"] += 0.001 if index != 300 else -10.0
    assert len(used) > 390 and rule.state.level == 0


def test_another_target_starts_anew():
    machine = Machine(cost=lambda shown: 0.2).run(10)
    assert machine.rule.state.level > 1
    machine.rule.admits(5.0)
    assert machine.rule.state == Load(5.0) and machine.rule.admits(0.0) and machine.rule.admits(0.0)
    assert machine.rule.state == Load() and machine.rule.display_due() and machine.rule.display_due()


def test_time_in_a_failed_image_does_not_count_and_does_not_stop_the_rule():
    rule = LoadRule(iter(np.arange(1000.0)).__next__)
    with pytest.raises(ZeroDivisionError), rule.work():
        raise ZeroDivisionError
    assert rule.admits(1.0)
