from datetime import date, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from occupancy.local_time import HOUR_MS, HOURS_A_WEEK, LocalTime
from occupancy.week import INS, INSIDE, SPREAD, Week

ZONE = "Europe/Helsinki"
EVE = date(2025, 12, 24)  # a Wednesday


def ms(*when):
    return int(datetime(*when, tzinfo=ZoneInfo(ZONE)).timestamp() * 1000)


def taught(hours, *, weeks=3, ins=60.0, inside=20.0):
    week = Week()
    for hour in hours:
        for _ in range(weeks):
            week.learn(hour, ins, ins, inside, 1.0)
    return week


def test_a_holiday_goes_by_sundays_habits_or_by_its_weekdays_where_the_place_is_closed_on_sundays():
    time, noon = LocalTime(ZONE, [EVE]), ms(2025, 12, 24, 12)
    always, no_sundays = taught(range(HOURS_A_WEEK)), taught(range(6 * 24))
    assert always.hour(noon, time) == 6 * 24 + 12
    assert no_sundays.hour(noon, time) == 2 * 24 + 12
    assert no_sundays.inside(noon, time) == pytest.approx(20)
    assert no_sundays.expected_ins(noon, noon + 2 * HOUR_MS, time) == pytest.approx(120)
    assert no_sundays.inside(ms(2025, 12, 21, 12), time) is None  # a Sunday that is no holiday


def test_between_the_middles_of_two_hours_the_inside_is_between_their_means():
    week, time = Week(), LocalTime(ZONE)
    week.learn(9, 10, 5, 8.0, 1.0)
    week.learn(10, 10, 5, 16.0, 1.0)
    monday = ms(2025, 1, 6)
    assert week.inside(monday + 10 * HOUR_MS, time) == pytest.approx(12)
    assert week.inside(monday + 9 * HOUR_MS + HOUR_MS // 2, time) == pytest.approx(8)
    assert week.inside(monday + 12 * HOUR_MS, time) is None


def test_the_newest_week_counts_most_but_never_alone():
    week = taught([5], weeks=30, ins=100.0)
    week.learn(5, 0.0, 0.0, 0.0, 1.0)
    assert week.figure(INS, 5) == pytest.approx(85, abs=0.1)
    assert 12 < week.memory(5) < 13
    assert week.memory(6) == 1


def test_the_spread_is_what_days_differ_by_beyond_how_busy_they_are():
    steady, wild = Week(), Week()
    for number in range(20):
        busy = 1.5 if number % 2 else 0.5
        steady.learn(0, 60 * busy, 0.0, 20 * busy, busy)
        wild.learn(0, 60 * busy, 0.0, 20 * busy, 1.0)
    assert steady.figure(SPREAD, 0) < 10 < wild.figure(SPREAD, 0)


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(st.integers(0, 167), st.floats(0, 1e4), st.floats(0, 1e3), st.floats(0.1, 5)), min_size=1, max_size=30
    )
)
def test_its_bytes_hold_all_of_it_and_figures_stay_within_what_was_seen(seen):
    week = Week()
    for hour, ins, inside, ratio in seen:
        week.learn(hour, ins, ins, inside, ratio)
    again = Week.load(week.dump())
    assert again.dump() == week.dump()
    for hour, *_ in seen:
        insides = [inside for at, _, inside, _ in seen if at == hour]
        assert min(insides) - 1e-3 <= again.figure(INSIDE, hour) <= max(insides) * (1 + 1e-5) + 1e-3
