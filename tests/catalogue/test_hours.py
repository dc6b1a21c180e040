from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo_service.catalogue.hours import DAYS, Hours, local_day
from sensors.instants import instant, millis

HELSINKI = ZoneInfo("Europe/Helsinki")
WEEKDAYS = Hours({day: [["09:00", "21:00"]] for day in DAYS[:5]}, "Europe/Helsinki")
NIGHT = Hours({"sat": [["18:00", "02:00"]]}, "Europe/Helsinki")


def at(text: str, zone: ZoneInfo = HELSINKI) -> int:
    return millis(datetime.fromisoformat(text).replace(tzinfo=zone))


@pytest.mark.parametrize(
    ("local", "is_open"),
    [
        ("2026-11-20 08:59:59.999", False),
        ("2026-11-20 09:00", True),
        ("2026-11-20 20:59:59.999", True),
        ("2026-11-20 21:00", False),
        ("2026-11-21 12:00", False),
    ],
)
def test_it_opens_with_the_first_and_closes_with_the_last_instant(local, is_open):
    assert WEEKDAYS.is_open(at(local)) is is_open


def test_an_interval_may_run_past_midnight():
    assert NIGHT.is_open(at("2026-11-21 23:00"))
    assert NIGHT.is_open(at("2026-11-22 01:59"))
    assert not NIGHT.is_open(at("2026-11-22 02:00"))
    assert not NIGHT.is_open(at("2026-11-21 01:00"))


def test_a_dated_exception_replaces_its_day_and_only_that():
    hours = Hours(
        {"fri": [["09:00", "21:00"]], "exceptions": {"2026-12-25": [], "2026-12-26": [["12:00", "16:00"]]}}, "UTC"
    )
    assert not hours.is_open(at("2026-12-25 12:00", UTC))
    assert hours.is_open(at("2026-12-26 12:00", UTC))
    assert hours.is_open(at("2026-12-18 12:00", UTC))


def test_an_exception_may_be_a_range_and_a_later_one_overrules_it():
    hours = Hours(
        {"exceptions": {"2026-12-24/2027-01-02": [], "2026-12-31": [["10:00", "14:00"]]}}
        | {day: [["09:00", "21:00"]] for day in DAYS},
        "UTC",
    )
    assert hours.is_open(at("2026-12-23 12:00", UTC))
    assert not hours.is_open(at("2026-12-24 12:00", UTC))
    assert not hours.is_open(at("2027-01-02 12:00", UTC))
    assert hours.is_open(at("2026-12-31 13:00", UTC))
    assert hours.is_open(at("2027-01-03 12:00", UTC))
    assert (len(hours.dated), hours.dated[0].isoformat(), hours.dated[-1].isoformat()) == (
        10,
        "2026-12-24",
        "2027-01-02",
    )


@pytest.mark.parametrize("dates", ["2026-12-26/2026-12-25", "2026-01-01/2028-01-01", "soon/2026-12-25", "2026-12-25/x"])
def test_dates_that_are_none_are_refused(dates):
    with pytest.raises(ValueError, match="exceptions"):
        Hours({"exceptions": {dates: []}}, "UTC")


def test_no_days_at_all_is_closed_and_all_day_is_all_day():
    assert not Hours({}, "UTC").is_open(at("2026-11-20 12:00", UTC))
    always = Hours({day: [["00:00", "24:00"]] for day in DAYS}, "UTC")
    assert always.is_open(at("2026-11-20 23:59:59.999", UTC))


@pytest.mark.parametrize(
    ("date", "hours_open"),
    [("2026-03-29", 23), ("2026-10-25", 25), ("2026-06-06", 24)],
)
def test_days_when_clocks_change_have_23_or_25_hours(date, hours_open):
    always = Hours({day: [["00:00", "24:00"]] for day in DAYS}, "Europe/Helsinki")
    start = datetime.fromisoformat(date).replace(tzinfo=HELSINKI)
    minutes = (
        millis(datetime.combine(start.date() + timedelta(days=1), start.time(), HELSINKI)) - millis(start)
    ) // 60_000
    assert minutes == hours_open * 60
    assert all(always.is_open(millis(start) + minute * 60_000) for minute in range(0, minutes, 7))


@pytest.mark.parametrize(
    ("document", "timezone", "reason"),
    [
        ({"monday": []}, "UTC", "unknown day 'monday'"),
        ({"mon": [["9:00", "21:00"]]}, "UTC", "'9:00' is not a time"),
        ({"mon": [["09:00", "21:00\n"]]}, "UTC", "is not a time"),
        ({"mon": "09:00-21:00"}, "UTC", "must be a list"),
        ({"mon": [["09:00"]]}, "UTC", "an interval is"),
        ({"exceptions": {"25.12.2026": []}}, "UTC", "is not a date"),
        ({}, "Mars/Olympus", "unknown timezone"),
        ({}, "../../etc/passwd", "unknown timezone"),
    ],
)
def test_hours_that_cannot_be_read_say_why(document, timezone, reason):
    with pytest.raises(ValueError, match=reason):
        Hours(document, timezone)


clock = st.builds(lambda hour, minute: f"{hour:02}:{minute:02}", st.integers(0, 23), st.integers(0, 59))
weeks = st.dictionaries(st.sampled_from(DAYS), st.lists(st.tuples(clock, clock), max_size=2))
instants = st.integers(millis(datetime(2026, 1, 1, tzinfo=UTC)), millis(datetime(2027, 1, 1, tzinfo=UTC)))


@given(weeks, instants, st.floats(0, 1))
def test_nothing_changes_before_the_next_change(week, at_ms, part):
    hours = Hours(week, "America/New_York")
    change = hours.next_change(at_ms)
    assert change > at_ms
    between = at_ms + int((change - 1 - at_ms) * part)
    assert hours.is_open(between) == hours.is_open(at_ms)


def test_the_local_day_is_the_stores_own():
    late = at("2026-11-21 23:30")
    assert local_day(late, "Europe/Helsinki").isoformat() == "2026-11-21"
    assert local_day(late, "Asia/Tokyo").isoformat() == "2026-11-22"
    assert instant(late).date().isoformat() == "2026-11-21"
