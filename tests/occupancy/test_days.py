"""A place over many days: made stores with their truth, learned from night by night."""

import numpy as np
import pytest

from geo_service.benchmarks.controls import Ratio
from geo_service.benchmarks.occupancy import RECOUNT_AT, live
from geo_service.simulator.doors import CLOSES, DAY_MS, DOORS, FIRST_DAY_MS, MINUTE_MS, OPENS, Habits, Store
from occupancy.place import Place


def new_place():
    place = Place(110, 150)
    place.advance(FIRST_DAY_MS)
    place.is_open(FIRST_DAY_MS, False)
    place.expect(FIRST_DAY_MS, doors=DOORS)
    return place


@pytest.fixture(scope="module")
def learned():
    """A place after twelve days, as bytes, its store, and the days so far."""
    store = Store(104, Habits(miss_in=(0.08, 0.08), miss_out=(0.02, 0.02), outages_a_day=0.0))
    place, days = new_place(), []
    for _ in range(12):
        days.append(store.day())
        live(place, days[-1])
    return place.dump(), days, [store.day() for _ in range(4)]


def told(place, days, **more):
    """Errors and hits over the opening hours of some days."""
    errors, hits = [], []
    for day in days:
        said, truth = live(place, day, **more), day.inside[OPENS:CLOSES]
        errors.append(said.mean - truth)
        hits.append((said.low <= truth) & (truth <= said.high))
    return float(np.sqrt(np.mean(np.square(errors)))), float(np.mean(hits))


def test_after_a_fortnight_it_is_much_nearer_than_the_ratio_and_says_how_near(learned):
    dumped, past, days = learned
    rmse, cover = told(Place.load(dumped), days)
    control, simple = Ratio(), []
    for day in [*past, *days]:
        said = control.day(day.ins.sum(axis=1), day.outs.sum(axis=1))
        simple.append((said - day.inside)[OPENS:CLOSES])
    assert rmse < 0.8 * np.sqrt(np.mean(np.square(simple[len(past) :])))
    assert 0.75 < cover < 0.99


def test_a_recount_a_day_or_a_poor_camera_brings_it_nearer_still(learned):
    dumped, _, days = learned
    alone, _ = told(Place.load(dumped), days)
    assert told(Place.load(dumped), days, recount_at=RECOUNT_AT)[0] < alone
    assert told(Place.load(dumped), days, camera=True)[0] < alone


def test_the_night_writes_down_the_day_nearer_the_truth_than_it_was_told_live(learned):
    dumped, _, days = learned
    place = Place.load(dumped)
    live_rmse, _ = told(place, days[:1])
    place.advance(days[1].starts_ms + 5 * 3_600_000)
    history = place.history
    steps = np.arange(len(history.mean))
    minutes = (history.starts_ms - days[0].starts_ms + (steps + 1) * history.step_ms) // MINUTE_MS - 1
    use = (minutes >= OPENS) & (minutes < CLOSES)
    truth = days[0].inside[minutes[use]]
    assert np.sqrt(np.mean((history.mean[use] - truth) ** 2)) < live_rmse
    assert np.mean((history.low[use] <= truth) & (truth <= history.high[use])) > 0.7


def test_bytes_in_the_middle_of_a_learned_day_hold_everything(learned):
    dumped, _, days = learned
    place = Place.load(dumped)
    assert place.dump() == dumped
    live(place, days[0])
    night = days[0].starts_ms + DAY_MS + 4 * 3_600_000 + 1000
    place.advance(night)
    again = Place.load(place.dump())
    live(place, days[1])
    live(again, days[1])
    assert again.dump() == place.dump()
    assert len(place.dump()) < 20_000


def test_looking_every_ten_seconds_through_a_night_changes_nothing(learned):
    dumped, _, days = learned
    lazy, eager = Place.load(dumped), Place.load(dumped)
    live(lazy, days[0])
    live(eager, days[0])
    morning = days[1].starts_ms + OPENS * MINUTE_MS
    for at_ms in range(days[0].starts_ms + CLOSES * MINUTE_MS, morning, 10_000):
        eager.estimate(at_ms)
    lazy.advance(morning)
    eager.advance(morning)
    assert lazy.dump() == eager.dump()


def quiet_door(dumped, day, *, silent, whole_gap):
    """Live through a day on which one door says nothing for an hour from 12:00; what is said at 12:59 and at 13:15."""
    place, start = Place.load(dumped), 12 * 60
    held = np.zeros(2, dtype=np.int64)
    answers = {}
    for minute in range(OPENS - 60, start + 76):
        if minute == OPENS:
            place.is_open(day.starts_ms + minute * MINUTE_MS, True)
        at_ms = day.starts_ms + (minute + 1) * MINUTE_MS
        for door, name in enumerate(DOORS):
            ins, outs = int(day.ins[minute, door]), int(day.outs[minute, door])
            if silent and door == 0 and start <= minute < start + 60:
                held += (ins, outs)
            elif door == 0 and held.any():
                more = held.tolist() if whole_gap else (0, 0)
                place.count(at_ms, ins + more[0], outs + more[1], name, whole_gap=whole_gap)
                held[:] = 0
            else:
                place.count(at_ms, ins, outs, name)
        answers[minute] = place.estimate(at_ms)
    return answers[start + 58], answers[start + 75]


def test_while_a_door_is_silent_its_usual_rate_stands_in_and_the_interval_says_so(learned):
    dumped, _, days = learned
    well, well_after = quiet_door(dumped, days[0], silent=False, whole_gap=False)
    silent, lost = quiet_door(dumped, days[0], silent=True, whole_gap=False)
    _, told_later = quiet_door(dumped, days[0], silent=True, whole_gap=True)
    truth, truth_after = days[0].inside[12 * 60 + 58], days[0].inside[12 * 60 + 75]
    assert (well.status, silent.status) == ("live", "degraded")
    assert silent.high - silent.low > well.high - well.low
    assert silent.low <= truth <= silent.high
    assert lost.low <= truth_after <= lost.high
    assert told_later.low <= truth_after <= told_later.high
    assert told_later.in_total == well_after.in_total > lost.in_total


def test_the_next_hours_follow_the_typical_week_and_the_week_can_be_seen_whole(learned):
    dumped, _, days = learned
    place = Place.load(dumped)
    live(place, days[0])
    noon = days[1].starts_ms + 12 * 60 * MINUTE_MS
    place.is_open(days[1].starts_ms + OPENS * MINUTE_MS, True)
    for minute in range(OPENS, 12 * 60):
        for door, name in enumerate(DOORS):
            at_ms = days[1].starts_ms + (minute + 1) * MINUTE_MS
            place.count(at_ms, int(days[1].ins[minute, door]), int(days[1].outs[minute, door]), name)
    hours = place.forecast(noon)
    assert [hour.starts_ms - noon for hour in hours] == [lead * 3_600_000 for lead in (1, 2, 3, 4)]
    for lead, hour in enumerate(hours, start=1):
        assert hour.low <= hour.mean <= hour.high
        assert abs(hour.mean - days[1].inside[12 * 60 + 60 * lead]) < 45
    week = place.typical_week(FIRST_DAY_MS)
    assert len(week) == 168
    assert max(hour.mean for hour in week) > 60
    assert week[3].mean < 1


def test_nobody_is_expected_where_a_dated_closure_is_known(learned):
    dumped, _, days = learned
    place = Place.load(dumped)
    noon, closes = days[0].starts_ms + 12 * 3_600_000, days[0].starts_ms + 14 * 3_600_000
    place.is_open(days[0].starts_ms + OPENS * MINUTE_MS, True)
    for minute in range(OPENS, 12 * 60):
        for name in DOORS:
            place.count(days[0].starts_ms + (minute + 1) * MINUTE_MS, 1, 1, name)
    usual = place.forecast(noon)
    early = place.forecast(noon, open_at=lambda at_ms: at_ms < closes)
    assert early[:2] == usual[:2]  # at 14:00 they are just leaving
    assert [hour.mean for hour in early[2:]] == [0.1, 0.1]
    assert all(hour.high <= 1 < usual[2].low for hour in early[2:])


def test_nothing_is_forecast_before_anything_is_known():
    assert new_place().forecast(FIRST_DAY_MS + OPENS * MINUTE_MS) == []


def test_a_store_that_never_closes_does_not_drift_away():
    """Doors that miss one in twelve on the way in and one in fifty on the way out: in less out falls by 60 a day."""
    random = np.random.default_rng(3)
    place, minutes, errors = Place(60, 100), 1440, []
    leaving = np.zeros(30 * minutes, dtype=np.int64)
    inside = 0
    for minute in range(9 * minutes):
        came = int(random.poisson(0.7 * (1 + np.sin(2 * np.pi * minute / minutes))))
        stays = minute + 1 + (20 * np.exp(random.normal(0, 0.7, came))).astype(int)
        np.add.at(leaving, stays, 1)
        left = int(leaving[minute])
        inside += came - left
        at_ms = FIRST_DAY_MS + minute * MINUTE_MS
        place.count(at_ms, int(random.binomial(came, 0.917)), int(random.binomial(left, 0.98)), "door")
        if minute > 3 * minutes:
            errors.append(place.estimate(at_ms).mean - inside)
    assert np.sqrt(np.mean(np.square(errors))) < 6
    assert place.night.taught
    assert place.estimate(at_ms).status == "live"


def test_a_dated_closure_teaches_nothing_of_that_weekday(learned):
    dumped, _, _ = learned
    place = Place.load(dumped)
    before = [hour.mean for hour in place.typical_week(FIRST_DAY_MS)]
    place.advance(FIRST_DAY_MS + 15 * DAY_MS)
    after = [hour.mean for hour in place.typical_week(FIRST_DAY_MS)]
    assert after[24 * 6 + 12] == before[24 * 6 + 12]
    assert not place.night.taught
    assert place.night.alert is None
