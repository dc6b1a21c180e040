"""The floor on which pacing policies are compared, and what the benchmark makes of it."""

import dataclasses
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

from geo_service.benchmarks import pacing, pacing_picture
from geo_service.benchmarks.pacing_floor import Floor
from geo_service.benchmarks.pacing_odds import ToldTheOdds
from geo_service.benchmarks.pacing_ours import MONDAY_MS, Forecasts, Ours, live
from geo_service.benchmarks.pacing_policies import SETTINGS, Fixed, all_knowing, sweep
from geo_service.simulator.promotion import DWELL_SIGMA, MINUTES, Setting, make_days, side_by_side
from occupancy.pacing import Pacer
from occupancy.pacing_stays import HORIZONS, _survival

SMALL = Setting(capacity=30)


@pytest.fixture(scope="module")
def days():
    return make_days(SMALL, 900, 0, 3)


def test_a_day_is_the_same_whichever_days_are_asked_for(days):
    alone = make_days(SMALL, 900, 2, 1)
    most = alone.come.shape[2]
    for name in ("ins", "outs", "passing", "outage"):
        assert np.array_equal(getattr(alone, name)[0], getattr(days, name)[2])
    for name in ("come", "delay", "stay"):
        assert np.array_equal(getattr(alone, name)[0], getattr(days, name)[2][:, :most])


def test_everybody_who_comes_leaves_before_the_store_closes(days):
    inside = np.cumsum(days.ins - days.outs, axis=1)
    assert inside.min() >= 0
    assert inside[:, -1].max() == 0
    nobody = Floor(days).run(Fixed(days, np.zeros(3)))
    assert np.array_equal(nobody.inside, inside)
    assert nobody.visits.tolist() == [0, 0, 0]


def test_the_invited_come_after_their_delay_and_stay_their_time(days):
    everybody = Floor(days).run(Fixed(days, np.ones(3)))
    extra = everybody.inside - np.cumsum(days.ins - days.outs, axis=1)
    expected = np.zeros((3, 2 * MINUTES), np.int64)
    visits = [0, 0, 0]
    for day in range(3):
        for minute in range(MINUTES):
            for number in range(days.passing[day, minute]):
                came = minute + int(days.delay[day, minute, number])
                if days.come[day, minute, number] and came < MINUTES:
                    visits[day] += 1
                    expected[day, came : came + int(days.stay[day, minute, number])] += 1
    assert np.array_equal(extra, expected[:, :MINUTES])
    assert everybody.visits.tolist() == visits


def test_settings_side_by_side_are_what_they_are_alone_but_for_what_the_doors_miss(days):
    swept = dict(sweep("none", days))
    assert list(swept) == [f"{level:g}" for level in SETTINGS["none"].levels]
    assert swept["1"].visits.tolist() == Floor(days).run(Fixed(days, np.ones(3))).visits.tolist()
    assert swept["0"].visits.tolist() == [0, 0, 0]
    means = [outcome.visits.mean() for outcome in swept.values()]
    assert means == sorted(means)


def test_the_filter_is_honest_its_errors_are_as_large_as_it_says():
    days = make_days(SMALL, 901, 0, 40)
    errors = []

    class Watches(Fixed):
        def invited(self, minute, people, floor):
            if minute % 60 == 59:
                errors.append((floor.now - self.seen.people) / np.sqrt(self.seen.variance))

        def quota(self, seen):
            self.seen = seen
            return super().quota(seen)

    Floor(days).run(Watches(days, np.full(40, 0.5)))
    scatter = np.concatenate(errors[1:])
    assert abs(scatter.mean()) < 0.2
    assert 0.8 < scatter.std() < 1.25


def test_who_knows_the_future_never_fills_the_store_beyond_its_capacity_and_beats_who_does_not_know_her_fate(days):
    organic = np.cumsum(days.ins - days.outs, axis=1)
    knowing = all_knowing(days, SMALL.capacity)
    assert (knowing.inside <= np.maximum(organic, SMALL.capacity)).all()
    forecast = all_knowing(days, SMALL.capacity, her_own_fate=False)
    assert forecast.visits.sum() <= knowing.visits.sum()


def test_the_real_pacer_lives_through_the_days_and_is_the_same_every_time():
    one, other = (live(SMALL, (900, 901), (5.0,), learn=0, count=1) for _ in range(2))
    assert [dataclasses.asdict(life) for life in one] == [dataclasses.asdict(life) for life in other]
    assert all(life.visits[0] > 0 for life in one)
    assert {len(life.z) for life in one} == {1}


def test_who_is_told_the_odds_forecasts_this_days_rates_and_how_many_are_really_inside(days):
    seen = []

    class Watched(ToldTheOdds):
        def invited(self, minute, people, floor):
            super().invited(minute, people, floor)
            if minute == 300:
                seen.extend((pacer._foreseen(), floor.now[row]) for row, pacer in enumerate(self.pacers))

    Watched(SMALL, [5.0] * 3).live(0, days, listen=False)
    for day, (forecast, inside) in enumerate(seen):
        stayers, arrivals, _, _ = (part[-1] for part in forecast.parts)
        survival = _survival(SMALL.median_stay, DWELL_SIGMA)
        minutes = HORIZONS[-1]
        assert stayers == pytest.approx(inside * forecast.kept[-1])
        assert arrivals == pytest.approx(days.rates[day, 300 : 300 + minutes] @ survival[minutes - 1 :: -1])
        assert forecast.conversion == SMALL.conversion


def test_the_decision_that_the_page_reads_slowly_is_what_the_program_says():
    page = (Path(__file__).resolve().parents[2] / "docs/pacing.md").read_text()
    asked_at, seed, verdicts = 506, 114, {}

    class Asked(Ours):
        def quota(self, seen):
            quota = super().quota(seen)
            if seen.minute == asked_at:
                verdicts[self._opens_ms] = self.pacers[0].preview(self._opens_ms + asked_at * 60_000, 600.0)
            return quota

    ours = Asked(Setting(), [5.0])
    for day in range(5):
        outcome = ours.live(day, make_days(Setting(), seed, day, 1), listen=False)
    verdict = list(verdicts.values())[-1]
    told = verdict.evidence
    assert not verdict.admit
    assert f"> {verdict.reason}\n" in page
    assert f"| `now` {told.now:.0f} ± {told.sigma_now:.0f} |" in page
    for name in ("minutes", "stayers", "arrivals", "invited"):
        assert f"| `{name}` {getattr(told, name):.0f} |" in page
    assert f"| `mean` {told.mean:.0f}, `sigma` {told.sigma:.0f} |" in page
    assert f"| `p_over` {told.p_over:.0%}".replace("%", " %") in page
    assert f"| `z` {told.z:.2f} |" in page
    after = outcome.inside[0, asked_at : asked_at + 50]
    assert f"held {after.max()}." in page
    assert after.argmax() == 42


def test_the_room_taken_at_once_is_what_asking_one_by_one_admits():
    """The floor asks once a minute for the room; the service asks for each shopper."""
    at_ms = MONDAY_MS + 10 * 3_600_000
    pacer = Pacer(30)
    pacer.occupied(at_ms, 10, 2.0, "live")
    room = pacer.verdict(at_ms, 600.0).evidence.room
    for number in range(room):
        assert pacer.verdict(at_ms, 600.0).admit
        pacer.sent(at_ms, str(number), 600.0)
    assert not pacer.verdict(at_ms, 600.0).admit


def test_a_frontier_is_the_upper_concave_hull_and_rest_days_mix_in():
    points = [(0.0, 10.0), (2.0, 40.0), (3.0, 20.0), (4.0, 50.0), (10.0, 60.0), (12.0, 55.0)]
    hull = pacing.frontier(points)
    assert hull == [(0.0, 10.0), (2.0, 40.0), (4.0, 50.0), (10.0, 60.0)]
    assert pacing.at(hull, 3.0) == 45.0
    assert pacing.at([(2.0, 0.0), (8.0, 40.0)], 5.0) == 20.0


def test_reliability_compares_what_was_stated_with_what_came_true():
    told = Forecasts(p_over=[0.3] * 10, over=[True] * 3 + [False] * 7, z=[0.0] * 10)
    found = pacing.reliability([told])
    assert found["bins"] == [{"forecasts": 10, "stated": 0.3, "came_true": 0.3}]
    assert found["within_80_percent"] == 1.0


def test_days_side_by_side_keep_their_own_shoppers():
    one, other = make_days(SMALL, 900, 0, 1), make_days(SMALL, 901, 0, 1)
    both = side_by_side([one, other])
    assert len(both) == 2
    assert np.array_equal(both.come[1][:, : other.come.shape[2]], other.come[0])


def test_the_picture_has_a_line_for_every_policy_and_is_the_same_every_time():
    frontiers = {name: [(0.0, 100.0), (30.0, 400.0)] for name in pacing_picture.STYLES}
    drawn = pacing_picture.chart(frontiers)
    assert drawn == pacing_picture.chart(frontiers)
    assert drawn.count("<polyline") == len(frontiers)
    assert pacing_picture.clipped(frontiers["ramp"]) == [(0.0, 100.0), (15, 250.0)]
    ET.fromstring(drawn)
