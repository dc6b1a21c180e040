from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from occupancy.local_time import HOUR_MS, LocalTime


def ms(zone, *when):
    return int(datetime(*when, tzinfo=ZoneInfo(zone)).timestamp() * 1000)


def test_an_hour_of_the_week_keeps_its_place_when_clocks_change():
    time = LocalTime("Europe/Helsinki")
    before, after = ms("Europe/Helsinki", 2025, 3, 28, 10), ms("Europe/Helsinki", 2025, 4, 4, 10)
    assert after - before == 7 * 24 * HOUR_MS - HOUR_MS
    assert time.hour_of_week(before) == time.hour_of_week(after) == 4 * 24 + 10


def test_the_hour_that_clocks_skip_is_missing_and_the_one_they_repeat_comes_twice():
    time = LocalTime("Pacific/Auckland")
    spring, autumn = ms("Pacific/Auckland", 2025, 9, 28, 0), ms("Pacific/Auckland", 2025, 4, 6, 0)
    sunday = 6 * 24
    assert [time.hour_of_week(spring + hour * HOUR_MS) - sunday for hour in range(4)] == [0, 1, 3, 4]
    assert [time.hour_of_week(autumn + hour * HOUR_MS) - sunday for hour in range(5)] == [0, 1, 2, 2, 3]


def test_a_holiday_keeps_sundays_hours():
    time = LocalTime("Europe/Helsinki", [date(2025, 12, 24)])
    eve = ms("Europe/Helsinki", 2025, 12, 24, 15)
    assert time.is_holiday(eve)
    assert time.hour_of_week(eve) == 6 * 24 + 15
    assert time.hour_of_calendar_week(eve) == 2 * 24 + 15
    assert time.hour_of_week(eve - 24 * HOUR_MS) == 1 * 24 + 15


def test_where_clocks_are_half_an_hour_off_an_hour_begins_on_the_half():
    time = LocalTime("Asia/Kolkata")
    at = ms("Asia/Kolkata", 2025, 6, 2, 9, 40)
    assert time.hour_start_ms(at) == ms("Asia/Kolkata", 2025, 6, 2, 9)
    assert time.half_hour_of_day(at) == 19


@settings(max_examples=80)
@given(
    st.integers(1_000_000_000_000, 2_000_000_000_000),
    st.integers(0, 23),
    st.sampled_from(["UTC", "Europe/Helsinki", "Pacific/Auckland", "Asia/Kathmandu", "America/St_Johns"]),
)
def test_the_next_day_begins_within_twenty_five_hours_at_its_hour_or_when_the_clock_has_skipped_it(at, hour, zone):
    end = LocalTime(zone).next_reset_ms(at, hour)
    assert 0 < end - at <= 25 * HOUR_MS
    local = datetime.fromtimestamp(end / 1000, ZoneInfo(zone))
    assert local.minute == local.second == 0
    skipped = (local - timedelta(hours=2)).utcoffset() != local.utcoffset()
    assert local.hour == hour or skipped
