"""A day of a place, as it was said: in little room, and back."""

from datetime import UTC, date, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo_service.flow.alarms import Raised, judged
from geo_service.flow.diary import STEP_MS, Diary, Recounted, day_of, names_between, unpack_day
from geo_service.outputs import Occupancy
from occupancy.calibrate import Night
from occupancy.estimate import Estimate
from sensors.instants import instant, millis

START = millis(datetime(2026, 6, 1, 4, tzinfo=UTC))

estimates = st.builds(
    Estimate,
    mean=st.floats(0, 6_500),
    low=st.floats(0, 6_500),
    high=st.floats(0, 6_500),
    rate=st.just(0.1),
    p_over=st.just(0.0),
    level=st.sampled_from(["quiet", "normal", "busy", "full"]),
    status=st.sampled_from(["live", "degraded", "blind", "uncalibrated"]),
    in_total=st.integers(0, 2**32 - 1),
    out_total=st.integers(0, 2**32 - 1),
)
recounts = st.builds(
    Recounted,
    at_ms=st.integers(START, START + 10**8),
    people=st.floats(0, 10**6),
    by=st.none() | st.text(max_size=5),
    mean=st.floats(0, 100),
    low=st.floats(0, 100),
    high=st.floats(0, 100),
)


@given(st.dictionaries(st.integers(1, 288), estimates, max_size=20), st.lists(recounts, max_size=5))
def test_a_day_comes_back_as_it_was_said_to_a_tenth_of_a_person(said, counted):
    diary = Diary.begin(START + 7, START + 86_400_000, date(2026, 6, 1))
    for step, estimate in sorted(said.items()):
        diary.note(START + step * STEP_MS, estimate)
    for recount in counted:
        diary.recounted(recount)
    steps, told = unpack_day(diary.pack())
    assert told == counted
    assert [step.starts_ms for step in steps] == [START + (step - 1) * STEP_MS for step in sorted(said)]
    for step, (_, estimate) in zip(steps, sorted(said.items()), strict=True):
        figures = (estimate.mean, estimate.low, estimate.high)
        assert (step.mean, step.low, step.high) == pytest.approx(figures, abs=0.0501)
        assert (step.level, step.status) == (estimate.level, estimate.status)
    rising = sorted(said)
    if all(said[a].in_total <= said[b].in_total for a, b in pairwise(rising)) and rising:
        assert sum(step.ins for step in steps) == said[rising[-1]].in_total


def test_a_step_that_was_noted_is_not_noted_again():
    diary = Diary.begin(START, START + 86_400_000, date(2026, 6, 1))
    first, second = (Estimate(people, 0.0, 9.0, 0.1, 0.0, "quiet", "live", 1, 0) for people in (3.0, 5.0))
    diary.note(START + STEP_MS, first)
    diary.note(START + STEP_MS, second)
    assert [step.mean for step in unpack_day(diary.pack())[0]] == [3.0]


@pytest.mark.parametrize(
    ("local", "day"),
    [("2026-10-25 03:59", 24), ("2026-10-25 04:00", 25), ("2026-10-26 03:59", 25), ("2026-03-29 05:00", 29)],
)
def test_a_day_begins_at_its_local_hour_also_when_clocks_change(local, day):
    zone = ZoneInfo("Europe/Helsinki")
    at_ms = millis(datetime.fromisoformat(local).replace(tzinfo=zone, fold=1))
    assert day_of(at_ms, "Europe/Helsinki", 4).day == day


def test_names_of_days_are_those_of_the_place_and_of_no_other():
    first = date(2026, 6, 1).toordinal()
    assert names_between("s", "hall", first, first + 1) == ["day:s/hall/2026-06-01", "smoothed:s/hall/2026-06-01"]
    assert names_between("s", "", first, first) == []


def test_a_night_that_adds_up_clears_the_alert_of_the_doors():
    numbers = {"mean": 1.0, "low": 0.0, "high": 2.0, "rate": 0.1, "p_over": 0.0, "in_total": 0, "out_total": 0}
    estimate = Estimate(**numbers, level="quiet", status="live")
    said = [
        Occupancy(store="s", zone=None, time=instant(START + day), level="quiet", status="live", **numbers)
        for day in range(3)
    ]
    odd, good = Night(90.0, 9.0, taught=False, alert="90 people stayed"), Night(1.0, 9.0, taught=True, alert=None)
    raised, alerts = judged(Raised(), said[0], estimate, odd, None)
    assert [(alert.alert, alert.state, alert.detail) for alert in alerts] == [("doors", "raised", "90 people stayed")]
    raised, alerts = judged(raised, said[1], estimate, odd, None)
    assert alerts == []
    raised, alerts = judged(raised, said[2], estimate, good, None)
    assert [(alert.alert, alert.state, alert.since) for alert in alerts] == [("doors", "cleared", instant(START))]
    assert raised.since_ms == {}
